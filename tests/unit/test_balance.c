#include "service/balance.h"

#include "base/hash.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES_MAX 1024
#define KINDS     (BALANCE_RANDOM + 1)

/* Upstreams 10.0.x.y:80 as a pick sees them. */
struct scene {
    struct balance balance;
    struct balance_node nodes[NODES_MAX];
    bool down[NODES_MAX];
    uint32_t active[NODES_MAX];
    uint32_t count;
    uint32_t asked; /* about being usable */
};

static bool scene_usable(void *arg, uint32_t i)
{
    struct scene *scene = arg;

    assert_true(i < scene->count);
    scene->asked++;
    return !scene->down[i];
}

static uint32_t scene_active(void *arg, uint32_t i)
{
    struct scene *scene = arg;

    assert_true(i < scene->count);
    return scene->active[i];
}

static uint64_t node_id(uint32_t i)
{
    char text[32];
    int length = snprintf(text, sizeof(text), "10.0.%" PRIu32 ".%" PRIu32 ":80",
                          i / 250, i % 250 + 1);

    return hash_bytes(text, (size_t)length, 0);
}

static void scene_set(struct scene *scene, uint32_t count)
{
    memset(scene, 0, sizeof(*scene));
    scene->count = count;
    for (uint32_t i = 0; i < count; i++) {
        scene->nodes[i].id = node_id(i);
        scene->nodes[i].weight = 1;
    }
}

static void scene_start(struct scene *scene, enum config_balance kind)
{
    assert_int_equal(
        balance_init(&scene->balance, kind, scene->nodes, scene->count), 0);
}

static ssize_t scene_pick(struct scene *scene, uint64_t client, uint64_t random)
{
    struct balance_probe probe = {scene_usable, scene_active, scene};

    return balance_pick(&scene->balance, client, random, &probe);
}

/* The n-th of the addresses from 192.168.0.0 on. */
static uint64_t client_hash(uint32_t n)
{
    struct addr addr = {.family = AF_INET};
    uint32_t ip = htonl(UINT32_C(0xc0a80000) + n);

    memcpy(addr.ip, &ip, sizeof(ip));
    return addr_hash(&addr, 32, 128);
}

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

static void source_does_not_mind_the_order(void **state)
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
 * The least -log(hash) / weight is the greatest hash^(1 / weight), of two that
 * with the greater hash^(weight of the other): no logarithm at all.
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
    weighted.nodes[100].weight = 2; /* a backup that no one gets to */
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

#define CLIENTS 10000

/*
 * 10,000 clients, one after the other, over 100 equal upstreams; each upstream
 * goes in turn. Its clients move and no other. They are 1 % on average by
 * arithmetic; of a given upstream within the noise of 100 in 10,000 (a standard
 * deviation of 0.1 points), 0.3 points.
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

static void source_takes_one_removed_as_one_that_is_down(void **state)
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

/* Counts the picks of so many clients, one after the other. */
static void count_loads(uint32_t clients, uint32_t loads[NODES_MAX])
{
    memset(loads, 0, NODES_MAX * sizeof(*loads));
    for (uint32_t client = 0; client < clients; client++) {
        loads[scene_pick(&scene, client_hash(client), 0)]++;
    }
}

/* The variance of the loads of those up, in parts of the mean's square. */
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
 * Each client falls on one of 99 by chance, so that loads differ as those of
 * dice do: by 1 / sqrt(clients / 99), which is 10 % with 10,000 clients. What
 * the hash may add to that is next to nothing: with 300,000 clients (dice:
 * 1.8 %) no upstream is more than 15 % off the mean; the variance is that of
 * dice (its own standard deviation is 14 %), with 10,000 as well.
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

/* Of n in random order, ln n + 0.6 are the best so far when they come. */
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

static void roundrobin_goes_the_way_of_nginx(void **state)
{
    static const ssize_t expected[] = {0, 0, 1, 0, 2, 0, 0};

    (void)state;
    scene_set(&scene, 3);
    scene.nodes[0].weight = 10;
    scene.nodes[1].weight = 2;
    scene.nodes[2].weight = 2;
    scene_start(&scene, BALANCE_ROUNDROBIN);
    for (unsigned n = 0; n < 21; n++) {
        assert_int_equal(scene_pick(&scene, 0, n), expected[n % 7]);
    }
    balance_fini(&scene.balance);
}

