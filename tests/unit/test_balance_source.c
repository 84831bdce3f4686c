#include "balance_scene.h"

#define CLIENTS 10000

static struct scene scene;

static void source_is_the_same_on_every_machine(void **state)
{
    static const ssize_t equal[8] = {0, 8, 5, 3, 0, 4, 7, 6};
    static const ssize_t weighted[8] = {9, 8, 5, 9, 8, 8, 7, 6};

    (void)state;
    scene_set(&scene, 10);
    scene_start(&scene, BALANCE_SOURCE);
    for (uint64_t client = 0; client < 8; client++) {
        assert_int_equal(scene_pick(&scene, client, 0), equal[client]);
    }
    balance_fini(&scene.balance);
    for (uint32_t i = 0; i < 10; i++) {
        scene.nodes[i].weight = 1 + i * i;
    }
    scene_start(&scene, BALANCE_SOURCE);
    for (uint64_t client = 0; client < 8; client++) {
        assert_int_equal(scene_pick(&scene, client, 0), weighted[client]);
    }
    balance_fini(&scene.balance);
}

static void source_does_not_depend_on_the_order(void **state)
{
    static struct scene reversed;

    (void)state;
    scene_set(&scene, 50);
    scene_set(&reversed, 50);
    for (uint32_t i = 0; i < 50; i++) {
        scene.nodes[i].weight = 1 + i % 7;
        reversed.nodes[49 - i] = scene.nodes[i];
    }
    scene_start(&scene, BALANCE_SOURCE);
    scene_start(&reversed, BALANCE_SOURCE);
    for (uint32_t client = 0; client < 5000; client++) {
        assert_int_equal(scene_pick(&scene, client_hash(client), 1),
                         49 - scene_pick(&reversed, client_hash(client), 2));
    }
    balance_fini(&scene.balance);
    balance_fini(&reversed.balance);
}

static long double power(long double base, uint32_t exponent)
{
    long double result = 1;

    for (; exponent > 0; exponent >>= 1, base *= base) {
        if (exponent & 1) {
            result *= base;
        }
    }
    return result;
}

/*
 * The least -log(hash) / weight is the greatest hash^(1 / weight): of two, the
 * one with the greater hash^(weight of the other). That needs no logarithm.
 */
static ssize_t model_source(const struct scene *at, uint64_t client)
{
    long double best = 0;
    ssize_t found = -1;

    for (uint32_t i = 0; i < at->count; i++) {
        const struct balance_node *node = &at->nodes[i];
        uint64_t hash = hash_mix(hash_mix(client) ^ node->id);
        long double part = (long double)hash / 0x1p64L;

        if (!at->down[i] && (found < 0 || power(part, at->nodes[found].weight) >
                                              power(best, node->weight))) {
            best = part;
            found = i;
        }
    }
    return found;
}

static void source_agrees_with_real_numbers(void **state)
{
    uint64_t seed = 0x6c6f67;

    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        scene_set(&scene, 1 + (uint32_t)(hash_random(&seed) % 60));
        for (uint32_t i = 0; i < scene.count; i++) {
            scene.nodes[i].weight = 1 + hash_random(&seed) % 256;
            scene.down[i] = hash_random(&seed) % 4 == 0;
        }
        scene_start(&scene, BALANCE_SOURCE);
        for (unsigned n = 0; n < 200; n++) {
            uint64_t client = hash_random(&seed);

            assert_int_equal(scene_pick(&scene, client, 0),
                             model_source(&scene, client));
        }
        balance_fini(&scene.balance);
    }
}

static void source_with_and_without_logarithms_agrees(void **state)
{
    static struct scene weighted;

    (void)state;
    scene_set(&scene, 100);
    scene_set(&weighted, 101);
    weighted.nodes[100].weight = 2; /* a backup that is never picked */
    weighted.nodes[100].backup = true;
    scene_start(&scene, BALANCE_SOURCE);
    scene_start(&weighted, BALANCE_SOURCE);
    assert_false(scene.balance.weighted);
    assert_true(weighted.balance.weighted);
    for (uint32_t client = 0; client < 20000; client++) {
        assert_int_equal(scene_pick(&scene, client_hash(client), 0),
                         scene_pick(&weighted, client_hash(client), 0));
    }
    balance_fini(&scene.balance);
    balance_fini(&weighted.balance);
}

/*
 * 10,000 clients over 100 equal upstreams, of which one at a time goes. Only
 * its clients move. They are 1 % on average, with a standard deviation of 0.1
 * points; 0.3 points are allowed.
 */
static void source_moves_only_the_clients_of_the_one_that_goes(void **state)
{
    static ssize_t before[CLIENTS];

    (void)state;
    scene_set(&scene, 100);
    scene_start(&scene, BALANCE_SOURCE);
    for (uint32_t client = 0; client < CLIENTS; client++) {
        before[client] = scene_pick(&scene, client_hash(client), 0);
    }
    for (uint32_t gone = 0; gone < 100; gone += 19) {
        uint32_t moved = 0;

        scene.down[gone] = true;
        for (uint32_t client = 0; client < CLIENTS; client++) {
            ssize_t after = scene_pick(&scene, client_hash(client), 0);

            assert_int_not_equal(after, gone);
            if (before[client] == gone) {
                moved++;
            } else {
                assert_int_equal(after, before[client]);
            }
        }
        scene.down[gone] = false;
        assert_in_range(moved, CLIENTS * 7 / 1000, CLIENTS * 13 / 1000);
    }
    balance_fini(&scene.balance);
}

