/*
 * UDP sessions: how they begin, how they end, and what becomes of them at a
 * reload and in a drain.
 */
#include "delay.h"
#include "expect.h"
#include "loopback.h"
#include "proc.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <signal.h>
#include <string.h>

/* ---- ends ---- */

static void an_idle_session_ends_and_a_busy_one_stays(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "access_log = yes", "idle_timeout = 500ms");
    int idle = udp_connect(NULL, &fixture.front);
    int busy = udp_connect(NULL, &fixture.front);
    udp_fixture_ping(&fixture, idle);
    int64_t begin = wait_now_ms();
    while (wait_now_ms() < begin + 1500) {
        udp_fixture_ping(&fixture, busy);
        wait_tick();
    }
    stats_await_cause(fixture.proxy, "idle_timeout", 1);
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 1);
    const char *line = proxy_line(fixture.proxy, "conn service=web ");
    assert_non_null(strstr(line, "cause=idle_timeout bytes_up=1 bytes_down=1"));
    stats_await_cause(fixture.proxy, "idle_timeout", 2);
    udp_fixture_ping(&fixture, idle);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 3);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

static void a_session_lives_no_longer_than_max_lifetime(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "max_lifetime = 600ms");
    int client = udp_connect(NULL, &fixture.front);
    int64_t begin = wait_now_ms();
    while (wait_now_ms() < begin + 800) {
        udp_send(client, "a", 1); /* a reply could come too late */
        udp_expect(fixture.upstream, "a", 1);
        wait_tick();
    }
    assert_int_equal(udp_fixture_stat(&fixture, "ended_max_lifetime"), 1);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 2);
    udp_fixture_close(&fixture);
}

static void a_session_ends_with_the_last_of_its_replies(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "udp_responses = 2");
    int client = udp_connect(NULL, &fixture.front);
    struct socket_address session = udp_fixture_ping(&fixture, client);
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 1);
    udp_reply(fixture.upstream, &session, "c", 1);
    udp_reply(fixture.upstream, &session, "never", 5);
    udp_expect(client, "c", 1);
    stats_await_cause(fixture.proxy, "upstream_fin", 1);
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 0);
    expect_silence(client, 50);
    udp_fixture_ping(&fixture, client);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 2);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

static void an_upstream_that_refuses_is_marked_down(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "fail_threshold = 3\nfail_window = 1s");
    socket_close(fixture.upstream);
    int client = udp_connect(NULL, &fixture.front);
    for (unsigned i = 1; i <= 3; i++) {
        udp_send(client, "x", 1);
        stats_await_cause(fixture.proxy, "connect_refused", i);
    }
    proxy_line(fixture.proxy, "upstream service=web .* state=down "
                              "cause=connect_refused");
    assert_int_equal(
        stats_get(fixture.proxy, "web", fixture.back.text, "failed"), 3);
    udp_send(client, "x", 1);
    stats_await_cause(fixture.proxy, "no_upstream", 1);
    fixture.upstream = udp_bind(&fixture.back);
    proxy_line(fixture.proxy, "upstream service=web .* state=up");
    udp_fixture_ping(&fixture, client);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

static void what_an_upstream_sent_before_it_went_arrives(void **state)
{
    struct udp_fixture fixture;
    struct socket_address session;

    (void)state;
    udp_fixture_open(&fixture, "", "");
    int client = udp_connect(NULL, &fixture.front);
    session = udp_fixture_ping(&fixture, client);
    proxy_signal(fixture.proxy, SIGSTOP);
    udp_reply(fixture.upstream, &session, "last", 4);
    udp_reply(fixture.upstream, &session, "words", 5);
    socket_close(fixture.upstream);
    udp_send(client, "a", 1);
    udp_send(client, "b", 1);
    proxy_signal(fixture.proxy, SIGCONT);
    udp_expect(client, "last", 4);
    udp_expect(client, "words", 5);
    stats_await_cause(fixture.proxy, "connect_refused", 1);
    udp_fixture_close(&fixture);
}

/* ---- reload ---- */

