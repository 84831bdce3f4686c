/* How many connections a source may have, and how often it may connect. */
#include "service/limits.h"

#include "base/hash.h"

#include "limits_client.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_source_has_so_many_connections(void **state)
{
    struct source_table *table = make_table(100);
    struct addr a = ipv4(1);
    struct addr b = ipv4(2);

    (void)state;
    assert_int_equal(enter(table, &a, 2, 0, 1), LIMITS_ENTERED);
    a.port = 4711; /* does not count */
    assert_int_equal(enter(table, &a, 2, 0, 1), LIMITS_ENTERED);
    assert_int_equal(enter(table, &a, 2, 0, 1), LIMITS_CONNECTIONS);
    assert_int_equal(enter(table, &b, 2, 0, 1), LIMITS_ENTERED);
    assert_int_equal(source_table_used(table, 1), 2);
    leave(table, &a);
    assert_int_equal(enter(table, &a, 2, 0, 1), LIMITS_ENTERED);
    leave(table, &a);
    leave(table, &a);
    leave(table, &b);
    assert_int_equal(source_table_used(table, 1), 0);
    source_table_destroy(table);
}

static void sources_of_all_families_are_told_apart(void **state)
{
    struct source_table *table = make_table(100);
    struct addr sources[] = {
        good_ip("1.2.3.4"),     good_ip("102:304::"),   good_ip("::102:304"),
        good_ip("2001:db8::1"), good_ip("2001:db8::2"), good_ip("2001:db9::1"),
        {.family = AF_UNIX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        assert_int_equal(enter(table, &sources[i], 1, 0, 1), LIMITS_ENTERED);
        assert_int_equal(enter(table, &sources[i], 1, 0, 1),
                         LIMITS_CONNECTIONS);
    }
    assert_int_equal(source_table_used(table, 1), ARRAY_LEN(sources));
    source_table_destroy(table);
}

static void a_source_is_a_network(void **state)
{
    const struct limits_most one = {.connections = 1};
    struct source_table *table = make_table(100);
    struct addr a = good_ip("2001:db8::1"), b = good_ip("2001:db8::ffff:0:0:2");
    struct addr c = good_ip("2001:db8:0:1::1"),
                unix_client = {.family = AF_UNIX};
    struct network_prefixes half = {.v4 = 0, .v6 = 64}, none = {0, 0};
    struct network first = network_of(&a, half), second = network_of(&b, half);
    struct network other = network_of(&c, half), all = network_of(&a, none);
    struct network nobody = network_of(&unix_client, none);
    struct addr base = first.base;

    (void)state;
    assert_int_equal(limits_enter(table, &first, &one, 1), LIMITS_ENTERED);
    assert_int_equal(limits_enter(table, &second, &one, 1), LIMITS_CONNECTIONS);
    assert_int_equal(limits_enter(table, &other, &one, 1), LIMITS_ENTERED);
    /* A reload may have changed the prefix: they are sources of their own. */
    assert_int_equal(enter(table, &base, 1, 0, 1), LIMITS_ENTERED);
    assert_int_equal(limits_enter(table, &all, &one, 1), LIMITS_ENTERED);
    assert_int_equal(limits_enter(table, &nobody, &one, 1), LIMITS_ENTERED);
    limits_leave(table, &second);
    assert_int_equal(limits_enter(table, &second, &one, 1), LIMITS_ENTERED);
    assert_int_equal(enter(table, &base, 1, 0, 1), LIMITS_CONNECTIONS);
    source_table_destroy(table);
}

static void byte_rates_are_of_a_source_and_stay_where_they_are(void **state)
{
    const struct limits_most any = {0};
    const struct rate_limit limit = {.per_s = 1000, .burst = 10000};
    uint64_t now = 1000 * NS_PER_S;
    struct source_table *table = make_table(100000);
    struct addr client = ipv4(1), neighbour = ipv4(2);
    struct network a = whole(&client), b = whole(&neighbour);
    struct rate *rates;

    (void)state;
    assert_int_equal(limits_enter(table, &a, &any, now), LIMITS_ENTERED);
    assert_int_equal(limits_enter(table, &b, &any, now), LIMITS_ENTERED);
    rates = limits_byte_rates(table, &a);
    assert_non_null(rates);
    assert_ptr_not_equal(limits_byte_rates(table, &b), rates);
    for (uint32_t i = 0; i < 50000; i++) { /* the table grows */
        struct addr other = ipv4(100 + i);

        assert_int_equal(enter(table, &other, 0, 0, now), LIMITS_ENTERED);
    }
    assert_ptr_equal(limits_byte_rates(table, &a), rates);
    assert_true(rate_take(&rates[DOWN], &limit, now, 5000));
    /* What it owes outlives its connections, or it would come back for more. */
    limits_leave(table, &a);
    assert_int_equal(limits_enter(table, &a, &any, now), LIMITS_ENTERED);
    assert_ptr_equal(limits_byte_rates(table, &a), rates);
    assert_false(rate_take(&rates[DOWN], &limit, now, 5001));
    assert_true(rate_take(&rates[UP], &limit, now, 10000));
    limits_leave(table, &a);
    assert_int_equal(source_table_used(table, now + 10 * NS_PER_S - 1), 50002);
    assert_int_equal(source_table_used(table, now + 10 * NS_PER_S), 50001);
    limits_leave(table, &b); /* has used none */
    assert_int_equal(source_table_used(table, now), 50001);
    source_table_destroy(table);
}

static void a_source_has_a_bucket_one_second_deep(void **state)
{
    struct source_table *table = make_table(100);
    struct addr a = ipv4(1);
    uint64_t now = 1000 * NS_PER_S;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(enter(table, &a, 0, 10, now), LIMITS_ENTERED);
    }
    assert_int_equal(enter(table, &a, 0, 10, now), LIMITS_RATE);
    now += NS_PER_S / 10;
    assert_int_equal(enter(table, &a, 0, 10, now), LIMITS_ENTERED);
    assert_int_equal(enter(table, &a, 0, 10, now), LIMITS_RATE);
    source_table_destroy(table);
}

