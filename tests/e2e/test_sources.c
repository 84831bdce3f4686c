/*
 * Limits of sources: what is one source, the rate that its connections share,
 * and a table that is full of them.
 */
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "header_fixture.h"
#include "http.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* ---- prefixes ---- */

static void a_prefix_of_ipv4_makes_one_source_of_many(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "",
                 "max_connections_per_source = 2\nsource_prefix_v4 = 24");
    struct pair first = pair_connect_from(&fixture, "127.9.0.1");
    struct pair second = pair_connect_from(&fixture, "127.9.0.2");
    expect_connect_reset("127.9.0.3", &fixture.front, NULL);
    struct pair other = pair_connect_from(&fixture, "127.9.1.1");
    pair_ping(&other);
    stats_await_cause(fixture.proxy, "limit_source", 1);

    /* Those that are there leave as they have come. */
    fixture_reload(&fixture, "max_connections_per_source = 1");
    struct pair third = pair_connect_from(&fixture, "127.9.0.3");
    pair_ping(&third);
    pair_close(&first);
    pair_close(&second);
    stats_await(fixture.proxy, "web", NULL, "active", 2);
    expect_connect_reset("127.9.0.3", &fixture.front, NULL);
    first = pair_connect_from(&fixture, "127.9.0.1");
    pair_ping(&first);
    fixture_close(&fixture);
}

static void a_64_of_ipv6_is_one_source_unless_set_otherwise(void **state)
{
    static const char *const keys[] = {
        HEADER_TRUSTED "max_connections_per_source = 1",
        HEADER_TRUSTED "max_connections_per_source = 1\n"
                       "source_prefix_v6 = 128",
        HEADER_TRUSTED "accept_rate_per_source = 1\nsource_prefix_v6 = 48",
    };
    struct fixture fixture;
    struct header one;

    (void)state;
    fixture_open(&fixture, "", keys[0]);
    one = *header_v2_from("2001:db8::1");
    struct pair pair = header_pair_connect(&fixture, &one);
    pair_ping(&pair);
    header_expect_reset(&fixture, header_v2_from("2001:db8::ffff:1:2:3"));
    struct pair other =
        header_pair_connect(&fixture, header_v2_from("2001:db8:0:1::1"));
    pair_ping(&other);
    stats_await_cause(fixture.proxy, "limit_source", 1);

    fixture_reload(&fixture, keys[1]);
    struct pair apart =
        header_pair_connect(&fixture, header_v2_from("2001:db8::2"));
    pair_ping(&apart);
    header_expect_reset(&fixture, header_v2_from("2001:db8::2"));
    stats_await_cause(fixture.proxy, "limit_source", 2);

    fixture_reload(&fixture, keys[2]);
    pair = header_pair_connect(&fixture, header_v2_from("2001:db9::1"));
    pair_ping(&pair);
    header_expect_reset(&fixture, header_v2_from("2001:db9:0:1::1"));
    stats_await_cause(fixture.proxy, "limit_rate", 1);
    fixture_close(&fixture);
}

/* ---- bytes ---- */

#define KIB 1024u

/* Sends so much up, and answers how long it took to arrive. */
static int64_t carry(const struct pair *pair, size_t bytes)
{
    struct stream out = {.fd = pair->client, .seed = 1, .bytes = bytes};
    struct stream in = {.fd = pair->upstream, .seed = 1, .bytes = bytes};
    int64_t begin = wait_now_ms();

    stream_pass(&out, &in);
    return wait_now_ms() - begin;
}

/* The first takes the burst; what it has taken is missing for the second, which
 * may be another worker's, and for a third that comes when both are gone. */
static void connections_share_the_rate_of_their_source(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "workers = 2",
                 "rate_up_per_source = 50K\nrate_burst = 200K\n"
                 "source_prefix_v4 = 24");
    struct pair first = pair_connect_from(&fixture, "127.9.0.1");
    struct pair second = pair_connect_from(&fixture, "127.9.0.2");
    struct pair other = pair_connect_from(&fixture, "127.9.1.1");
    struct stopwatch watch = stopwatch_start();
    carry(&first, 200 * KIB);
    carry(&second, 50 * KIB);
    assert_true(stopwatch_ms(&watch) >= 950);
    carry(&other, 200 * KIB); /* its bucket is full */
    stopwatch_expect(&watch, 950, 4500);
    pair_close(&first);
    pair_close(&second);
    stats_await(fixture.proxy, "web", NULL, "active", 1);
    first = pair_connect_from(&fixture, "127.9.0.3");
    carry(&first, 50 * KIB);
    assert_true(stopwatch_ms(&watch) >= 1900);
    fixture_close(&fixture);
}

static void each_direction_has_a_rate_by_source(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "rate_down_per_source = 50K\nrate_burst = 50K");
    struct pair pair = pair_connect(&fixture);
    struct pair back = {.client = pair.upstream, .upstream = pair.client};
    int64_t begin = wait_now_ms();
    carry(&back, 150 * KIB);
    assert_true(wait_now_ms() - begin >= 1900);
    if (!test_slow()) { /* up has none */
        assert_in_range(carry(&pair, 2048 * KIB), 0, 5000);
    }
    fixture_close(&fixture);
}

