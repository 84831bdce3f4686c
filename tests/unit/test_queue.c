#include "seeded.h"
#include "service/queue.h"
#include "service/upstream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SEED UINT64_C(0x71)

enum { WORKERS = 3 };

static struct queue queue;
static unsigned wakes[WORKERS]; /* since they were last compared */

static void count_wake(void *arg)
{
    (*(unsigned *)arg)++;
}

static int start(void **state)
{
    (void)state;
    queue = (struct queue){.count = 0};
    if (queue_init(&queue, WORKERS) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        wakes[i] = 0;
        queue.parts[i].wake = count_wake;
        queue.parts[i].arg = &wakes[i];
    }
    return 0;
}

static int stop(void **state)
{
    (void)state;
    queue_fini(&queue);
    return 0;
}

static void enter(unsigned worker, struct queue_place *place, uint64_t now_ns)
{
    queue_enter(&queue, &queue.parts[worker], place, now_ns);
}

static void leave(unsigned worker, struct queue_place *place)
{
    queue_leave(&queue, &queue.parts[worker], place);
}

static struct queue_place *choose(unsigned worker)
{
    return queue_choose(&queue, &queue.parts[worker]);
}

/* Only this worker was woken, once; WORKERS: none was. */
static void check_woken(unsigned worker)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(wakes[i], i == worker);
        wakes[i] = 0;
    }
}

/* A place gets free, and who is called takes it. */
static void check_next(unsigned worker, struct queue_place *place)
{
    queue_freed(&queue);
    check_woken(worker);
    assert_true(queue_called(&queue.parts[worker]));
    assert_ptr_equal(choose(worker), place);
    leave(worker, place);
}

static void check_empty(void)
{
    assert_true(queue_empty(&queue));
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_null(queue_next(&queue.parts[i], NULL));
        assert_null(choose(i));
    }
    queue_freed(&queue);
    check_woken(WORKERS);
}

static void without_a_queue_nobody_waits(void **state)
{
    struct queue none = {.count = 0};

    (void)state;
    assert_true(queue_empty(&none));
    queue_freed(&none);
    queue_freed(NULL);
    queue_call(&none);
    check_empty();
    queue_call(&queue);
    check_woken(WORKERS);
}

/* A generation that keeps the service does not lose who waits. */
static void a_queue_is_made_once(void **state)
{
    struct queue_part *parts = queue.parts;
    struct queue_place place = {.since_ns = 0};

    (void)state;
    enter(1, &place, 5);
    assert_int_equal(queue_init(&queue, WORKERS), 0);
    assert_ptr_equal(queue.parts, parts);
    check_next(1, &place);
    check_empty();
}

static void the_longest_waiter_of_all_workers_is_next(void **state)
{
    static const unsigned workers[] = {2, 0, 0, 1, 2, 1, 0, 2};
    struct queue_place places[ARRAY_LEN(workers)] = {{.since_ns = 0}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
        enter(workers[i], &places[i], 10 + i);
        assert_int_equal(atomic_load(&queue.count), i + 1);
    }
    for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
        check_next(workers[i], &places[i]);
        assert_int_equal(atomic_load(&queue.count), ARRAY_LEN(workers) - i - 1);
    }
    check_empty();
}

/* A worker's clock stands still while it handles a batch of events. */
static void equal_times_are_served_in_order_of_arrival(void **state)
{
    struct queue_place places[4] = {{.since_ns = 0}};
    struct queue_place later = {.since_ns = 0};

    (void)state;
    enter(0, &later, 8);
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        enter(1, &places[i], 7);
    }
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        check_next(1, &places[i]);
    }
    check_next(0, &later);
    check_empty();
}

static void places_of_a_worker_follow_each_other(void **state)
{
    struct queue_place places[3] = {{.since_ns = 0}};
    struct queue_place other = {.since_ns = 0};
    struct queue_part *part = &queue.parts[1];

    (void)state;
    assert_null(queue_next(part, NULL));
    enter(0, &other, 1);
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        enter(1, &places[i], 2 + i);
    }
    assert_ptr_equal(queue_next(part, NULL), &places[0]);
    assert_ptr_equal(queue_next(part, &places[0]), &places[1]);
    assert_ptr_equal(queue_next(part, &places[1]), &places[2]);
    assert_null(queue_next(part, &places[2]));
}

