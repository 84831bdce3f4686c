#include "seeded.h"
#include "service/queue.h"
#include "service/upstream.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../setting.h"

/*
 * Workers that have more connections than the upstream has places. One that
 * can do nothing waits for its wake, so one lost call ends in the deadline.
 */
#define DEADLINE_S 20
#define WORKERS    4
#define WAITING    3 /* connections of a worker that wait at once, at most */
#define RUNS       5000
#define RUNS_LONG  50000

struct worker {
    struct queue_part *part;
    pthread_t id;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake; /* under the lock; set by any thread, cleared by this one */
    struct seeded random;
    struct queue_place places[WAITING];
    unsigned waiting;
    unsigned holding; /* places at the upstream */
    unsigned begun;
    const char *broke; /* why the worker gave up, or NULL */
};

static struct queue queue;
static struct upstream upstream;
static uint32_t max_active;
static unsigned max_waiting;    /* of a worker */
static unsigned runs;           /* of a worker */
static _Atomic uint32_t active; /* as the workers count it */
static _Atomic unsigned working;
static struct worker workers[WORKERS];

static void worker_wake(void *arg)
{
    struct worker *worker = arg;

    pthread_mutex_lock(&worker->lock);
    worker->wake = true;
    pthread_cond_signal(&worker->woken);
    pthread_mutex_unlock(&worker->lock);
}

/* False when no wake came in that time. */
static bool worker_await(struct worker *worker, unsigned seconds)
{
    struct timespec deadline;
    int error = 0;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += seconds;
    pthread_mutex_lock(&worker->lock);
    while (!worker->wake && error == 0) {
        error =
            pthread_cond_timedwait(&worker->woken, &worker->lock, &deadline);
    }
    worker->wake = false;
    pthread_mutex_unlock(&worker->lock);
    return error == 0;
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static bool has_place(void)
{
    return atomic_load(&upstream.active) < max_active;
}

static bool take_place(struct worker *worker)
{
    if (!upstream_enter(&upstream, max_active)) {
        return false;
    }
    if (atomic_fetch_add(&active, 1) >= max_active) {
        worker->broke = "more connections than places";
    }
    worker->holding++;
    return true;
}

static void give_place_back(struct worker *worker)
{
    worker->holding--;
    atomic_fetch_sub(&active, 1);
    upstream_leave(&upstream);
}

static void leave(struct worker *worker, struct queue_place *place)
{
    queue_leave(&queue, worker->part, place);
    worker->waiting--;
}

/* So that others run between any two steps. */
static void pause_sometimes(struct worker *worker)
{
    if (seeded_below(&worker->random, 2) == 0) {
        sched_yield();
    }
}

/* As proxy/attempt.h does it. */
static void begin(struct worker *worker)
{
    struct queue_place *place = worker->places;

    worker->begun++;
    if (queue_empty(&queue) && take_place(worker)) {
        return;
    }
    pause_sometimes(worker);
    while (list_linked(&place->link)) {
        place++;
    }
    worker->waiting++;
    queue_enter(&queue, worker->part, place, now());
    if (has_place()) {
        queue_call(&queue);
    }
}

/* As proxy/session_queue.h does it. */
static void answer_call(struct worker *worker)
{
    struct queue_place *place;

    if (!queue_called(worker->part)) {
        return;
    }
    while ((place = queue_choose(&queue, worker->part)) != NULL &&
           take_place(worker)) {
        leave(worker, place);
    }
}

/* One that has waited for some time, as if for too long. */
static void give_up(struct worker *worker)
{
    struct queue_place *place = queue_next(worker->part, NULL);

    if (place != NULL && seeded_below(&worker->random, 8) == 0) {
        leave(worker, place);
    }
}

static void worker_turn(struct worker *worker)
{
    give_up(worker);
    while (worker->begun < runs && worker->waiting < max_waiting &&
           worker->holding == 0) {
        begin(worker);
    }
    while (worker->holding > 0) {
        pause_sometimes(worker);
        give_place_back(worker);
        pause_sometimes(worker);
    }
    answer_call(worker);
    if (worker->holding == 0 && worker->waiting > 0 &&
        (worker->begun == runs || worker->waiting == max_waiting) &&
        !worker_await(worker, DEADLINE_S)) {
        worker->broke = "no wake";
    }
}

/* A worker whose own work is done still answers calls: they may be for others,
 * which have deadlines. */
static void *worker_run(void *arg)
{
    struct worker *worker = arg;

    while (
        worker->broke == NULL &&
        (worker->begun < runs || worker->holding > 0 || worker->waiting > 0)) {
        worker_turn(worker);
    }
    if (atomic_fetch_sub(&working, 1) == 1) {
        for (size_t i = 0; i < WORKERS; i++) {
            worker_wake(&workers[i]);
        }
    }
    while (atomic_load(&working) > 0) {
        (void)worker_await(worker, 1);
        answer_call(worker);
        while (worker->holding > 0) {
            give_place_back(worker);
        }
    }
    return NULL;
}

static void start(uint32_t places, unsigned waiting)
{
    memset(workers, 0, sizeof(workers));
    memset(&upstream, 0, sizeof(upstream));
    queue = (struct queue){.count = 0};
    assert_int_equal(queue_init(&queue, WORKERS), 0);
    upstream.queue = &queue;
    max_active = places;
    max_waiting = waiting;
    runs = setting_is_on("EVPROXY_TEST_LONG") ? RUNS_LONG : RUNS;
    atomic_store(&active, 0);
    atomic_store(&working, WORKERS);
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i].random = seeded_start(i + 1);
        pthread_mutex_init(&workers[i].lock, NULL);
        pthread_cond_init(&workers[i].woken, NULL);
        workers[i].part = &queue.parts[i];
        workers[i].part->wake = worker_wake;
        workers[i].part->arg = &workers[i];
    }
}

static void stop(void)
{
    for (size_t i = 0; i < WORKERS; i++) {
        pthread_cond_destroy(&workers[i].woken);
        pthread_mutex_destroy(&workers[i].lock);
    }
    queue_fini(&queue);
}

static void workers_share(uint32_t places, unsigned waiting)
{
    start(places, waiting);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(
            pthread_create(&workers[i].id, NULL, worker_run, &workers[i]), 0);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].id, NULL);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        if (workers[i].broke != NULL) {
            fail_msg("worker %zu: %s", i, workers[i].broke);
        }
    }
    assert_true(queue_empty(&queue));
    assert_int_equal(atomic_load(&upstream.active), 0);
    for (size_t i = 0; i < WORKERS; i++) {
        assert_int_equal(atomic_load(&queue.parts[i].oldest_ns), UINT64_MAX);
    }
    stop();
}

static void no_call_is_lost_between_workers_for_one_place(void **state)
{
    (void)state;
    workers_share(1, WAITING);
}

static void no_call_is_lost_between_workers_for_some_places(void **state)
{
    (void)state;
    workers_share(3, WAITING);
}

/* The queue is often empty when a place gets free. */
static void no_call_is_lost_for_who_is_about_to_wait(void **state)
{
    (void)state;
    workers_share(1, 1);
    workers_share(3, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_call_is_lost_between_workers_for_one_place),
        cmocka_unit_test(no_call_is_lost_between_workers_for_some_places),
        cmocka_unit_test(no_call_is_lost_for_who_is_about_to_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
