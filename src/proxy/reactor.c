#include "proxy/reactor.h"

#include "base/log.h"
#include "base/raise.h"
#include "proxy/acceptor.h"
#include "proxy/handshake.h"
#include "proxy/listener.h"
#include "proxy/session.h"
#include "proxy/session_dispatch.h"
#include "proxy/session_open.h"
#include "proxy/session_queue.h"
#include "proxy/session_relay.h"
#include "proxy/sweep.h"
#include "proxy/udp.h"
#include "proxy/udp_eviction.h"
#include "proxy/udp_listener.h"
#include "proxy/udp_session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/param.h>

/* How often sessions end at the most when they end evenly. */
#define RESET_EVERY_NS (20 * NS_PER_MS)

/* ---- handlers ---- */

static void on_trim_timer(struct loop *loop, struct wheel_timer *timer)
{
    struct plane *plane = plane_of(loop);
    bool more = pipe_pool_trim(&plane->pipes);

    (void)timer;
    more |= plane->udp != NULL && udp_trim(plane->udp);
    more |= sock_trim();
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        more |= slab_trim(&plane->memory[i].cache);
    }
    if (more) {
        plane_trim_later(plane);
    }
}

static void on_retry_timer(struct loop *loop, struct wheel_timer *timer)
{
    struct plane *plane = plane_of(loop);

    (void)timer;
    for (unsigned i = 0; i < PLANE_QUEUES; i++) {
        loop_run_all_later(loop, i, &plane->retry[i]);
    }
}

static void on_message(struct loop *loop, struct message *message)
{
    struct reactor *reactor = reactor_of(loop);

    switch (message->type) {
    case PLANE_MEMORY_UP:
        session_relay_granted(&reactor->plane, UP);
        break;
    case PLANE_MEMORY_DOWN:
        session_relay_granted(&reactor->plane, DOWN);
        break;
    case PLANE_WAITING:
        session_open_evict(&reactor->plane);
        break;
    case PLANE_PLACE:
        session_queue_called(&reactor->plane);
        break;
    case PLANE_TRANSFER:
        acceptor_take(&reactor->plane, message);
        break;
    case PLANE_UDP_EVICT:
        udp_session_asked(&reactor->plane, message);
        break;
    case PLANE_UDP_EVICTED:
        udp_session_answered(&reactor->plane, message);
        break;
    default:
        reactor->command(loop, message);
        break;
    }
}

static void on_batch_end(struct loop *loop)
{
    struct plane *plane = plane_of(loop);

    plane->handshakes = 0;
    plane->tls_work = PLANE_TLS_WORK;
    plane->tls_queue = false;
    spread_measure(plane->load, loop->turns_ns, loop->now_ns);
    if (plane->accept_due) {
        acceptor_turn(plane);
    }
    if (plane->udp != NULL) {
        udp_listener_turn(plane);
    }
}

static void on_long_turn(struct loop *loop, uint64_t took_ns)
{
    struct plane *plane = plane_of(loop);
    struct shared *shared = plane->shared;
    uint32_t count;

    raise_to(&shared->longest_turn_ns, took_ns);
    if (took_ns < LOOP_LONG_TURN_NS) {
        return;
    }
    count = limited_log_add(&shared->long_turns, loop->now_ns + took_ns);
    if (count > 0) {
        log_write(LOG_WARN, "long turn worker=%u took_ms=%" PRIu64 " count=%u",
                  plane->number, took_ns / NS_PER_MS, count);
    }
}

/* ---- what is left in a drain ---- */

/* Returns how many have ended. */
static uint32_t reset_some(struct plane *plane, uint32_t *next,
                           uint32_t *next_udp, uint32_t count)
{
    uint32_t ended = session_reset_some(plane, next, count);

    if (plane->udp != NULL && ended < count) {
        ended += udp_session_reset_some(plane, next_udp, count - ended);
    }
    return ended;
}

/* Ends what is due now of the sessions that are left: they end one by one, or
 * many at a time if they are more than the moments until the deadline. */
static void reset_share(struct reactor *reactor)
{
    struct plane *plane = &reactor->plane;
    uint64_t now_ns = plane->loop.now_ns;
    uint64_t left_ns = reactor->reset_deadline_ns > now_ns
                           ? reactor->reset_deadline_ns - now_ns
                           : 0;
    uint64_t moments = MIN(left_ns / RESET_EVERY_NS + 1, plane->active);
    uint32_t count;

    if (moments == 0) {
        return;
    }
    count = (uint32_t)((plane->active + moments - 1) / moments);
    if (reset_some(plane, &reactor->reset_next, &reactor->reset_next_udp,
                   count) == count) {
        wheel_arm(&plane->loop.wheel, &reactor->reset_timer,
                  now_ns + left_ns / moments);
    }
}

static void on_reset_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    reset_share(reactor_of(loop));
}

