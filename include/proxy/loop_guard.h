/*
 * loop_guard: ends loops that no check could see: connections of ours that come
 * back to our own listeners, again and again. One for all workers.
 *
 * Both ends of such a connection are ours, and both know it by the same two
 * addresses. The connecting session notes them, together with the addresses of
 * its client. The accepting session looks for the note of its own addresses,
 * then for the note of the client in it, and so on. So it counts the turns:
 *
 *      accepted ──▶ note of c3 ──▶ note of c2 ──▶ note of c1 ──▶ no note: the
 *      from c3      client: c2     client: c1     client: x      client is not
 *                                                                one of ours
 *
 * From LOOP_TURNS on a connection ends as `loop` if its upstream appears again
 * among the turns, which in a chain of services it does not, and at
 * LOOP_TURNS_MAX whatever the upstreams are. So do the connections that
 * the notes name, once the end reaches them: none of them connects again. A
 * note that is written after the other end has accepted is found when the
 * accepting session connects, which then writes its own, or in the next turn.
 *
 * A note costs three system calls, and few upstreams lead back to this process.
 * So each worker notes the first connection to an upstream in a second, and
 * every 64th. Once one has come back, all connections to this upstream are
 * noted.
 *
 * TCP only. A connection whose addresses are changed on its way, by a proxy or
 * a firewall, is not recognised.
 */
#ifndef EVPROXY_PROXY_LOOP_GUARD_H
#define EVPROXY_PROXY_LOOP_GUARD_H

#include "base/addr.h"
#include "service/upstream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOOP_TURNS     32
#define LOOP_TURNS_MAX 60

#define LOOP_PORTS   65536
#define LOOP_BUCKETS 8192

/* A connection, as both of its ends name it. */
struct loop_ends {
    struct addr from; /* who connected */
    struct addr to;
};

struct loop_note;

struct loop_guard {
    pthread_mutex_t lock;    /* guards the notes */
    struct loop_note *notes; /* by number. Pages never used are not resident. */
    uint16_t used;           /* numbers up to it have been used */
    uint16_t free;           /* the first of them that is not in use; 0: none */
    uint16_t buckets[LOOP_BUCKETS]; /* the first note; by the port of ends.from,
                                       which the kernel may give to connections
                                       to several addresses */
    _Atomic uint64_t noted[LOOP_PORTS / 64]; /* one bit for each port: whether
                                it has a note. The thread that sets or
                                removes the note writes, and every accept
                                reads; relaxed, since the lock orders the notes
                              */
};

/* -1 with errno = ENOMEM. */
int loop_guard_init(struct loop_guard *guard) WARN_UNUSED;
void loop_guard_fini(struct loop_guard *guard);

/* Whether a worker notes the next connection to the upstream. Only by the
 * worker that has the counters. */
bool loop_guard_is_due(const struct upstream *upstream,
                       struct upstream_counters *counters,
                       uint64_t now_ns) WARN_UNUSED;

/* Whether the connection has a note. */
bool loop_guard_knows(struct loop_guard *guard,
                      const struct loop_ends *ends) WARN_UNUSED;

/* A connection to the upstream, for a client. Answers the number of the note;
 * 0: there are too many. It is forgotten before the upstream may be freed. */
uint16_t loop_guard_note(struct loop_guard *guard, struct upstream *upstream,
                         const struct loop_ends *ends,
                         const struct loop_ends *client) WARN_UNUSED;

/* Ends the note of that number, which is not 0, and makes the number 0. True:
 * it was part of a loop. */
bool loop_guard_remove(struct loop_guard *guard, uint16_t *number);

/* The same, of a number that may be 0. */
static inline bool loop_guard_forget(struct loop_guard *guard, uint16_t *number)
{
    return *number != 0 && loop_guard_remove(guard, number);
}

/* False: no connection of ours comes from that port, so loop_guard_arrive is
 * not needed. */
static inline bool loop_guard_may_know(const struct loop_guard *guard,
                                       uint16_t port)
{
    return atomic_load_explicit(&guard->noted[port / 64],
                                memory_order_relaxed) >>
               (port % 64) &
           1;
}

/* A connection was accepted. True: it has gone round often enough. */
bool loop_guard_arrive(struct loop_guard *guard,
                       const struct loop_ends *ends) WARN_UNUSED;

#endif
