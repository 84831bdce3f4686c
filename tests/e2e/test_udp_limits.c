/*
 * Limits, rates and the table of UDP sessions; and what a session costs.
 */
#include "expect.h"
#include "loopback.h"
#include "proc.h"
#include "proxy.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

/* ---- the table ---- */

static void the_longest_idle_session_makes_room(void **state)
{
    struct udp_fixture fixture;
    int clients[4];

    (void)state;
    udp_fixture_open(&fixture, "access_log = yes", "max_sessions = 3");
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = udp_connect(loopback_source(i + 1), &fixture.front);
        udp_fixture_ping(&fixture, clients[i]);
    }
    udp_fixture_ping(&fixture,
                     clients[0]); /* so the second is idle for longest */
    clients[3] = udp_connect(loopback_source(4), &fixture.front);
    udp_fixture_ping(&fixture, clients[3]);
    stats_await_cause(fixture.proxy, "limit_connections", 1);
    assert_non_null(strstr(proxy_line(fixture.proxy, "conn service=web "),
                           loopback_source(2)));
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 3);
    udp_fixture_ping(&fixture, clients[0]);
    udp_fixture_ping(&fixture, clients[2]);
    udp_fixture_ping(&fixture, clients[3]);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 4);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

static void one_session_at_a_time_serves_many_clients(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "max_sessions = 1");
    for (unsigned i = 0; i < 50; i++) {
        udp_fixture_ping(&fixture, udp_connect(NULL, &fixture.front));
    }
    stats_await_cause(fixture.proxy, "limit_connections", 49);
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 1);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

static void a_session_costs_no_more_than_400_bytes(void **state)
{
    enum { SESSIONS = 6000, AT_ONCE = 50, WARM = 11 * AT_ONCE, EACH = 400 };
    static int clients[SESSIONS];
    struct udp_fixture fixture;
    uint64_t before = 0;

    (void)state;
    if (test_slow()) {
        skip_because("a slow run compares no figures");
    }
    test_need_descriptors(SESSIONS + 256);
    udp_fixture_open(&fixture, "", "");
    udp_echo_start(fixture.upstream);
    for (unsigned i = 0; i < SESSIONS; i += AT_ONCE) {
        if (i == WARM) {
            before = proc_resident(fixture.proxy);
        }
        for (unsigned j = i; j < i + AT_ONCE; j++) {
            clients[j] =
                udp_connect(loopback_source(j % 100 + 1), &fixture.front);
            udp_send(clients[j], "x", 1);
        }
        for (unsigned j = i; j < i + AT_ONCE; j++) {
            udp_expect(clients[j], "x", 1);
        }
    }
    uint64_t after = proc_resident(fixture.proxy);
    assert_int_equal(udp_fixture_stat(&fixture, "active"), SESSIONS);
    assert_true(after - before < (uint64_t)(SESSIONS - WARM) * EACH + 65536);
    udp_echo_stop();
    udp_fixture_close(&fixture);
}

/* ---- limits ---- */

static void limits_count_sessions_as_connections(void **state)
{
    char keys[256];
    struct udp_fixture fixture;

    (void)state;
    snprintf(keys, sizeof(keys),
             "max_connections = 3\nmax_connections_per_source = 2\n"
             "deny = %s\n",
             loopback_source(9));
    udp_fixture_open(&fixture, "", keys);
    udp_fixture_expect_refused(&fixture, loopback_source(9), "denied");
    udp_fixture_ping(&fixture, udp_connect(loopback_source(1), &fixture.front));
    udp_fixture_ping(&fixture, udp_connect(loopback_source(1), &fixture.front));
    udp_fixture_expect_refused(&fixture, loopback_source(1), "limit_source");
    udp_fixture_ping(&fixture, udp_connect(loopback_source(2), &fixture.front));
    udp_fixture_expect_refused(&fixture, loopback_source(3),
                               "limit_connections");
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 3);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

static void accept_rates_are_for_new_sessions(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "accept_rate_per_source = 1");
    int client = udp_connect(loopback_source(1), &fixture.front);
    udp_fixture_ping(&fixture, client);
    udp_fixture_expect_refused(&fixture, loopback_source(1), "limit_rate");
    udp_fixture_ping(&fixture, client);
    udp_fixture_ping(&fixture, udp_connect(loopback_source(2), &fixture.front));
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

static void at_the_limit_of_the_process_the_longest_idle_goes(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "max_connections = 1", "");
    for (unsigned i = 0; i < 3; i++) {
        udp_fixture_ping(&fixture, udp_connect(NULL, &fixture.front));
        stats_await_cause(fixture.proxy, "limit_connections", i);
    }
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 1);
    assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 0);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

/* ---- rates ---- */

