#include "base/network_tree.h"

#include "seeded.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define SEED 0x7472656575

static void add(struct network_tree *tree, const char *text, uint8_t value)
{
    struct network network;

    assert_null(network_parse(text, &network));
    assert_int_equal(network_tree_add(tree, &network, value), 0);
}

static int find(const struct network_tree *tree, const char *text)
{
    struct addr addr;

    assert_null(addr_parse_ip(text, &addr));
    return network_tree_find(tree, &addr);
}

static void the_first_network_that_contains_it_decides(void **state)
{
    struct network_tree tree = {0};

    (void)state;
    assert_int_equal(find(&tree, "10.1.2.3"), -1);
    add(&tree, "10.1.0.0/16", 1);
    add(&tree, "10.0.0.0/8", 2);
    add(&tree, "10.2.0.0/16", 3); /* never reached */
    add(&tree, "10.1.0.0/16", 4); /* nor is this */
    add(&tree, "::/0", 5);
    assert_int_equal(find(&tree, "10.1.2.3"), 1);
    assert_int_equal(find(&tree, "10.2.2.3"), 2);
    assert_int_equal(find(&tree, "11.2.2.3"), -1);
    assert_int_equal(find(&tree, "2001:db8::1"), 5);
    network_tree_fini(&tree);
}

static void families_are_told_apart(void **state)
{
    struct addr local = {.family = AF_UNIX};
    struct addr none = {0};
    struct network_tree tree = {0};

    (void)state;
    add(&tree, "0.0.0.0/0", 4);
    assert_int_equal(find(&tree, "::"), -1);
    add(&tree, "::/0", 6);
    assert_int_equal(find(&tree, "::"), 6);
    assert_int_equal(find(&tree, "::ffff:0.0.0.0"), 4);
    assert_int_equal(find(&tree, "255.255.255.255"), 4);
    assert_int_equal(network_tree_find(&tree, &local), -1);
    assert_int_equal(network_tree_find(&tree, &none), -1);
    network_tree_fini(&tree);
}

/* ---- a list that is searched from its beginning ---- */

#define MODEL_MAX 300

static struct network any_network(struct seeded *seeded)
{
    bool four = seeded_below(seeded, 2) == 0;
    struct network network = {.base.family = four ? AF_INET : AF_INET6};
    unsigned bits = four ? 32 : 128;

    /* Few addresses, so that networks lie in one another and are equal. */
    for (unsigned i = 0; i < bits / 8; i++) {
        network.base.ip[i] = seeded_below(seeded, 3) == 0 ? 0x80 : 0;
    }
    network.prefix = (uint8_t)seeded_below(seeded, bits + 1);
    addr_mask(&network.base, network.prefix);
    return network;
}

static int model_find(const struct network *list, size_t count,
                      const struct addr *addr)
{
    for (size_t i = 0; i < count; i++) {
        if (network_contains(&list[i], addr)) {
            return (int)(i % NETWORK_TREE_VALUE_MAX);
        }
    }
    return -1;
}

static void it_agrees_with_a_list(void **state)
{
    (void)state;
    for (uint64_t seed = SEED; seed < SEED + 500; seed++) {
        struct seeded seeded = seeded_start(seed);
        size_t count = seeded_below(&seeded, MODEL_MAX);
        struct network list[MODEL_MAX];
        struct network_tree tree = {0};

        for (size_t i = 0; i < count; i++) {
            list[i] = any_network(&seeded);
            assert_int_equal(
                network_tree_add(&tree, &list[i], i % NETWORK_TREE_VALUE_MAX),
                0);
        }
        seeded_assert(&seeded, tree.count <= 2 * count + 2);
        for (unsigned i = 0; i < 300; i++) {
            struct network near = any_network(&seeded);

            if (i % 2 == 0 && count > 0) { /* the last bit of a network */
                near = list[seeded_below(&seeded, count)];
                if (near.prefix > 0) {
                    near.base.ip[(near.prefix - 1) / 8] ^=
                        0x80 >> (near.prefix - 1) % 8;
                }
            }
            seeded_assert(&seeded, network_tree_find(&tree, &near.base) ==
                                       model_find(list, count, &near.base));
        }
        network_tree_fini(&tree);
    }
}

/* ---- many ---- */

#define MANY    40000
#define SOUGHT  20000
#define LIMIT_S 1 /* a list takes 4 s */

static struct addr scattered(uint32_t i)
{
    struct addr addr = {.family = AF_INET};

    i *= 2654435761u; /* Knuth's: no two are equal */
    memcpy(addr.ip, &i, sizeof(i));
    return addr;
}

static void many_cost_neither_time_nor_memory(void **state)
{
    struct network_tree tree = {0};
    clock_t begun;

    (void)state;
    for (uint32_t i = 0; i < MANY; i++) {
        struct network network = {.base = scattered(i), .prefix = 32};

        assert_int_equal(network_tree_add(&tree, &network, i % 100), 0);
    }
    assert_true(tree.count <= 2 * MANY + 2);
    begun = clock();
    for (uint32_t i = MANY - SOUGHT; i < MANY; i++) {
        struct addr addr = scattered(i);

        assert_int_equal(network_tree_find(&tree, &addr), i % 100);
    }
    assert_true(clock() - begun < LIMIT_S * CLOCKS_PER_SEC);
    network_tree_fini(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_network_that_contains_it_decides),
        cmocka_unit_test(families_are_told_apart),
        cmocka_unit_test(it_agrees_with_a_list),
        cmocka_unit_test(many_cost_neither_time_nor_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
