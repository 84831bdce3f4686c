#include "proxy/plane.h"

#include "base/hash.h"
#include "proxy/listener.h"
#include "proxy/relay.h"
#include "proxy/session.h"
#include "proxy/udp.h"
#include "proxy/udp_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRIM_NS  NS_PER_S
#define RETRY_NS (10 * NS_PER_MS)

static void on_listener(struct loop *loop, uint32_t index, uint32_t instance,
                        uint32_t events)
{
    (void)events;
    listener_event(plane_of(loop), index, instance);
}

static void on_session(struct loop *loop, uint32_t index, uint32_t instance,
                       uint32_t events)
{
    session_event(plane_of(loop), index, instance, events);
}

static void on_session_soon(struct loop *loop, uint32_t index)
{
    session_fetch(plane_of(loop), index);
}

static void on_udp_listener(struct loop *loop, uint32_t index,
                            uint32_t instance, uint32_t events)
{
    (void)events;
    udp_listener_event(plane_of(loop), index, instance);
}

static void on_udp_session(struct loop *loop, uint32_t index, uint32_t instance,
                           uint32_t events)
{
    udp_session_event(plane_of(loop), index, instance, events);
}

static void on_udp_session_timer(struct loop *loop, struct wheel_timer *timer)
{
    udp_session_timer(plane_of(loop), timer);
}

static void on_session_timer(struct loop *loop, struct wheel_timer *timer)
{
    session_timer(plane_of(loop), timer);
}

static void on_trim_timer(struct loop *loop, struct wheel_timer *timer)
{
    struct plane *plane = plane_of(loop);
    bool more = pipe_pool_trim(&plane->pipes);

    (void)timer;
    more |= udp_trim(plane);
    more |= sock_trim();
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        more |= slab_trim(&plane->memory[i].cache);
    }
    if (more) {
        plane_memory_used(plane);
    }
}

static void on_retry_timer(struct loop *loop, struct wheel_timer *timer)
{
    struct plane *plane = plane_of(loop);

    (void)timer;
    list_splice(&loop->runnable[0], &plane->retry);
}

static void on_accept_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    listener_timer(plane_of(loop));
}

static void on_run(struct loop *loop, struct list *link)
{
    struct plane *plane = plane_of(loop);

    if (plane->udp != NULL && link == &plane->udp->turn) {
        udp_run(plane);
    } else {
        session_run(plane, link);
    }
}

static void on_free_deferred(struct loop *loop, struct list *link)
{
    session_free_deferred(plane_of(loop), link);
}

static void on_batch_end(struct loop *loop)
{
    plane_of(loop)->handshakes = 0;
    listener_accept_ready(plane_of(loop));
    udp_batch_end(plane_of(loop));
}

static void on_message(struct loop *loop, struct message *message)
{
    struct plane *plane = plane_of(loop);

    switch (message->type) {
    case PLANE_MEMORY_UP:
        session_memory_granted(plane, UP);
        break;
    case PLANE_MEMORY_DOWN:
        session_memory_granted(plane, DOWN);
        break;
    default:
        plane->command(loop, message);
        break;
    }
}

static const struct loop_owner plane_owner = {
    .event = {[PLANE_LISTENER] = on_listener,
              [PLANE_SESSION] = on_session,
              [PLANE_UDP_LISTENER] = on_udp_listener,
              [PLANE_UDP_SESSION] = on_udp_session},
    .soon = {[PLANE_SESSION] = on_session_soon},
    .timer = {[PLANE_SESSION] = on_session_timer,
              [PLANE_TRIM] = on_trim_timer,
              [PLANE_RETRY] = on_retry_timer,
              [PLANE_ACCEPT] = on_accept_timer,
              [PLANE_UDP_SESSION] = on_udp_session_timer},
    .run = {on_run},
    .free_deferred = {on_free_deferred},
    .message = on_message,
    .batch_end = on_batch_end,
};

/* From whichever thread returned the block. */
static void memory_wake(void *arg)
{
    struct plane_memory *memory = arg;

    mailbox_post(&memory->plane->loop.mailbox, &memory->granted);
}

int plane_open(struct plane *plane, unsigned number,
               struct worker_shared *shared, loop_message_fn command)
{
    memset(plane, 0, sizeof(*plane));
    if (loop_open(&plane->loop, &plane_owner) < 0) {
        return -1;
    }
    plane->number = number;
    plane->shared = shared;
    plane->command = command;
    plane->random = hash_mix(plane->loop.now_ns + number);
    pool_init(&plane->sessions, sizeof(struct session));
    pipe_pool_init(&plane->pipes);
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct plane_memory *memory = &plane->memory[i];

