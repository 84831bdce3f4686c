#include "service/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define START (1000 * NS_PER_S)

static struct history_point point(uint64_t at_ns, uint64_t accepted,
                                  uint64_t active)
{
    struct history_point made = {.at_ns = at_ns};

    made.values[HISTORY_ACCEPTED] = accepted;
    made.values[HISTORY_ACTIVE] = active;
    return made;
}

static void add(struct history *history, uint64_t at_ns, uint64_t accepted,
                uint64_t active)
{
    struct history_point made = point(at_ns, accepted, active);

    history_add(history, &made);
}

static void counters_become_rates_and_levels_stay(void **state)
{
    static struct history history;

    (void)state;
    history = (struct history){.count = 0};
    add(&history, START, 1000, 7);
    assert_int_equal(history.count, 0);
    add(&history, START + 5 * NS_PER_S, 1010, 8);
    add(&history, START + 15 * NS_PER_S, 1110, 9);
    assert_int_equal(history.count, 2);
    assert_true(history_get(&history, HISTORY_ACCEPTED, 0) == 2);
    assert_true(history_get(&history, HISTORY_ACCEPTED, 1) == 10);
    assert_true(history_get(&history, HISTORY_ACTIVE, 0) == 8);
    assert_true(history_get(&history, HISTORY_ACTIVE, 1) == 9);
}

static void the_oldest_go_first(void **state)
{
    static struct history history;

    (void)state;
    history = (struct history){.count = 0};
    for (unsigned i = 0; i <= HISTORY_MAX + 10; i++) {
        add(&history, START + i * HISTORY_INTERVAL_NS, 0, i);
    }
    assert_int_equal(history.count, HISTORY_MAX);
    assert_true(history_get(&history, HISTORY_ACTIVE, 0) == 11);
    assert_true(history_get(&history, HISTORY_ACTIVE, HISTORY_MAX - 1) ==
                HISTORY_MAX + 10);
}

static void after_a_gap_it_begins_anew(void **state)
{
    static struct history history;

    (void)state;
    history = (struct history){.count = 0};
    add(&history, START, 0, 1);
    add(&history, START + HISTORY_INTERVAL_NS, 5, 1);
    add(&history, START + 5 * HISTORY_INTERVAL_NS, 1000, 1);
    assert_int_equal(history.count, 0);
    add(&history, START + 6 * HISTORY_INTERVAL_NS, 1005, 1);
    assert_int_equal(history.count, 1);
    assert_true(history_get(&history, HISTORY_ACCEPTED, 0) == 1);
}

static void a_counter_that_falls_gives_no_rate(void **state)
{
    static struct history history;

    (void)state;
    history = (struct history){.count = 0};
    add(&history, START, 100, 1);
    add(&history, START + HISTORY_INTERVAL_NS, 50, 1);
    assert_true(history_get(&history, HISTORY_ACCEPTED, 0) == 0);
    add(&history, START + HISTORY_INTERVAL_NS, 60, 1); /* no time has passed */
    assert_int_equal(history.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_become_rates_and_levels_stay),
        cmocka_unit_test(the_oldest_go_first),
        cmocka_unit_test(after_a_gap_it_begins_anew),
        cmocka_unit_test(a_counter_that_falls_gives_no_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
