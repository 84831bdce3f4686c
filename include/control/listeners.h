/*
 * listeners: the listening sockets of a generation: opened, kept from the
 * generation before, released.
 *
 * An address has a socket for each worker, so that the kernel distributes new
 * connections. All are bound before the first one listens; else that one would
 * get all early connections. The first one claims the address (see net/listen),
 * so that no other process has it, not even another evproxy; only what this
 * process has in the way is shared. A unix path has one socket, of which each
 * worker has a descriptor.
 *
 * Sockets that the service manager passed on are used instead. Of a stream's
 * each worker has a duplicate of one. A socket for datagrams belongs to one
 * worker, since the datagrams of a session must come to the same one; workers
 * for which there is none have none.
 *
 * A socket is the control thread's until its worker has been given a generation
 * with the address. From then on the worker owns it, and closes it when it gets
 * a generation without the address.
 */
#ifndef EVPROXY_CONTROL_LISTENERS_H
#define EVPROXY_CONTROL_LISTENERS_H

#include "config/reload.h"
#include "control/handed.h"
#include "control/inherited.h"
#include "service/generation.h"

/* Where new sockets come from. */
struct listeners_origin {
    uid_t owner;                 /* of those that are opened */
    struct inherited *inherited; /* these go first; NULL: none */
    struct handed *handed;       /* and these before; NULL: none */
};

/*
 * Gives each address of the wanted generation its sockets, by the plan: those
 * of the running generation (NULL at the start), or new ones, bound and
 * listening. -1: all new ones are closed again,
 * *failed is the address and errno the reason.
 */
int listeners_open(struct generation *wanted, const struct generation *running,
                   const struct reload_plan *plan,
                   const struct listeners_origin *origin,
                   const struct listen_socket **failed) WARN_UNUSED;

/* Closes what was opened for a generation that no worker was given. */
void listeners_abandon(struct generation *wanted,
                       const struct reload_plan *plan);

/* Called once a worker has been given the wanted generation: sets changed
 * options of the sockets that are kept, and removes the paths of those that are
 * not. */
void listeners_commit(const struct generation *wanted,
                      const struct generation *running,
                      const struct reload_plan *plan);

/* Frees the generation's arrays of descriptors and closes none. Called before
 * generation_destroy. */
void listeners_release(struct generation *generation);

/* The sockets of a generation have another owner now: no path is removed. */
void listeners_disown(struct generation *generation);

/* Those that were handed to this process are its own now. */
void listeners_own(struct generation *generation);

/* Removes the paths of its unix sockets, at the end of the process. */
void listeners_unlink(const struct generation *generation);

/* Plans the way from the running generation, NULL at the start, to the wanted
 * configuration. The caller frees the plan with reload_plan_fini. Returns -1
 * with errno = ENOMEM if there is no memory, and then leaves nothing to free.
 */
int listeners_plan(struct reload_plan *plan, const struct generation *running,
                   const struct config *wanted) WARN_UNUSED;

#endif