        memory->plane = plane;
        memory->granted.type = i == UP ? PLANE_MEMORY_UP : PLANE_MEMORY_DOWN;
        slab_cache_init(&memory->cache, &shared->slab[i], memory_wake, memory);
    }
    plane->trim_timer.kind = PLANE_TRIM;
    plane->retry_timer.kind = PLANE_RETRY;
    plane->accept_timer.kind = PLANE_ACCEPT;
    return 0;
}

void plane_close(struct plane *plane)
{
    struct list *link;

    listener_close_all(plane);
    plane_reset_all(plane);
    while ((link = list_pop(&plane->loop.deferred[0])) != NULL) {
        session_free_deferred(plane, link);
    }
    udp_close(plane);
    while ((link = list_pop(&plane->holds)) != NULL) {
        struct generation_hold *hold =
            container_of(link, struct generation_hold, link);

        free(hold->done);
        free(hold);
    }
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        slab_pass_on(&plane->memory[i].cache);
        slab_cache_fini(&plane->memory[i].cache);
    }
    free(plane->listeners);
    pool_fini(&plane->sessions);
    pipe_pool_fini(&plane->pipes);
    loop_close(&plane->loop);
}

/* Says that this plane is done with the generation. */
static void give_back(struct plane *plane, struct generation *generation)
{
    for (struct list *link = list_first(&plane->holds); link != NULL;
         link = link->next) {
        struct generation_hold *hold =
            container_of(link, struct generation_hold, link);

        if (hold->generation == generation) {
            list_remove(link);
            mailbox_post(plane->shared->control, &hold->done->message);
            free(hold);
            return;
        }
    }
}

void plane_apply(struct plane *plane, struct generation_hold *hold)
{
    struct generation *before = plane->generation;

    plane->generation = hold->generation;
    hold->done->message.type = WORKER_GENERATION_DONE;
    hold->done->worker = plane->number;
    hold->done->generation = hold->generation;
    list_append(&plane->holds, &hold->link);
    listener_apply(plane, hold->generation);
    udp_apply(plane, hold->generation);
    if (before != NULL && before->sessions[plane->number] == 0) {
        give_back(plane, before);
    }
}

void plane_hold(struct plane *plane, struct generation *generation)
{
    generation->sessions[plane->number]++;
    plane->active++;
}

static void report_drained(struct plane *plane)
{
    struct worker_report *report = calloc(1, sizeof(*report));

    /* Without it the control thread waits for drain_timeout, and no longer. */
    if (report != NULL) {
        report->message.type = WORKER_DRAINED;
        report->worker = plane->number;
        mailbox_post(plane->shared->control, &report->message);
    }
}

void plane_release(struct plane *plane, struct generation *generation)
{
    generation->sessions[plane->number]--;
    plane->active--;
    if (plane->accept_paused) {
        plane->accept_ready = true;
    }
    if (generation->sessions[plane->number] == 0 &&
        generation != plane->generation) {
        give_back(plane, generation);
    }
    if (plane->draining && plane->active == 0) {
        report_drained(plane);
    }
}

void plane_drain(struct plane *plane)
{
    listener_close_all(plane);
    plane->draining = true;
    udp_drain(plane);
    if (plane->active == 0) {
        report_drained(plane);
    }
}

void plane_reset_all(struct plane *plane)
{
    struct session *session;

    for (uint32_t i = 0; (session = pool_next(&plane->sessions, &i)) != NULL;
         i++) {
        if (session->state != SESSION_CLOSED) {
            session_close(plane, session, CAUSE_DRAIN);
        }
    }
    udp_reset_all(plane);
}

void plane_memory_used(struct plane *plane)
{
    if (!wheel_armed(&plane->trim_timer)) {
        wheel_arm(&plane->loop.wheel, &plane->trim_timer,
                  plane->loop.now_ns + TRIM_NS);
    }
}

void plane_retry_later(struct plane *plane)
{
    if (!wheel_armed(&plane->retry_timer)) {
        wheel_arm(&plane->loop.wheel, &plane->retry_timer,
                  plane->loop.now_ns + RETRY_NS);
    }
}

bool plane_may_log(struct plane *plane, _Atomic uint64_t *logged_ns)
{
    uint64_t before = atomic_load_explicit(logged_ns, memory_order_relaxed);
    uint64_t now_ns = plane->loop.now_ns;

    return (before == 0 || now_ns >= before + NS_PER_S) &&
           atomic_compare_exchange_strong_explicit(logged_ns, &before, now_ns,
                                                   memory_order_relaxed,
                                                   memory_order_relaxed);
}

uint32_t plane_complain(struct plane *plane,
                        struct worker_complaints *complaints)
{
    atomic_fetch_add_explicit(&complaints->count, 1, memory_order_relaxed);
    return plane_may_log(plane, &complaints->log_ns)
               ? atomic_exchange_explicit(&complaints->count, 0,
                                          memory_order_relaxed)
               : 0;
}
