/*
 * Upstreams that fail: the next one is tried, they are marked down, and probes
 * find them again.
 */
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "greeters.h"
#include "loopback.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

/* ---- the next upstream ---- */

static void a_failed_connect_goes_to_the_next_with_its_bytes(void **state)
{
    struct loopback front = loopback_new();
    struct loopback dead[2] = {server_refusing(), server_refusing()};
    struct loopback back = loopback_new();

    (void)state;
    int listener = socket_listen(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nbalance = roundrobin\n"
        "fail_threshold = 0\nupstream = %s\nupstream = %s\nupstream = %s\n",
        front.text, dead[0].text, dead[1].text, back.text);
    for (int i = 0; i < 12; i++) {
        int client = socket_connect(&front);

        socket_send_last(client, "exactly once", 12);
        int upstream = socket_accept(listener);
        expect_text(upstream, "exactly once");
        expect_eof(upstream);
        socket_close(upstream);
        expect_eof(client);
        socket_close(client);
    }
    stats_await_cause(proxy, "client_fin", 12);
    stats_await(proxy, "web", back.text, "total", 12);
    assert_true(stats_get(proxy, "web", dead[0].text, "failed") > 0);
    assert_true(stats_get(proxy, "web", dead[1].text, "failed") > 0);
    proxy_stop(proxy);
}

static void connect_attempts_limit_the_tries(void **state)
{
    struct loopback front = loopback_new();
    struct loopback dead[4];
    char text[1024];
    int used;

    (void)state;
    used = snprintf(text, sizeof(text),
                    "[service web]\nlisten = %s\nconnect_attempts = 2\n"
                    "fail_threshold = 0\n",
                    front.text);
    for (int i = 0; i < 4; i++) {
        dead[i] = server_refusing();
        used += snprintf(text + used, sizeof(text) - (size_t)used,
                         "upstream = %s\n", dead[i].text);
    }
    struct proxy *proxy = proxy_start("%s", text);
    expect_connect_ended(&front);
    stats_await_cause(proxy, "connect_refused", 1);
    uint64_t failed = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t here = stats_get(proxy, "web", dead[i].text, "failed");

        assert_in_range(here, 0, 1); /* none is tried twice */
        failed += here;
    }
    assert_int_equal(failed, 2);
    proxy_stop(proxy);
}

static void a_single_upstream_is_tried_again(void **state)
{
    struct loopback dead = server_refusing();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &dead, "",
                      "connect_attempts = 3\nfail_threshold = 0");
    expect_connect_ended(&fixture.front);
    stats_await_cause(fixture.proxy, "connect_refused", 1);
    stats_await(fixture.proxy, "web", dead.text, "failed", 3);
    fixture_close(&fixture);
}

static void
an_upstream_that_accepts_and_closes_is_no_failed_connect(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_server(&fixture, serve_close, NULL, "", "");
    for (unsigned i = 0; i < 50; i++) {
        int fd = socket_connect(&fixture.front);

        expect_eof(fd);
        socket_close(fd);
    }
    stats_await_cause(fixture.proxy, "upstream_fin", 50);
    stats_await(fixture.proxy, "web", fixture.back.text, "total", 50);
    stats_await(fixture.proxy, "web", fixture.back.text, "failed", 0);
    assert_int_equal(server_accepted(fixture.server), 50);
    fixture_close(&fixture);
}

/* The proxy may notice the connect before the reset, or the reset first. */
static void
an_upstream_that_accepts_and_resets_ends_the_connection(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_server(&fixture, serve_reset, NULL, "", "fail_threshold = 0");
    for (unsigned i = 0; i < 50; i++) {
        expect_connect_reset(NULL, &fixture.front, NULL);
    }
    stats_await(fixture.proxy, "web", NULL, "active", 0);
    stats_await(fixture.proxy, "web", NULL, "accepted", 50);
    fixture_close(&fixture);
}

static void an_upstream_that_resets_connections_is_not_taken_out(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_server(&fixture, serve_reset, NULL, "", "fail_threshold = 1");
    for (unsigned i = 0; i < 50; i++) {
        expect_connect_reset(NULL, &fixture.front, NULL);
    }
    stats_await(fixture.proxy, "web", NULL, "active", 0);
    assert_int_equal(proxy_count(fixture.proxy, "^upstream .*state=down"), 0);
    fixture_close(&fixture);
}

/* ---- health ---- */

static void expect_marked_down(struct proxy *proxy,
                               const struct loopback *upstream,
                               const char *cause)
{
    char pattern[256];

    snprintf(pattern, sizeof(pattern),
             "^upstream service=web address=%s state=down cause=%s( |$)",
             upstream->text, cause);
    proxy_line(proxy, pattern);
}

