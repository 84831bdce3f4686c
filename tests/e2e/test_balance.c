/*
 * Which upstream takes a connection: every algorithm of the key balance,
 * weights, backups and limits of upstreams.
 */
#include "expect.h"
#include "greeters.h"
#include "loopback.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"

#include <stdio.h>

static void a_source_keeps_its_upstream(void **state)
{
    struct greeters greeters;
    unsigned counts[GREETERS_MAX] = {0};

    (void)state;
    greeters_open(&greeters, 4, NULL, "");
    for (unsigned n = 1; n <= 60; n++) {
        unsigned upstream = greeters_ask(&greeters.front, loopback_source(n));

        counts[upstream]++;
        assert_int_equal(greeters_ask(&greeters.front, loopback_source(n)),
                         upstream);
        assert_int_equal(greeters_ask(&greeters.front, loopback_source(n)),
                         upstream);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_in_range(counts[i], 3, 40);
    }
    greeters_close(&greeters);
}

static void an_upstream_that_goes_moves_only_its_own_clients(void **state)
{
    enum { SOURCES = 400, UPSTREAMS = 8 };
    struct greeters greeters;
    unsigned before[SOURCES + 1];
    unsigned moved = 0;
    char upstreams[4096];

    (void)state;
    greeters_open(&greeters, UPSTREAMS, NULL, "balance = source");
    for (unsigned n = 1; n <= SOURCES; n++) {
        before[n] = greeters_ask(&greeters.front, loopback_source(n));
    }
    greeters_list(&greeters, 1, NULL, upstreams, sizeof(upstreams));
    proxy_configure(greeters.proxy,
                    "[service web]\nlisten = %s\nbalance = source\n%s",
                    greeters.front.text, upstreams);
    proxy_reload(greeters.proxy);
    for (unsigned n = 1; n <= SOURCES; n++) {
        unsigned now = greeters_ask(&greeters.front, loopback_source(n));

        assert_int_not_equal(now, 0);
        if (before[n] != 0) {
            assert_int_equal(now, before[n]);
        }
        moved += before[n] == 0;
    }
    assert_in_range(moved, SOURCES / UPSTREAMS / 3, SOURCES / UPSTREAMS * 2);
    greeters_close(&greeters);
}

static void weights_share_out_the_sources(void **state)
{
    static const char *const options[] = {"weight=3", "weight=1"};
    struct greeters greeters;
    unsigned counts[GREETERS_MAX] = {0};

    (void)state;
    greeters_open(&greeters, 2, options, "");
    for (unsigned n = 1; n <= 300; n++) {
        counts[greeters_ask(&greeters.front, loopback_source(n))]++;
    }
    assert_in_range(counts[0], 190, 260); /* 225, within 4.5 deviations */
    greeters_close(&greeters);
}

static void a_hash_prefix_makes_one_source_of_a_network(void **state)
{
    struct greeters greeters;

    (void)state;
    greeters_open(&greeters, 8, NULL, "hash_prefix_v4 = 8");
    unsigned upstream = greeters_ask(&greeters.front, "127.1.2.3");
    for (unsigned n = 1; n < 30; n++) {
        assert_int_equal(
            greeters_ask(&greeters.front, loopback_source(n * 991)), upstream);
    }
    greeters_close(&greeters);
}

/* Four services with the same upstreams, one for each prefix. Answers which
 * upstream ::1 gets from each. */
static void ask_with_prefixes(const unsigned *bits, unsigned *upstream)
{
    enum { SERVICES = 4, UPSTREAMS = 8 };
    struct greeters greeters;
    struct loopback front[SERVICES];
    char upstreams[1024];
    char text[4096];
    int used = 0;

    greeters_start_all(&greeters, UPSTREAMS);
    greeters_list(&greeters, 0, NULL, upstreams, sizeof(upstreams));
    for (unsigned i = 0; i < SERVICES; i++) {
        front[i] = loopback_on("[::1]");
        used += snprintf(text + used, sizeof(text) - (size_t)used,
                         "[service s%u]\nlisten = %s\n"
                         "hash_prefix_v6 = %u\n%s",
                         i, front[i].text, bits[i], upstreams);
    }
    struct proxy *proxy = proxy_start("%s", text);
    for (unsigned i = 0; i < SERVICES; i++) {
        upstream[i] = greeters_ask(&front[i], NULL);
    }
    proxy_stop(proxy);
    greeters_stop_all(&greeters);
}

/* Loopback has ::1 alone. Without its last bit it is another source, the same
 * for every shorter prefix. */