/* Smooth weighted round robin as it is told, with one sum for each. */
static uint32_t model_roundrobin(int64_t *sums, int64_t total)
{
    uint32_t best = 0;

    for (uint32_t i = 0; i < scene.count; i++) {
        sums[i] += scene.nodes[i].weight;
        if (sums[i] > sums[best]) {
            best = i;
        }
    }
    sums[best] -= total;
    return best;
}

static void roundrobin_is_smooth_and_exact_over_a_cycle(void **state)
{
    uint64_t seed = 0x7272;

    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        int64_t sums[64] = {0};
        uint32_t loads[64] = {0};
        uint32_t total = 0;

        scene_set(&scene, 1 + (uint32_t)(hash_random(&seed) % 40));
        for (uint32_t i = 0; i < scene.count; i++) {
            scene.nodes[i].weight = 1 + hash_random(&seed) % (4 << round % 7);
            total += scene.nodes[i].weight;
        }
        scene_start(&scene, BALANCE_ROUNDROBIN);
        for (uint32_t turn = 0; turn < total; turn++) {
            ssize_t found = scene_pick(&scene, 0, turn);

            assert_int_equal(found, model_roundrobin(sums, total));
            loads[found]++;
        }
        for (uint32_t i = 0; i < scene.count; i++) {
            assert_int_equal(loads[i], scene.nodes[i].weight);
        }
        balance_fini(&scene.balance);
    }
}

static void roundrobin_gives_no_neighbour_the_share_of_one_down(void **state)
{
    uint32_t loads[5] = {0};

    (void)state;
    scene_set(&scene, 5);
    scene.down[1] = true;
    scene_start(&scene, BALANCE_ROUNDROBIN);
    for (unsigned n = 0; n < 4000; n++) {
        loads[scene_pick(&scene, 0, n)]++;
    }
    assert_int_equal(loads[0], 1000);
    assert_int_equal(loads[1], 0);
    assert_int_equal(loads[2], 1000);
    assert_int_equal(loads[3], 1000);
    assert_int_equal(loads[4], 1000);
    balance_fini(&scene.balance);
}

static void roundrobin_keeps_weights_when_the_heavy_one_is_down(void **state)
{
    uint64_t seed = 0x68656176;
    uint32_t loads[3] = {0};

    (void)state;
    scene_set(&scene, 3);
    scene.nodes[0].weight = 256;
    scene.nodes[2].weight = 3;
    scene.down[0] = true;
    scene_start(&scene, BALANCE_ROUNDROBIN);
    for (unsigned n = 0; n < 40000; n++) {
        loads[scene_pick(&scene, 0, hash_random(&seed))]++;
    }
    assert_in_range(loads[1], 9500, 10500);
    assert_in_range(loads[2], 29500, 30500);
    balance_fini(&scene.balance);
}

/* 6,000 upstreams of these weights would make 1.1 million turns: scaled down,
 * and everyone has one. */
static void roundrobin_is_bounded_however_heavy(void **state)
{
    enum { COUNT = 6000 };
    static const uint32_t weights[] = {1, 254, 255, 256};
    static struct balance_node nodes[COUNT];
    static uint32_t turns[COUNT];
    struct balance balance;

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        nodes[i] = (struct balance_node){node_id(i), weights[i % 4], false};
    }
    assert_int_equal(balance_init(&balance, BALANCE_ROUNDROBIN, nodes, COUNT),
                     0);
    assert_in_range(balance.classes[0].turn_count, 1 << 19, (1 << 20) + COUNT);
    for (uint32_t i = 0; i < balance.classes[0].turn_count; i++) {
        turns[balance.classes[0].turns[i]]++;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_in_range(turns[i], 1, nodes[i].weight);
        assert_int_equal(turns[i], turns[i % 4]);
    }
    balance_fini(&balance);
}

#define THREADS 4

struct turns {
    pthread_t thread;
    uint32_t loads[7];
};

static bool always(void *arg, uint32_t i)
{
    (void)arg;
    (void)i;
    return true;
}

static void *take_turns(void *arg)
{
    struct turns *turns = arg;
    struct balance_probe probe = {.usable = always};

    for (unsigned n = 0; n < 28 * 500; n++) {
        turns->loads[balance_pick(&scene.balance, 0, n, &probe)]++;
    }
    return NULL;
}

