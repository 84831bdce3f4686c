/* When a receive buffer may grow: the policy on tables of events. */
#include "base/base.h"
#include "proxy/receive_growth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define BLOCK (16 * 1024)
#define MS    UINT64_C(1000000)

enum kind {
    END,
    FULL,       /* a block is filled at once; value: ns waited for the source */
    SHORT,      /* 4 KiB come; value as above */
    SINK_WAITS, /* the sink takes nothing */
    SINK_WAITED, /* value: for so many ns */
    IS_FAR,      /* the source, as the order to shrink found */
};

struct event {
    enum kind kind;
    uint64_t value;
    unsigned times;          /* 0: once */
    enum growth_order order; /* of the last time; nothing before */
};

static enum growth_order happen(struct receive_growth *growth,
                                const struct event *event, uint64_t *total)
{
    size_t count = event->kind == FULL ? BLOCK : 4096;

    switch (event->kind) {
    case SINK_WAITS:
        return receive_growth_sink_waits(growth, false);
    case SINK_WAITED:
        receive_growth_sink_waited(growth, event->value);
        return GROWTH_NOTHING;
    case IS_FAR:
        receive_growth_is_far(growth);
        return GROWTH_NOTHING;
    default:
        *total += count;
        return receive_growth_read(growth, count, *total, event->kind == FULL,
                                   event->value, false);
    }
}

static void play(const struct event *event)
{
    struct receive_growth growth = {0};
    uint64_t total = 0;

    for (unsigned line = 0; event->kind != END; line++, event++) {
        for (unsigned i = 0; i <= event->times; i++) {
            enum growth_order order = happen(&growth, event, &total);

            if (order != (i == event->times ? event->order : GROWTH_NOTHING)) {
                fail_msg("line %u, time %u: order %u", line, i, order);
            }
        }
    }
}

static void what_never_fills_a_block_is_left_alone(void **state)
{
    const struct event events[] = {
        {SHORT, 0, 1000, GROWTH_NOTHING},
        {SHORT, 100 * MS, 100, GROWTH_NOTHING},
        {END, 0, 0, 0},
    };

    (void)state;
    play(events);
}

static void a_first_burst_is_held_small(void **state)
{
    const struct event events[] = {
        {FULL, 500 * MS, 0, GROWTH_SHRINK},
        {FULL, 0, 7, GROWTH_NOTHING},
        {SINK_WAITS, 0, 0, GROWTH_NOTHING},
        {END, 0, 0, 0},
    };

    (void)state;
    play(events);
}

static void a_wait_for_the_sink_holds_too(void **state)
{
    const struct event events[] = {
        {SHORT, 0, 9, GROWTH_NOTHING},
        {SINK_WAITS, 0, 0, GROWTH_SHRINK},
        {SINK_WAITS, 0, 0, GROWTH_NOTHING},
        {END, 0, 0, 0},
    };

    (void)state;
    play(events);
}

/* Round trips of 4 ms. */
static void a_window_that_is_too_small_releases(void **state)
{
    const struct event events[] = {
        {FULL, 0, 0, GROWTH_SHRINK},        {SHORT, 4 * MS, 6, GROWTH_NOTHING},
        {SHORT, 4 * MS, 0, GROWTH_RELEASE}, {FULL, 0, 50, GROWTH_NOTHING},
        {SINK_WAITS, 0, 0, GROWTH_NOTHING}, {END, 0, 0, 0},
    };

    (void)state;
    play(events);
}

static void a_source_that_is_slow_itself_is_not_waited_for(void **state)
{
    const struct event events[] = {
        {FULL, 0, 0, GROWTH_SHRINK},
        {FULL, 6 * MS, 50, GROWTH_NOTHING},
        {END, 0, 0, 0},
    };

    (void)state;
    play(events);
}

