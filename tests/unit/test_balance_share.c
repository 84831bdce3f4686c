/* Picks while one upstream has a share of its weight, as in slow_start. */
#include "balance_scene.h"

#define PICKS 20000
#define MOVES 4000 /* clients that may move */

static struct scene scene;

/* Four equal ones, of which number 1 has that share. */
static void set_four(enum config_balance kind, uint32_t share)
{
    scene_set(&scene, 4);
    scene.slow = 1;
    scene.share = share;
    scene_start(&scene, kind);
}

static void assert_near(uint32_t load, double expected)
{
    double error = load - expected;

    /* Five standard deviations of a binomial distribution, at most. */
    if (error * error > 25 * expected) {
        fail_msg("%u picks instead of %.0f", load, expected);
    }
}

/* Connections stay, as if all clients were alike and none left. */
static void pick_all(uint32_t loads[4])
{
    uint64_t random = 0x736c6f77;

    for (uint32_t n = 0; n < PICKS; n++) {
        ssize_t i = scene_pick(&scene, client_hash(n), hash_random(&random));

        assert_in_range(i, 0, 3);
        loads[i]++;
        scene.active[i]++;
    }
}

static void a_share_of_the_weight_is_that_share_of_the_clients(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        for (uint32_t share = 100; share < 1000; share += 300) {
            double parts = 3 + share / 1000.0;
            uint32_t loads[4] = {0};

            set_four(kind, share);
            pick_all(loads);
            /* random takes the less loaded of two, which evens it out. */
            for (unsigned i = 0; i < 4 && kind != BALANCE_RANDOM; i++) {
                double part = i == 1 ? share / 1000.0 : 1;

                assert_near(loads[i], PICKS * part / parts);
            }
            if (kind == BALANCE_RANDOM) {
                assert_true(loads[1] < PICKS * share / 1000.0 / parts * 1.3);
                assert_true(loads[1] > PICKS * share / 1000.0 / parts / 1.3);
            }
            balance_fini(&scene.balance);
        }
    }
}

static void a_single_upstream_gets_every_client(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        set_four(kind, 100);
        scene.down[0] = scene.down[2] = scene.down[3] = true;
        for (uint32_t n = 0; n < 1000; n++) {
            assert_int_equal(scene_pick(&scene, client_hash(n), n), 1);
        }
        balance_fini(&scene.balance);
    }
}

static void leastconn_without_connections_heeds_the_share(void **state)
{
    uint32_t loads[4] = {0};

    (void)state;
    set_four(BALANCE_LEASTCONN, 100);
    for (uint32_t n = 0; n < 1000; n++) {
        loads[scene_pick(&scene, client_hash(n), n)]++;
    }
    assert_in_range(loads[1], 5, 60); /* a tenth of a quarter */
    balance_fini(&scene.balance);
}

/* While the weight grows, a client moves only to the upstream that came up. */
static void source_moves_clients_to_the_one_that_came_only(void **state)
{
    static int16_t at[MOVES];
    uint32_t moved = 0;

    (void)state;
    for (unsigned weighted = 0; weighted < 2; weighted++) {
        scene_set(&scene, 50);
        scene.slow = 7;
        for (uint32_t i = 0; weighted && i < scene.count; i++) {
            scene.nodes[i].weight = 1 + i % 5;
        }
        scene_start(&scene, BALANCE_SOURCE);
        scene.down[7] = true;
        for (uint32_t n = 0; n < MOVES; n++) {
            at[n] = (int16_t)scene_pick(&scene, client_hash(n), 0);
        }
        scene.down[7] = false;
        for (uint32_t share = 100; share <= 1100; share += 100) {
            scene.share = share > 1000 ? 0 : share;
            for (uint32_t n = 0; n < MOVES; n++) {
                int16_t now = (int16_t)scene_pick(&scene, client_hash(n), 0);

                assert_true(now == at[n] || now == 7);
                moved += now != at[n];
                assert_true(share <= 1000 || now == at[n]);
                at[n] = now;
            }
        }
        assert_true(moved > 0);
        balance_fini(&scene.balance);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_of_the_weight_is_that_share_of_the_clients),
        cmocka_unit_test(a_single_upstream_gets_every_client),
        cmocka_unit_test(leastconn_without_connections_heeds_the_share),
        cmocka_unit_test(source_moves_clients_to_the_one_that_came_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