static void roundrobin_is_exact_over_all_threads(void **state)
{
    struct turns turns[THREADS] = {0};

    (void)state;
    scene_set(&scene, 7);
    for (uint32_t i = 0; i < 7; i++) {
        scene.nodes[i].weight = 1 + i; /* 28 turns */
    }
    scene_start(&scene, BALANCE_ROUNDROBIN);
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(
            pthread_create(&turns[t].thread, NULL, take_turns, &turns[t]), 0);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_join(turns[t].thread, NULL), 0);
    }
    for (uint32_t i = 0; i < 7; i++) {
        uint32_t load = 0;

        for (unsigned t = 0; t < THREADS; t++) {
            load += turns[t].loads[i];
        }
        assert_int_equal(load, THREADS * 500 * (1 + i));
    }
    balance_fini(&scene.balance);
}

static void leastconn_takes_the_least_per_weight(void **state)
{
    (void)state;
    scene_set(&scene, 3);
    scene.nodes[1].weight = 4;
    scene.active[0] = 10;
    scene.active[1] = 39;
    scene.active[2] = 11;
    scene_start(&scene, BALANCE_LEASTCONN);
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(scene_pick(&scene, 0, n), 1);
    }
    scene.active[1] = 41;
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(scene_pick(&scene, 0, n), 0);
    }
    scene.down[0] = true;
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(scene_pick(&scene, 0, n), 1);
    }
    balance_fini(&scene.balance);
}

static void leastconn_breaks_ties_by_turns(void **state)
{
    uint32_t loads[4] = {0};

    (void)state;
    scene_set(&scene, 4);
    scene_start(&scene, BALANCE_LEASTCONN);
    for (unsigned n = 0; n < 400; n++) {
        loads[scene_pick(&scene, 0, 0)]++;
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(loads[i], 100);
    }
    balance_fini(&scene.balance);
}

static void leastconn_fills_up_by_weight(void **state)
{
    (void)state;
    scene_set(&scene, 4);
    for (uint32_t i = 0; i < 4; i++) {
        scene.nodes[i].weight = 1 + i;
    }
    scene_start(&scene, BALANCE_LEASTCONN);
    for (unsigned n = 0; n < 1000; n++) {
        scene.active[scene_pick(&scene, 0, 0)]++;
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_in_range(scene.active[i], 99 * (1 + i), 101 * (1 + i));
    }
    balance_fini(&scene.balance);
}

static void random_takes_the_less_loaded_of_two(void **state)
{
    uint64_t seed = 0x72616e64;

    (void)state;
    scene_set(&scene, 2);
    scene.nodes[1].weight = 2;
    scene.active[0] = 10;
    scene.active[1] = 19;
    scene_start(&scene, BALANCE_RANDOM);
    for (unsigned n = 0; n < 1000; n++) {
        assert_int_equal(scene_pick(&scene, 0, hash_random(&seed)), 1);
    }
    scene.active[1] = 21;
    for (unsigned n = 0; n < 1000; n++) {
        assert_int_equal(scene_pick(&scene, 0, hash_random(&seed)), 0);
    }
    balance_fini(&scene.balance);
}

static void random_draws_by_weight(void **state)
{
    uint64_t seed = 0x64726177;
    uint32_t loads[4] = {0};

    (void)state;
    scene_set(&scene, 4);
    for (uint32_t i = 0; i < 4; i++) {
        scene.nodes[i].weight = 1 + i;
    }
    scene_start(&scene, BALANCE_RANDOM);
    for (unsigned n = 0; n < 100000; n++) { /* all idle: the first drawn */
        loads[scene_pick(&scene, 0, hash_random(&seed))]++;
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_in_range(loads[i], 9500 * (1 + i), 10500 * (1 + i));
    }
    balance_fini(&scene.balance);
}

/* With one choice the fullest of 100 would have about 125. */
static void random_keeps_loads_close(void **state)
{
    uint64_t seed = 0x74776f;

    (void)state;
    scene_set(&scene, 100);
    scene_start(&scene, BALANCE_RANDOM);
    for (unsigned n = 0; n < 10000; n++) {
        scene.active[scene_pick(&scene, 0, hash_random(&seed))]++;
    }
    for (uint32_t i = 0; i < 100; i++) {
        assert_in_range(scene.active[i], 90, 105);
    }
    balance_fini(&scene.balance);
}

