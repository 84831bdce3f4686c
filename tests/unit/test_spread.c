/* Which worker gets a connection, by a seeded model of the kernel's hash. */
#include "proxy/spread.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define WORKERS 8
#define BEGIN   (1000 * NS_PER_S)

static uint64_t seed;

static unsigned hashed(void)
{
    seed = hash_mix(seed + 1);
    return (unsigned)(seed % WORKERS);
}

/* The worker accepts a connection. Returns the worker that begins its session.
 */
static unsigned accept_at(struct spread *spread, unsigned own, uint64_t now_ns)
{
    unsigned to = spread_choose(spread, own, now_ns);

    spread_begin(&spread->list[to], now_ns);
    if (to != own) {
        spread_arrived(&spread->list[to]);
    }
    return to;
}

static void fill(struct spread *spread, unsigned worker, unsigned count,
                 uint64_t now_ns)
{
    while (count-- > 0) {
        spread_begin(&spread->list[worker], now_ns);
    }
}

static void sixty_four_are_eight_for_each_of_eight(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        struct spread *spread = spread_create(WORKERS);

        assert_non_null(spread);
        for (unsigned i = 0; i < 64; i++) {
            accept_at(spread, hashed(), BEGIN + i * NS_PER_MS);
        }
        for (unsigned i = 0; i < WORKERS; i++) {
            assert_int_equal(spread_active(&spread->list[i]), 8);
        }
        spread_destroy(spread);
    }
}

static void many_differ_by_one_in_sixteen_at_most(void **state)
{
    struct spread *spread = spread_create(WORKERS);
    uint32_t least = UINT32_MAX, most = 0;
    unsigned handed = 0;

    (void)state;
    for (unsigned i = 0; i < 40000; i++) {
        unsigned own = hashed();

        handed += accept_at(spread, own, BEGIN + i * NS_PER_MS) != own;
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        uint32_t active = spread_active(&spread->list[i]);

        least = active < least ? active : least;
        most = active > most ? active : most;
    }
    assert_true(least >= most - most / 16 - 1);
    assert_true(handed < 2000); /* the hash alone is as even soon */
    spread_destroy(spread);
}

/* So many at a time, each for so long. How many are handed over, but for the
 * first, of which nobody knows yet that they are short. */
static unsigned handed_of_short(unsigned at_once, uint64_t lasts_ns,
                                unsigned count)
{
    struct spread *spread = spread_create(WORKERS);
    uint8_t where[4096] = {0};
    uint64_t began_ns[4096] = {0};
    unsigned handed = 0;

    assert_true(at_once <= 4096);
    for (unsigned i = 0; i < count; i++) {
        uint64_t now_ns = BEGIN + i * (lasts_ns / at_once);
        unsigned slot = i % at_once;
        unsigned own = hashed();

        if (i >= at_once) {
            spread_end(&spread->list[where[slot]], began_ns[slot], now_ns);
        }
        where[slot] = (uint8_t)accept_at(spread, own, now_ns);
        began_ns[slot] = now_ns;
        handed += i >= 2 * at_once && where[slot] != own;
    }
    spread_destroy(spread);
    return handed;
}

static void steady_short_connections_stay(void **state)
{
    (void)state;
    assert_in_range(handed_of_short(8, NS_PER_MS, 100000), 0, 10);
    assert_in_range(handed_of_short(100, 10 * NS_PER_MS, 100000), 0, 10);
    assert_in_range(handed_of_short(4000, 500 * NS_PER_MS, 100000), 0, 10);
}

/* One worker has many that last. Short ones would never even it out. */
static void short_connections_stay_beside_long_ones(void **state)
{
    struct spread *spread = spread_create(WORKERS);

    (void)state;
    fill(spread, 0, 100, BEGIN - 10 * NS_PER_S);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned own = hashed();
        uint64_t now_ns = BEGIN + i * NS_PER_MS;
        unsigned to = accept_at(spread, own, now_ns);

        assert_true(to == own || i < 200);
        spread_end(&spread->list[to], now_ns, now_ns + NS_PER_MS);
    }
    /* Two seconds later none of that counts. */
    assert_int_not_equal(spread_choose(spread, 0, BEGIN + 5 * NS_PER_S), 0);
    spread_destroy(spread);
}

