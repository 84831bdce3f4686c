/*
 * Drains: of the process, by drain_delay and drain_spread, and of an upstream,
 * by its option drain.
 */
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "greeters.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* ---- of the process ---- */

static void connections_are_taken_until_drain_delay_is_over(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "drain_delay = 1500ms\ndrain_timeout = 1h", "");
    struct pair before = pair_establish(&fixture);
    struct stopwatch watch = stopwatch_start();
    proxy_signal(fixture.proxy, SIGTERM);
    proxy_line(fixture.proxy, "^stopping .* drain_delay_ms=1500$");
    struct pair during = pair_establish(&fixture);
    proxy_signal(fixture.proxy, SIGHUP);
    pair_ping(&before);
    /* One that comes as the listener closes is reset. */
    wait_until(socket_try_connect(NULL, &fixture.front) < 0 &&
               errno == ECONNREFUSED);
    stopwatch_expect(&watch, 1490, 60000);
    pair_ping(&before);
    pair_ping(&during);
    assert_int_equal(proxy_count(fixture.proxy, "^reloaded "), 0);
    proxy_signal(fixture.proxy, SIGTERM);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
}

static void drain_delay_is_waited_out_without_connections(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "drain_delay = 600ms", "");
    struct stopwatch watch = stopwatch_start();
    proxy_signal(fixture.proxy, SIGTERM);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
    stopwatch_expect(&watch, 590, 60000);
}

/* ---- evenly ---- */

enum { MANY = 11, TIMEOUT_MS = 4000 };

/* They end one after another, from the middle of the timeout on. */
static void expect_even_ends(const int *fds, const struct stopwatch *watch)
{
    for (int i = 0; i < MANY; i++) {
        int64_t due_ms = TIMEOUT_MS / 2 + i * (TIMEOUT_MS / 2 / MANY);

        expect_end(fds[i]);
        stopwatch_expect(watch, due_ms - 20, due_ms + 1500);
    }
}

static void drain_spread_ends_connections_evenly(void **state)
{
    struct fixture fixture;
    int clients[MANY];

    (void)state;
    fixture_open(&fixture,
                 "workers = 1\ndrain_timeout = 4s\ndrain_spread = yes\n"
                 "access_log = yes",
                 "");
    for (int i = 0; i < MANY; i++) {
        clients[i] = pair_establish(&fixture).client;
    }
    struct stopwatch watch = stopwatch_start();
    proxy_signal(fixture.proxy, SIGTERM);
    expect_even_ends(clients, &watch);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
    assert_int_equal(proxy_count(fixture.proxy, "^conn .* cause=drain "), MANY);
}

static void without_drain_spread_they_end_at_once(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "drain_timeout = 800ms", "");
    struct pair pair = pair_establish(&fixture);
    struct stopwatch watch = stopwatch_start();
    proxy_signal(fixture.proxy, SIGTERM);
    expect_end(pair.client);
    stopwatch_expect(&watch, 790, 60000);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
}

/* ---- of an upstream ---- */

static void reload(struct greeters *greeters, const char *const *options)
{
    char upstreams[4096];

    greeters_list(greeters, 0, options, upstreams, sizeof(upstreams));
    proxy_configure(greeters->proxy,
                    "[service web]\nlisten = %s\nbalance = roundrobin\n%s",
                    greeters->front.text, upstreams);
    proxy_reload(greeters->proxy);
}

static const char *state_of(struct greeters *greeters, unsigned i)
{
    return strstr(stats_line(greeters->proxy, "web", greeters->back[i].text),
                  " state=");
}

static void a_drained_upstream_keeps_what_it_has_and_gets_no_more(void **state)
{
    static const char *const drained[] = {"", "drain"};
    static const char *const both[] = {"", ""};
    struct greeters greeters;
    unsigned counts[GREETERS_MAX] = {0};
    unsigned upstream = 0;
    int fd = -1;

    (void)state;
    greeters_open(&greeters, 2, NULL, "balance = roundrobin");
    while (upstream != 1) {
        fd = greeters_connect(&greeters.front, NULL, &upstream);
    }
    reload(&greeters, drained);
    greeters_count(&greeters, 10, counts);
    assert_int_equal(counts[0], 10);
    assert_memory_equal(state_of(&greeters, 1), " state=drain ", 13);
    expect_silence(fd, 100);
    assert_int_equal(
        stats_get(greeters.proxy, "web", greeters.back[1].text, "active"), 1);
    reload(&greeters, both);
    greeters_count(&greeters, 10, counts);
    assert_int_equal(counts[0], 5);
    assert_int_equal(counts[1], 5);
    assert_memory_equal(state_of(&greeters, 1), " state=up ", 10);
    greeters_close(&greeters);
}

static void backups_serve_when_all_others_are_drained(void **state)
{
    static const char *const options[] = {"drain", "backup", "drain backup"};
    static const char *const none[] = {"drain", "drain backup", "drain"};
    struct greeters greeters;
    unsigned counts[GREETERS_MAX] = {0};

    (void)state;
    greeters_open(&greeters, 3, options, "balance = roundrobin");
    greeters_count(&greeters, 6, counts);
    assert_int_equal(counts[1], 6);
    reload(&greeters, none);
    expect_connect_ended(&greeters.front);
    stats_await_cause(greeters.proxy, "no_upstream", 1);
    greeters_close(&greeters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(connections_are_taken_until_drain_delay_is_over),
        E2E(drain_delay_is_waited_out_without_connections),
        E2E(drain_spread_ends_connections_evenly),
        E2E(without_drain_spread_they_end_at_once),
        E2E(a_drained_upstream_keeps_what_it_has_and_gets_no_more),
        E2E(backups_serve_when_all_others_are_drained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