static const struct loop_owner reactor_owner = {
    .event = {[PLANE_LISTENER] = acceptor_event,
              [PLANE_SESSION] = session_dispatch_event,
              [PLANE_UDP_LISTENER] = udp_listener_event,
              [PLANE_UDP_SESSION] = udp_session_event},
    .prefetch = {[PLANE_SESSION] = session_dispatch_fetch},
    .timer = {[PLANE_SESSION] = session_dispatch_timer,
              [PLANE_UDP_SESSION] = udp_session_timer,
              [PLANE_TRIM] = on_trim_timer,
              [PLANE_RETRY] = on_retry_timer,
              [PLANE_ACCEPT] = acceptor_timer,
              [PLANE_RESET] = on_reset_timer},
    .run = {[PLANE_RELAYS] = session_relay_run,
            [PLANE_TLS_RELAYS] = session_relay_run,
            [PLANE_UPSTREAM_HANDSHAKES] = session_open_run,
            [PLANE_CLIENT_HANDSHAKES] = session_open_run,
            [PLANE_UDP] = udp_session_run,
            [PLANE_SWEEPS] = sweep_run},
    .may_run = {[PLANE_TLS_RELAYS] = session_relay_may_run,
                [PLANE_UPSTREAM_HANDSHAKES] = handshake_may_step,
                [PLANE_CLIENT_HANDSHAKES] = handshake_may_step},
    .free_deferred = {[PLANE_RELAYS] = session_free_deferred,
                      [PLANE_UDP] = udp_session_free_deferred},
    .message = on_message,
    .batch_end = on_batch_end,
    .long_turn = on_long_turn,
};

/* ---- open and close ---- */

int reactor_open(struct reactor *reactor, unsigned number,
                 struct shared *shared, loop_message_fn command)
{
    if (plane_open(&reactor->plane, &reactor_owner, number, shared) < 0) {
        return -1;
    }
    reactor->command = command;
    pool_init(&reactor->plane.sessions, sizeof(struct session));
    return 0;
}

static void free_deferred(struct plane *plane)
{
    for (unsigned i = 0; i < PLANE_QUEUES; i++) {
        struct list *link;

        while ((link = list_pop(&plane->loop.deferred[i])) != NULL) {
            reactor_owner.free_deferred[i](&plane->loop, link);
        }
    }
}

/* What other planes have accepted for this one is no longer in its mailbox. */
static void take_transfers(struct plane *plane)
{
    struct message *message;

    while ((message = mailbox_next(&plane->loop.mailbox)) != NULL) {
        if (message->type == PLANE_TRANSFER) {
            acceptor_take(plane, message);
        }
    }
}

void reactor_close(struct reactor *reactor)
{
    struct plane *plane = &reactor->plane;

    listener_keep_none(plane);
    acceptor_apply(plane);
    take_transfers(plane);
    reactor_reset_all(reactor);
    free_deferred(plane);
    udp_listener_close_unused(plane);
    listener_close_index(plane);
    udp_destroy(plane->udp);
    pool_fini(&plane->sessions);
    plane_close(plane);
}

/* ---- generations ---- */

static bool has_udp(const struct generation *generation)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        if (generation->listens[i].service->config->mode == CONFIG_UDP) {
            return true;
        }
    }
    return false;
}

static void free_change(struct reactor_change *change)
{
    listener_free_spare(&change->listeners);
    udp_destroy(change->udp);
    if (change->hold != NULL) {
        free(change->hold->done);
        free(change->hold);
    }
}

int reactor_prepare(struct reactor_change *change,
                    struct generation *generation, unsigned number)
{
    *change = (struct reactor_change){.hold = calloc(1, sizeof(*change->hold))};
    if (change->hold == NULL) {
        goto fail;
    }
    change->hold->generation = generation;
    change->hold->done = report_create(REPORT_GENERATION_DONE, number);
    if (change->hold->done == NULL) {
        goto fail;
    }
    change->hold->done->generation = generation;
    if (listener_prepare(&change->listeners, generation) < 0) {
        goto fail;
    }
    if (has_udp(generation)) {
        change->udp = udp_create(generation->number * 31 + number);
        if (change->udp == NULL) {
            goto fail;
        }
    }
    return 0;

fail:
    free_change(change);
    errno = ENOMEM;
    return -1;
}

void reactor_apply(struct reactor *reactor, struct reactor_change *change)
{
    struct plane *plane = &reactor->plane;
    struct generation *generation = change->hold->generation;
    struct generation *before = plane->generation;

    if (before != NULL) {
        plane_hold(plane, before); /* its listeners are emptied here */
    }
    plane_adopt(plane, change->hold);
    change->hold = NULL;
    if (plane->udp == NULL) {
        plane->udp = change->udp;
        change->udp = NULL;
        if (plane->udp != NULL) {
            udp_eviction_init(plane);
        }
    }
    listener_apply(plane, generation, &change->listeners);
    acceptor_apply(plane);
    udp_listener_apply(plane, generation);
    session_queue_adopt(plane);
    free_change(change);
    if (before != NULL) {
        plane_release(plane, before);
    }
}

void reactor_drain(struct reactor *reactor)
{
    struct plane *plane = &reactor->plane;

    listener_keep_none(plane);
    acceptor_apply(plane);
    udp_listener_leave_inherited(plane);
    udp_listener_close_unused(plane);
    plane_drain(plane);
    if (plane->udp != NULL) {
        udp_session_drain_all(plane);
    }
}

void reactor_sweep(struct reactor *reactor)
{
    sweep_begin(&reactor->plane);
}

void reactor_reset_all(struct reactor *reactor)
{
    uint32_t next = 0, next_udp = 0;

    (void)reset_some(&reactor->plane, &next, &next_udp, UINT32_MAX);
}

void reactor_reset_evenly(struct reactor *reactor, uint64_t deadline_ns)
{
    reactor->reset_timer.kind = PLANE_RESET;
    reactor->reset_deadline_ns = deadline_ns;
    reset_share(reactor);
}