/* 1 MB in a second: 16 ms for each block, with pauses of the source between. */
static void a_slow_sink_is_held_all_the_time(void **state)
{
    struct receive_growth growth = {0};
    uint64_t total = 0;
    unsigned orders = 0;

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        struct event read = {FULL, i % 4 == 0 ? 4 * MS : 0, 0, 0};
        struct event waits = {SINK_WAITS, 0, 0, 0};
        struct event waited = {SINK_WAITED, 16 * MS, 0, 0};

        orders += happen(&growth, &read, &total) != GROWTH_NOTHING;
        orders += happen(&growth, &waits, &total) != GROWTH_NOTHING;
        (void)happen(&growth, &waited, &total);
    }
    assert_int_equal(orders, 1);
    assert_int_equal(growth.state, GROWTH_HELD);
}

/* 160 MB in a second: 100 us for each block. */
static void a_quick_sink_releases(void **state)
{
    struct receive_growth growth = {0};
    uint64_t total = 0;
    unsigned orders = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        struct event read = {FULL, 0, 0, 0};
        struct event waited = {SINK_WAITED, MS / 10, 0, 0};

        orders += happen(&growth, &read, &total) != GROWTH_NOTHING;
        (void)happen(&growth, &waited, &total);
    }
    assert_int_equal(orders, 2);
    assert_int_equal(growth.state, GROWTH_FREE);
}

static void a_sink_that_becomes_slow_is_held_again(void **state)
{
    const struct event events[] = {
        {FULL, 0, 0, GROWTH_SHRINK},
        {FULL, 4 * MS, 6, GROWTH_NOTHING},
        {FULL, 4 * MS, 0, GROWTH_RELEASE},
        {SINK_WAITED, 50 * MS, 3, GROWTH_NOTHING},
        {SINK_WAITS, 0, 0, GROWTH_NOTHING},
        {SINK_WAITED, 50 * MS, 0, GROWTH_NOTHING},
        {SINK_WAITS, 0, 0, GROWTH_HOLD},
        {END, 0, 0, 0},
    };

    (void)state;
    play(events);
}

/* Slow start of 100 ms both ways: the sink is waited for in each round trip. */
static void a_source_far_away_is_left_alone_in_slow_start(void **state)
{
    const struct event events[] = {
        {FULL, 0, 0, GROWTH_SHRINK},
        {IS_FAR, 0, 0, GROWTH_NOTHING},
        {FULL, 0, 9, GROWTH_NOTHING},
        {SINK_WAITS, 0, 0, GROWTH_NOTHING},
        {SINK_WAITED, 100 * MS, 9, GROWTH_NOTHING},
        {SINK_WAITS, 0, 0, GROWTH_NOTHING},
        {END, 0, 0, 0},
    };

    (void)state;
    play(events);
}

static void a_source_far_away_is_held_for_a_slow_sink(void **state)
{
    const struct event events[] = {
        {FULL, 0, 0, GROWTH_SHRINK},
        {IS_FAR, 0, 0, GROWTH_NOTHING},
        {SINK_WAITED, 300 * MS, 9, GROWTH_NOTHING},
        {SINK_WAITS, 0, 0, GROWTH_HOLD},
        {SHORT, 50 * MS, 9, GROWTH_NOTHING},
        {SHORT, 500 * MS, 1, GROWTH_RELEASE},
        {END, 0, 0, 0},
    };

    (void)state;
    play(events);
}

/* What was not small enough at first is made small when it has been read. */
static void a_buffer_that_is_held_wide_is_made_small_later(void **state)
{
    struct receive_growth growth = {0};

    (void)state;
    assert_int_equal(receive_growth_sink_waits(&growth, false), GROWTH_SHRINK);
    growth.state = GROWTH_HELD_WIDE;
    assert_int_equal(receive_growth_read(&growth, BLOCK, BLOCK, true, 0, false),
                     GROWTH_NOTHING);
    assert_int_equal(
        receive_growth_read(&growth, 4096, BLOCK + 4096, false, 0, false),
        GROWTH_SHRINK);
    assert_int_equal(growth.state, GROWTH_HELD);
}

