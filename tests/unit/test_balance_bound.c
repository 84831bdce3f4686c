/* balance = source with balance_bound, against the bound's definition. */
#include "balance_scene.h"

#define BOUND 125

static struct scene scene;

/* Of all weights that are up. */
static uint32_t weights(void)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < scene.count; i++) {
        sum += scene.down[i] ? 0 : scene.nodes[i].weight;
    }
    return sum;
}

/* ceil(bound / 100 * total * its share) */
static uint32_t most(uint32_t i, uint32_t total)
{
    uint64_t parts = (uint64_t)scene.bound * total * scene.nodes[i].weight;
    uint64_t whole = UINT64_C(100) * weights();

    return (uint32_t)((parts + whole - 1) / whole);
}

static ssize_t first_choice(uint64_t client)
{
    uint32_t bound = scene.bound;
    ssize_t first;

    scene.bound = 0;
    first = scene_pick(&scene, client, 0);
    scene.bound = bound;
    return first;
}

/* Answers whether the client has got its first choice. */
static bool connect_one(uint64_t client)
{
    uint32_t total = scene_total(&scene) + 1;
    ssize_t first = first_choice(client);
    ssize_t got = scene_pick(&scene, client, 0);

    assert_in_range(got, 0, scene.count - 1);
    assert_false(scene.down[got]);
    assert_true(scene.active[got] < most((uint32_t)got, total));
    if (scene.active[first] < most((uint32_t)first, total)) {
        assert_int_equal(got, first);
    }
    scene.active[got]++;
    return got == first;
}

/* 64 clients make 90 % of the connections. */
static uint64_t any_client(uint64_t *seed)
{
    bool hot = hash_random(seed) % 10 != 0;

    return client_hash((uint32_t)(hash_random(seed) % (hot ? 64 : 60000)));
}

static void no_upstream_has_more_than_the_bound(void **state)
{
    uint64_t seed = 0x626f756e64;
    unsigned moved = 0;

    (void)state;
    scene_set(&scene, 20);
    scene.bound = BOUND;
    scene_start(&scene, BALANCE_SOURCE);
    for (unsigned n = 0; n < 10000; n++) {
        moved += !connect_one(any_client(&seed));
    }
    for (uint32_t i = 0; i < scene.count; i++) {
        assert_in_range(scene.active[i], 0, 10000 / 20 * BOUND / 100);
    }
    assert_in_range(moved, 100, 5000);
    balance_fini(&scene.balance);
}

static void weights_and_those_down_count(void **state)
{
    uint64_t seed = 0x77656967;

    (void)state;
    scene_set(&scene, 12);
    for (uint32_t i = 0; i < scene.count; i++) {
        scene.nodes[i].weight = 1 + i * i;
        scene.down[i] = i % 5 == 2;
    }
    scene.bound = 110;
    scene_start(&scene, BALANCE_SOURCE);
    for (unsigned n = 0; n < 20000; n++) {
        uint32_t i = (uint32_t)(hash_random(&seed) % scene.count);

        if (n > 1000 && scene.active[i] > 0) {
            scene.active[i]--;
        }
        (void)connect_one(any_client(&seed));
    }
    balance_fini(&scene.balance);
}

/* A tenth of the weight against one: 100 of 1100. */
static void an_upstream_in_slow_start_has_its_lesser_share(void **state)
{
    (void)state;
    scene_set(&scene, 2);
    scene.slow = 1;
    scene.share = BALANCE_SHARE_ALL / 10;
    scene.bound = 101;
    scene_start(&scene, BALANCE_SOURCE);
    for (uint32_t n = 0; n < 1100; n++) {
        scene.active[scene_pick(&scene, client_hash(n % 3), 0)]++;
    }
    assert_in_range(scene.active[1], 90, 102);
    balance_fini(&scene.balance);
}

static void one_client_alone_is_spread(void **state)
{
    (void)state;
    scene_set(&scene, 4);
    scene.bound = 101;
    scene_start(&scene, BALANCE_SOURCE);
    for (unsigned n = 0; n < 400; n++) {
        (void)connect_one(client_hash(7));
    }
    for (uint32_t i = 0; i < 4; i++) {
        assert_in_range(scene.active[i], 96, 101);
    }
    balance_fini(&scene.balance);
}

/* Connections of upstreams that went down leave the others room. */
static void nobody_is_refused(void **state)
{
    (void)state;
    scene_set(&scene, 8);
    scene.bound = 101;
    scene_start(&scene, BALANCE_SOURCE);
    for (unsigned n = 0; n < 800; n++) {
        (void)connect_one(client_hash(n));
    }
    for (uint32_t i = 0; i < 7; i++) {
        scene.down[i] = true;
    }
    for (unsigned n = 0; n < 800; n++) {
        assert_int_equal(scene_pick(&scene, client_hash(n), 0), 7);
        scene.active[7]++;
    }
    scene.down[7] = true;
    assert_int_equal(scene_pick(&scene, client_hash(1), 0), -1);
    balance_fini(&scene.balance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_upstream_has_more_than_the_bound),
        cmocka_unit_test(weights_and_those_down_count),
        cmocka_unit_test(an_upstream_in_slow_start_has_its_lesser_share),
        cmocka_unit_test(one_client_alone_is_spread),
        cmocka_unit_test(nobody_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
