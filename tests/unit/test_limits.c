#include "service/limits.h"

#include "base/hash.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "../skip.h"

static struct addr ipv4(uint32_t ip)
{
    struct addr addr = {.family = AF_INET, .port = (uint16_t)ip};

    ip = htonl(ip);
    memcpy(addr.ip, &ip, sizeof(ip));
    return addr;
}

static struct addr ip(const char *text)
{
    struct addr addr;

    assert_null(addr_parse_ip(text, &addr));
    return addr;
}

static struct network whole(const struct addr *client)
{
    return network_of(client, (struct network_prefixes){32, 128});
}

static enum limits_answer enter(struct limits *limits,
                                const struct addr *client, uint32_t connections,
                                uint64_t rate_per_s, uint64_t now_ns)
{
    struct limits_most most = {connections, rate_per_s};
    struct network source = whole(client);

    return limits_enter(limits, &source, &most, now_ns);
}

static void leave(struct limits *limits, const struct addr *client)
{
    struct network source = whole(client);

    limits_leave(limits, &source);
}

static struct limits *table(uint32_t connections)
{
    struct limits *limits = limits_create(connections);

    assert_non_null(limits);
    return limits;
}

static void a_source_has_so_many_connections(void **state)
{
    struct limits *limits = table(100);
    struct addr a = ipv4(1);
    struct addr b = ipv4(2);

    (void)state;
    assert_int_equal(enter(limits, &a, 2, 0, 1), LIMITS_ENTERED);
    a.port = 4711; /* does not count */
    assert_int_equal(enter(limits, &a, 2, 0, 1), LIMITS_ENTERED);
    assert_int_equal(enter(limits, &a, 2, 0, 1), LIMITS_CONNECTIONS);
    assert_int_equal(enter(limits, &b, 2, 0, 1), LIMITS_ENTERED);
    assert_int_equal(limits_used(limits, 1), 2);
    leave(limits, &a);
    assert_int_equal(enter(limits, &a, 2, 0, 1), LIMITS_ENTERED);
    leave(limits, &a);
    leave(limits, &a);
    leave(limits, &b);
    assert_int_equal(limits_used(limits, 1), 0);
    limits_destroy(limits);
}

