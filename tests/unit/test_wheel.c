#include "base/base.h"
#include "base/wheel.h"
#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS     NS_PER_MS
#define TIMERS 64
#define SEEDS  20
#define STEPS  3000

static void wheel_fires_at_the_tick_after_its_time(void **state)
{
    struct wheel wheel;
    struct wheel_timer timer = {0};

    (void)state;
    wheel_init(&wheel, 1000 * MS);
    wheel_arm(&wheel, &timer, 1005 * MS + 1);
    assert_int_equal(wheel_due_ns(&timer), 1006 * MS);
    assert_null(wheel_expire(&wheel, 1006 * MS - 1));
    assert_true(wheel_armed(&timer));
    assert_ptr_equal(wheel_expire(&wheel, 1006 * MS), &timer);
    assert_false(wheel_armed(&timer));
    assert_null(wheel_expire(&wheel, 1006 * MS));
}

static void wheel_answers_a_past_time_at_once(void **state)
{
    struct wheel wheel;
    struct wheel_timer timer = {0};

    (void)state;
    wheel_init(&wheel, 5000 * MS);
    wheel_arm(&wheel, &timer, 0);
    assert_true(wheel_next_ns(&wheel) <= 5000 * MS);
    assert_ptr_equal(wheel_expire(&wheel, 5000 * MS), &timer);
    assert_int_equal(wheel_next_ns(&wheel), UINT64_MAX);
}

static void wheel_answers_a_past_time_after_those_due_before(void **state)
{
    struct wheel wheel;
    struct wheel_timer first = {0};
    struct wheel_timer second = {0};
    struct wheel_timer late = {0};

    (void)state;
    wheel_init(&wheel, 0);
    wheel_arm(&wheel, &first, 3 * MS);
    wheel_arm(&wheel, &second, 3 * MS);
    assert_ptr_equal(wheel_expire(&wheel, 9 * MS), &first);
    wheel_arm(&wheel, &late, 1 * MS);
    assert_ptr_equal(wheel_expire(&wheel, 9 * MS), &second);
    assert_ptr_equal(wheel_expire(&wheel, 9 * MS), &late);
    assert_null(wheel_expire(&wheel, 9 * MS));
}

static void wheel_disarms_a_timer_that_expired(void **state)
{
    struct wheel wheel;
    struct wheel_timer one = {0};
    struct wheel_timer two = {0};

    (void)state;
    wheel_init(&wheel, 0);
    wheel_arm(&wheel, &one, 2 * MS);
    wheel_arm(&wheel, &two, 2 * MS);
    assert_ptr_equal(wheel_expire(&wheel, 2 * MS), &one);
    wheel_disarm(&wheel, &two);
    wheel_disarm(&wheel, &two);
    assert_false(wheel_armed(&two));
    assert_null(wheel_expire(&wheel, 2 * MS));
    wheel_check(&wheel);
}

static void wheel_keeps_the_kind(void **state)
{
    struct wheel wheel;
    struct wheel_timer timer = {.kind = 0xa5};

    (void)state;
    wheel_init(&wheel, 0);
    wheel_arm(&wheel, &timer, UINT64_MAX);
    assert_int_equal(timer.kind, 0xa5);
    wheel_arm(&wheel, &timer, 100 * MS);
    wheel_disarm(&wheel, &timer);
    assert_int_equal(timer.kind, 0xa5);
    wheel_arm(&wheel, &timer, 1);
    assert_ptr_equal(wheel_expire(&wheel, 7 * MS), &timer);
    assert_int_equal(timer.kind, 0xa5);
}

static void wheel_serves_times_beyond_its_horizon(void **state)
{
    struct wheel wheel;
    struct wheel_timer timer = {0};
    uint64_t horizon_ms = UINT64_C(1) << 36;
    uint64_t due = (horizon_ms * 5 + 77) * MS;
    unsigned wakes = 0;

    (void)state;
    /* Begins just before the top level wraps. */
    wheel_init(&wheel, (horizon_ms - 3) * MS);
    wheel_arm(&wheel, &timer, due);
    while (wheel_next_ns(&wheel) < due) {
        assert_null(wheel_expire(&wheel, wheel_next_ns(&wheel)));
        wheel_check(&wheel);
        wakes++;
    }
    assert_in_range(wakes, 1, 20);
    assert_null(wheel_expire(&wheel, due - 1));
    assert_ptr_equal(wheel_expire(&wheel, due), &timer);
}

static void wheel_survives_the_end_of_time(void **state)
{
    struct wheel wheel;
    struct wheel_timer timer = {0};

    (void)state;
    wheel_init(&wheel, 0);
    wheel_arm(&wheel, &timer, UINT64_MAX);
    assert_true(wheel_due_ns(&timer) > UINT64_MAX - MS);
    assert_null(wheel_expire(&wheel, UINT64_MAX / 2));
    assert_ptr_equal(wheel_expire(&wheel, UINT64_MAX), &timer);
}