static void backups_wait_until_no_primary_is_usable(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        uint32_t loads[6] = {0};
        uint64_t seed = kind;

        scene_set(&scene, 6);
        scene.nodes[1].backup = true;
        scene.nodes[4].backup = true;
        scene.nodes[4].weight = 3;
        scene_start(&scene, kind);
        for (unsigned n = 0; n < 100; n++) {
            ssize_t found = scene_pick(&scene, n, hash_random(&seed));

            assert_true(found >= 0 && !scene.nodes[found].backup);
        }
        scene.down[0] = scene.down[2] = scene.down[3] = scene.down[5] = true;
        for (unsigned n = 0; n < 400; n++) {
            loads[scene_pick(&scene, n, hash_random(&seed))]++;
        }
        assert_int_equal(loads[1] + loads[4], 400);
        assert_true(loads[1] > 50 && loads[4] > 50);
        balance_fini(&scene.balance);
    }
}

static void nobody_is_picked_when_nobody_is_there(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        scene_set(&scene, 0);
        scene_start(&scene, kind);
        assert_int_equal(scene_pick(&scene, 1, 1), -1);
        balance_fini(&scene.balance);

        scene_set(&scene, 1);
        scene_start(&scene, kind);
        assert_int_equal(scene_pick(&scene, 1, 1), 0);
        scene.down[0] = true;
        assert_int_equal(scene_pick(&scene, 1, 1), -1);
        balance_fini(&scene.balance);
    }
}

/* Whether some node of the class is up. */
static bool any_up(bool backup)
{
    for (uint32_t i = 0; i < scene.count; i++) {
        if (scene.nodes[i].backup == backup && !scene.down[i]) {
            return true;
        }
    }
    return false;
}

static void a_usable_one_is_always_found(void **state)
{
    uint64_t seed = 0x666f756e64;

    (void)state;
    for (unsigned round = 0; round < 4000; round++) {
        unsigned kind = round % KINDS;
        uint64_t up_one_in = 1 + hash_random(&seed) % 20;
        ssize_t found;

        scene_set(&scene, (uint32_t)(hash_random(&seed) % 30));
        for (uint32_t i = 0; i < scene.count; i++) {
            scene.nodes[i].weight = 1 + hash_random(&seed) % 256;
            scene.nodes[i].backup = hash_random(&seed) % 4 == 0;
            scene.down[i] = hash_random(&seed) % up_one_in != 0;
            scene.active[i] = hash_random(&seed) % 1000;
        }
        scene_start(&scene, kind);
        found = scene_pick(&scene, hash_random(&seed), hash_random(&seed));
        if (found >= 0) {
            assert_false(scene.down[found]);
            assert_int_equal(scene.nodes[found].backup, !any_up(false));
        } else {
            assert_false(any_up(false) || any_up(true));
        }
        balance_fini(&scene.balance);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_is_the_same_on_every_machine),
        cmocka_unit_test(source_does_not_mind_the_order),
        cmocka_unit_test(source_agrees_with_real_numbers),
        cmocka_unit_test(source_with_and_without_logarithms_agrees),
        cmocka_unit_test(source_moves_only_the_clients_of_the_one_that_goes),
        cmocka_unit_test(source_takes_one_removed_as_one_that_is_down),
        cmocka_unit_test(source_is_even_when_one_has_gone),
        cmocka_unit_test(source_spreads_the_clients_of_the_one_that_goes),
        cmocka_unit_test(source_respects_weights),
        cmocka_unit_test(source_asks_only_of_those_that_would_win),
        cmocka_unit_test(roundrobin_goes_the_way_of_nginx),
        cmocka_unit_test(roundrobin_is_smooth_and_exact_over_a_cycle),
        cmocka_unit_test(roundrobin_gives_no_neighbour_the_share_of_one_down),
        cmocka_unit_test(roundrobin_keeps_weights_when_the_heavy_one_is_down),
        cmocka_unit_test(roundrobin_is_bounded_however_heavy),
        cmocka_unit_test(roundrobin_is_exact_over_all_threads),
        cmocka_unit_test(leastconn_takes_the_least_per_weight),
        cmocka_unit_test(leastconn_breaks_ties_by_turns),
        cmocka_unit_test(leastconn_fills_up_by_weight),
        cmocka_unit_test(random_takes_the_less_loaded_of_two),
        cmocka_unit_test(random_draws_by_weight),
        cmocka_unit_test(random_keeps_loads_close),
        cmocka_unit_test(backups_wait_until_no_primary_is_usable),
        cmocka_unit_test(nobody_is_picked_when_nobody_is_there),
        cmocka_unit_test(a_usable_one_is_always_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