static void a_worker_is_woken_once_until_it_asks(void **state)
{
    struct queue_place places[2] = {{.since_ns = 0}};

    (void)state;
    enter(1, &places[0], 1);
    enter(1, &places[1], 2);
    assert_false(queue_called(&queue.parts[1]));
    queue_freed(&queue);
    queue_freed(&queue);
    queue_call(&queue);
    check_woken(1);
    assert_true(queue_called(&queue.parts[1]));
    assert_false(queue_called(&queue.parts[1]));

    /* The one wake stands for all the places that got free. */
    assert_ptr_equal(choose(1), &places[0]);
    leave(1, &places[0]);
    assert_ptr_equal(choose(1), &places[1]);
    queue_freed(&queue);
    check_woken(1);
}

static void who_finds_no_place_stays_the_first(void **state)
{
    struct queue_place places[3] = {{.since_ns = 0}};

    (void)state;
    enter(0, &places[0], 1);
    enter(1, &places[1], 2);
    queue_freed(&queue);
    check_woken(0);
    assert_true(queue_called(&queue.parts[0]));
    assert_ptr_equal(choose(0), &places[0]);
    enter(0, &places[2], 3);
    assert_ptr_equal(choose(0), &places[0]);
    check_next(0, &places[0]);
    check_next(1, &places[1]);
    check_next(0, &places[2]);
    check_empty();
}

static void who_is_not_first_calls_who_is(void **state)
{
    struct queue_place places[2] = {{.since_ns = 0}};

    (void)state;
    enter(2, &places[0], 1);
    enter(0, &places[1], 2);
    assert_null(choose(0));
    check_woken(2);
    assert_null(choose(1)); /* nobody waits there */
    check_woken(WORKERS);   /* it was called already */
    assert_true(queue_called(&queue.parts[2]));
    assert_ptr_equal(choose(2), &places[0]);
    check_woken(WORKERS);
}

static void who_leaves_is_passed_over(void **state)
{
    struct queue_place places[6] = {{.since_ns = 0}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        enter(i % 2, &places[i], 1 + i);
    }
    leave(0, &places[0]); /* the first of all */
    leave(1, &places[3]); /* in the middle */
    leave(1, &places[5]); /* the last */
    leave(1, &places[5]);
    assert_int_equal(atomic_load(&queue.count), 3);
    check_next(1, &places[1]);
    check_next(0, &places[2]);
    check_next(0, &places[4]);
    check_empty();
    leave(2, &(struct queue_place){.since_ns = 0});
    check_empty();
}

static void who_comes_back_is_the_last(void **state)
{
    struct queue_place places[2] = {{.since_ns = 0}};

    (void)state;
    enter(0, &places[0], 1);
    enter(1, &places[1], 2);
    leave(0, &places[0]);
    enter(0, &places[0], 3);
    assert_int_equal(atomic_load(&queue.count), 2);
    check_next(1, &places[1]);
    check_next(0, &places[0]);
    check_empty();
}

/* It waits too long, or its client leaves, while the call is on its way. */
static void the_call_for_one_that_left_goes_to_the_next(void **state)
{
    struct queue_place places[3] = {{.since_ns = 0}};

    (void)state;
    enter(0, &places[0], 1);
    enter(1, &places[1], 2);
    enter(1, &places[2], 3);
    queue_freed(&queue);
    check_woken(0);
    leave(0, &places[0]);
    if (queue_called(&queue.parts[0])) { /* or it is passed on at once */
        assert_null(choose(0));
    }
    check_woken(1);
    leave(1, &places[1]);
    assert_true(queue_called(&queue.parts[1]));
    assert_ptr_equal(choose(1), &places[2]);
    leave(1, &places[2]);

    /* The worker that has nobody any more is woken again when it has. */
    enter(0, &places[0], 4);
    check_next(0, &places[0]);
    check_empty();
}

