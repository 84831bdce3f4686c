#include "config/access.h"

#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SEED 0x616c6c6f77

static void add(struct access *access, bool allow, const char *text)
{
    struct network network;

    assert_null(network_parse(text, &network));
    assert_int_equal(access_add_network(access, &network, allow), 0);
}

static bool allows(const struct access *access, const char *text)
{
    struct addr addr;

    assert_null(addr_parse_ip(text, &addr));
    return access_allows(access, &addr);
}

static const struct addr local = {.family = AF_UNIX};
static const struct addr nobody; /* no family at all */

static void the_first_rule_that_fits_decides(void **state)
{
    struct access access = {0};

    (void)state;
    add(&access, false, "10.1.0.0/16");
    add(&access, true, "10.0.0.0/8");
    add(&access, false, "::/0");
    assert_false(allows(&access, "10.1.2.3"));
    assert_true(allows(&access, "10.2.2.3"));
    assert_false(allows(&access, "2001:db8::1"));
    access_fini(&access);
}

static void without_a_match_only_an_allow_denies_the_rest(void **state)
{
    struct access access = {0};

    (void)state;
    assert_true(allows(&access, "192.168.0.1"));
    assert_true(access_allows(&access, &local));
    assert_true(access_allows(&access, &nobody));
    add(&access, false, "10.0.0.0/8");
    assert_true(allows(&access, "192.168.0.1"));
    assert_true(access_allows(&access, &local));
    add(&access, true, "11.0.0.0/8");
    assert_false(allows(&access, "192.168.0.1"));
    assert_false(access_allows(&access, &local));
    assert_false(access_allows(&access, &nobody));
    access_fini(&access);
}

/* Not even one that covers every address. */
static void no_network_fits_a_client_without_an_address(void **state)
{
    struct access access = {0};

    (void)state;
    add(&access, true, "0.0.0.0/0");
    add(&access, true, "::/0");
    assert_false(access_allows(&access, &local));
    access_add_unix(&access, true);
    assert_true(access_allows(&access, &local));
    access_add_unix(&access, false);
    assert_true(access_allows(&access, &local));
    access_fini(&access);
    access_add_unix(&access, true);
    assert_false(allows(&access, "10.0.0.1"));
    access_fini(&access);
}

static void all_is_every_client(void **state)
{
    struct access access = {0};

    (void)state;
    add(&access, true, "10.0.0.0/8");
    assert_int_equal(access_add_all(&access, false), 0);
    add(&access, true, "11.0.0.0/8");
    access_add_unix(&access, true);
    assert_true(allows(&access, "10.0.0.1"));
    assert_false(allows(&access, "11.0.0.1"));
    assert_false(allows(&access, "::1"));
    assert_false(access_allows(&access, &local));
    access_fini(&access);
}

/* ---- a list that is searched from its beginning ---- */

#define MODEL_MAX 40

enum model_kind { MODEL_NETWORK, MODEL_UNIX, MODEL_ALL };

struct model_rule {
    enum model_kind kind;
    struct network network;
    bool allow;
};

static struct addr any_client(struct seeded *seeded)
{
    static const uint16_t families[] = {AF_INET, AF_INET6, AF_UNIX};
    struct addr addr = {.family = families[seeded_below(seeded, 3)]};

    if (addr_is_ip(&addr)) {
        addr.ip[0] = (uint8_t)seeded_below(seeded, 4);
        addr.ip[3] = (uint8_t)seeded_below(seeded, 4);
    }
    return addr;
}

static void add_any(struct seeded *seeded, struct model_rule *rule,
                    struct access *access)
{
    rule->allow = seeded_below(seeded, 2) == 0;
    rule->network.base = any_client(seeded);
    rule->network.prefix = (uint8_t)seeded_below(seeded, 33);
    rule->kind = seeded_below(seeded, 20) == 0     ? MODEL_ALL
                 : addr_is_ip(&rule->network.base) ? MODEL_NETWORK
                                                   : MODEL_UNIX;
    addr_mask(&rule->network.base, rule->network.prefix);
    if (rule->kind == MODEL_ALL) {
        assert_int_equal(access_add_all(access, rule->allow), 0);
    } else if (rule->kind == MODEL_UNIX) {
        access_add_unix(access, rule->allow);
    } else {
        assert_int_equal(
            access_add_network(access, &rule->network, rule->allow), 0);
    }
}

static bool model_allows(const struct model_rule *rules, size_t count,
                         const struct addr *client)
{
    bool any_allow = false;

    for (size_t i = 0; i < count; i++) {
        if (rules[i].kind == MODEL_ALL ||
            (rules[i].kind == MODEL_UNIX && !addr_is_ip(client)) ||
            (rules[i].kind == MODEL_NETWORK &&
             network_contains(&rules[i].network, client))) {
            return rules[i].allow;
        }
        any_allow |= rules[i].allow;
    }
    return !any_allow;
}

static void it_agrees_with_a_list(void **state)
{
    (void)state;
    for (uint64_t seed = SEED; seed < SEED + 2000; seed++) {
        struct seeded seeded = seeded_start(seed);
        size_t count = seeded_below(&seeded, MODEL_MAX);
        struct model_rule rules[MODEL_MAX];
        struct access access = {0};

        for (size_t i = 0; i < count; i++) {
            add_any(&seeded, &rules[i], &access);
        }
        for (unsigned i = 0; i < 100; i++) {
            struct addr client = any_client(&seeded);

            seeded_assert(&seeded, access_allows(&access, &client) ==
                                       model_allows(rules, count, &client));
        }
        access_fini(&access);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_rule_that_fits_decides),
        cmocka_unit_test(without_a_match_only_an_allow_denies_the_rest),
        cmocka_unit_test(no_network_fits_a_client_without_an_address),
        cmocka_unit_test(all_is_every_client),
        cmocka_unit_test(it_agrees_with_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
