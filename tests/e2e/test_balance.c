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
#include "stream.h"
#include "teardown.h"
#include "wait.h"

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

/* Connects so often from each of some sources. */
static void connect_from_many(const struct greeters *greeters, unsigned first,
                              unsigned sources, unsigned times,
                              unsigned *counts)
{
    unsigned upstream;

    for (unsigned n = 0; n < sources * times; n++) {
        (void)greeters_connect(&greeters->front,
                               loopback_source(first + n % sources), &upstream);
        counts[upstream]++;
    }
}

/* 64 clients make 90 % of the connections, which stay. */
static void a_bound_keeps_the_sources_of_one_upstream_apart(void **state)
{
    enum { UPSTREAMS = 8, CONNECTIONS = 320, WORKERS = 4 };
    struct greeters greeters;
    unsigned counts[GREETERS_MAX] = {0};
    char upstreams[4096];

    (void)state;
    greeters.front = loopback_new();
    greeters_start_all(&greeters, UPSTREAMS);
    greeters_list(&greeters, 0, NULL, upstreams, sizeof(upstreams));
    greeters.proxy = proxy_start("[global]\nworkers = %u\n"
                                 "[service web]\nlisten = %s\n"
                                 "balance_bound = 125\n%s",
                                 WORKERS, greeters.front.text, upstreams);
    connect_from_many(&greeters, 100, 32, 1, counts);
    connect_from_many(&greeters, 1, 2, 72, counts);
    connect_from_many(&greeters, 3, 72, 2, counts);
    for (unsigned i = 0; i < UPSTREAMS; i++) {
        assert_in_range(counts[i], 1,
                        CONNECTIONS * 125 / 100 / UPSTREAMS + WORKERS);
    }
    greeters_close(&greeters);
}

static void with_a_bound_a_source_comes_back_when_there_is_room(void **state)
{
    struct greeters greeters;
    int held[8];
    unsigned first, upstream;
    unsigned moved = 0;

    (void)state;
    greeters_open(&greeters, 4, NULL, "balance_bound = 200");
    held[0] = greeters_connect(&greeters.front, NULL, &first);
    for (unsigned i = 1; i < 8; i++) {
        held[i] = greeters_connect(&greeters.front, NULL, &upstream);
        moved += upstream != first;
    }
    assert_in_range(moved, 3, 4); /* the bound is four of eight */
    for (unsigned i = 0; i < 8; i++) {
        socket_close(held[i]);
    }
    stats_await(greeters.proxy, NULL, NULL, "active", 0);
    assert_int_equal(greeters_ask(&greeters.front, NULL), first);
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

static void first_fills_one_after_the_other(void **state)
{
    static const char *const options[] = {"backup", "max_connections=2",
                                          "max_connections=3 weight=9", ""};
    static const unsigned expected[] = {1, 1, 2, 2, 2, 3, 3, 3};
    struct greeters greeters;
    unsigned upstream;
    int held[8];

    (void)state;
    greeters_open(&greeters, 4, options, "balance = first");
    for (unsigned i = 0; i < 8; i++) {
        held[i] = greeters_connect(&greeters.front, NULL, &upstream);
        assert_int_equal(upstream, expected[i]);
    }
    socket_close(held[3]);
    stats_await(greeters.proxy, "web", greeters.back[2].text, "active", 2);
    (void)greeters_connect(&greeters.front, NULL, &upstream);
    assert_int_equal(upstream, 2);
    greeters_close(&greeters);
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

/* Ends the upstream's stream. The client's byte arrives after that was seen. */
static void end_and_wait(void (*end)(int upstream), int client, int upstream)
{
    end(upstream);
    socket_send_text(client, "p");
    expect_text(upstream, "p");
}

/* Clients linger after the end of their upstream's stream. With one worker none
 * is taken before the end of the stream before is known. */
static void expect_ended_streams_not_to_count(void (*end)(int upstream))
{
    enum { LINGERING = 8 };
    struct loopback front = loopback_new();
    struct loopback back[2] = {loopback_new(), loopback_new()};
    int listener[2] = {socket_listen(&back[0]), socket_listen(&back[1])};
    struct proxy *proxy =
        proxy_start("[global]\nworkers = 1\n"
                    "[service web]\nlisten = %s\nbalance = leastconn\n"
                    "upstream = %s\nupstream = %s\ntcp_notsent_lowat = 4K\n",
                    front.text, back[0].text, back[1].text);

    (void)socket_connect_narrow(&front);
    wait_until(wait_readable(listener[0], 0) || wait_readable(listener[1], 0));
    unsigned lasting = wait_readable(listener[0], 0) ? 0 : 1;
    unsigned ending = 1 - lasting;
    (void)socket_accept(listener[lasting]);
    for (unsigned i = 0; i < LINGERING; i++) {
        int client = socket_connect_narrow(&front);

        end_and_wait(end, client, socket_accept(listener[ending]));
    }
    stats_await(proxy, "web", back[ending].text, "active", LINGERING);
    stats_await(proxy, "web", back[lasting].text, "active", 1);
    proxy_stop(proxy);
}

static void leastconn_does_not_count_what_an_upstream_has_ended(void **state)
{
    (void)state;
    expect_ended_streams_not_to_count(socket_finish);
}

/* More than the kernel of a client that does not read takes, with one block. */
static void send_much_and_finish(int upstream)
{
    struct stream out = {.fd = upstream, .seed = 1, .bytes = 60000};

    stream_send(&out);
    assert_null(out.error);
    socket_await_acknowledged(upstream);
    socket_finish(upstream);
}

static void leastconn_does_not_count_what_clients_have_yet_to_read(void **state)
{
    (void)state;
    expect_ended_streams_not_to_count(send_much_and_finish);
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
        E2E(a_bound_keeps_the_sources_of_one_upstream_apart),
        E2E(with_a_bound_a_source_comes_back_when_there_is_room),
        E2E(first_fills_one_after_the_other),
        E2E(a_hash_prefix_makes_one_source_of_a_network),
        E2E(a_hash_prefix_for_ipv6_counts_its_own_bits),
        E2E(round_robin_takes_turns_over_all_workers),
        E2E(leastconn_fills_the_emptiest),
        E2E(leastconn_does_not_count_what_an_upstream_has_ended),
        E2E(leastconn_does_not_count_what_clients_have_yet_to_read),
        E2E(random_uses_all_by_weight),
        E2E(a_backup_waits_until_all_others_are_down),
        E2E(a_full_upstream_is_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
