#include "net/loop.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

/* A timer that fires so late may have been overtaken by bytes. */
#define LATE_NS (10 * NS_PER_MS)
/* Batches read before late timers, so that they fire in the end. */
#define CATCH_UP_MAX 1024

#define TOKEN_KIND(token)     ((unsigned)((token)&15))
#define TOKEN_INDEX(token)    ((uint32_t)(token) >> 4)
#define TOKEN_INSTANCE(token) ((uint32_t)((token) >> 32))

int loop_open(struct loop *loop, const struct loop_owner *owner)
{
    uint64_t token = loop_token(LOOP_KIND_MAILBOX, 0, 0);
    int error;

    memset(loop, 0, sizeof(*loop));
    loop->owner = owner;
    loop->now_ns = clock_now_ns();
    wheel_init(&loop->wheel, loop->now_ns);
    if (poller_open(&loop->poller) < 0) {
        return -1;
    }
    if (mailbox_open(&loop->mailbox) < 0) {
        goto close_poller;
    }
    if (poller_add_level(&loop->poller, loop->mailbox.fd, token, false) < 0) {
        goto close_mailbox;
    }
    return 0;

close_mailbox:
    error = errno;
    mailbox_close(&loop->mailbox);
    errno = error;
close_poller:
    error = errno;
    poller_close(&loop->poller);
    errno = error;
    return -1;
}

void loop_close(struct loop *loop)
{
    mailbox_close(&loop->mailbox);
    poller_close(&loop->poller);
}

static void read_mailbox(struct loop *loop)
{
    struct message *message;

    while ((message = mailbox_next(&loop->mailbox)) != NULL) {
        loop->owner->message(loop, message);
    }
}

/* Among thousands of connections a record is seldom in the cache. It is loaded
 * while the event before it is served. */
static void prefetch_event(struct loop *loop, int i)
{
    if (i < loop->poller.count) {
        uint64_t token = loop->poller.events[i].data.u64;
        loop_prefetch_fn prefetch = loop->owner->prefetch[TOKEN_KIND(token)];

        if (prefetch != NULL) {
            prefetch(loop, TOKEN_INDEX(token));
        }
    }
}

static void dispatch_events(struct loop *loop)
{
    for (int i = 0; i < loop->poller.count; i++) {
        const struct epoll_event *event = &loop->poller.events[i];
        uint64_t token = event->data.u64;

        prefetch_event(loop, i + 1);
        if (TOKEN_KIND(token) == LOOP_KIND_MAILBOX) {
            read_mailbox(loop);
        } else {
            loop->owner->event[TOKEN_KIND(token)](
                loop, TOKEN_INDEX(token), TOKEN_INSTANCE(token), event->events);
        }
    }
}

/*
 * The turn comes late: the process was stopped, the machine was suspended, or
 * the last turn was long. What has come meanwhile counts before a timer that
 * says that nothing came. Ends when a batch has room left: all that is ready
 * was in it, or in one before.
 */
static void catch_up(struct loop *loop)
{
    for (int i = 0; i < CATCH_UP_MAX; i++) {
        poller_wait(&loop->poller, 0);
        dispatch_events(loop);
        if (loop->poller.count < POLLER_EVENTS) {
            break;
        }
    }
}

/* Runs the links of a queue, or as many as the owner lets run. The others go
 * before what was put on the queue meanwhile. */
static void run_queue(struct loop *loop, unsigned queue, struct list *turn)
{
    loop_may_run_fn may_run = loop->owner->may_run[queue];

    while (!list_empty(turn)) {
        if (may_run != NULL && !may_run(loop)) {
            list_splice(turn, &loop->runnable[queue]);
            loop_run_all_later(loop, queue, turn);
            return;
        }
        loop->owner->run[queue](loop, list_pop(turn));
    }
}

/* All queues are taken before the first link runs: what is put on them by a
 * handler waits for the next turn. */
static void run_runnable(struct loop *loop)
{
    struct list turn[LOOP_QUEUES] = {0};

    loop->runnable_bits = 0;
    for (unsigned i = 0; i < LOOP_QUEUES; i++) {
        list_splice(&turn[i], &loop->runnable[i]);
    }
    for (unsigned i = 0; i < LOOP_QUEUES; i++) {
        run_queue(loop, i, &turn[i]);
    }
}

static void dispatch_timers(struct loop *loop)
{
    struct wheel_timer *timer;

    while ((timer = wheel_expire(&loop->wheel, loop->now_ns)) != NULL) {
        loop->owner->timer[timer->kind](loop, timer);
    }
}

static void free_deferred(struct loop *loop)
{
    struct list *link;

    loop->deferred_bits = 0;
    for (unsigned i = 0; i < LOOP_QUEUES; i++) {
        while ((link = list_pop(&loop->deferred[i])) != NULL) {
            loop->owner->free_deferred[i](loop, link);
        }
    }
}

/* How long to wait for that time, at most limit_ms (-1: for ever). */
static int timeout_ms(const struct loop *loop, uint64_t next_ns, int limit_ms)
{
    uint64_t wait_ms;

    if (loop->runnable_bits != 0) {
        return 0;
    }
    if (next_ns == UINT64_MAX) {
        return limit_ms;
    }
    if (next_ns <= loop->now_ns) {
        return 0;
    }
    /* Rounded up, or the loop would spin through the last millisecond. */
    wait_ms = (next_ns - loop->now_ns + NS_PER_MS - 1) / NS_PER_MS;
    if (limit_ms >= 0 && wait_ms > (uint64_t)limit_ms) {
        return limit_ms;
    }
    return wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms;
}

static void measure_turn(struct loop *loop)
{
    uint64_t took_ns = clock_now_ns() - loop->now_ns;
    bool longest = took_ns > loop->longest_ns;

    loop->turns_ns += took_ns;
    if (longest) {
        loop->longest_ns = took_ns;
    }
    if ((longest || took_ns >= LOOP_LONG_TURN_NS) &&
        loop->owner->long_turn != NULL) {
        loop->owner->long_turn(loop, took_ns);
    }
}

void loop_turn(struct loop *loop, int limit_ms)
{
    uint64_t next_ns = wheel_next_ns(&loop->wheel);

    poller_wait(&loop->poller, timeout_ms(loop, next_ns, limit_ms));
    loop->now_ns = clock_now_ns();
    dispatch_events(loop);
    if (loop->now_ns >= LATE_NS && loop->now_ns - LATE_NS >= next_ns) {
        catch_up(loop);
    }
    if (loop->runnable_bits != 0) {
        run_runnable(loop);
    }
    dispatch_timers(loop);
    if (loop->owner->batch_end != NULL) {
        loop->owner->batch_end(loop);
    }
    if (loop->deferred_bits != 0) {
        free_deferred(loop);
    }
    measure_turn(loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stopped) {
        loop_turn(loop, -1);
    }
}

void loop_stop(struct loop *loop)
{
    loop->stopped = true;
}