/* Only the worker that accepts can know it. */
static void short_connections_stay_though_others_have_none(void **state)
{
    struct spread *spread = spread_create(2);

    (void)state;
    fill(spread, 0, 100, BEGIN);
    for (unsigned i = 0; i < 60; i++) {
        spread_end(&spread->list[0], BEGIN, BEGIN + NS_PER_MS);
    }
    assert_int_equal(spread_choose(spread, 0, BEGIN + NS_PER_MS), 0);
    spread_destroy(spread);
}

static void no_more_than_a_bound_are_on_their_way(void **state)
{
    struct spread *spread = spread_create(2);

    (void)state;
    fill(spread, 0, 1000, BEGIN);
    for (unsigned i = 0; i < SPREAD_COMING_MAX; i++) {
        assert_int_equal(spread_choose(spread, 0, BEGIN), 1);
    }
    assert_int_equal(spread_choose(spread, 0, BEGIN), 0);
    spread_arrived(&spread->list[1]);
    assert_int_equal(spread_choose(spread, 0, BEGIN + NS_PER_S), 1);
    spread_destroy(spread);
}

/* Those on their way have a place already. */
static void what_is_coming_counts(void **state)
{
    struct spread *spread = spread_create(3);

    (void)state;
    fill(spread, 0, 2, BEGIN);
    fill(spread, 1, 1, BEGIN);
    assert_int_equal(spread_choose(spread, 0, BEGIN), 2);
    assert_int_not_equal(spread_choose(spread, 0, BEGIN), 0);
    assert_int_not_equal(spread_choose(spread, 0, BEGIN), 0);
    assert_int_equal(spread_choose(spread, 0, BEGIN), 0);
    spread_destroy(spread);
}

/* The worker's turns took so much of the last second. */
static void work(struct spread *spread, unsigned worker, unsigned percent)
{
    spread_measure(&spread->list[worker], 0, BEGIN);
    spread_measure(&spread->list[worker], percent * NS_PER_S / 100,
                   BEGIN + NS_PER_S);
}

static void an_idle_worker_gives_none_to_a_busy_one(void **state)
{
    struct spread *spread = spread_create(2);
    uint64_t now_ns = BEGIN + NS_PER_S;

    (void)state;
    fill(spread, 0, 1000, BEGIN);
    fill(spread, 1, 8, BEGIN);
    work(spread, 0, 2);
    work(spread, 1, 99);
    assert_int_equal(spread_choose(spread, 0, now_ns), 0);
    assert_int_equal(spread_choose(spread, 1, now_ns), 1);
    /* Busy alike, the count decides. */
    work(spread, 0, 60);
    assert_int_equal(spread_choose(spread, 0, now_ns + NS_PER_S / 2), 1);
    spread_arrived(&spread->list[1]);
    /* It is asleep since then. */
    work(spread, 0, 2);
    assert_int_equal(spread_choose(spread, 0, now_ns + 2 * NS_PER_S), 1);
    spread_destroy(spread);
}

static void the_only_worker_keeps_all(void **state)
{
    struct spread *spread = spread_create(1);

    (void)state;
    fill(spread, 0, 1000, BEGIN);
    assert_int_equal(spread_choose(spread, 0, BEGIN), 0);
    spread_destroy(spread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixty_four_are_eight_for_each_of_eight),
        cmocka_unit_test(many_differ_by_one_in_sixteen_at_most),
        cmocka_unit_test(steady_short_connections_stay),
        cmocka_unit_test(short_connections_stay_beside_long_ones),
        cmocka_unit_test(short_connections_stay_though_others_have_none),
        cmocka_unit_test(no_more_than_a_bound_are_on_their_way),
        cmocka_unit_test(what_is_coming_counts),
        cmocka_unit_test(an_idle_worker_gives_none_to_a_busy_one),
        cmocka_unit_test(the_only_worker_keeps_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