static void debts_hold_in_another_table(void **state)
{
    struct source_table *table = make_table(100), *other = make_table(100);
    struct addr a = ipv4(1), b = ipv4(2), c = ipv4(3);
    const uint64_t now = 1000 * NS_PER_S;
    const struct rate_limit limit = {.per_s = 100, .burst = 100};
    const struct network owing = whole(&b);
    struct source_state debt;
    uint64_t at = 0;
    unsigned count = 0;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(enter(table, &a, 0, 10, now), LIMITS_ENTERED);
    }
    assert_int_equal(enter(table, &b, 0, 0, now), LIMITS_ENTERED);
    assert_true(rate_take(&limits_byte_rates(table, &owing)[DOWN], &limit, now,
                          500)); /* from a full bucket: a debt of five */
    assert_int_equal(enter(table, &c, 0, 0, now), LIMITS_ENTERED);
    while (limits_next_debt(table, &at, now, &debt)) {
        limits_owe(other, &debt, now);
        count++;
    }
    assert_int_equal(count, 2);
    assert_int_equal(source_table_used(other, now), 2);
    assert_int_equal(enter(other, &a, 0, 10, now), LIMITS_RATE);
    assert_int_equal(enter(other, &a, 0, 10, now + NS_PER_S / 10),
                     LIMITS_ENTERED);
    assert_int_equal(enter(other, &b, 0, 0, now), LIMITS_ENTERED);
    assert_int_equal(limits_byte_rates(other, &owing)[DOWN].full_ns,
                     now + 5 * NS_PER_S);
    at = 0;
    assert_true(limits_next_debt(table, &at, now + 4 * NS_PER_S, &debt));
    assert_false(limits_next_debt(table, &at, now + 5 * NS_PER_S, &debt));
    source_table_destroy(other);
    source_table_destroy(table);
}

