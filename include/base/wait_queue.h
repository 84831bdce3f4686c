/*
 * wait_queue: a queue for one of several equal things, shared fairly between
 * users. Pure.
 *
 * The owner of the things grants free ones to waiters. A granted thing stays
 * reserved until the waiter takes it or cancels. A thing that is free and not
 * reserved is spare. A user has a waiter in each of several threads, linked in
 * a ring. Each waiter counts the things that it has. The counts of a ring are
 * added up only when things are short.
 *
 * A user may have one more if it has at most WAIT_QUEUE_SHARE times the spare
 * ones (dynamic thresholds: Choudhury and Hahne, IEEE/ACM ToN 1998). So the
 * last ones are left to users that have few, who need not wait at all. A lone
 * user is refused while less than 1 / (WAIT_QUEUE_SHARE + 1) of all is spare;
 * with WAIT_QUEUE_SHARE or fewer it may always have the last one.
 *
 * A spare thing goes to the waiter whose user has the fewest; of equals, to the
 * first that came. So a user that has none goes before all that have some. A
 * user that is passed over has more than another one that waits. As its own
 * things come back it moves forward, and when all have come back it is in line
 * with the others that have none. No user waits for ever, unless it holds
 * things for ever.
 *
 * Only the first WAIT_QUEUE_LOOK waiters are compared, and those behind them as
 * long as none of them may have one: a grant costs the same however many wait.
 * Each grant takes a waiter out of the queue, and it comes back at the end. So
 * the waiters behind move up, and the users before them have at most
 * WAIT_QUEUE_SHARE times the spare things each.
 *
 * Threads: under the owner's lock, except wait_queue_empty and waiter_count.
 */
#ifndef EVPROXY_BASE_WAIT_QUEUE_H
#define EVPROXY_BASE_WAIT_QUEUE_H

#include "base/list.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WAIT_QUEUE_SHARE 8u
#define WAIT_QUEUE_LOOK  64u

/* All-zero: has nothing, neither in the queue nor granted, alone. */
struct waiter {
    _Atomic uint32_t held; /* things; written by one thread without the lock */
    bool granted;          /* a free thing is reserved for it */
    struct waiter *next;   /* of the same user, in a ring; NULL: no other */
    struct list link;      /* in the queue; while granted, for the owner */
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

/* The waiter has so many more things. By its thread. */
static inline void waiter_count(struct waiter *waiter, uint32_t change)
{
    uint32_t held = atomic_load_explicit(&waiter->held, memory_order_relaxed);

    atomic_store_explicit(&waiter->held, held + change, memory_order_relaxed);
}

/* Whether the waiter may take one of `free` free things out of `all` at once:
 * whether its user may have one more. The owner grants until no user that waits
 * may have one, so each of these has more. */
bool wait_queue_admits(const struct wait_queue *queue,
                       const struct waiter *waiter, uint32_t free,
                       uint32_t all);

/* Puts a waiter that is not granted at the end, unless it is in the queue. */
void wait_queue_join(struct wait_queue *queue, struct waiter *waiter);

/* Grants one of `free` free things to the next waiter and answers it; NULL if
 * no user that waits may have one. The owner calls it until it answers NULL. */
struct waiter *wait_queue_grant(struct wait_queue *queue, uint32_t free);

/* Ends the waiter's grant, since it takes the thing; false if it has none. */
static inline bool wait_queue_redeem(struct wait_queue *queue,
                                     struct waiter *waiter)
{
    if (!waiter->granted) {
        return false;
    }
    list_remove(&waiter->link);
    waiter->granted = false;
    queue->granted--;
    return true;
}

/* Ends the waiter's wait or grant; harmless if it has neither. */
void wait_queue_cancel(struct wait_queue *queue, struct waiter *waiter);

/* Aborts unless the invariants hold, with `free` free things out of `all`, and
 * all granted that can be. For tests and debug builds. */
void wait_queue_check(const struct wait_queue *queue, uint32_t free,
                      uint32_t all);

#endif