static void a_sources_rate_holds_over_an_upgrade(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "rate_up_per_source = 50K\nrate_burst = 100K");
    struct pair first = pair_establish(&fixture);
    struct pair second = pair_establish(&fixture);
    int64_t begin = wait_now_ms();
    carry(&first, 100 * KIB);
    proxy_await_old(proxy_upgrade(fixture.proxy));
    carry(&second, 50 * KIB);
    assert_true(wait_now_ms() - begin >= 950);
    fixture_close(&fixture);
}

static void datagrams_share_the_rate_of_their_source(void **state)
{
    enum { EACH = 10, BYTES = 1000 };
    static char bytes[BYTES];
    struct udp_fixture fixture;
    char source[2][32];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        strcpy(source[i], loopback_source(i + 1));
    }
    udp_fixture_open(&fixture, "", "rate_up_per_source = 100\nrate_burst = 4K");
    for (unsigned i = 0; i < 3; i++) { /* the first source has two sessions */
        int client = udp_connect(source[i / 2], &fixture.front);

        for (unsigned j = 0; j < EACH; j++) {
            udp_send(client, bytes, BYTES);
        }
    }
    wait_until(udp_fixture_stat(&fixture, "bytes_up") / BYTES +
                   udp_fixture_stat(&fixture, "dropped") ==
               3 * EACH);
    /* Each source's burst; a datagram in ten seconds comes after it. */
    assert_in_range(udp_fixture_stat(&fixture, "bytes_up") / BYTES, 8, 10);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

/* ---- a full table ---- */

/* A datagram from the address 127.a.b.c. */
static void send_from(int fd, const struct socket_address *to, uint32_t host)
{
    static char bytes[100];
    union {
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(host)};
    struct iovec iov = {bytes, sizeof(bytes)};
    struct msghdr message = {
        .msg_name = (void *)(uintptr_t)&to->storage,
        .msg_namelen = to->length,
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };

    control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(info)),
                                     .cmsg_level = IPPROTO_IP,
                                     .cmsg_type = IP_PKTINFO};
    memcpy(CMSG_DATA(&control.align), &info, sizeof(info));
    assert_int_equal(sendmsg(fd, &message, 0), (ssize_t)sizeof(bytes));
}

#define SOURCES_MOST 70000u /* the table has at most 65,536 */
#define SOURCES_STEP 200u   /* as many as a socket holds that nobody reads */

/* Each source goes at once, and owes for 100 seconds what it has sent; one owes
 * for longer than the test takes, so that it stays in the table. */
static void a_full_table_says_so_and_refuses_new_sources(void **state)
{
    static const char owed[200];
    struct loopback metrics = loopback_new();
    struct udp_fixture fixture;
    struct socket_address to;
    uint32_t sent = 0;
    char global[160];

    (void)state;
    if (test_slow()) {
        skip();
    }
    snprintf(global, sizeof(global), "workers = 1\nmetrics_listen = %s",
             metrics.text);
    udp_fixture_open(&fixture, global,
                     "rate_up_per_source = 1\nmax_sessions = 10");
    to = loopback_resolve(&fixture.front);
    int known = udp_connect("127.200.0.1", &fixture.front);
    udp_send(known, owed, sizeof(owed));
    int client = socket_adopt(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    while (proxy_count(fixture.proxy, "^sources full ") == 0) {
        for (uint32_t i = 0; i < SOURCES_STEP; i++) {
            send_from(client, &to, UINT32_C(0x7f010000) + sent++);
        }
        stats_await(fixture.proxy, "web", NULL, "accepted", sent + 1);
        assert_in_range(sent, 1, SOURCES_MOST);
    }
    proxy_line(fixture.proxy, "^sources full service=web refused=[0-9]+ "
                              "cause=limit_source$");
    uint64_t refused =
        stats_get(fixture.proxy, "web", NULL, "ended_limit_source");
    assert_true(refused > 0);
    assert_int_equal(
        (uint64_t)http_metric(&metrics,
                              "evproxy_sources_refused_total{service=\"web\"}"),
        refused);
    assert_true(sent > 50000);
    udp_send(known, "x", 1); /* a source that is in the table goes on */
    stats_await(fixture.proxy, "web", NULL, "accepted", sent + 2);
    assert_int_equal(
        stats_get(fixture.proxy, "web", NULL, "ended_limit_source"), refused);
    udp_fixture_close(&fixture);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(a_prefix_of_ipv4_makes_one_source_of_many),
        E2E(a_64_of_ipv6_is_one_source_unless_set_otherwise),
        E2E(connections_share_the_rate_of_their_source),
        E2E(each_direction_has_a_rate_by_source),
        E2E(a_sources_rate_holds_over_an_upgrade),
        E2E(datagrams_share_the_rate_of_their_source),
        E2E(a_full_table_says_so_and_refuses_new_sources),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
