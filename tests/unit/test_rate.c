#include "base/base.h"
#include "base/rate.h"
#include "seeded.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HUGE_RATE (UINT64_C(1) << 40)

static uint64_t full_ns(struct rate *rate)
{
    return atomic_load_explicit(&rate->full_ns, memory_order_relaxed);
}

/* Takes all tokens that are left, one by one; answers how many. */
static uint64_t drain(struct rate *rate, const struct rate_limit *limit,
                      uint64_t now_ns)
{
    uint64_t count = 0;

    while (rate_take_one(rate, limit, now_ns)) {
        count++;
    }
    return count;
}

static void rate_of_zeros_is_full(void **state)
{
    struct rate rate = {0};
    struct rate_limit limit = {.per_s = 10, .burst = 7};

    (void)state;
    assert_int_equal(drain(&rate, &limit, 0), 7);
    rate = (struct rate){0};
    assert_int_equal(drain(&rate, &limit, UINT64_MAX / 2), 7);
}

static void rate_without_a_limit_grants_all(void **state)
{
    struct rate rate = {0};
    struct rate_limit limit = {0};
    uint64_t granted;

    (void)state;
    assert_int_equal(rate_reserve(&rate, &limit, 5, UINT64_MAX, &granted), 0);
    assert_true(granted == UINT64_MAX);
    assert_true(rate_take_one(&rate, &limit, 5));
    rate_refund(&rate, &limit, UINT64_MAX);
    assert_int_equal(full_ns(&rate), 0);
}

static void rate_fills_again_with_time_but_not_over(void **state)
{
    struct rate rate = {0};
    struct rate_limit limit = {.per_s = 4, .burst = 8};

    (void)state;
    assert_int_equal(drain(&rate, &limit, NS_PER_S), 8);
    assert_int_equal(drain(&rate, &limit, NS_PER_S * 5 / 4 - 1), 0);
    assert_int_equal(drain(&rate, &limit, NS_PER_S * 5 / 4), 1);
    assert_int_equal(drain(&rate, &limit, NS_PER_S * 9 / 4), 4);
    assert_int_equal(drain(&rate, &limit, NS_PER_S * 100), 8);
}

static void rate_takes_all_or_nothing(void **state)
{
    struct rate rate = {0};
    struct rate_limit limit = {.per_s = 10, .burst = 8};

    (void)state;
    assert_true(rate_take(&rate, &limit, 0, 5));
    assert_false(rate_take(&rate, &limit, 0, 4));
    assert_true(rate_take(&rate, &limit, 0, 3));
    assert_false(rate_take(&rate, &limit, 0, 1));
    assert_false(rate_take(&rate, &limit, NS_PER_S / 10 * 4 - 1, 4));
    assert_true(rate_take(&rate, &limit, NS_PER_S / 10 * 4, 4));
}

static void rate_goes_into_debt_for_more_than_the_burst(void **state)
{
    struct rate rate = {0};
    struct rate_limit limit = {.per_s = 10, .burst = 8};

    (void)state;
    assert_true(rate_take(&rate, &limit, 0, 20));
    assert_false(rate_take(&rate, &limit, NS_PER_S / 10 * 12, 1));
    assert_true(rate_take(&rate, &limit, NS_PER_S / 10 * 13, 1));
    assert_false(rate_take(&rate, &limit, NS_PER_S / 10 * 20, 20));
    assert_true(rate_take(&rate, &limit, NS_PER_S / 10 * 21, 20));
}

static void rate_reserves_in_turn(void **state)
{
    struct rate rate = {0};
    struct rate_limit limit = {.per_s = 1000000, .burst = 65536};
    uint64_t granted;
    uint64_t first;
    uint64_t second;

    (void)state;
    assert_int_equal(rate_reserve(&rate, &limit, 1, 65536, &granted), 0);
    assert_int_equal(granted, 65536);
    first = rate_reserve(&rate, &limit, 1, 65536, &granted);
    assert_int_equal(granted, 1000000 / 128);
    assert_int_equal(first, 1 + granted * 1000);
    second = rate_reserve(&rate, &limit, 1, 100, &granted);
    assert_int_equal(granted, 100);
    assert_int_equal(second, first + granted * 1000);
    /* Reserved tokens are not taken again when their time has come. */
    assert_false(rate_take_one(&rate, &limit, second));
    assert_true(rate_take_one(&rate, &limit, second + 1000));
}

static void rate_grants_no_small_amounts_in_a_row(void **state)
{
    struct rate rate = {0};
    struct rate_limit limit = {.per_s = 1000000, .burst = 65536};
    uint64_t granted;
    uint64_t when;

    (void)state;
    assert_int_equal(rate_reserve(&rate, &limit, 0, 65536, &granted), 0);
    when = rate_reserve(&rate, &limit, 5000, 65536, &granted);
    assert_int_equal(granted, 1000000 / 128);
    assert_int_equal(when, granted * 1000);
}