/* How many of these datagrams come before there are no more. */
static unsigned receive_all(int fd, const char *bytes, size_t count)
{
    unsigned received = 0;

    while (wait_readable(fd, 50)) {
        udp_expect(fd, bytes, count);
        received++;
    }
    return received;
}

/* Datagrams of that size that have passed or were dropped. */
static uint64_t settled(const struct udp_fixture *fixture,
                        const char *direction, size_t size)
{
    return udp_fixture_stat(fixture, direction) / size +
           udp_fixture_stat(fixture, "dropped");
}

static void what_is_over_a_rate_is_dropped_whole(void **state)
{
    enum { COUNT = 40, BYTES = 1000 };
    static char bytes[BYTES];
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "rate_up = 1K\nrate_burst = 10K");
    int client = udp_connect(NULL, &fixture.front);
    for (unsigned i = 0; i < COUNT; i++) {
        udp_send(client, bytes, BYTES);
    }
    wait_until(settled(&fixture, "bytes_up", BYTES) == COUNT);
    unsigned passed = receive_all(fixture.upstream, bytes, BYTES);
    assert_int_equal(udp_fixture_stat(&fixture, "bytes_up"), passed * BYTES);
    assert_in_range(passed, 10, 14);
    udp_send(client, bytes, 0); /* an empty datagram costs nothing */
    udp_expect(fixture.upstream, bytes, 0);
    udp_fixture_close(&fixture);
}

static void a_rate_counts_each_datagram_of_a_batch(void **state)
{
    static char bytes[UDP_BATCH_BYTES];
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "rate_up = 1K\nrate_burst = 3K");
    int client = udp_connect(NULL, &fixture.front);
    /* Until the worker watches its socket, the kernel divides a batch. An empty
     * datagram costs nothing. */
    udp_send(client, bytes, 0);
    udp_expect(fixture.upstream, bytes, 0);
    udp_send_batch(client, NULL, bytes);
    wait_until(settled(&fixture, "bytes_up", UDP_BATCH_EACH) ==
               UDP_BATCH_COUNT + 1);
    unsigned passed = receive_all(fixture.upstream, bytes, UDP_BATCH_EACH);
    assert_int_equal(udp_fixture_stat(&fixture, "bytes_up"),
                     passed * UDP_BATCH_EACH);
    assert_in_range(passed, 10, 12);
    udp_fixture_close(&fixture);
}

static void udp_responses_counts_each_datagram_of_a_batch(void **state)
{
    static char bytes[UDP_BATCH_BYTES];
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "udp_responses = 30");
    int client = udp_connect(NULL, &fixture.front);
    struct socket_address session = udp_fixture_ping(&fixture, client);
    udp_send_batch(fixture.upstream, &session, bytes);
    udp_expect_batch(client, bytes);
    udp_send_batch(fixture.upstream, &session, bytes);
    for (unsigned i = 0; i < 8; i++) {
        udp_expect(client, bytes, UDP_BATCH_EACH);
    }
    stats_await_cause(fixture.proxy, "upstream_fin", 1);
    expect_silence(client, 50);
    assert_int_equal(udp_fixture_stat(&fixture, "bytes_down"),
                     28 * UDP_BATCH_EACH + 2);
    udp_fixture_close(&fixture);
}

static void a_rate_of_the_service_is_shared(void **state)
{
    enum { CLIENTS = 4, EACH = 5, BYTES = 1000 };
    static char bytes[BYTES];
    struct udp_fixture fixture;
    struct socket_address session;

    (void)state;
    udp_fixture_open(&fixture, "", "service_rate_down = 1K\nrate_burst = 4K");
    for (unsigned i = 0; i < CLIENTS; i++) {
        udp_send(udp_connect(NULL, &fixture.front), "x", 1);
        udp_expect_from(fixture.upstream, "x", 1, &session);
        for (unsigned n = 0; n < EACH; n++) {
            udp_reply(fixture.upstream, &session, bytes, BYTES);
        }
    }
    wait_until(settled(&fixture, "bytes_down", BYTES) == CLIENTS * EACH);
    assert_in_range(udp_fixture_stat(&fixture, "bytes_down") / BYTES, 4, 8);
    udp_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_longest_idle_session_makes_room),
        E2E(one_session_at_a_time_serves_many_clients),
        E2E(a_session_costs_no_more_than_400_bytes),
        E2E(limits_count_sessions_as_connections),
        E2E(accept_rates_are_for_new_sessions),
        E2E(at_the_limit_of_the_process_the_longest_idle_goes),
        E2E(what_is_over_a_rate_is_dropped_whole),
        E2E(a_rate_counts_each_datagram_of_a_batch),
        E2E(udp_responses_counts_each_datagram_of_a_batch),
        E2E(a_rate_of_the_service_is_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
