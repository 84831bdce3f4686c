/*
 * reactor: the data plane of one thread put together on its plane: the table of
 * the loop's handlers, and what concerns listeners, sessions and UDP at once:
 * open, apply a generation, drain, reset, close. The only room that knows them
 * all; nothing below it calls up.
 */
#ifndef EVPROXY_PROXY_REACTOR_H
#define EVPROXY_PROXY_REACTOR_H

#include "proxy/listener.h"

/* Messages to the plane's mailbox that are not the plane's own. */
struct reactor {
    struct plane plane;
    loop_message_fn command; /* NULL: none come */

    struct wheel_timer reset_timer; /* of reactor_reset_evenly, and what it has
                                       still to look at: */
    uint64_t reset_deadline_ns;
    uint32_t reset_next;
    uint32_t reset_next_udp;
};

/* An open plane without listeners. -1 with errno. */
int reactor_open(struct reactor *reactor, unsigned number,
                 struct shared *shared, loop_message_fn command) WARN_UNUSED;

/* Resets every session, closes the listeners, frees all. */
void reactor_close(struct reactor *reactor);

/* What a plane needs to take a generation, allocated beforehand by the control
 * thread, so that taking it cannot fail. */
struct reactor_change {
    struct generation_hold *hold;
    struct listener_spare listeners; /* spare ones, one for each socket */
    struct udp *udp; /* NULL: the generation has no UDP; freed if not needed */
};

/* For the worker of that number. -1 with errno = ENOMEM. */
int reactor_prepare(struct reactor_change *change,
                    struct generation *generation, unsigned number) WARN_UNUSED;

/*
 * New connections belong to the change's generation from now on, and come by
 * its sockets, which the plane owns. Sockets that it does not have are emptied
 * and closed, UDP sockets when their last session has ended. Uses the change
 * up. REPORT_GENERATION_DONE is sent when the generation is no longer the
 * current one and its last session here has ended.
 */
void reactor_apply(struct reactor *reactor, struct reactor_change *change);

/* Stops accepting; REPORT_DRAINED is sent when no session is left. */
void reactor_drain(struct reactor *reactor);

/* Upstreams have a new reset_ns: their older sessions end, a slice in each turn
 * of the loop. */
void reactor_sweep(struct reactor *reactor);

/* Ends all sessions with cause drain. */
void reactor_reset_all(struct reactor *reactor);

/* The same, evenly until the deadline. In a drain, once. */
void reactor_reset_evenly(struct reactor *reactor, uint64_t deadline_ns);

static inline struct reactor *reactor_of(struct loop *loop)
{
    return container_of(plane_of(loop), struct reactor, plane);
}

#endif
