/*
 * credentials: certificates, keys and CAs, read from the files that the
 * configuration names, as TLS contexts. They are read at the start, at each
 * reload before anything changes, and for `-t`. Control thread.
 *
 * A generation keeps its contexts until it is freed, so that a session keeps
 * those that it began with.
 */
#ifndef EVPROXY_CONTROL_CREDENTIALS_H
#define EVPROXY_CONTROL_CREDENTIALS_H

#include "config/errors.h"
#include "service/generation.h"

/* Reads all files. -1: for each service with a file that cannot be read or does
 * not fit, an error is added; unless as_service, also for each certificate that
 * is not valid today. as_service: the unit runs the check before a reload, and
 * services whose credentials it may not see are left to the reload itself. */
int credentials_check(const struct config *config, bool as_service,
                      struct config_errors *errors) WARN_UNUSED;

/* Gives each service of a new generation its contexts: those of the running
 * generation (NULL: none) if both have one configuration, else from the files.
 * -1: an error is added for the first service that cannot have them, and none
 * has any. */
int credentials_load(struct generation *generation,
                     const struct generation *running,
                     struct config_errors *errors) WARN_UNUSED;

/* Frees the contexts. Called before generation_destroy. */
void credentials_release(struct generation *generation);

#endif
