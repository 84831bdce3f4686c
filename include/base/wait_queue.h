/*
 * wait_queue: who waits for one of several things of a kind, first come, first
 * served. Pure.
 *
 * Somebody else owns the things. When one becomes free, the owner grants it to
 * the first waiter, which leaves the queue; the thing then stays reserved until
 * that waiter takes it or cancels. So nobody overtakes the queue, and as long
 * as it is not empty every free thing is reserved.
 *
 * Threads: under the owner's lock, except wait_queue_empty.
 */
#ifndef EVPROXY_BASE_WAIT_QUEUE_H
#define EVPROXY_BASE_WAIT_QUEUE_H

#include "base/list.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* All-zero: neither in the queue nor granted. */
struct waiter {
    struct list link;
    bool granted; /* a free thing is reserved for it */
};

/* All-zero: empty. */
struct wait_queue {
    _Atomic uint32_t length; /* written under the lock, read by any thread */
    uint32_t granted;        /* free things that are reserved */
    struct list waiters;
};

/* Without the lock the answer may be out of date at once. */
static inline bool wait_queue_empty(const struct wait_queue *queue)
{
    return atomic_load_explicit(&queue->length, memory_order_relaxed) == 0;
}

/* Puts a waiter that is not granted at the end, unless it is in the queue. */
void wait_queue_join(struct wait_queue *queue, struct waiter *waiter);

/* Grants one of `free` free things to the first waiter and answers it; NULL if
 * all are reserved or nobody waits. */
struct waiter *wait_queue_grant(struct wait_queue *queue, uint32_t free);

/* Ends the waiter's grant, since it takes the thing; false if it has none. */
static inline bool wait_queue_redeem(struct wait_queue *queue,
                                     struct waiter *waiter)
{
    if (!waiter->granted) {
        return false;
    }
    waiter->granted = false;
    queue->granted--;
    return true;
}

/* Ends the waiter's wait or grant; harmless if it has neither. */
void wait_queue_cancel(struct wait_queue *queue, struct waiter *waiter);

/* Aborts unless the invariants hold, with `free` free things. For tests and
 * debug builds. */
void wait_queue_check(const struct wait_queue *queue, uint32_t free);

#endif