static void sources_of_all_families_are_told_apart(void **state)
{
    struct limits *limits = table(100);
    struct addr sources[] = {
        ip("1.2.3.4"),       ip("102:304::"),   ip("::102:304"),
        ip("2001:db8::1"),   ip("2001:db8::2"), ip("2001:db9::1"),
        {.family = AF_UNIX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        assert_int_equal(enter(limits, &sources[i], 1, 0, 1), LIMITS_ENTERED);
        assert_int_equal(enter(limits, &sources[i], 1, 0, 1),
                         LIMITS_CONNECTIONS);
    }
    assert_int_equal(limits_used(limits, 1), ARRAY_LEN(sources));
    limits_destroy(limits);
}

static void a_source_is_a_network(void **state)
{
    const struct limits_most one = {.connections = 1};
    struct limits *limits = table(100);
    struct addr a = ip("2001:db8::1"), b = ip("2001:db8::ffff:0:0:2");
    struct addr c = ip("2001:db8:0:1::1"), unix_client = {.family = AF_UNIX};
    struct network_prefixes half = {.v4 = 0, .v6 = 64}, none = {0, 0};
    struct network first = network_of(&a, half), second = network_of(&b, half);
    struct network other = network_of(&c, half), all = network_of(&a, none);
    struct network nobody = network_of(&unix_client, none);
    struct addr base = first.base;

    (void)state;
    assert_int_equal(limits_enter(limits, &first, &one, 1), LIMITS_ENTERED);
    assert_int_equal(limits_enter(limits, &second, &one, 1),
                     LIMITS_CONNECTIONS);
    assert_int_equal(limits_enter(limits, &other, &one, 1), LIMITS_ENTERED);
    /* A reload may have changed the prefix: they are sources of their own. */
    assert_int_equal(enter(limits, &base, 1, 0, 1), LIMITS_ENTERED);
    assert_int_equal(limits_enter(limits, &all, &one, 1), LIMITS_ENTERED);
    assert_int_equal(limits_enter(limits, &nobody, &one, 1), LIMITS_ENTERED);
    limits_leave(limits, &second);
    assert_int_equal(limits_enter(limits, &second, &one, 1), LIMITS_ENTERED);
    assert_int_equal(enter(limits, &base, 1, 0, 1), LIMITS_CONNECTIONS);
    limits_destroy(limits);
}

static void byte_rates_are_of_a_source_and_stay_where_they_are(void **state)
{
    const struct limits_most any = {0};
    const struct rate_limit limit = {.per_s = 1000, .burst = 10000};
    uint64_t now = 1000 * NS_PER_S;
    struct limits *limits = table(100000);
    struct addr client = ipv4(1), neighbour = ipv4(2);
    struct network a = whole(&client), b = whole(&neighbour);
    struct rate *rates;

    (void)state;
    assert_int_equal(limits_enter(limits, &a, &any, now), LIMITS_ENTERED);
    assert_int_equal(limits_enter(limits, &b, &any, now), LIMITS_ENTERED);
    rates = limits_byte_rates(limits, &a);
    assert_non_null(rates);
    assert_ptr_not_equal(limits_byte_rates(limits, &b), rates);
    for (uint32_t i = 0; i < 50000; i++) { /* the table grows */
        struct addr other = ipv4(100 + i);

        assert_int_equal(enter(limits, &other, 0, 0, now), LIMITS_ENTERED);
    }
    assert_ptr_equal(limits_byte_rates(limits, &a), rates);
    assert_true(rate_take(&rates[DOWN], &limit, now, 5000));
    /* What it owes outlives its connections, or it would come back for more. */
    limits_leave(limits, &a);
    assert_int_equal(limits_enter(limits, &a, &any, now), LIMITS_ENTERED);
    assert_ptr_equal(limits_byte_rates(limits, &a), rates);
    assert_false(rate_take(&rates[DOWN], &limit, now, 5001));
    assert_true(rate_take(&rates[UP], &limit, now, 10000));
    limits_leave(limits, &a);
    assert_int_equal(limits_used(limits, now + 10 * NS_PER_S - 1), 50002);
    assert_int_equal(limits_used(limits, now + 10 * NS_PER_S), 50001);
    limits_leave(limits, &b); /* has used none */
    assert_int_equal(limits_used(limits, now), 50001);
    limits_destroy(limits);
}

static void a_source_has_a_bucket_one_second_deep(void **state)
{
    struct limits *limits = table(100);
    struct addr a = ipv4(1);
    uint64_t now = 1000 * NS_PER_S;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(enter(limits, &a, 0, 10, now), LIMITS_ENTERED);
    }
    assert_int_equal(enter(limits, &a, 0, 10, now), LIMITS_RATE);
    now += NS_PER_S / 10;
    assert_int_equal(enter(limits, &a, 0, 10, now), LIMITS_ENTERED);
    assert_int_equal(enter(limits, &a, 0, 10, now), LIMITS_RATE);
    limits_destroy(limits);
}

static void one_refused_for_its_connections_spends_no_token(void **state)
{
    struct limits *limits = table(100);
    struct addr a = ipv4(1);

    (void)state;
    assert_int_equal(enter(limits, &a, 1, 2, 1), LIMITS_ENTERED);
    assert_int_equal(enter(limits, &a, 1, 2, 1), LIMITS_CONNECTIONS);
    leave(limits, &a);
    assert_int_equal(enter(limits, &a, 1, 2, 1), LIMITS_ENTERED);
    leave(limits, &a);
    assert_int_equal(enter(limits, &a, 1, 2, 1), LIMITS_RATE);
    limits_destroy(limits);
}

