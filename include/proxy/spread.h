/*
 * spread: how many TCP sessions each worker has, and which worker gets a
 * connection that one of them has accepted. The kernel distributes connections
 * by a hash. So of a few long connections one worker can get twice as many as
 * another. This room makes no system call; proxy/transfer.h carries the
 * connection.
 *
 * The load of a worker is measured by its number of sessions. The load that a
 * new connection will cause is not known when it is accepted, and while a burst
 * is accepted none of its connections has moved bytes. Processor time overrides
 * the number in one case: a busy worker with few sessions gets none from an
 * idle one with many.
 *
 * Short connections are distributed evenly because there are many, and a
 * hand-over costs more than it gains. So a worker hands none over, and gets
 * none, while most of its connections end within SPREAD_BRIEF_NS.
 *
 * Each worker writes a cache line of its own, and another reads it only when it
 * accepts a connection and has more sessions than the least that it saw.
 */
#ifndef EVPROXY_PROXY_SPREAD_H
#define EVPROXY_PROXY_SPREAD_H

#include "base/base.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SPREAD_BRIEF_NS   NS_PER_S
#define SPREAD_COMING_MAX 64 /* connections on their way to one worker */
#define SPREAD_BUSY_ALL   1000

struct spread_worker {
    /* The worker writes these, any worker reads them, relaxed. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t active; /* TCP sessions */
    _Atomic uint32_t begun;                             /* lately, and */
    _Atomic uint32_t brief;   /* those that have ended within the time */
    _Atomic uint32_t busy;    /* of its time, in SPREAD_BUSY_ALL parts */
    _Atomic uint64_t aged_ns; /* when begun and brief last aged */
    _Atomic uint64_t busy_ns; /* when busy was measured */

    _Atomic uint32_t coming; /* connections on their way here: those who hand
                                one over add by compare-and-swap, so that no
                                place is given twice; the worker subtracts */

    /* Only the worker. */
    uint32_t least;    /* of the others, when it last looked */
    uint64_t least_ns; /* which was then */

    /* The worker writes it seldom, the control thread reads it. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t handed; /* to others, so far */
    uint64_t turns_ns; /* only the worker: the time that its turns had taken
                          when busy was measured */
};

struct spread {
    unsigned workers;
    struct spread_worker list[];
};

/* NULL with errno = ENOMEM. */
struct spread *spread_create(unsigned workers) WARN_UNUSED;
void spread_destroy(struct spread *spread);

/* A TCP session of the worker begins; one that began at born_ns ends. */
void spread_begin(struct spread_worker *worker, uint64_t now_ns);
void spread_end(struct spread_worker *worker, uint64_t born_ns,
                uint64_t now_ns);

/* Each turn of the worker's loop: turns_ns is what all turns together have
 * taken. */
void spread_measure(struct spread_worker *worker, uint64_t turns_ns,
                    uint64_t now_ns);

/*
 * Chooses the worker for a connection that the worker `own` has accepted. If it
 * is another one, the connection is counted as coming there until
 * spread_arrived.
 */
unsigned spread_choose(struct spread *spread, unsigned own, uint64_t now_ns);

/* The connection is a session of the worker's, or it has not been sent. */
void spread_arrived(struct spread_worker *worker);

/* The worker has handed one over. */
void spread_count_handed(struct spread_worker *worker);

/* Any thread: its TCP sessions now, and what it has handed to others. */
static inline uint32_t spread_active(const struct spread_worker *worker)
{
    return atomic_load_explicit(&worker->active, memory_order_relaxed);
}

static inline uint64_t spread_handed(const struct spread_worker *worker)
{
    return atomic_load_explicit(&worker->handed, memory_order_relaxed);
}

#endif
