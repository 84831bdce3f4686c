#include "balance_scene.h"

#include <pthread.h>

#define THREADS 4

static struct scene scene;

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

struct picker {
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
    struct picker *picker = arg;
    struct balance_view view = {.usable = always};

    for (unsigned n = 0; n < 28 * 500; n++) {
        picker->loads[balance_pick(&scene.balance, 0, n, &view)]++;
    }
    return NULL;
}

static void roundrobin_is_exact_over_all_threads(void **state)
{
    struct picker pickers[THREADS] = {0};

    (void)state;
    scene_set(&scene, 7);
    for (uint32_t i = 0; i < 7; i++) {
        scene.nodes[i].weight = 1 + i; /* 28 turns */
    }
    scene_start(&scene, BALANCE_ROUNDROBIN);
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(
            pthread_create(&pickers[t].thread, NULL, take_turns, &pickers[t]),
            0);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_join(pickers[t].thread, NULL), 0);
    }
    for (uint32_t i = 0; i < 7; i++) {
        uint32_t load = 0;

        for (unsigned t = 0; t < THREADS; t++) {
            load += pickers[t].loads[i];
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

/* With one choice instead of two the fullest of 100 would have about 125. */
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
        cmocka_unit_test(roundrobin_goes_the_way_of_nginx),
        cmocka_unit_test(roundrobin_gives_no_neighbour_the_share_of_one_down),
        cmocka_unit_test(roundrobin_keeps_weights_when_the_heavy_one_is_down),
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