static void expect_marked_up(struct proxy *proxy,
                             const struct loopback *upstream)
{
    char pattern[256];

    snprintf(pattern, sizeof(pattern),
             "^upstream service=web address=%s state=up( |$)", upstream->text);
    proxy_line(proxy, pattern);
}

static void
failed_connects_take_an_upstream_out_until_a_probe_succeeds(void **state)
{
    struct loopback back = loopback_new();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &back, "",
                      "connect_attempts = 1\nfail_threshold = 3\n"
                      "fail_window = 400ms");
    for (int i = 0; i < 3; i++) {
        expect_connect_ended(&fixture.front);
    }
    int64_t down = wait_now_ms();
    expect_marked_down(fixture.proxy, &back, "connect_refused");
    assert_non_null(
        strstr(stats_line(fixture.proxy, "web", back.text), " state=down "));
    expect_connect_ended(&fixture.front);
    stats_await_cause(fixture.proxy, "no_upstream", 1);
    struct server *server = server_start(&back, serve_letter, "A");
    expect_marked_up(fixture.proxy, &back);
    assert_in_range(wait_now_ms() - down, 300, 8000);
    assert_int_equal(greeters_ask(&fixture.front, NULL), 0);
    fixture_close(&fixture);
    server_stop(server);
}

static void failures_far_apart_take_nothing_out(void **state)
{
    struct loopback back = server_refusing();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &back, "",
                      "connect_attempts = 1\nfail_threshold = 2\n"
                      "fail_window = 100ms");
    for (unsigned i = 0; i < 3; i++) {
        int64_t begin = wait_now_ms();

        expect_connect_ended(&fixture.front);
        wait_until(wait_now_ms() > begin + 200); /* past the window */
    }
    stats_await_cause(fixture.proxy, "connect_refused", 3);
    assert_int_equal(proxy_count(fixture.proxy, "state=down"), 0);
    fixture_close(&fixture);
}

static void health_checks_notice_an_upstream_that_goes_and_comes(void **state)
{
    struct greeters greeters;
    unsigned counts[GREETERS_MAX];

    (void)state;
    greeters_open(&greeters, 2, NULL,
                  "balance = roundrobin\nhealth_check = tcp\n"
                  "health_interval = 60ms\nhealth_timeout = 50ms\n"
                  "health_rise = 3\nhealth_fall = 2");
    wait_until(server_accepted(greeters.server[0]) >= 3);
    stats_await(greeters.proxy, "web", NULL, "accepted", 0);
    greeters_stop(&greeters, 0);
    expect_marked_down(greeters.proxy, &greeters.back[0], "connect_refused");
    greeters_count(&greeters, 10, counts);
    assert_int_equal(counts[1], 10);
    struct stopwatch watch = stopwatch_start();
    greeters_start(&greeters, 0);
    expect_marked_up(greeters.proxy, &greeters.back[0]);
    stopwatch_expect(&watch, 90, 8000);
    /* The kernel has accepted a check before the server has. */
    wait_until(server_accepted(greeters.server[0]) >= 3);
    greeters_count(&greeters, 10, counts);
    assert_int_equal(counts[0], 5);
    stats_await(greeters.proxy, "web", greeters.back[0].text, "failed", 0);
    greeters_close(&greeters);
}

static void a_check_without_an_answer_is_down_after_health_timeout(void **state)
{
    struct loopback back = server_silent();
    struct fixture fixture;

    (void)state;
    struct stopwatch watch = stopwatch_start();
    fixture_open_back(&fixture, &back, "",
                      "health_check = tcp\nhealth_interval = 100ms\n"
                      "health_timeout = 150ms\nhealth_fall = 1");
    expect_marked_down(fixture.proxy, &back, "timeout");
    stopwatch_expect(&watch, 145, 8000);
    expect_connect_ended(&fixture.front);
    stats_await_cause(fixture.proxy, "no_upstream", 1);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_failed_connect_goes_to_the_next_with_its_bytes),
        E2E(connect_attempts_limit_the_tries),
        E2E(a_single_upstream_is_tried_again),
        E2E(an_upstream_that_accepts_and_closes_is_no_failed_connect),
        E2E(an_upstream_that_accepts_and_resets_ends_the_connection),
        E2E(an_upstream_that_resets_connections_is_not_taken_out),
        E2E(failed_connects_take_an_upstream_out_until_a_probe_succeeds),
        E2E(failures_far_apart_take_nothing_out),
        E2E(health_checks_notice_an_upstream_that_goes_and_comes),
        E2E(a_check_without_an_answer_is_down_after_health_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