static void an_entry_is_idle_when_its_bucket_is_full(void **state)
{
    struct limits *limits = table(100);
    uint64_t now = 1000 * NS_PER_S;
    struct addr a = ipv4(1);

    (void)state;
    assert_int_equal(enter(limits, &a, 0, 1, now), LIMITS_ENTERED);
    assert_int_equal(limits_used(limits, now + 2 * NS_PER_S), 1);
    leave(limits, &a);
    assert_int_equal(limits_used(limits, now), 1);
    assert_int_equal(limits_used(limits, now + NS_PER_S - 1), 1);
    assert_int_equal(limits_used(limits, now + NS_PER_S), 0);
    limits_destroy(limits);
}

static uint32_t enter_range(struct limits *limits, uint32_t first,
                            uint32_t count, uint64_t now_ns)
{
    uint32_t entered = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct addr addr = ipv4(first + i);

        entered += enter(limits, &addr, 1, 1, now_ns) == LIMITS_ENTERED;
    }
    return entered;
}

static void as_many_sources_fit_as_there_are_connections(void **state)
{
    struct limits *limits = table(100000);

    (void)state;
    assert_int_equal(enter_range(limits, 0, 100000, 1), 100000);
    assert_int_equal(limits_used(limits, 1), 100000);
    assert_int_equal(enter_range(limits, 0, 100000, 3 * NS_PER_S), 0);
    for (uint32_t i = 0; i < 100000; i++) {
        struct addr addr = ipv4(i);

        leave(limits, &addr);
    }
    assert_int_equal(limits_used(limits, 3 * NS_PER_S), 0);
    limits_destroy(limits);
}

/* The smallest table has 65,536 entries in 64 shards. */
static void a_full_table_refuses_new_sources_only(void **state)
{
    struct limits *limits = table(1);
    uint64_t now = 1000 * NS_PER_S;
    uint32_t entered = enter_range(limits, 0, 100000, now);
    struct addr stranger = ip("::1");

    (void)state;
    assert_int_equal(entered, 65536);
    assert_int_equal(enter(limits, &stranger, 0, 0, now), LIMITS_FULL);
    assert_int_equal(limits_used(limits, now), 65536);
    /* Known sources meet their own limit, and can leave. */
    for (uint32_t i = 0; i < 1000; i++) {
        struct addr addr = ipv4(i);

        assert_int_equal(enter(limits, &addr, 2, 0, now), LIMITS_ENTERED);
        leave(limits, &addr);
        leave(limits, &addr);
    }
    /* The buckets of sources that left are full a second later. */
    assert_int_equal(enter_range(limits, 200000, 10000, now), 0);
    entered = enter_range(limits, 200000, 10000, now + NS_PER_S);
    assert_int_equal(entered, 1000);
    limits_destroy(limits);
}

static void entries_are_reused_forever(void **state)
{
    struct limits *limits = table(1);
    uint64_t now = NS_PER_S;

    (void)state;
    for (uint32_t round = 0; round < 10; round++, now += 2 * NS_PER_S) {
        assert_int_equal(enter_range(limits, round << 20, 30000, now), 30000);
        for (uint32_t i = 0; i < 30000; i++) {
            struct addr addr = ipv4((round << 20) + i);

            leave(limits, &addr);
        }
        assert_int_equal(limits_used(limits, now), 30000);
    }
    assert_int_equal(limits_used(limits, now), 0);
    limits_destroy(limits);
}