static void one_refused_for_its_connections_spends_no_token(void **state)
{
    struct source_table *table = make_table(100);
    struct addr a = ipv4(1);

    (void)state;
    assert_int_equal(enter(table, &a, 1, 2, 1), LIMITS_ENTERED);
    assert_int_equal(enter(table, &a, 1, 2, 1), LIMITS_CONNECTIONS);
    leave(table, &a);
    assert_int_equal(enter(table, &a, 1, 2, 1), LIMITS_ENTERED);
    leave(table, &a);
    assert_int_equal(enter(table, &a, 1, 2, 1), LIMITS_RATE);
    source_table_destroy(table);
}

#define MODEL_SOURCES 50

static void it_agrees_with_a_plain_count(void **state)
{
    uint64_t seed = 0x636f756e74;
    struct source_table *table = make_table(1);
    uint32_t counts[MODEL_SOURCES] = {0};
    uint32_t inside = 0;

    (void)state;
    for (unsigned step = 0; step < 100000; step++) {
        uint32_t i = (uint32_t)(hash_random(&seed) % MODEL_SOURCES);
        uint32_t max = (uint32_t)(hash_random(&seed) % 5);
        struct addr addr = ipv4(i);

        if (hash_random(&seed) % 2 == 0) {
            enum limits_answer expected = max != 0 && counts[i] >= max
                                              ? LIMITS_CONNECTIONS
                                              : LIMITS_ENTERED;

            assert_int_equal(enter(table, &addr, max, 0, step), expected);
            inside += expected == LIMITS_ENTERED && counts[i] == 0;
            counts[i] += expected == LIMITS_ENTERED;
        } else if (counts[i] > 0) {
            leave(table, &addr);
            inside -= --counts[i] == 0;
        }
        if (step % 1000 == 0) {
            assert_int_equal(source_table_used(table, step), inside);
        }
    }
    source_table_destroy(table);
}

#define THREADS 4
#define SOURCES 16
#define MAX     3
#define ROUNDS  20000

struct crowd {
    struct source_table *table;
    _Atomic uint32_t inside[SOURCES]; /* any thread */
    _Atomic uint32_t too_many;
    _Atomic uint32_t tokens;
};

static void *come_and_go(void *arg)
{
    struct crowd *crowd = arg;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t n = i % SOURCES;
        struct addr addr = ipv4(n);
        struct addr rated = ipv4(1000 + n);

        if (enter(crowd->table, &addr, MAX, 0, 1) == LIMITS_ENTERED) {
            if (atomic_fetch_add(&crowd->inside[n], 1) >= MAX) {
                atomic_fetch_add(&crowd->too_many, 1);
            }
            atomic_fetch_sub(&crowd->inside[n], 1);
            leave(crowd->table, &addr);
        }
        if (enter(crowd->table, &rated, 0, 50, 1) == LIMITS_ENTERED) {
            atomic_fetch_add(&crowd->tokens, 1);
            leave(crowd->table, &rated);
        }
    }
    return NULL;
}

static void counts_are_exact_under_threads(void **state)
{
    struct crowd crowd = {.table = make_table(1)};
    pthread_t threads[THREADS];

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowd),
                         0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&crowd.too_many), 0);
    assert_int_equal(atomic_load(&crowd.tokens), 50 * SOURCES);
    assert_int_equal(source_table_used(crowd.table, 2 * NS_PER_S), 0);
    source_table_destroy(crowd.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_so_many_connections),
        cmocka_unit_test(sources_of_all_families_are_told_apart),
        cmocka_unit_test(a_source_is_a_network),
        cmocka_unit_test(byte_rates_are_of_a_source_and_stay_where_they_are),
        cmocka_unit_test(a_source_has_a_bucket_one_second_deep),
        cmocka_unit_test(debts_hold_in_another_table),
        cmocka_unit_test(one_refused_for_its_connections_spends_no_token),
        cmocka_unit_test(it_agrees_with_a_plain_count),
        cmocka_unit_test(counts_are_exact_under_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
