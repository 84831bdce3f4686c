/*
 * What a process knows and counts goes on after an upgrade.
 */
#include "delay.h"
#include "expect.h"
#include "http.h"
#include "pair.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void limits_hold_over_an_upgrade(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    fixture_open(&fixture, "", "max_connections_per_source = 1");
    pair = pair_establish(&fixture);
    expect_connect_reset(NULL, &fixture.front, NULL);
    proxy_await_old(proxy_upgrade(fixture.proxy));
    expect_connect_reset(NULL, &fixture.front, NULL);
    pair_ping(&pair);
    pair_close(&pair);
    stats_await_cause(fixture.proxy, "client_fin", 1);
    pair = pair_establish(&fixture);
    stats_await_cause(fixture.proxy, "limit_source", 2);
    fixture_close(&fixture);
}

static void an_upstream_that_is_down_stays_down(void **state)
{
    struct loopback refusing = server_refusing();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &refusing, "",
                      "fail_threshold = 1\nfail_window = 1h");
    expect_connect_reset(NULL, &fixture.front, NULL);
    proxy_line(fixture.proxy, "^upstream .*state=down");
    proxy_await_old(proxy_upgrade(fixture.proxy));
    assert_non_null(strstr(stats_line(fixture.proxy, "web", fixture.back.text),
                           " state=down "));
    expect_connect_reset(NULL, &fixture.front, NULL);
    assert_int_equal(
        stats_get(fixture.proxy, "web", fixture.back.text, "failed"), 1);
    fixture_close(&fixture);
}

/* Two failed connects before it, and the third takes the upstream out. */
static void failures_are_counted_on(void **state)
{
    struct loopback refusing = server_refusing();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &refusing, "",
                      "fail_threshold = 3\nfail_window = 1h\n"
                      "connect_attempts = 1");
    expect_connect_reset(NULL, &fixture.front, NULL);
    expect_connect_reset(NULL, &fixture.front, NULL);
    proxy_await_old(proxy_upgrade(fixture.proxy));
    expect_connect_reset(NULL, &fixture.front, NULL);
    proxy_line(fixture.proxy, "^upstream .*state=down cause=connect_refused");
    fixture_close(&fixture);
}

static void a_rate_holds_over_an_upgrade(void **state)
{
    const size_t bytes = 96 * 1024;
    struct fixture fixture;
    struct stream out, in;
    struct pair pair;
    int64_t begun;

    (void)state;
    fixture_open(&fixture, "", "rate_up = 32K\nrate_burst = 32K");
    pair = pair_establish(&fixture);
    out = (struct stream){.fd = pair.client, .seed = 1, .bytes = bytes};
    in = (struct stream){.fd = pair.upstream, .seed = 1, .bytes = bytes};
    begun = wait_now_ms();
    stream_start_send(&out);
    stream_start_receive(&in);
    for (unsigned i = 0; i < 3; i++) {
        wait_sleep(300);
        proxy_await_old(proxy_upgrade(fixture.proxy));
    }
    stream_join(&out);
    stream_join(&in);
    assert_int_equal(in.moved, bytes);
    /* The burst, and two seconds for the rest. */
    assert_true(wait_now_ms() - begun >= 1900);
    fixture_close(&fixture);
}

/* A source's tokens come back in a second, so the upgrade must be faster. */
static void what_a_source_owes_holds_over_an_upgrade(void **state)
{
    struct fixture fixture;
    bool fast = false;

    (void)state;
    fixture_open(&fixture, "", "accept_rate_per_source = 1");
    for (unsigned i = 0; !fast && i < 10; i++) {
        int64_t begun = wait_now_ms();
        struct pair pair = pair_establish(&fixture);
        pid_t old = proxy_upgrade(fixture.proxy);
        int client = socket_try_connect(NULL, &fixture.front);

        fast = wait_now_ms() - begun < 900;
        if (fast && client >= 0) { /* otherwise it is reset already */
            expect_reset(client);
        }
        proxy_await_old(old);
        pair_close(&pair);
        wait_sleep(1100);
    }
    if (!fast) {
        skip_because("no upgrade was faster than a second");
    }
    stats_await_cause(fixture.proxy, "limit_rate", 1);
    fixture_close(&fixture);
}

static void times_go_on(void **state)
{
    struct fixture fixture;
    struct pair pair;
    struct stopwatch watch;

    (void)state;
    fixture_open(&fixture, "", "idle_timeout = 2s");
    pair = pair_establish(&fixture);
    watch = stopwatch_start();
    wait_sleep(1200);
    proxy_await_old(proxy_upgrade(fixture.proxy));
    expect_eof(pair.client);
    stopwatch_expect(&watch, 1500, 2600);
    stats_await_cause(fixture.proxy, "idle_timeout", 1);
    fixture_close(&fixture);
}

