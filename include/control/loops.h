/*
 * loops: upstreams that lead back to the service that they belong to, as far as
 * only this machine can tell: by its addresses, and by what names resolve to.
 * Loops by addresses that every machine has are refused with the text of the
 * configuration (config/check.h). Loops that cannot be known beforehand are
 * ended at run time (proxy/loop_guard.h). Control thread.
 *
 * Where the system does not tell its addresses (a sandbox without netlink
 * sockets), those of the loopback interface remain.
 */
#ifndef EVPROXY_CONTROL_LOOPS_H
#define EVPROXY_CONTROL_LOOPS_H

#include "config/errors.h"
#include "service/generation.h"

/* Adds an error for each upstream that leads back. names NULL: they are left
 * out of account. -1: there are errors. */
int loops_check(const struct config *config,
                const struct resolution_names *names,
                struct config_errors *errors) WARN_UNUSED;

/* Takes out what a name has resolved to if it leads back (UPSTREAM_LOOP), with
 * a warning if it did not before; and puts back what no longer does. */
void loops_take_out(const struct generation *generation);

#endif
