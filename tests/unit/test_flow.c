/* The table of flows against a model, and its growth by single buckets. */
#include "proxy/flow.h"

#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FLOWS = 5000 };

static struct flow_key key_number(uint32_t n)
{
    struct flow_key key = {
        .client = {.family = AF_INET, .port = (uint16_t)(n % 100)},
        .listener = n / 1000,
    };

    memcpy(key.client.ip, &n, sizeof(n));
    return key;
}

static void an_empty_table_finds_nothing(void **state)
{
    struct flow_key key = key_number(1);
    struct flow_table table;

    (void)state;
    flow_table_init(&table, 7);
    assert_null(flow_find(&table, &key));
    flow_table_check(&table);
    flow_table_fini(&table);
}

static void every_part_of_the_key_counts(void **state)
{
    struct flow_key keys[6];
    struct flow flows[6] = {0};
    struct flow_table table;

    (void)state;
    flow_table_init(&table, 7);
    for (size_t i = 0; i < 6; i++) {
        keys[i] = key_number(0);
    }
    keys[1].client.port = 9;
    keys[2].client.ip[15] = 9;
    keys[3].local.ip[0] = 9;
    keys[4].scope = 9;
    keys[5].listener = 9;
    for (size_t i = 0; i < 6; i++) {
        assert_null(flow_find(&table, &keys[i]));
        flows[i].key = keys[i];
        assert_int_equal(flow_insert(&table, &flows[i]), 0);
    }
    for (size_t i = 0; i < 6; i++) {
        assert_ptr_equal(flow_find(&table, &keys[i]), &flows[i]);
    }
    flow_table_fini(&table);
}

static void it_grows_and_shrinks_with_what_it_holds(void **state)
{
    struct flow *flows = calloc(FLOWS, sizeof(*flows));
    struct flow_table table;

    (void)state;
    assert_non_null(flows);
    flow_table_init(&table, 7);
    for (uint32_t i = 0; i < FLOWS; i++) {
        flows[i].key = key_number(i);
        assert_int_equal(flow_insert(&table, &flows[i]), 0);
        assert_true(table.used >= table.count);
        assert_true(table.size <= 2 * table.used || table.size == 16);
    }
    flow_table_check(&table);
    for (uint32_t i = 0; i < FLOWS; i++) {
        flow_remove(&table, &flows[i]);
        assert_true(table.used <= 2 * table.count + 2);
    }
    flow_table_check(&table);
    assert_int_equal(table.count, 0);
    assert_true(table.size <= 16);
    flow_table_fini(&table);
    free(flows);
}

/* The model is an array of who is in. */
static void it_agrees_with_a_model(void **state)
{
    struct seeded random = seeded_start(20261123);
    struct flow *flows = calloc(FLOWS, sizeof(*flows));
    bool *in = calloc(FLOWS, sizeof(*in));
    struct flow_table table;

    (void)state;
    assert_non_null(flows);
    assert_non_null(in);
    flow_table_init(&table, seeded_next(&random));
    for (uint32_t step = 0; step < 60000; step++) {
        /* Tides, so that it grows and shrinks. */
        uint32_t range = step / 10000 % 2 == 0 ? FLOWS : FLOWS / 50;
        uint32_t i = (uint32_t)seeded_below(&random, range);
        struct flow_key key = key_number(i);
        struct flow *found = flow_find(&table, &key);

        seeded_assert(&random, found == (in[i] ? &flows[i] : NULL));
        if (in[i]) {
            flow_remove(&table, &flows[i]);
        } else {
            flows[i].key = key;
            seeded_assert(&random, flow_insert(&table, &flows[i]) == 0);
        }
        in[i] = !in[i];
        if (step % 1000 == 0) {
            flow_table_check(&table);
        }
    }
    flow_table_fini(&table);
    free(in);
    free(flows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_finds_nothing),
        cmocka_unit_test(every_part_of_the_key_counts),
        cmocka_unit_test(it_grows_and_shrinks_with_what_it_holds),
        cmocka_unit_test(it_agrees_with_a_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
