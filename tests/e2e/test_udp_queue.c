/*
 * The kernel's queue of datagrams at a listener: its length, and what is
 * counted of those that find it full.
 */
#include "expect.h"
#include "http.h"
#include "proxy.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>

enum { BURST = 150 };

/* A burst of one client meets a process that is stopped. Answers how many of it
 * were dropped, once all have arrived or are counted. */
static uint64_t drop(const struct udp_fixture *fixture, int client)
{
    uint64_t before = udp_fixture_stat(fixture, "dropped");
    uint64_t bytes = udp_fixture_stat(fixture, "bytes_up");
    uint64_t dropped;

    proxy_pause(fixture->proxy);
    for (unsigned i = 0; i < BURST; i++) {
        udp_send(client, "x", 1);
    }
    proxy_signal(fixture->proxy, SIGCONT);
    wait_until((dropped = udp_fixture_stat(fixture, "dropped") - before) +
                   udp_fixture_stat(fixture, "bytes_up") - bytes ==
               BURST);
    for (uint64_t i = dropped; i < BURST; i++) {
        udp_expect(fixture->upstream, "x", 1);
    }
    return dropped;
}

static void a_queue_is_as_long_as_it_is_told_and_counts_the_rest(void **state)
{
    struct loopback http = loopback_new();
    struct udp_fixture fixture;
    char global[256];
    uint64_t dropped;
    int client;

    (void)state;
    snprintf(global, sizeof(global), "metrics_listen = %s\n", http.text);
    udp_fixture_open(&fixture, global, "udp_receive_buffer = 8K");
    client = udp_connect(NULL, &fixture.front);
    udp_fixture_ping(&fixture, client);
    dropped = drop(&fixture, client);
    assert_in_range(dropped, BURST / 2, BURST - 2);
    assert_true(http_metric(&http,
                            "evproxy_datagrams_dropped_total{service="
                            "\"web\",reason=\"queue\"}") == (double)dropped);
    udp_fixture_reload(&fixture, &fixture.front, "udp_receive_buffer = 200K");
    assert_int_equal(drop(&fixture, client), 0);
    udp_fixture_reload(&fixture, &fixture.front, "udp_receive_buffer = 8K");
    assert_in_range(drop(&fixture, client), BURST / 2, BURST - 2);
    udp_fixture_close(&fixture);
}

static void a_socket_that_closes_is_counted_before(void **state)
{
    struct udp_fixture fixture;
    struct loopback front;
    int client;

    (void)state;
    udp_fixture_open(&fixture, "", "udp_receive_buffer = 8K");
    front = fixture.front;
    client = udp_connect(NULL, &front);
    proxy_pause(fixture.proxy);
    for (unsigned i = 0; i < BURST; i++) {
        udp_send(client, "x", 1);
    }
    proxy_signal(fixture.proxy, SIGCONT);
    fixture.front = loopback_new();
    udp_fixture_reload(&fixture, &fixture.front, "udp_receive_buffer = 8K");
    assert_true(udp_fixture_stat(&fixture, "dropped") >= BURST / 2);
    udp_fixture_close(&fixture);
}

static void an_upgrade_counts_on(void **state)
{
    struct udp_fixture fixture;
    uint64_t before;
    int client;
    pid_t old;

    (void)state;
    udp_fixture_open(&fixture, "",
                     "udp_receive_buffer = 8K\nidle_timeout = 1s");
    client = udp_connect(NULL, &fixture.front);
    udp_fixture_ping(&fixture, client);
    before = drop(&fixture, client);
    old = proxy_upgrade(fixture.proxy);
    udp_fixture_ping(&fixture, client);
    proxy_await_old(old);
    assert_int_equal(udp_fixture_stat(&fixture, "dropped"), before);
    assert_in_range(drop(&fixture, client), BURST / 2, BURST - 2);
    udp_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_queue_is_as_long_as_it_is_told_and_counts_the_rest),
        E2E(a_socket_that_closes_is_counted_before),
        E2E(an_upgrade_counts_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