static void an_upstream_with_room_calls_its_queue(void **state)
{
    struct upstream upstream = {.queue = &queue};
    struct queue_place place = {.since_ns = 0};

    (void)state;
    assert_true(upstream_enter(&upstream, 1));
    assert_false(upstream_enter(&upstream, 1));
    upstream_leave(&upstream); /* nobody waits */
    check_woken(WORKERS);
    assert_true(upstream_enter(&upstream, 1));
    enter(2, &place, 1);
    check_woken(WORKERS);
    upstream_leave(&upstream);
    check_woken(2);
    assert_true(queue_called(&queue.parts[2]));
}

static void an_upstream_that_comes_up_calls_its_queue(void **state)
{
    struct upstream upstream = {.queue = &queue};
    struct queue_place place = {.since_ns = 0};

    (void)state;
    enter(2, &place, 1);
    assert_true(upstream_set_down(&upstream, 1, 10));
    assert_false(upstream_set_down(&upstream, 2, 11));
    assert_false(upstream_clear_down(&upstream, 1, 12));
    check_woken(WORKERS); /* it is down for another reason */
    assert_true(upstream_clear_down(&upstream, 2, 13));
    check_woken(2);
}

/* ---- any order ----------------------------------------------------------- */

enum { MANY = 24 };

struct model {
    struct queue_place places[MANY]; /* since_ns counts only if it waits */
    bool waits[MANY];
    unsigned count;
};

/* The place number i is of worker i % WORKERS. MANY: nobody waits. */
static unsigned model_oldest(const struct model *model)
{
    unsigned oldest = MANY;

    for (unsigned i = 0; i < MANY; i++) {
        if (model->waits[i] &&
            (oldest == MANY ||
             model->places[i].since_ns < model->places[oldest].since_ns)) {
            oldest = i;
        }
    }
    return oldest;
}

static void check_model(struct seeded *seeded, const struct model *model)
{
    unsigned oldest = model_oldest(model);

    seeded_assert(seeded, atomic_load(&queue.count) == model->count);
    seeded_assert(seeded, queue_empty(&queue) == (oldest == MANY));
    queue_freed(&queue);
    for (unsigned i = 0; i < WORKERS; i++) {
        bool called = queue_called(&queue.parts[i]);

        seeded_assert(seeded,
                      called == (oldest < MANY && i == oldest % WORKERS));
    }
    if (oldest < MANY) {
        seeded_assert(seeded,
                      choose(oldest % WORKERS) == &model->places[oldest]);
    }
}

static void any_order_of_coming_and_leaving_is_kept(void **state)
{
    (void)state;
    for (uint64_t seed = SEED; seed < SEED + 50; seed++) {
        struct seeded seeded = seeded_start(seed);
        struct model model = {.count = 0};

        for (uint64_t now_ns = 1; now_ns < 300; now_ns++) {
            unsigned i = (unsigned)seeded_below(&seeded, MANY);

            if (model.waits[i]) {
                leave(i % WORKERS, &model.places[i]);
                model.count--;
            } else {
                enter(i % WORKERS, &model.places[i], now_ns);
                model.count++;
            }
            model.waits[i] = !model.waits[i];
            check_model(&seeded, &model);
        }
        for (unsigned i = 0; i < MANY; i++) {
            leave(i % WORKERS, &model.places[i]);
        }
        seeded_assert(&seeded, queue_empty(&queue));
    }
}

#define QUEUE_TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(without_a_queue_nobody_waits),
        QUEUE_TEST(a_queue_is_made_once),
        QUEUE_TEST(the_longest_waiter_of_all_workers_is_next),
        QUEUE_TEST(equal_times_are_served_in_order_of_arrival),
        QUEUE_TEST(places_of_a_worker_follow_each_other),
        QUEUE_TEST(a_worker_is_woken_once_until_it_asks),
        QUEUE_TEST(who_finds_no_place_stays_the_first),
        QUEUE_TEST(who_is_not_first_calls_who_is),
        QUEUE_TEST(who_leaves_is_passed_over),
        QUEUE_TEST(who_comes_back_is_the_last),
        QUEUE_TEST(the_call_for_one_that_left_goes_to_the_next),
        QUEUE_TEST(an_upstream_with_room_calls_its_queue),
        QUEUE_TEST(an_upstream_that_comes_up_calls_its_queue),
        QUEUE_TEST(any_order_of_coming_and_leaving_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