/* Sanitizers take memory of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

struct pages {
    size_t mapped;
    size_t resident;
};

static struct pages pages_now(void)
{
    struct pages pages;
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu %zu", &pages.mapped, &pages.resident),
                     2);
    fclose(file);
    return pages;
}

#define TABLES 200

/* So that many services start under a limit of address space. */
static void a_table_is_mapped_as_it_grows(void **state)
{
    size_t most = (16 << 20) / (size_t)sysconf(_SC_PAGESIZE);
    struct pages before = pages_now();
    struct limits *tables[TABLES];

    (void)state;
    if (SANITIZED) {
        skip_because("a sanitizer maps memory of its own");
    }
    for (unsigned i = 0; i < TABLES; i++) {
        tables[i] = table(UINT32_MAX); /* 72 MB each when they are full */
        assert_int_equal(enter_range(tables[i], 0, 10, 1), 10);
    }
    assert_true(pages_now().mapped - before.mapped < most);
    assert_true(pages_now().resident - before.resident < most);
    for (unsigned i = 0; i < TABLES; i++) {
        limits_destroy(tables[i]);
    }
}

static void without_memory_for_it_a_source_is_let_in_later(void **state)
{
    struct rlimit before, none = {.rlim_cur = 0};
    struct limits *limits;
    uint32_t entered;

    (void)state;
    if (SANITIZED) {
        skip_because("a sanitizer maps memory of its own");
    }
    limits = table(100000);
    assert_int_equal(enter_range(limits, 0, 1000, 1), 1000);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    entered = enter_range(limits, 1000, 100000, 1);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_in_range(entered, 1, 99999);
    assert_int_equal(limits_used(limits, 1), 1000 + entered);
    assert_int_equal(enter_range(limits, 200000, 1000, 1), 1000);
    limits_destroy(limits);
}

#define MODEL_SOURCES 50

static void it_agrees_with_a_plain_count(void **state)
{
    uint64_t seed = 0x636f756e74;
    struct limits *limits = table(1);
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

            assert_int_equal(enter(limits, &addr, max, 0, step), expected);
            inside += expected == LIMITS_ENTERED && counts[i] == 0;
            counts[i] += expected == LIMITS_ENTERED;
        } else if (counts[i] > 0) {
            leave(limits, &addr);
            inside -= --counts[i] == 0;
        }
        if (step % 1000 == 0) {
            assert_int_equal(limits_used(limits, step), inside);
        }
    }
    limits_destroy(limits);
}

#define THREADS 4
#define SOURCES 16
#define MAX     3
#define ROUNDS  20000

struct crowd {
    struct limits *limits;
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

        if (enter(crowd->limits, &addr, MAX, 0, 1) == LIMITS_ENTERED) {
            if (atomic_fetch_add(&crowd->inside[n], 1) >= MAX) {
                atomic_fetch_add(&crowd->too_many, 1);
            }
            atomic_fetch_sub(&crowd->inside[n], 1);
            leave(crowd->limits, &addr);
        }
        if (enter(crowd->limits, &rated, 0, 50, 1) == LIMITS_ENTERED) {
            atomic_fetch_add(&crowd->tokens, 1);
            leave(crowd->limits, &rated);
        }
    }
    return NULL;
}

static void counts_are_exact_under_threads(void **state)
{
    struct crowd crowd = {.limits = table(1)};
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
    assert_int_equal(limits_used(crowd.limits, 2 * NS_PER_S), 0);
    limits_destroy(crowd.limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_so_many_connections),
        cmocka_unit_test(sources_of_all_families_are_told_apart),
        cmocka_unit_test(a_source_is_a_network),
        cmocka_unit_test(byte_rates_are_of_a_source_and_stay_where_they_are),
        cmocka_unit_test(a_source_has_a_bucket_one_second_deep),
        cmocka_unit_test(one_refused_for_its_connections_spends_no_token),
        cmocka_unit_test(an_entry_is_idle_when_its_bucket_is_full),
        cmocka_unit_test(as_many_sources_fit_as_there_are_connections),
        cmocka_unit_test(a_full_table_refuses_new_sources_only),
        cmocka_unit_test(entries_are_reused_forever),
        cmocka_unit_test(a_table_is_mapped_as_it_grows),
        cmocka_unit_test(without_memory_for_it_a_source_is_let_in_later),
        cmocka_unit_test(it_agrees_with_a_plain_count),
        cmocka_unit_test(counts_are_exact_under_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
