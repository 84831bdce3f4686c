/*
 * loop: one thread's household: what time it is, who is ready, who is due, who
 * wants to go on, and who is dead.
 *
 * A turn of the loop:
 *
 *      wait ▶ read the clock ▶ events ▶ runnable queues ▶ timers ▶ batch end
 *           ▶ deferred queues
 *
 * A link is put on a queue by list_append, and the queue's number tells the
 * handler what it is a link of. The links that are runnable when their step
 * begins run once each, by queue and in order; one that is put there meanwhile
 * runs in the next turn, so nobody starves. Deferred frees come last, so
 * nothing is freed that an event of this turn may still name.
 *
 * Events and timers come with a kind, which says whose they are, and events
 * with the index and instance that their owner chose. A thread that runs a
 * loop owns all of it; others reach it through its mailbox.
 */
#ifndef EVPROXY_NET_LOOP_H
#define EVPROXY_NET_LOOP_H

#include "base/list.h"
#include "base/wheel.h"
#include "net/mailbox.h"
#include "net/poller.h"

#include <stdbool.h>
#include <stdint.h>

#define LOOP_KINDS        16
#define LOOP_KIND_MAILBOX 0 /* the loop's own; the others are the owner's */

/* Queues of runnable links, and of deferred ones. The owner gives each a kind.
 */
#define LOOP_QUEUES 4

struct loop;

typedef void (*loop_event_fn)(struct loop *loop, uint32_t index,
                              uint32_t instance, uint32_t events);
/* An event for that index comes soon: its record may be fetched. */
typedef void (*loop_soon_fn)(struct loop *loop, uint32_t index);
typedef void (*loop_timer_fn)(struct loop *loop, struct wheel_timer *timer);
typedef void (*loop_link_fn)(struct loop *loop, struct list *link);
typedef void (*loop_message_fn)(struct loop *loop, struct message *message);
typedef void (*loop_fn)(struct loop *loop);

/* What the owner does; fields may be NULL where nothing of the kind exists. */
struct loop_owner {
    loop_event_fn event[LOOP_KINDS];
    loop_soon_fn soon[LOOP_KINDS]; /* or NULL */
    loop_timer_fn timer[LOOP_KINDS];
    loop_link_fn run[LOOP_QUEUES];           /* a link of runnable[i] */
    loop_link_fn free_deferred[LOOP_QUEUES]; /* a link of deferred[i] */
    loop_message_fn message;                 /* mail */
    loop_fn batch_end; /* after events, runs and timers of a turn */
};

struct loop {
    uint64_t now_ns; /* read once a turn */
    struct wheel wheel;
    struct list runnable[LOOP_QUEUES];
    struct list deferred[LOOP_QUEUES];
    struct mailbox mailbox;
    const struct loop_owner *owner;
    uint8_t runnable_count; /* queues up to the last with a handler */
    uint8_t deferred_count;
    bool stopped;
    struct poller poller;
};

int loop_open(struct loop *loop, const struct loop_owner *owner) WARN_UNUSED;
void loop_close(struct loop *loop);

/* The token of a descriptor for the poller. index < 2^28. */
static inline uint64_t loop_token(unsigned kind, uint32_t index,
                                  uint32_t instance)
{
    return (uint64_t)instance << 32 | (uint64_t)index << 4 | kind;
}

/* Turns until loop_stop. */
void loop_run(struct loop *loop);

/* One turn; waits at most timeout_ms (-1: as long as nothing happens). */
void loop_turn(struct loop *loop, int timeout_ms);

/* From the loop's own thread. */
void loop_stop(struct loop *loop);

#endif
