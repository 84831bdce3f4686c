/* The places of the table of sources: how many there are, when they are free
 * again, and the memory that they take. */
#include "service/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "../skip.h"
#include "limits_client.h"

static void an_entry_is_idle_when_its_bucket_is_full(void **state)
{
    struct source_table *table = make_table(100);
    uint64_t now = 1000 * NS_PER_S;
    struct addr a = ipv4(1);

    (void)state;
    assert_int_equal(enter(table, &a, 0, 1, now), LIMITS_ENTERED);
    assert_int_equal(source_table_used(table, now + 2 * NS_PER_S), 1);
    leave(table, &a);
    assert_int_equal(source_table_used(table, now), 1);
    assert_int_equal(source_table_used(table, now + NS_PER_S - 1), 1);
    assert_int_equal(source_table_used(table, now + NS_PER_S), 0);
    source_table_destroy(table);
}

static uint32_t enter_range(struct source_table *table, uint32_t first,
                            uint32_t count, uint64_t now_ns)
{
    uint32_t entered = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct addr addr = ipv4(first + i);

        entered += enter(table, &addr, 1, 1, now_ns) == LIMITS_ENTERED;
    }
    return entered;
}

static void as_many_sources_fit_as_there_are_connections(void **state)
{
    struct source_table *table = make_table(100000);

    (void)state;
    assert_int_equal(enter_range(table, 0, 100000, 1), 100000);
    assert_int_equal(source_table_used(table, 1), 100000);
    assert_int_equal(enter_range(table, 0, 100000, 3 * NS_PER_S), 0);
    for (uint32_t i = 0; i < 100000; i++) {
        struct addr addr = ipv4(i);

        leave(table, &addr);
    }
    assert_int_equal(source_table_used(table, 3 * NS_PER_S), 0);
    source_table_destroy(table);
}

/* The smallest table has 65,536 entries in 64 shards. */
static void a_full_table_refuses_new_sources_only(void **state)
{
    struct source_table *table = make_table(1);
    uint64_t now = 1000 * NS_PER_S;
    uint32_t entered = enter_range(table, 0, 100000, now);
    struct addr stranger = good_ip("::1");

    (void)state;
    assert_int_equal(entered, 65536);
    assert_int_equal(enter(table, &stranger, 0, 0, now), LIMITS_FULL);
    assert_int_equal(source_table_used(table, now), 65536);
    /* Known sources meet their own limit, and can leave. */
    for (uint32_t i = 0; i < 1000; i++) {
        struct addr addr = ipv4(i);

        assert_int_equal(enter(table, &addr, 2, 0, now), LIMITS_ENTERED);
        leave(table, &addr);
        leave(table, &addr);
    }
    /* The buckets of sources that left are full a second later. */
    assert_int_equal(enter_range(table, 200000, 10000, now), 0);
    entered = enter_range(table, 200000, 10000, now + NS_PER_S);
    assert_int_equal(entered, 1000);
    source_table_destroy(table);
}

static void entries_are_reused_forever(void **state)
{
    struct source_table *table = make_table(1);
    uint64_t now = NS_PER_S;

    (void)state;
    for (uint32_t round = 0; round < 10; round++, now += 2 * NS_PER_S) {
        assert_int_equal(enter_range(table, round << 20, 30000, now), 30000);
        for (uint32_t i = 0; i < 30000; i++) {
            struct addr addr = ipv4((round << 20) + i);

            leave(table, &addr);
        }
        assert_int_equal(source_table_used(table, now), 30000);
    }
    assert_int_equal(source_table_used(table, now), 0);
    source_table_destroy(table);
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
    struct source_table *tables[TABLES];

    (void)state;
    if (SANITIZED) {
        skip_because("a sanitizer maps memory of its own");
    }
    for (unsigned i = 0; i < TABLES; i++) {
        tables[i] = make_table(UINT32_MAX); /* 72 MB each when they are full */
        assert_int_equal(enter_range(tables[i], 0, 10, 1), 10);
    }
    assert_true(pages_now().mapped - before.mapped < most);
    assert_true(pages_now().resident - before.resident < most);
    for (unsigned i = 0; i < TABLES; i++) {
        source_table_destroy(tables[i]);
    }
}

static void without_memory_for_it_a_source_is_let_in_later(void **state)
{
    struct rlimit before, now, none = {.rlim_cur = 0};
    struct source_table *table;
    uint32_t entered;

    (void)state;
    if (SANITIZED) {
        skip_because("a sanitizer maps memory of its own");
    }
    table = make_table(100000);
    assert_int_equal(enter_range(table, 0, 1000, 1), 1000);
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    assert_int_equal(getrlimit(RLIMIT_AS, &now), 0);
    if (now.rlim_cur != 0) {
        source_table_destroy(table);
        skip_because("RLIMIT_AS has no effect, as under qemu-user");
    }
    entered = enter_range(table, 1000, 100000, 1);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_in_range(entered, 1, 99999);
    assert_int_equal(source_table_used(table, 1), 1000 + entered);
    assert_int_equal(enter_range(table, 200000, 1000, 1), 1000);
    source_table_destroy(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_idle_when_its_bucket_is_full),
        cmocka_unit_test(as_many_sources_fit_as_there_are_connections),
        cmocka_unit_test(a_full_table_refuses_new_sources_only),
        cmocka_unit_test(entries_are_reused_forever),
        cmocka_unit_test(a_table_is_mapped_as_it_grows),
        cmocka_unit_test(without_memory_for_it_a_source_is_let_in_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
