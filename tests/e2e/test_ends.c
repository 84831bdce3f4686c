/*
 * Every way that a TCP connection can end, by its cause: in the stats and in
 * the access log. Ends by a timeout are in test_timeouts.c.
 */
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "wait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- log and stats ---- */

static void one_access_log_line_describes_a_connection(void **state)
{
    struct fixture fixture;
    char pattern[512];

    (void)state;
    fixture_open(&fixture, "access_log = yes", "");
    struct pair pair = pair_connect(&fixture);
    socket_send_text(pair.client, "hello");
    expect_text(pair.upstream, "hello");
    socket_send_text(pair.upstream, "abc");
    expect_text(pair.client, "abc");
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    socket_close(pair.upstream);
    expect_eof(pair.client);
    snprintf(pattern, sizeof(pattern),
             "^conn service=web client=127\\.0\\.0\\.1:[0-9]+ upstream=%s "
             "cause=client_fin bytes_up=5 bytes_down=3 connect_us=[0-9]+ "
             "duration_ms=[0-9]+ rtt_us=[0-9]+ retransmits=[0-9]+( |$)",
             fixture.back.text);
    const char *line = proxy_line(fixture.proxy, pattern);
    assert_in_range(proxy_line_value(line, "connect_us"), 0, 5000000);
    stats_expect_only(fixture.proxy, "client_fin", 1);
    const char *upstream = stats_line(fixture.proxy, "web", fixture.back.text);
    assert_int_equal(proxy_line_value(upstream, "bytes_up"), 5);
    assert_int_equal(proxy_line_value(upstream, "bytes_down"), 3);
    assert_int_equal(proxy_line_value(upstream, "total"), 1);
    assert_int_equal(proxy_line_value(upstream, "active"), 0);
    fixture_close(&fixture);
}

static void without_access_log_no_line_is_written(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "access_log = yes", "access_log = no");
    struct pair pair = pair_connect(&fixture);
    pair_close(&pair);
    stats_await(fixture.proxy, "web", NULL, "active", 0);
    proxy_stop(fixture.proxy);
    assert_int_equal(proxy_count(fixture.proxy, "^conn "), 0);
}

static void a_service_may_ask_for_its_own_access_log(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "access_log = no", "access_log = yes");
    struct pair pair = pair_connect(&fixture);
    socket_close(pair.upstream);
    expect_eof(pair.client);
    socket_close(pair.client);
    proxy_line(fixture.proxy, "^conn .*cause=upstream_fin bytes_up=0 ");
    fixture_close(&fixture);
}

static void the_stats_lines_have_their_keys_in_order(void **state)
{
    struct fixture fixture;
    char pattern[512];

    (void)state;
    fixture_open(&fixture, "workers = 1", "");
    proxy_signal(fixture.proxy, SIGUSR1);
    proxy_line(fixture.proxy,
               "^stats uptime_s=[0-9]+ workers=1 active=0 accepted=0 "
               "bytes_up=0 bytes_down=0 buffers_lent=0 buffers_peak=[0-9]+ "
               "buffer_bytes=[0-9]+ accept_paused=0 generation=[0-9]+( |$)");
    proxy_line(fixture.proxy,
               "^stats service=web active=0 accepted=0 bytes_up=0 "
               "bytes_down=0 ended_client_fin=0 ended_upstream_fin=0 "
               "ended_client_reset=0 ended_upstream_reset=0 "
               "ended_connect_refused=0 ended_connect_timeout=0 "
               "ended_no_upstream=0 ended_idle_timeout=0 ended_read_timeout=0 "
               "ended_write_timeout=0 ended_half_close_timeout=0 "
               "ended_header_timeout=0 ended_max_lifetime=0 ended_denied=0 "
               "ended_limit_connections=0 ended_limit_source=0 "
               "ended_limit_rate=0 ended_bad_header=0 ended_no_route=0 "
               "ended_tls_error=0 ended_drain=0 ended_local_resource=0 "
               "ended_internal=0 ended_loop=0( |$)");
    snprintf(pattern, sizeof(pattern),
             "^stats service=web upstream=%s state=up active=0 total=0 "
             "failed=0 bytes_up=0 bytes_down=0( |$)",
             fixture.back.text);
    proxy_line(fixture.proxy, pattern);
    fixture_close(&fixture);
}

/* ---- by the peers ---- */

static void both_ends_of_the_upstream_first_is_upstream_fin(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_connect(&fixture);
    socket_finish(pair.upstream);
    expect_eof(pair.client);
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    stats_expect_only(fixture.proxy, "upstream_fin", 1);
    fixture_close(&fixture);
}

static void a_reset_by_the_client_is_client_reset(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "access_log = yes", "");
    struct pair pair = pair_establish(&fixture);
    socket_reset(pair.client);
    expect_reset(pair.upstream);
    stats_expect_only(fixture.proxy, "client_reset", 1);
    proxy_line(fixture.proxy, "^conn .* cause=client_reset .* rtt_us=[1-9]");
    fixture_close(&fixture);
}

