#include "base/hash.h"
#include "service/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void turns_go_the_way_of_nginx(void **state)
{
    static const uint32_t weights[] = {10, 2, 2};
    static const uint16_t expected[] = {0, 0, 1, 0, 2, 0, 0};
    struct turns turns;

    (void)state;
    assert_int_equal(turns_init(&turns, weights, ARRAY_LEN(weights)), 0);
    assert_int_equal(turns.count, ARRAY_LEN(expected));
    assert_memory_equal(turns.nodes, expected, sizeof(expected));
    turns_fini(&turns);
}

static void nodes_without_weight_have_no_turn(void **state)
{
    static const uint32_t weights[] = {0, 3, 0, 1};
    static const uint16_t expected[] = {1, 1, 3, 1};
    struct turns turns;

    (void)state;
    assert_int_equal(turns_init(&turns, weights, ARRAY_LEN(weights)), 0);
    assert_int_equal(turns.count, ARRAY_LEN(expected));
    assert_memory_equal(turns.nodes, expected, sizeof(expected));
    turns_fini(&turns);
}

/* Smooth weighted round robin as it is published, with one sum a node. */
static uint32_t model_turn(const uint32_t *weights, uint32_t count,
                           int64_t *sums)
{
    int64_t total = 0;
    uint32_t best = 0;

    for (uint32_t i = 0; i < count; i++) {
        total += weights[i];
        sums[i] += weights[i];
        if (sums[i] > sums[best]) {
            best = i;
        }
    }
    sums[best] -= total;
    return best;
}

static uint32_t gcd(uint32_t a, uint32_t b)
{
    return b == 0 ? a : gcd(b, a % b);
}

static void turns_are_smooth_and_exact_over_a_cycle(void **state)
{
    uint64_t seed = 0x7272;

    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        uint32_t count = 1 + (uint32_t)(hash_random(&seed) % 40);
        uint32_t weights[40];
        int64_t sums[40] = {0};
        uint32_t total = 0;
        uint32_t divisor = 0;
        struct turns turns;

        for (uint32_t i = 0; i < count; i++) {
            weights[i] = 1 + (uint32_t)(hash_random(&seed) % (4 << round % 7));
            total += weights[i];
            divisor = gcd(weights[i], divisor);
        }
        assert_int_equal(turns_init(&turns, weights, count), 0);
        assert_int_equal(turns.count, total / divisor);
        for (uint32_t turn = 0; turn < turns.count; turn++) {
            assert_int_equal(turns.nodes[turn],
                             model_turn(weights, count, sums));
        }
        for (uint32_t i = 0; i < count; i++) {
            assert_int_equal(sums[i], 0); /* a whole cycle: exact shares */
        }
        turns_fini(&turns);
    }
}

/* 6,000 nodes of these weights would make 1.1 million turns: scaled down, and
 * every node has one. */
static void turns_are_bounded_however_heavy(void **state)
{
    enum { COUNT = 6000 };
    static const uint32_t some[] = {1, 254, 255, 256};
    static uint32_t weights[COUNT];
    static uint32_t loads[COUNT];
    struct turns turns;

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        weights[i] = some[i % 4];
    }
    assert_int_equal(turns_init(&turns, weights, COUNT), 0);
    assert_in_range(turns.count, 1 << 19, (1 << 20) + COUNT);
    for (uint32_t i = 0; i < turns.count; i++) {
        loads[turns.nodes[i]]++;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_in_range(loads[i], 1, weights[i]);
        assert_int_equal(loads[i], loads[i % 4]);
    }
    turns_fini(&turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_go_the_way_of_nginx),
        cmocka_unit_test(nodes_without_weight_have_no_turn),
        cmocka_unit_test(turns_are_smooth_and_exact_over_a_cycle),
        cmocka_unit_test(turns_are_bounded_however_heavy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