/* Without its addresses a new client would find no upstream. */
static void names_keep_their_addresses(void **state)
{
    struct loopback back = loopback_on("127.0.0.1"), named;
    struct fixture fixture;
    struct pair pair;

    (void)state;
    test_need_localhost();
    named = loopback_at("localhost", &back);
    fixture_open_back(&fixture, &named, "", "resolve_interval = 1h");
    fixture.listener = socket_listen(&back);
    proxy_line(fixture.proxy, "^resolve name=localhost ");
    pair = pair_establish(&fixture);
    for (unsigned i = 0; i < 3; i++) {
        pid_t old = proxy_upgrade(fixture.proxy);
        struct pair fresh = pair_establish(&fixture);

        pair_ping(&pair);
        pair_close(&fresh);
        proxy_await_old(old);
    }
    stats_await_cause(fixture.proxy, "client_fin", 3);
    fixture_close(&fixture);
}

static void metrics_go_on(void **state)
{
    struct loopback metrics = loopback_new();
    struct fixture fixture;
    struct pair pair;
    char global[200];

    (void)state;
    snprintf(global, sizeof(global), "metrics_listen = %s", metrics.text);
    fixture_open(&fixture, global, "");
    pair = pair_establish(&fixture);
    for (unsigned i = 0; i < 2; i++) {
        pid_t old = proxy_upgrade(fixture.proxy);

        assert_int_equal(http_status(&metrics, "/healthz"), 200);
        proxy_await_old(old);
        assert_int_equal(http_status(&metrics, "/livez"), 200);
    }
    assert_true(
        http_metric(&metrics, "evproxy_accepted_total{service=\"web\"}") == 1);
    assert_true(http_metric(&metrics, "evproxy_active{service=\"web\"}") == 1);
    assert_true(http_metric(&metrics,
                            "evproxy_connect_seconds_count{service=\"web\"}") ==
                1);
    pair_ping(&pair);
    fixture_close(&fixture);
}

/* The time goes on that the counters are about, and so do reloads. */
static void times_and_reloads_of_the_process_go_on(void **state)
{
    struct loopback metrics = loopback_new();
    struct fixture fixture;
    char global[200];

    (void)state;
    snprintf(global, sizeof(global), "metrics_listen = %s", metrics.text);
    fixture_open(&fixture, global, "");
    proxy_mark(fixture.proxy);
    proxy_signal(fixture.proxy, SIGHUP);
    proxy_line(fixture.proxy, "^reloaded ");
    wait_until(stats_get(fixture.proxy, NULL, NULL, "uptime_s") >= 2);
    for (unsigned i = 0; i < 2; i++) {
        proxy_await_old(proxy_upgrade(fixture.proxy));
        assert_true(stats_get(fixture.proxy, NULL, NULL, "uptime_s") >= 2);
        assert_true(
            http_metric(&metrics, "evproxy_reloads_total{result=\"ok\"}") == 1);
    }
    fixture_close(&fixture);
}

static void pauses_of_accepting_go_on(void **state)
{
    enum { TIMES = 5 };
    struct fixture fixture;
    uint64_t before;
    int first;

    (void)state;
    fixture_open(&fixture, "workers = 1\nmax_connections = 1", "");
    first = pair_connect(&fixture).upstream;
    for (unsigned i = 1; i <= TIMES; i++) {
        int next = socket_connect(&fixture.front);

        wait_until(stats_get(fixture.proxy, NULL, NULL, "accept_paused") >= i);
        socket_reset(first);
        socket_send_text(next, "x");
        first = socket_accept(fixture.listener);
        expect_text(first, "x");
    }
    before = stats_get(fixture.proxy, NULL, NULL, "accept_paused");
    proxy_await_old(proxy_upgrade(fixture.proxy));
    assert_in_range(stats_get(fixture.proxy, NULL, NULL, "accept_paused"),
                    before, before + 1);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
        TEST(limits_hold_over_an_upgrade),
        TEST(an_upstream_that_is_down_stays_down),
        TEST(failures_are_counted_on),
        TEST(a_rate_holds_over_an_upgrade),
        TEST(what_a_source_owes_holds_over_an_upgrade),
        TEST(times_go_on),
        TEST(names_keep_their_addresses),
        TEST(metrics_go_on),
        TEST(times_and_reloads_of_the_process_go_on),
        TEST(pauses_of_accepting_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