/* The bytes before it take longer than write_timeout, but they are taken. */
static void a_reset_waits_for_a_slow_reader(void **state)
{
    enum { BYTES = 14000 };
    static const char bytes[BYTES];
    struct fixture fixture;
    char taken[256];
    ssize_t count;
    size_t sum = 0;

    (void)state;
    fixture_open(&fixture, "", "write_timeout = 1s");
    struct pair pair = pair_connect_narrow(&fixture);
    socket_send(pair.upstream, bytes, sizeof(bytes));
    stats_await(fixture.proxy, "web", NULL, "bytes_down", BYTES);
    socket_reset(pair.upstream);
    do { /* 8 KB a second */
        wait_sleep(30);
        count = recv(pair.client, taken, sizeof(taken), 0);
        sum += count > 0 ? (size_t)count : 0;
    } while (count > 0);
    assert_int_equal(sum, BYTES);
    assert_int_equal(errno, ECONNRESET);
    stats_expect_only(fixture.proxy, "upstream_reset", 1);
    fixture_close(&fixture);
}

static void a_reset_by_the_upstream_is_upstream_reset(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_establish(&fixture);
    socket_reset(pair.upstream);
    expect_reset(pair.client);
    stats_expect_only(fixture.proxy, "upstream_reset", 1);
    fixture_close(&fixture);
}

/* ---- while connecting ---- */

static void a_refused_connect_is_connect_refused(void **state)
{
    struct loopback back = server_refusing();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &back, "", "connect_attempts = 1");
    expect_connect_ended(&fixture.front);
    stats_expect_only(fixture.proxy, "connect_refused", 1);
    stats_await(fixture.proxy, "web", back.text, "failed", 1);
    fixture_close(&fixture);
}

static void a_silent_upstream_is_connect_timeout(void **state)
{
    struct loopback back = server_silent();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &back, "",
                      "connect_attempts = 2\nconnect_timeout = 150ms");
    struct stopwatch watch = stopwatch_start();
    expect_connect_ended(&fixture.front);
    stopwatch_expect(&watch, 290, 8000);
    stats_expect_only(fixture.proxy, "connect_timeout", 1);
    stats_await(fixture.proxy, "web", back.text, "failed", 2);
    fixture_close(&fixture);
}

static void a_client_that_resets_while_connecting_is_client_reset(void **state)
{
    struct loopback back = server_silent();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &back, "", "connect_timeout = 1h");
    for (unsigned i = 0; i < 3; i++) {
        int fd = socket_connect(&fixture.front);

        stats_await(fixture.proxy, "web", NULL, "active", 1);
        if (i > 0) {
            socket_send_text(fd, "bytes that wait");
        }
        socket_reset(fd);
        stats_await_cause(fixture.proxy, "client_reset", i + 1);
    }
    stats_expect_only(fixture.proxy, "client_reset", 3);
    fixture_close(&fixture);
}

static void nothing_left_to_try_is_no_upstream(void **state)
{
    struct loopback back = server_refusing();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &back, "",
                      "connect_attempts = 1\nfail_threshold = 1\n"
                      "fail_window = 1h");
    expect_connect_ended(&fixture.front);
    proxy_line(fixture.proxy, "^upstream service=web address=[^ ]+ state=down "
                              "cause=connect_refused");
    expect_connect_ended(&fixture.front);
    stats_await_cause(fixture.proxy, "connect_refused", 1);
    stats_await_cause(fixture.proxy, "no_upstream", 1);
    fixture_close(&fixture);
}

static void a_source_that_is_not_ours_is_local_resource(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "",
                 "source_address = 192.0.2.201\nfail_threshold = 1");
    for (int i = 0; i < 3; i++) {
        expect_connect_ended(&fixture.front);
    }
    stats_expect_only(fixture.proxy, "local_resource", 3);
    const char *line = stats_line(fixture.proxy, "web", fixture.back.text);
    assert_int_equal(proxy_line_value(line, "failed"), 0);
    assert_non_null(strstr(line, " state=up "));
    fixture_close(&fixture);
}

/* ---- by the end of the process ---- */

static void what_outlives_the_drain_timeout_is_drain(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "drain_timeout = 300ms\naccess_log = yes", "");
    struct pair pair = pair_connect(&fixture);
    struct pair quick = pair_connect(&fixture);
    struct stopwatch watch = stopwatch_start();
    proxy_signal(fixture.proxy, SIGTERM);
    socket_send_text(quick.client, "let me finish");
    expect_text(quick.upstream, "let me finish");
    socket_close(quick.client);
    expect_eof(quick.upstream);
    socket_close(quick.upstream);
    expect_reset(pair.client);
    stopwatch_expect(&watch, 290, 8000);
    expect_reset(pair.upstream);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
    assert_int_equal(proxy_count(fixture.proxy, "^conn .* cause=drain "), 1);
    assert_int_equal(proxy_count(fixture.proxy, "^conn .* cause=client_fin "),
                     1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(one_access_log_line_describes_a_connection),
        E2E(without_access_log_no_line_is_written),
        E2E(a_service_may_ask_for_its_own_access_log),
        E2E(the_stats_lines_have_their_keys_in_order),
        E2E(both_ends_of_the_upstream_first_is_upstream_fin),
        E2E(a_reset_by_the_client_is_client_reset),
        E2E(a_reset_waits_for_a_slow_reader),
        E2E(a_reset_by_the_upstream_is_upstream_reset),
        E2E(a_refused_connect_is_connect_refused),
        E2E(a_silent_upstream_is_connect_timeout),
        E2E(a_client_that_resets_while_connecting_is_client_reset),
        E2E(nothing_left_to_try_is_no_upstream),
        E2E(a_source_that_is_not_ours_is_local_resource),
        E2E(what_outlives_the_drain_timeout_is_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
