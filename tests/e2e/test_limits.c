/*
 * Which clients may connect, and how many: access rules, limits, accept rates.
 */
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "wait.h"

/* ---- access ---- */

static void the_first_rule_that_matches_decides(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "",
                 "deny = 127.9.0.5\nallow = 127.9.0.0/24\n"
                 "deny = 127.0.0.0/8");
    struct pair inside = pair_connect_from(&fixture, "127.9.0.6");
    pair_ping(&inside);
    expect_connect_reset("127.9.0.5", &fixture.front, NULL);
    expect_connect_reset("127.9.1.6", &fixture.front, "bytes");
    expect_connect_reset("127.0.0.1", &fixture.front, NULL);
    stats_await_cause(fixture.proxy, "denied", 3);
    stats_await(fixture.proxy, "web", NULL, "accepted", 4);
    fixture_close(&fixture);
}

static void with_any_allow_the_rest_is_denied(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "allow = 127.9.0.7\nallow = ::1");
    struct pair pair = pair_connect_from(&fixture, "127.9.0.7");
    pair_ping(&pair);
    expect_connect_reset("127.9.0.8", &fixture.front, NULL);
    stats_await_cause(fixture.proxy, "denied", 1);
    fixture_close(&fixture);
}

static void with_deny_alone_the_rest_is_allowed(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "deny = 127.9.0.0/16");
    struct pair pair = pair_connect_from(&fixture, "127.10.0.1");
    pair_ping(&pair);
    expect_connect_reset("127.9.200.8", &fixture.front, NULL);
    stats_await_cause(fixture.proxy, "denied", 1);
    fixture_close(&fixture);
}

/* ---- counts and accept rates ---- */

static void above_the_services_limit_a_connection_is_reset_at_once(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "access_log = yes", "max_connections = 2");
    struct pair first = pair_connect(&fixture);
    struct pair second = pair_connect(&fixture);
    expect_connect_reset(NULL, &fixture.front, NULL);
    expect_connect_reset(NULL, &fixture.front, "bytes");
    stats_await_cause(fixture.proxy, "limit_connections", 2);
    proxy_line(fixture.proxy, "^conn service=web client=.* "
                              "cause=limit_connections ");
    pair_ping(&first);
    pair_close(&first);
    stats_await(fixture.proxy, "web", NULL, "active", 1);
    struct pair third = pair_connect(&fixture);
    pair_ping(&third);
    pair_ping(&second);
    fixture_close(&fixture);
}

static void above_a_sources_limit_only_that_source_is_reset(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "max_connections_per_source = 2");
    struct pair first = pair_connect_from(&fixture, "127.9.0.1");
    struct pair second = pair_connect_from(&fixture, "127.9.0.1");
    expect_connect_reset("127.9.0.1", &fixture.front, NULL);
    struct pair other = pair_connect_from(&fixture, "127.9.0.2");
    pair_ping(&first);
    pair_ping(&second);
    pair_ping(&other);
    stats_await_cause(fixture.proxy, "limit_source", 1);
    pair_close(&second);
    stats_await(fixture.proxy, "web", NULL, "active", 2);
    second = pair_connect_from(&fixture, "127.9.0.1");
    pair_ping(&second);
    fixture_close(&fixture);
}

static void the_accept_rate_has_a_bucket_one_second_deep(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "accept_rate = 5");
    struct stopwatch watch = stopwatch_start();
    for (int i = 0; i < 5; i++) {
        pair_connect(&fixture);
    }
    expect_connect_reset(NULL, &fixture.front, NULL);
    stats_await_cause(fixture.proxy, "limit_rate", 1);
    unsigned refused = 1;
    while (!wait_readable(fixture.listener,
                          100)) { /* a token comes every 200 ms */
        int fd = socket_try_connect(NULL, &fixture.front);
        stopwatch_expect(&watch, 0, 8000);
        if (fd < 0 || wait_readable(fd, 100)) {
            refused++;
        }
    }
    stats_await_cause(fixture.proxy, "limit_rate", refused);
    fixture_close(&fixture);
}

static void the_accept_rate_of_a_source_leaves_others_alone(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "accept_rate_per_source = 2");
    pair_connect_from(&fixture, "127.9.0.1");
    pair_connect_from(&fixture, "127.9.0.1");
    expect_connect_reset("127.9.0.1", &fixture.front, NULL);
    pair_connect_from(&fixture, "127.9.0.2");
    pair_connect_from(&fixture, "127.9.0.2");
    expect_connect_reset("127.9.0.2", &fixture.front, NULL);
    stats_await_cause(fixture.proxy, "limit_rate", 2);
    fixture_close(&fixture);
}

/* At the global limit the backlog keeps the others, and loses none. */
static void above_the_global_limit_clients_wait_for_their_turn(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "max_connections = 3", "");
    struct pair pairs[3];
    for (int i = 0; i < 3; i++) {
        pairs[i] = pair_connect(&fixture);
    }
    int waiting[4];
    for (int i = 0; i < 4; i++) {
        waiting[i] = socket_connect(&fixture.front);
        socket_send_text(waiting[i], "patience");
    }
    expect_silence(fixture.listener, 200);
    stats_await(fixture.proxy, "web", NULL, "accepted", 3);
    assert_true(stats_get(fixture.proxy, NULL, NULL, "accept_paused") > 0);
    pair_ping(&pairs[2]);
    int taken = -1;
    for (int i = 0; i < 4; i++) {
        socket_reset(i < 3 ? pairs[i].upstream : taken);
        taken = socket_accept(fixture.listener);
        expect_text(taken, "patience");
    }
    stats_await(fixture.proxy, NULL, NULL, "accepted", 7);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_first_rule_that_matches_decides),
        E2E(with_any_allow_the_rest_is_denied),
        E2E(with_deny_alone_the_rest_is_allowed),
        E2E(above_the_services_limit_a_connection_is_reset_at_once),
        E2E(above_a_sources_limit_only_that_source_is_reset),
        E2E(the_accept_rate_has_a_bucket_one_second_deep),
        E2E(the_accept_rate_of_a_source_leaves_others_alone),
        E2E(above_the_global_limit_clients_wait_for_their_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
