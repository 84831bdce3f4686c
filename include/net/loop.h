/*
 * loop: the event loop of one thread: its clock, poller, timers, runnable
 * queues, deferred frees and mailbox.
 *
 * A turn of the loop:
 *
 *      wait ▶ read the clock ▶ events ▶ runnable queues ▶ timers ▶ batch end
 *           ▶ deferred queues
 *
 * A link is put on a queue by list_append, and the queue's number tells the
 * handler what it is a link of. The links that are runnable when their step
 * begins run once each, by queue and in order; one that is put there meanwhile
 * runs in the next turn, so nobody starves. The owner may limit what a queue
 * runs in a turn; the links that are left keep their places. Deferred frees
 * come last, so nothing is freed that an event of this turn may still name.
 *
 * A kind tells what an event or a timer is for. An event also has the index and
 * the instance of its record, which the owner chose. The thread that runs a
 * loop owns all of it; others post to its mailbox.
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
#define LOOP_KIND_MAILBOX 0 /* of the loop; the owner has the others */

/* Of runnable links, and of deferred ones. The owner gives each a kind. */
#define LOOP_QUEUES 6

/* A turn that takes longer delays other connections noticeably. */
#define LOOP_LONG_TURN_NS (100 * NS_PER_MS)

struct loop;

typedef void (*loop_event_fn)(struct loop *loop, uint32_t index,
                              uint32_t instance, uint32_t events);
/* An event of that index follows: its record may be prefetched. */
typedef void (*loop_prefetch_fn)(struct loop *loop, uint32_t index);
typedef void (*loop_timer_fn)(struct loop *loop, struct wheel_timer *timer);
typedef void (*loop_link_fn)(struct loop *loop, struct list *link);
typedef bool (*loop_may_run_fn)(struct loop *loop);
/* took_ns: from the end of the wait to the end of the turn. */
typedef void (*loop_long_turn_fn)(struct loop *loop, uint64_t took_ns);
typedef void (*loop_message_fn)(struct loop *loop, struct message *message);
typedef void (*loop_fn)(struct loop *loop);

/* The handlers of the owner. One that is never called may be NULL. */
struct loop_owner {
    loop_event_fn event[LOOP_KINDS];
    loop_prefetch_fn prefetch[LOOP_KINDS]; /* NULL: not wanted */
    loop_timer_fn timer[LOOP_KINDS];
    loop_link_fn run[LOOP_QUEUES];        /* a link of runnable[i] */
    loop_may_run_fn may_run[LOOP_QUEUES]; /* before each link: whether this turn
                                             runs it; NULL: always */
    loop_link_fn free_deferred[LOOP_QUEUES]; /* a link of deferred[i] */
    loop_message_fn message;
    loop_fn batch_end;           /* after the timers of a turn; or NULL */
    loop_long_turn_fn long_turn; /* after one that was longer than any before,
                                    or than LOOP_LONG_TURN_NS; or NULL */
};

struct loop {
    uint64_t now_ns;     /* read once a turn */
    uint64_t longest_ns; /* of all turns */
    uint64_t turns_ns;   /* what all turns have taken together */
    struct wheel wheel;
    struct list runnable[LOOP_QUEUES];
    struct list deferred[LOOP_QUEUES];
    struct mailbox mailbox;
    const struct loop_owner *owner;
    uint8_t runnable_bits; /* bit i: runnable[i] may not be empty */
    uint8_t deferred_bits;
    bool stopped;
    struct poller poller;
};

int loop_open(struct loop *loop, const struct loop_owner *owner) WARN_UNUSED;
void loop_close(struct loop *loop);

/* The token of a descriptor for the poller. index < 2^28; instance: tells
 * successive users of the index apart. */
static inline uint64_t loop_token(unsigned kind, uint32_t index,
                                  uint32_t instance)
{
    return (uint64_t)instance << 32 | (uint64_t)index << 4 | kind;
}

/* Puts a link on a queue: its handler is called in the next turn. */
static inline void loop_run_later(struct loop *loop, unsigned queue,
                                  struct list *link)
{
    list_append(&loop->runnable[queue], link);
    loop->runnable_bits |= (uint8_t)(1u << queue);
}

/* The same for all links of a list. */
static inline void loop_run_all_later(struct loop *loop, unsigned queue,
                                      struct list *links)
{
    list_splice(&loop->runnable[queue], links);
    loop->runnable_bits |= (uint8_t)(1u << queue);
}

/* Puts a link on a queue: its handler is called at the end of this turn. */
static inline void loop_free_later(struct loop *loop, unsigned queue,
                                   struct list *link)
{
    list_append(&loop->deferred[queue], link);
    loop->deferred_bits |= (uint8_t)(1u << queue);
}

/* Turns until loop_stop is called. */
void loop_run(struct loop *loop);

/* One turn. It waits for an event or a timer, at most timeout_ms (-1: for
 * ever), and not at all if a link is runnable. */
void loop_turn(struct loop *loop, int timeout_ms);

/* Makes the current turn the last one. To be called by the thread of the loop.
 */
void loop_stop(struct loop *loop);

#endif
