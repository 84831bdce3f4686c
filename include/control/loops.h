/*
 * loops: upstreams that lead back to the service that they belong to, as far as
 * only this machine can tell: by its addresses, and by what names resolve to.
 * Loops by addresses that every machine has are refused with the text of the
 * configuration (config/check.h), and what nobody can tell beforehand ends at
 * run time (proxy/loop_guard.h). Control thread.
 *
 * Where the system does not tell its addresses (a sandbox without netlink
 * sockets), those of the loopback interface remain.
 */
#ifndef EVPROXY_CONTROL_LOOPS_H
#define EVPROXY_CONTROL_LOOPS_H

#include "config/errors.h"
#include "service/generation.h"

/*
 * Adds an error for each upstream that leads back. lookup NULL: names are left
 * out of account. Else it is asked for each, as long as that takes; after
 * LOOPS_LOOKUPS_NS no other look-up begins. -1: there are errors.
 */
#define LOOPS_LOOKUPS_NS (5 * NS_PER_S)
int loops_check(const struct config *config, resolution_lookup_fn lookup,
                struct config_errors *errors) WARN_UNUSED;

/* Takes out what a name has resolved to if it leads back (UPSTREAM_LOOP), with
 * a warning; and puts back what no longer does. */
void loops_take_out(const struct generation *generation);

#endif