static void a_reload_keeps_sessions_and_their_configuration(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "");
    int client = udp_connect(NULL, &fixture.front);
    struct socket_address before = udp_fixture_ping(&fixture, client);
    udp_fixture_reload(&fixture, &fixture.front, "deny = 0.0.0.0/0");
    struct socket_address after = udp_fixture_ping(&fixture, client);
    assert_memory_equal(&before.storage, &after.storage, before.length);
    udp_fixture_expect_refused(&fixture, NULL, "denied");
    udp_fixture_ping(&fixture, client);
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 1);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

static void sessions_outlive_their_listener(void **state)
{
    struct udp_fixture fixture;
    struct loopback elsewhere = loopback_new();

    (void)state;
    udp_fixture_open(&fixture, "", "idle_timeout = 2s");
    int client = udp_connect(NULL, &fixture.front);
    int stranger = udp_connect(NULL, &fixture.front);
    udp_fixture_ping(&fixture, client);
    udp_fixture_reload(&fixture, &elsewhere, "");
    udp_fixture_ping(&fixture, client);
    udp_send(stranger, "x", 1);
    expect_silence(fixture.upstream, 50);
    udp_fixture_ping(&fixture, udp_connect(NULL, &elsewhere));
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 2);

    /* The address comes back: both its old socket and a new one may get the
     * datagrams of new clients. */
    udp_fixture_reload(&fixture, &fixture.front, "");
    for (unsigned i = 0; i < 20; i++) {
        udp_fixture_ping(&fixture, udp_connect(NULL, &fixture.front));
    }
    udp_fixture_ping(&fixture, client);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

static void a_socket_without_sessions_goes_with_its_address(void **state)
{
    struct udp_fixture fixture;
    struct loopback elsewhere = loopback_new();

    (void)state;
    udp_fixture_open(&fixture, "", "udp_responses = 1");
    udp_fixture_ping(&fixture, udp_connect(NULL, &fixture.front));
    stats_await_cause(fixture.proxy, "upstream_fin", 1);
    unsigned before = proc_entries(fixture.proxy, "fd");
    udp_fixture_reload(&fixture, &elsewhere, "");
    wait_until(proc_entries(fixture.proxy, "fd") == before);
    socket_close(udp_bind(&fixture.front)); /* the port is free */
    udp_fixture_close(&fixture);
}

/* ---- drain ---- */

static void a_drain_lets_sessions_go_on_until_its_end(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "drain_timeout = 1s\naccess_log = yes", "");
    int client = udp_connect(NULL, &fixture.front);
    int stranger = udp_connect(NULL, &fixture.front);
    udp_fixture_ping(&fixture, client);
    proxy_signal(fixture.proxy, SIGTERM);
    proxy_line(fixture.proxy, "stopping ");
    udp_fixture_ping(&fixture, client);
    udp_send(stranger, "x", 1);
    expect_silence(fixture.upstream, 50);
    proxy_line(fixture.proxy, "conn service=web .* cause=drain ");
    assert_int_equal(proxy_wait(fixture.proxy), 0);
}

static void a_quiet_session_ends_early_in_a_drain(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "drain_timeout = 1m\naccess_log = yes", "");
    int client = udp_connect(NULL, &fixture.front);
    udp_fixture_ping(&fixture, client);
    struct stopwatch watch = stopwatch_start();
    proxy_signal(fixture.proxy, SIGTERM);
    proxy_line(fixture.proxy, "stopping ");
    udp_fixture_ping(&fixture, client);
    proxy_line(fixture.proxy, "conn service=web .* cause=drain ");
    assert_int_equal(proxy_wait(fixture.proxy), 0);
    stopwatch_expect(&watch, 1900, 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(an_idle_session_ends_and_a_busy_one_stays),
        E2E(a_session_lives_no_longer_than_max_lifetime),
        E2E(a_session_ends_with_the_last_of_its_replies),
        E2E(an_upstream_that_refuses_is_marked_down),
        E2E(what_an_upstream_sent_before_it_went_arrives),
        E2E(a_reload_keeps_sessions_and_their_configuration),
        E2E(sessions_outlive_their_listener),
        E2E(a_socket_without_sessions_goes_with_its_address),
        E2E(a_drain_lets_sessions_go_on_until_its_end),
        E2E(a_quiet_session_ends_early_in_a_drain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
