/*
 * credentials: what services speak TLS with, read from the files that the
 * configuration names: at a start, at each reload before anything changes, and
 * for a check. Control thread.
 *
 * A generation holds the contexts that were made for it until it is gone, so
 * that a session goes on with those that it began with.
 */
#ifndef EVPROXY_CONTROL_CREDENTIALS_H
#define EVPROXY_CONTROL_CREDENTIALS_H

#include "config/errors.h"
#include "service/generation.h"

/* Whether all files are there and fit. -1: an error was added for each service
 * of which they do not. */
int credentials_check(const struct config *config,
                      struct config_errors *errors) WARN_UNUSED;

/* Gives each service of a new generation its contexts. -1: as above, and it has
 * none. */
int credentials_load(struct generation *generation,
                     struct config_errors *errors) WARN_UNUSED;

/* Takes them away again; to be called before generation_destroy. */
void credentials_release(struct generation *generation);

#endif