static void rate_takes_a_refund_but_is_never_over_full(void **state)
{
    struct rate rate = {0};
    struct rate_limit limit = {.per_s = 4, .burst = 10};
    uint64_t granted;

    (void)state;
    assert_int_equal(rate_reserve(&rate, &limit, 50, 10, &granted), 0);
    rate_refund(&rate, &limit, 4);
    assert_int_equal(drain(&rate, &limit, 51), 4);
    rate_refund(&rate, &limit, UINT64_MAX);
    assert_int_equal(drain(&rate, &limit, 51), 10);
}

static void rate_accepts_another_limit_at_any_time(void **state)
{
    struct rate rate = {0};
    struct rate_limit slow = {.per_s = 1, .burst = HUGE_RATE};
    struct rate_limit fast = {.per_s = 1000000, .burst = 65536};
    uint64_t granted;
    uint64_t when;

    (void)state;
    assert_int_equal(rate_reserve(&rate, &slow, 9, HUGE_RATE, &granted), 0);
    when = rate_reserve(&rate, &fast, 9, 65536, &granted);
    assert_in_range(granted, 1, 65536);
    assert_in_range(when, 10, 10 + 5 * NS_PER_S + NS_PER_S / 128);
    assert_int_equal(drain(&rate, &fast, 9 + 6 * NS_PER_S), 65536);
}

/* Answers keep the contract for numbers of all magnitudes. */
static void rate_is_sound_for_all_numbers(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        struct seeded random = seeded_start(seed);
        struct rate rate = {0};
        struct rate_limit limit;
        uint64_t now = seeded_magnitude(&random, 64);

        limit.per_s = 1 + seeded_magnitude(&random, 40);
        limit.burst = 1 + seeded_magnitude(&random, 40);
        for (int step = 0; step < 10; step++) {
            uint64_t want = 1 + seeded_magnitude(&random, 40);
            uint64_t granted = 0;
            uint64_t when = rate_reserve(&rate, &limit, now, want, &granted);

            seeded_assert(&random, granted >= 1 && granted <= want);
            seeded_assert(&random, granted <= limit.burst);
            seeded_assert(&random, when == 0 || when > now ||
                                       full_ns(&rate) == UINT64_MAX);
            seeded_assert(&random, when == 0 || granted <= limit.per_s / 128 ||
                                       granted <= 1024);
            if (seeded_below(&random, 4) == 0) {
                rate_refund(&rate, &limit, seeded_below(&random, granted + 1));
            }
            if (seeded_below(&random, 4) == 0) {
                now += seeded_magnitude(&random, 64) & ~now;
            }
        }
    }
}

/*
 * A simulation, whose clock advances by a timer's tick. Each connection spends
 * what it was granted when the time has come, at most a tick late, and asks for
 * more.
 */
#define TICK_NS     NS_PER_MS
#define CONNECTIONS 1000

struct connection {
    uint64_t due_ns; /* of the reserved tokens */
    uint64_t reserved;
    uint64_t spent;
};

/* False if its time has not come. */
static bool connection_turn(struct connection *connection, struct rate *rate,
                            const struct rate_limit *limit, uint64_t now_ns)
{
    if (connection->due_ns > now_ns) {
        return false;
    }
    connection->spent += connection->reserved;
    connection->due_ns =
        rate_reserve(rate, limit, now_ns, 16384, &connection->reserved);
    return true;
}

/* Round robin, as in a loop with a budget, until all wait. */
static void connections_tick(struct connection *connections, size_t count,
                             struct rate *rate, const struct rate_limit *limit,
                             uint64_t now_ns)
{
    bool again = true;

    while (again) {
        again = false;
        for (size_t i = 0; i < count; i++) {
            again |= connection_turn(&connections[i], rate, limit, now_ns);
        }
    }
}

static void assert_about(uint64_t value, uint64_t expected, unsigned percent)
{
    assert_in_range(value, expected - expected * percent / 100,
                    expected + expected * percent / 100);
}

static void connections_share(const struct rate_limit *limit, size_t count,
                              uint64_t seconds, unsigned percent)
{
    static struct connection connections[CONNECTIONS];
    const uint64_t start = 12345;
    struct rate rate = {0};
    uint64_t total = 0;

    memset(connections, 0, sizeof(connections));
    for (uint64_t t = 0; t < seconds * NS_PER_S; t += TICK_NS) {
        connections_tick(connections, count, &rate, limit, start + t);
    }
    for (size_t i = 0; i < count; i++) {
        total += connections[i].spent;
    }
    assert_about(total, limit->per_s * seconds + limit->burst, 1);
    for (size_t i = 0; i < count; i++) {
        assert_about(connections[i].spent, total / count, percent);
    }
}