/* Tick by tick, this gap would take too long. */
static void wheel_crosses_a_long_gap_in_few_steps(void **state)
{
    struct wheel wheel;
    struct wheel_timer timer = {0};

    (void)state;
    wheel_init(&wheel, 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        uint64_t due = i * (UINT64_C(1) << 34) * MS;

        wheel_arm(&wheel, &timer, due);
        assert_ptr_equal(wheel_expire(&wheel, due), &timer);
    }
    assert_null(wheel_expire(&wheel, UINT64_MAX - 1));
}

/* The model: for each timer, whether it is armed and when it must come out: at
 * its time or, if that was past, at the time of arming. */
struct model {
    struct seeded random;
    struct wheel wheel;
    struct wheel_timer timers[TIMERS];
    bool armed[TIMERS];
    uint64_t due_ms[TIMERS];
    uint64_t now_ns;
};

static void model_arm(struct model *model, size_t n)
{
    uint64_t distance = seeded_magnitude(&model->random, 60);
    uint64_t now_ms = model->now_ns / MS;
    uint64_t due_ns = model->now_ns + distance;
    uint64_t due_ms;

    if (seeded_below(&model->random, 8) == 0) {
        due_ns = model->now_ns > distance ? model->now_ns - distance : 0;
    }
    due_ms = (due_ns + MS - 1) / MS;
    wheel_arm(&model->wheel, &model->timers[n], due_ns);
    model->armed[n] = true;
    model->due_ms[n] = due_ms > now_ms ? due_ms : now_ms;
}

static uint64_t model_earliest_ms(const struct model *model)
{
    uint64_t earliest = UINT64_MAX;

    for (size_t n = 0; n < TIMERS; n++) {
        if (model->armed[n] && model->due_ms[n] < earliest) {
            earliest = model->due_ms[n];
        }
    }
    return earliest;
}

/* Advances to a time; timers come out in the order of the model. */
static void model_expire(struct model *model, uint64_t now_ns)
{
    struct wheel_timer *timer;

    model->now_ns = now_ns;
    while ((timer = wheel_expire(&model->wheel, now_ns)) != NULL) {
        size_t n = (size_t)(timer - model->timers);

        seeded_assert(&model->random, model->armed[n]);
        seeded_assert(&model->random,
                      model->due_ms[n] == model_earliest_ms(model));
        seeded_assert(&model->random, model->due_ms[n] <= now_ns / MS);
        model->armed[n] = false;
    }
    seeded_assert(&model->random, model_earliest_ms(model) > now_ns / MS);
}

static void model_advance(struct model *model)
{
    uint64_t next = wheel_next_ns(&model->wheel);
    uint64_t earliest = model_earliest_ms(model);

    seeded_assert(&model->random,
                  (next == UINT64_MAX) == (earliest == UINT64_MAX));
    if (earliest != UINT64_MAX) {
        seeded_assert(&model->random, next <= earliest * MS);
    }
    if (next != UINT64_MAX && seeded_below(&model->random, 2) == 0) {
        model_expire(model, next > model->now_ns ? next : model->now_ns);
    } else {
        model_expire(model,
                     model->now_ns + seeded_magnitude(&model->random, 50));
    }
}

static void model_step(struct model *model)
{
    size_t n = seeded_below(&model->random, TIMERS);

    switch (seeded_below(&model->random, 4)) {
    case 0:
    case 1:
        model_arm(model, n);
        break;
    case 2:
        wheel_disarm(&model->wheel, &model->timers[n]);
        model->armed[n] = false;
        break;
    default:
        model_advance(model);
        break;
    }
    seeded_assert(&model->random,
                  wheel_armed(&model->timers[n]) == model->armed[n]);
}

static void wheel_agrees_with_a_plain_table(void **state)
{
    static struct model model;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        model = (struct model){.random = seeded_start(seed)};
        model.now_ns = seeded_magnitude(&model.random, 62);
        wheel_init(&model.wheel, model.now_ns);
        for (unsigned step = 0; step < STEPS; step++) {
            model_step(&model);
            if (step % 16 == 0) {
                wheel_check(&model.wheel);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wheel_fires_at_the_tick_after_its_time),
        cmocka_unit_test(wheel_answers_a_past_time_at_once),
        cmocka_unit_test(wheel_answers_a_past_time_after_those_due_before),
        cmocka_unit_test(wheel_disarms_a_timer_that_expired),
        cmocka_unit_test(wheel_keeps_the_kind),
        cmocka_unit_test(wheel_serves_times_beyond_its_horizon),
        cmocka_unit_test(wheel_survives_the_end_of_time),
        cmocka_unit_test(wheel_crosses_a_long_gap_in_few_steps),
        cmocka_unit_test(wheel_agrees_with_a_plain_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
