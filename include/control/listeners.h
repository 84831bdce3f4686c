/*
 * listeners: the listening sockets of a generation: opened, carried over from
 * the one before, let go.
 *
 * An address has a socket for each worker, so that the kernel spreads new
 * connections; all of them are bound before the first one listens, or early
 * connections would all go to that. A unix path has one socket, and each worker
 * a descriptor of it. The sockets of an address are closed by the workers, each
 * its own, when a generation comes that does not have the address; until a
 * worker had a generation that names them, they are the control thread's.
 */
#ifndef EVPROXY_CONTROL_LISTENERS_H
#define EVPROXY_CONTROL_LISTENERS_H

#include "config/reload.h"
#include "service/generation.h"

/*
 * Gives each listen of the wanted generation its sockets, by the plan: those of
 * the running one (NULL at the start) or new ones, which are bound and
 * listening. -1: nothing is left open, *failed is the address and errno the
 * reason.
 */
int listeners_open(struct generation *wanted, const struct generation *running,
                   const struct reload_plan *plan,
                   const struct endpoint **failed) WARN_UNUSED;

/* The wanted generation comes to nothing: closes what was opened for it. */
void listeners_abandon(struct generation *wanted,
                       const struct reload_plan *plan);

/* The workers have been given the wanted generation: sockets that stay take on
 * changed options, paths that are gone are unlinked. */
void listeners_settle(const struct generation *wanted,
                      const struct generation *running,
                      const struct reload_plan *plan);

/* Before generation_destroy: lets its sockets' arrays go, and closes none. */
void listeners_release(struct generation *generation);

/* At the end: removes the paths of its unix sockets. */
void listeners_unlink(const struct generation *generation);

/* All addresses of the generation, in the order of its listens, in a malloc'ed
 * array. NULL with errno = ENOMEM; not NULL for none. */
struct reload_address *
listeners_addresses(const struct generation *generation) WARN_UNUSED;

#endif