static void rate_is_kept_and_shared_by_connections(void **state)
{
    const struct rate_limit trickle = {.per_s = 20000, .burst = 1000};
    const struct rate_limit usual = {.per_s = 16000000, .burst = 65536};
    const struct rate_limit fast = {.per_s = 10000000000, .burst = 100000000};

    (void)state;
    connections_share(&trickle, 1, 5, 0);
    connections_share(&trickle, 10, 5, 15);
    connections_share(&usual, 1, 5, 0);
    connections_share(&usual, 8, 5, 3);
    connections_share(&fast, 2, 5, 3);
    connections_share(&usual, CONNECTIONS, 20, 25);
}

/* At one token per nanosecond the word counts the tokens: threads lose neither
 * a token that is taken nor one that is put back. */
#define THREADS     4
#define THREAD_RUNS 20000

struct taker {
    pthread_t id;
    struct rate *rate;
    struct seeded random;
    uint64_t kept;
};

static void *taker_run(void *arg)
{
    const struct rate_limit limit = {.per_s = NS_PER_S, .burst = 1000000};
    struct taker *taker = arg;

    for (int i = 0; i < THREAD_RUNS; i++) {
        uint64_t want = 1 + seeded_below(&taker->random, 100);
        uint64_t granted;
        uint64_t back;

        (void)rate_reserve(taker->rate, &limit, 1000, want, &granted);
        back = seeded_below(&taker->random, granted + 1);
        rate_refund(taker->rate, &limit, back);
        taker->kept += granted - back;
    }
    return NULL;
}

static void rate_loses_nothing_between_threads(void **state)
{
    struct taker takers[THREADS];
    struct rate rate = {0};
    uint64_t kept = 0;

    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        takers[i] =
            (struct taker){.rate = &rate, .random = seeded_start(i + 1)};
        assert_int_equal(
            pthread_create(&takers[i].id, NULL, taker_run, &takers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(takers[i].id, NULL);
        kept += takers[i].kept;
    }
    assert_int_equal(full_ns(&rate), 1000 + kept);
}

/* Threads that go through the same five seconds in step. */
#define STEPS 5000

static const struct rate_limit shared_limit = {.per_s = 16000000,
                                               .burst = 65536};

struct spender {
    pthread_t id;
    pthread_barrier_t *step;
    struct rate *rate;
    struct connection connection;
};

static void *spender_run(void *arg)
{
    struct spender *spender = arg;

    for (uint64_t i = 0; i < STEPS; i++) {
        connections_tick(&spender->connection, 1, spender->rate, &shared_limit,
                         77 + i * TICK_NS);
        pthread_barrier_wait(spender->step);
    }
    return NULL;
}

static void rate_is_kept_and_shared_by_threads(void **state)
{
    struct spender spenders[THREADS];
    pthread_barrier_t step;
    struct rate rate = {0};
    uint64_t total = 0;

    (void)state;
    pthread_barrier_init(&step, NULL, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        spenders[i] = (struct spender){.step = &step, .rate = &rate};
        assert_int_equal(
            pthread_create(&spenders[i].id, NULL, spender_run, &spenders[i]),
            0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(spenders[i].id, NULL);
        total += spenders[i].connection.spent;
    }
    pthread_barrier_destroy(&step);
    assert_about(total, shared_limit.per_s * 5 + shared_limit.burst, 1);
    for (size_t i = 0; i < THREADS; i++) {
        assert_about(spenders[i].connection.spent, total / THREADS, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_of_zeros_is_full),
        cmocka_unit_test(rate_without_a_limit_grants_all),
        cmocka_unit_test(rate_fills_again_with_time_but_not_over),
        cmocka_unit_test(rate_takes_all_or_nothing),
        cmocka_unit_test(rate_goes_into_debt_for_more_than_the_burst),
        cmocka_unit_test(rate_reserves_in_turn),
        cmocka_unit_test(rate_grants_no_small_amounts_in_a_row),
        cmocka_unit_test(rate_takes_a_refund_but_is_never_over_full),
        cmocka_unit_test(rate_accepts_another_limit_at_any_time),
        cmocka_unit_test(rate_is_sound_for_all_numbers),
        cmocka_unit_test(rate_is_kept_and_shared_by_connections),
        cmocka_unit_test(rate_loses_nothing_between_threads),
        cmocka_unit_test(rate_is_kept_and_shared_by_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