static void a_hash_prefix_for_ipv6_counts_its_own_bits(void **state)
{
    static const unsigned bits[] = {0, 64, 127, 128};
    bool differs = false;

    (void)state;
    /* Both sources may get the same upstream by chance. Then others are tried:
     * new ones, as the same upstream could win again and again. */
    for (unsigned round = 0; round < 8 && !differs; round++) {
        unsigned upstream[4];

        ask_with_prefixes(bits, upstream);
        assert_int_equal(upstream[1], upstream[0]);
        assert_int_equal(upstream[2], upstream[0]);
        differs = upstream[3] != upstream[0];
    }
    assert_true(differs);
}

static void round_robin_takes_turns_over_all_workers(void **state)
{
    static const char *const options[] = {"weight=2", "", "weight=1"};
    struct greeters greeters;
    unsigned counts[GREETERS_MAX];

    (void)state;
    greeters_open(&greeters, 3, options, "balance = roundrobin");
    greeters_count(&greeters, 80, counts);
    assert_int_equal(counts[0], 40);
    assert_int_equal(counts[1], 20);
    assert_int_equal(counts[2], 20);
    greeters_close(&greeters);
}

static void leastconn_fills_the_emptiest(void **state)
{
    struct greeters greeters;
    int held[9];
    unsigned upstream;
    unsigned counts[GREETERS_MAX] = {0};

    (void)state;
    greeters_open(&greeters, 3, NULL, "balance = leastconn");
    for (unsigned i = 0; i < 9; i++) {
        held[i] = greeters_connect(&greeters.front, NULL, &upstream);
        counts[upstream]++;
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(counts[i], 3);
    }
    socket_close(held[4]);
    stats_await(greeters.proxy, NULL, NULL, "active", 8);
    int next = greeters_connect(&greeters.front, NULL, &upstream);
    for (unsigned i = 0; i < 3; i++) {
        stats_await(greeters.proxy, "web", greeters.back[i].text, "active", 3);
    }
    socket_close(next);
    greeters_close(&greeters);
}

static void random_uses_all_by_weight(void **state)
{
    static const char *const options[] = {"weight=6", "weight=2", "weight=2"};
    struct greeters greeters;
    unsigned counts[GREETERS_MAX];

    (void)state;
    greeters_open(&greeters, 3, options, "balance = random");
    greeters_count(&greeters, 200, counts);
    assert_in_range(counts[0], 70, 180);
    assert_in_range(counts[1], 10, 90);
    assert_in_range(counts[2], 10, 90);
    greeters_close(&greeters);
}

static void a_backup_waits_until_all_others_are_down(void **state)
{
    static const char *const options[] = {"", "", "backup"};
    struct greeters greeters;
    unsigned counts[GREETERS_MAX];

    (void)state;
    greeters_open(
        &greeters, 3, options,
        "balance = roundrobin\nfail_threshold = 1\nfail_window = 200ms");
    greeters_count(&greeters, 20, counts);
    assert_int_equal(counts[2], 0);
    greeters_stop(&greeters, 0);
    greeters_count(&greeters, 20, counts);
    assert_int_equal(counts[1], 20);
    greeters_stop(&greeters, 1);
    greeters_count(&greeters, 20, counts);
    assert_int_equal(counts[2], 20);
    greeters_start(&greeters, 0);
    proxy_line(greeters.proxy, "^upstream service=web address=[^ ]+ state=up");
    greeters_count(&greeters, 20, counts);
    assert_int_equal(counts[0], 20);
    greeters_close(&greeters);
}

static void a_full_upstream_is_passed_over(void **state)
{
    static const char *const options[] = {"max_connections=2",
                                          "max_connections=1"};
    struct greeters greeters;
    unsigned counts[GREETERS_MAX] = {0};
    int held[3];
    unsigned upstream;

    (void)state;
    greeters_open(&greeters, 2, options, "");
    for (unsigned i = 0; i < 3; i++) { /* one source: it would go to one */
        held[i] = greeters_connect(&greeters.front, NULL, &upstream);
        counts[upstream]++;
    }
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 1);
    expect_connect_ended(&greeters.front);
    stats_await_cause(greeters.proxy, "no_upstream", 1);
    socket_close(held[1]);
    stats_await(greeters.proxy, NULL, NULL, "active", 2);
    greeters_connect(&greeters.front, NULL, &upstream);
    greeters_close(&greeters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_source_keeps_its_upstream),
        E2E(an_upstream_that_goes_moves_only_its_own_clients),
        E2E(weights_share_out_the_sources),
        E2E(a_hash_prefix_makes_one_source_of_a_network),
        E2E(a_hash_prefix_for_ipv6_counts_its_own_bits),
        E2E(round_robin_takes_turns_over_all_workers),
        E2E(leastconn_fills_the_emptiest),
        E2E(random_uses_all_by_weight),
        E2E(a_backup_waits_until_all_others_are_down),
        E2E(a_full_upstream_is_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
