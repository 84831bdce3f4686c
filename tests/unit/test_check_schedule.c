#include "control/check_schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define INTERVAL (2 * NS_PER_S)
#define COUNT    10000

static void first_checks_are_spread_over_the_interval(void **state)
{
    uint64_t random = 1;
    uint32_t slots[20] = {0};

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t at = check_first_ns(1000, INTERVAL, &random) - 1000;

        assert_true(at < INTERVAL);
        slots[at * 20 / INTERVAL]++;
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_in_range(slots[i], 400, 600);
    }
}

/* After a delay of all at once each step spreads them further. */
static void later_checks_differ_by_up_to_a_twentieth(void **state)
{
    uint64_t random = 2, sum = 0;
    uint32_t early = 0;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t at = check_next_ns(5000, INTERVAL, &random) - 5000;

        assert_in_range(at, INTERVAL / 20 * 19, INTERVAL / 20 * 21);
        assert_true(at + 5000 <= check_latest_ns(5000, INTERVAL));
        sum += at;
        early += at < INTERVAL;
    }
    assert_in_range(early, COUNT * 45 / 100, COUNT * 55 / 100);
    assert_in_range(sum / COUNT, INTERVAL / 1000 * 998, INTERVAL / 1000 * 1002);
}

static void short_intervals_stay_as_they_are(void **state)
{
    uint64_t random = 3;

    (void)state;
    assert_int_equal(check_next_ns(7, 1, &random), 8);
    assert_int_equal(check_first_ns(7, 1, &random), 7);
}

static void checks_begin_in_slots_near_their_time(void **state)
{
    uint64_t random = 4;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t due = check_first_ns(NS_PER_S, INTERVAL, &random);
        uint64_t slot = check_slot_ns(due, INTERVAL);

        assert_int_equal(slot % (8 * NS_PER_MS), 0);
        assert_in_range(slot + 4 * NS_PER_MS, due, due + 8 * NS_PER_MS);
    }
    assert_int_equal(check_slot_ns(1234567, NS_PER_S / 10), 800000 * 2);
    assert_int_equal(check_slot_ns(7, 1), 7);
}

static void results_in_a_row_change_the_state(void **state)
{
    uint32_t streak = 0;

    (void)state;
    assert_int_equal(check_count(&streak, false, false, 2, 3), CHECK_STAYS);
    assert_int_equal(check_count(&streak, false, false, 2, 3), CHECK_STAYS);
    assert_int_equal(check_count(&streak, false, false, 2, 3), CHECK_GOES_DOWN);
    assert_int_equal(streak, 0);
    assert_int_equal(check_count(&streak, true, true, 2, 3), CHECK_STAYS);
    assert_int_equal(check_count(&streak, true, true, 2, 3), CHECK_COMES_UP);
    assert_int_equal(streak, 0);
}

static void another_result_begins_the_row_again(void **state)
{
    uint32_t streak = 0;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(check_count(&streak, false, i % 3 == 2, 2, 3),
                         CHECK_STAYS);
        assert_int_equal(check_count(&streak, false, true, 2, 3), CHECK_STAYS);
    }
    assert_int_equal(check_count(&streak, true, true, 2, 3), CHECK_STAYS);
    assert_int_equal(check_count(&streak, true, false, 2, 3), CHECK_STAYS);
    assert_int_equal(check_count(&streak, true, true, 2, 3), CHECK_STAYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_checks_are_spread_over_the_interval),
        cmocka_unit_test(later_checks_differ_by_up_to_a_twentieth),
        cmocka_unit_test(short_intervals_stay_as_they_are),
        cmocka_unit_test(checks_begin_in_slots_near_their_time),
        cmocka_unit_test(results_in_a_row_change_the_state),
        cmocka_unit_test(another_result_begins_the_row_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
