/*
 * queue: connections of one service that wait for a place at an upstream, while
 * all have as many as max_connections allows. When a place gets free, the one
 * that has waited longest, over all workers, is called. No one polls.
 *
 *      a place gets free, in any thread
 *         └── queue_freed ──▶ the worker of the oldest place: its wake function
 *                                └── queue_choose ──▶ the place, which tries
 *
 * Each worker has the places of its own connections, the oldest first, and
 * publishes the age of the oldest. So the order is that of arrival, except for
 * connections that arrive while a call is on its way.
 *
 * A call says only that an upstream may have a free place. A connection that is
 * called and finds none keeps its position. One that gets a place, or gives up,
 * calls the next if there may be more. While the queue is not empty, a new
 * connection goes to its end, and then looks once whether an upstream has a
 * free place, so that no call is lost: the connection is in the queue before it
 * looks, and an upstream's count falls before the queue is read (both
 * sequentially consistent).
 *
 * An empty queue costs one load from memory that no thread writes.
 */
#ifndef EVPROXY_SERVICE_QUEUE_H
#define EVPROXY_SERVICE_QUEUE_H

#include "base/base.h"
#include "base/list.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* A connection's place. All-zero: it is in no queue. Its worker's. */
struct queue_place {
    struct list link;
    uint64_t since_ns;
    void *owner; /* the caller's */
};

/* Runs in the thread that calls. */
typedef void (*queue_wake_fn)(void *arg);

/* One worker's part. */
struct queue_part {
    _Alignas(CACHE_LINE_BYTES) struct list places; /* only the worker */
    struct list link;   /* in the worker's list of parts that have places */
    queue_wake_fn wake; /* of the worker; set before its first place */
    void *arg;          /* likewise */
    _Atomic uint64_t oldest_ns; /* of the first place; UINT64_MAX: none. The
                                   worker writes, any thread reads */
    _Atomic bool called;        /* any thread sets it, the worker clears it */
};

/* All-zero: no connection can wait. */
struct queue {
    _Atomic uint32_t count; /* places of all workers; they add and subtract, any
                               thread reads */
    unsigned workers;
    struct queue_part *parts; /* one for each worker; NULL until a generation
                                 needs them */
};

/* -1 with errno = ENOMEM. Harmless if it was done before. Control thread. */
int queue_init(struct queue *queue, unsigned workers) WARN_UNUSED;
void queue_fini(struct queue *queue);

/* Whether no connection waits. */
static inline bool queue_empty(const struct queue *queue)
{
    return atomic_load(&queue->count) == 0;
}

/* The worker's place is the last. part: the worker's, with wake set. */
void queue_enter(struct queue *queue, struct queue_part *part,
                 struct queue_place *place, uint64_t now_ns);
/* Harmless if it is in none. */
void queue_leave(struct queue *queue, struct queue_part *part,
                 struct queue_place *place);

/* The oldest place of all, if it is the worker's. NULL: there is none, or its
 * worker was called. */
struct queue_place *queue_choose(struct queue *queue,
                                 struct queue_part *part) WARN_UNUSED;

/* Whether the worker has been called since this was last asked. */
bool queue_called(struct queue_part *part) WARN_UNUSED;

/* The first place of the worker's part, and the one that follows; NULL: none.
 */
struct queue_place *queue_next(const struct queue_part *part,
                               const struct queue_place *place);

/* Calls the worker of the oldest place. */
void queue_call(struct queue *queue);

/* A place may have got free. Any thread. queue: NULL, or that of the service.
 */
static inline void queue_freed(struct queue *queue)
{
    if (queue != NULL && !queue_empty(queue)) {
        queue_call(queue);
    }
}

#endif