static void under_pressure_none_is_released_and_a_free_one_held(void **state)
{
    struct receive_growth growth = {0};
    uint64_t total = 100000;

    (void)state;
    assert_int_equal(receive_growth_sink_waits(&growth, false), GROWTH_SHRINK);
    for (unsigned i = 0; i < 9; i++) {
        total += 4096;
        assert_int_equal(
            receive_growth_read(&growth, 4096, total, false, 4 * MS, true),
            GROWTH_NOTHING);
    }
    total += 4096;
    assert_int_equal(receive_growth_read(&growth, 4096, total, false, 0, false),
                     GROWTH_RELEASE);
    assert_int_equal(receive_growth_sink_waits(&growth, false), GROWTH_NOTHING);
    assert_int_equal(receive_growth_sink_waits(&growth, true), GROWTH_HOLD);
}

/* Whatever happens: five orders and one for each 50 full reads. */
static void orders_are_few_when_the_slow_side_changes(void **state)
{
    struct receive_growth growth = {0};
    uint64_t total = 0;
    unsigned orders = 0;
    unsigned reads = 0;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct event read = {FULL, i % 400 < 200 ? 4 * MS : 0, 0, 0};
        struct event waits = {SINK_WAITS, 0, 0, 0};
        struct event waited = {SINK_WAITED, i % 400 < 200 ? 0 : 100 * MS, 0, 0};

        reads++;
        orders += happen(&growth, &read, &total) != GROWTH_NOTHING;
        (void)happen(&growth, &waited, &total);
        orders += happen(&growth, &waits, &total) != GROWTH_NOTHING;
        assert_true(orders <= GROWTH_ORDERS + reads / GROWTH_READS);
    }
    assert_true(orders > GROWTH_ORDERS);
}

static void the_balance_has_bounds(void **state)
{
    struct receive_growth growth = {0};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        receive_growth_sink_waited(&growth, UINT64_MAX);
    }
    assert_int_equal(growth.balance, GROWTH_LEAST);
    for (unsigned i = 0; i < 100; i++) {
        (void)receive_growth_read(&growth, SIZE_MAX / 2, UINT64_MAX, false,
                                  GROWTH_NEAR_MOST_NS - 1, false);
    }
    assert_int_equal(growth.balance, GROWTH_MOST);
}

static void it_travels_as_a_number(void **state)
{
    struct receive_growth growth = {0};
    struct receive_growth there = {0};

    (void)state;
    assert_int_equal(receive_growth_save(&growth), 0);
    growth = (struct receive_growth){
        .balance = -77, .credit = 249, .state = GROWTH_HELD_WIDE, .far = true};
    assert_true(receive_growth_restore(&there, receive_growth_save(&growth)));
    assert_memory_equal(&there, &growth, sizeof(growth));
    assert_false(receive_growth_restore(&there, 0x8000)); /* balance */
    assert_false(receive_growth_restore(&there, 251 << 16));
    assert_false(receive_growth_restore(&there, (GROWTH_FREE + 1u) << 24));
    assert_memory_equal(&there, &growth, sizeof(growth));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_never_fills_a_block_is_left_alone),
        cmocka_unit_test(a_first_burst_is_held_small),
        cmocka_unit_test(a_wait_for_the_sink_holds_too),
        cmocka_unit_test(a_window_that_is_too_small_releases),
        cmocka_unit_test(a_source_that_is_slow_itself_is_not_waited_for),
        cmocka_unit_test(a_slow_sink_is_held_all_the_time),
        cmocka_unit_test(a_quick_sink_releases),
        cmocka_unit_test(a_sink_that_becomes_slow_is_held_again),
        cmocka_unit_test(a_source_far_away_is_left_alone_in_slow_start),
        cmocka_unit_test(a_source_far_away_is_held_for_a_slow_sink),
        cmocka_unit_test(a_buffer_that_is_held_wide_is_made_small_later),
        cmocka_unit_test(under_pressure_none_is_released_and_a_free_one_held),
        cmocka_unit_test(orders_are_few_when_the_slow_side_changes),
        cmocka_unit_test(the_balance_has_bounds),
        cmocka_unit_test(it_travels_as_a_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