static void source_treats_removed_and_down_alike(void **state)
{
    static struct scene less;

    (void)state;
    scene_set(&scene, 30);
    scene_set(&less, 29);
    for (uint32_t i = 0; i < 29; i++) {
        less.nodes[i] = scene.nodes[i < 11 ? i : i + 1];
    }
    scene.down[11] = true;
    scene_start(&scene, BALANCE_SOURCE);
    scene_start(&less, BALANCE_SOURCE);
    for (uint32_t client = 0; client < CLIENTS; client++) {
        ssize_t with = scene_pick(&scene, client_hash(client), 0);
        ssize_t without = scene_pick(&less, client_hash(client), 0);

        assert_int_equal(with, without < 11 ? without : without + 1);
    }
    balance_fini(&scene.balance);
    balance_fini(&less.balance);
}

/* Counts the picks of so many clients. */
static void count_loads(uint32_t clients, uint32_t loads[NODES_MAX])
{
    memset(loads, 0, NODES_MAX * sizeof(*loads));
    for (uint32_t client = 0; client < clients; client++) {
        loads[scene_pick(&scene, client_hash(client), 0)]++;
    }
}

/* The variance of the loads of upstreams that are up, relative to the square of
 * the mean. */
static double variance(const uint32_t loads[NODES_MAX], uint32_t up,
                       uint32_t clients)
{
    double mean = (double)clients / up;
    double sum = 0;

    for (uint32_t i = 0; i < scene.count; i++) {
        if (!scene.down[i]) {
            sum += (loads[i] - mean) * (loads[i] - mean);
        }
    }
    return sum / up / (mean * mean);
}

/*
 * Each client falls on one of 99 at random, so that loads deviate by 1 /
 * sqrt(clients / 99): by 10 % with 10,000 clients, by 1.8 % with 300,000. The
 * hash adds next to nothing: with 300,000 clients no upstream is more than 15 %
 * off the mean, and with both numbers the variance is that of chance, whose own
 * standard deviation is 14 %.
 */
static void source_is_even_when_one_has_gone(void **state)
{
    static uint32_t loads[NODES_MAX];
    const uint32_t mean = 300000 / 99;

    (void)state;
    scene_set(&scene, 100);
    scene.down[37] = true;
    scene_start(&scene, BALANCE_SOURCE);
    count_loads(300000, loads);
    for (uint32_t i = 0; i < 100; i++) {
        if (i != 37) {
            assert_in_range(loads[i], mean * 85 / 100, mean * 115 / 100);
        }
    }
    assert_true(variance(loads, 99, 300000) < 99.0 / 300000 * 1.5);

    count_loads(CLIENTS, loads);
    assert_true(variance(loads, 99, CLIENTS) < 99.0 / CLIENTS * 1.5);
    balance_fini(&scene.balance);
}

/* Chi-squared with 98 degrees of freedom: mean 98, deviation 14. */
static void source_spreads_the_clients_of_the_one_that_goes(void **state)
{
    static uint32_t loads[NODES_MAX];
    uint32_t moved = 0;
    double chi = 0;

    (void)state;
    scene_set(&scene, 100);
    scene_start(&scene, BALANCE_SOURCE);
    for (uint32_t n = 0; n < 200000; n++) {
        uint64_t client = client_hash(n);

        if (scene_pick(&scene, client, 0) == 5) {
            scene.down[5] = true;
            loads[scene_pick(&scene, client, 0)]++;
            scene.down[5] = false;
            moved++;
        }
    }
    for (uint32_t i = 0; i < 100; i++) {
        double off = loads[i] - moved / 99.0;

        chi += i == 5 ? 0 : off * off / (moved / 99.0);
    }
    assert_true(chi > 98 - 5 * 14 && chi < 98 + 5 * 14);
    balance_fini(&scene.balance);
}

static void source_respects_weights(void **state)
{
    static const uint32_t weights[] = {1, 2, 4, 8, 1, 16};
    static uint32_t loads[NODES_MAX];
    const uint32_t clients = 32 * 5000;

    (void)state;
    scene_set(&scene, ARRAY_LEN(weights));
    for (uint32_t i = 0; i < ARRAY_LEN(weights); i++) {
        scene.nodes[i].weight = weights[i];
    }
    scene_start(&scene, BALANCE_SOURCE);
    count_loads(clients, loads);
    for (uint32_t i = 0; i < ARRAY_LEN(weights); i++) {
        assert_in_range(loads[i], weights[i] * 4750, weights[i] * 5250);
    }
    balance_fini(&scene.balance);
}

/* Of n in random order, ln n + 0.6 are better than all before them. */
static void source_asks_only_of_those_that_would_win(void **state)
{
    (void)state;
    for (unsigned weighted = 0; weighted < 2; weighted++) {
        scene_set(&scene, 1000);
        scene.nodes[500].weight = 1 + weighted;
        scene_start(&scene, BALANCE_SOURCE);
        for (uint32_t client = 0; client < 1000; client++) {
            assert_true(scene_pick(&scene, client_hash(client), 0) >= 0);
        }
        assert_true(scene.asked < 1000 * 9);
        balance_fini(&scene.balance);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_is_the_same_on_every_machine),
        cmocka_unit_test(source_does_not_depend_on_the_order),
        cmocka_unit_test(source_agrees_with_real_numbers),
        cmocka_unit_test(source_with_and_without_logarithms_agrees),
        cmocka_unit_test(source_moves_only_the_clients_of_the_one_that_goes),
        cmocka_unit_test(source_treats_removed_and_down_alike),
        cmocka_unit_test(source_is_even_when_one_has_gone),
        cmocka_unit_test(source_spreads_the_clients_of_the_one_that_goes),
        cmocka_unit_test(source_respects_weights),
        cmocka_unit_test(source_asks_only_of_those_that_would_win),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
