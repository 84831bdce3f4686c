/*
 * Reload: established connections stay as they are, new ones get the new
 * configuration, and a refused reload changes nothing.
 */
#include "expect.h"
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proc.h"
#include "proxy.h"
#include "serve.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

/* One question each, and their answers later. */
static void ask_all(const struct pair *pairs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        socket_send_text(pairs[i].client, "ping");
    }
}

static void answer_all(const struct pair *pairs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        expect_text(pairs[i].upstream, "ping");
        socket_send_text(pairs[i].upstream, "pong");
    }
    for (unsigned i = 0; i < count; i++) {
        expect_text(pairs[i].client, "pong");
    }
}

/* ---- connections ---- */

static void reload_touches_no_established_connection(void **state)
{
    enum { CONNECTIONS = 2000 };
    static struct pair pairs[CONNECTIONS];
    unsigned count = test_slow() ? CONNECTIONS / 2 : CONNECTIONS;
    struct stream out = {.bytes = (test_slow() ? 16 : 64) << 20, .fin = true};
    struct stream in = out;
    struct fixture fixture;
    struct loopback other = loopback_new();

    (void)state;
    fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < count; i++) {
        pairs[i] = pair_connect(&fixture);
    }
    struct pair busy = pair_connect(&fixture);
    out.fd = busy.client;
    in.fd = busy.upstream;
    stream_start_send(&out);
    stream_start_receive(&in);
    ask_all(pairs, count);
    fixture_reload_other(&fixture, "new", &other); /* web has gone */
    answer_all(pairs, count);
    struct pair new = {.client = socket_connect(&other)};
    new.upstream = socket_accept(fixture.listener);
    ask_all(&new, 1);
    ask_all(pairs, count);
    assert_int_equal(socket_try_connect(NULL, &fixture.front), -1);
    assert_int_equal(errno, ECONNREFUSED);
    fixture_reload(&fixture, "idle_timeout = 1m");
    answer_all(pairs, count);
    answer_all(&new, 1);
    stream_join(&out);
    stream_join(&in);
    fixture_close(&fixture);
}

static void a_connection_keeps_the_keys_it_began_with(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "idle_timeout = off");
    struct pair old = pair_establish(&fixture);
    fixture_reload(&fixture, "idle_timeout = 150ms");
    struct pair new = pair_establish(&fixture);
    expect_end(new.client);
    stats_await_cause(fixture.proxy, "idle_timeout", 1);
    pair_ping(&old);
    fixture_close(&fixture);
}

static void upstreams_come_and_go_by_reload(void **state)
{
    struct fixture fixture;
    struct loopback second = loopback_new();

    (void)state;
    fixture_open(&fixture, "", "");
    int listener = socket_listen(&second);
    struct pair old = pair_establish(&fixture);
    proxy_configure(fixture.proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n",
                    fixture.front.text, second.text);
    proxy_reload(fixture.proxy);
    proxy_line(fixture.proxy,
               "^reloaded generation=2 services=1 upstreams=1( |$)");
    int fd = socket_connect(&fixture.front);
    socket_send_text(fd, "to the second");
    expect_text(socket_accept(listener), "to the second");
    pair_ping(&old);
    fixture_close(&fixture);
}

/* No listener that stays is closed, so clients can connect at any time. */
static void clients_connect_throughout_reloads(void **state)
{
    enum { CLIENTS = 25 };
    unsigned rounds = test_slow() ? 10 : 40;
    struct fixture fixture;

    (void)state;
    fixture_open_server(&fixture, serve_echo, NULL, "", "");
    for (unsigned round = 0; round < rounds; round++) {
        int fds[CLIENTS];

        proxy_mark(fixture.proxy);
        proxy_signal(fixture.proxy, SIGHUP);
        for (int i = 0; i < CLIENTS; i++) {
            fds[i] = socket_connect(&fixture.front);
            socket_send_text(fds[i], "still here");
        }
        for (int i = 0; i < CLIENTS; i++) {
            expect_text(fds[i], "still here");
            socket_close(fds[i]);
        }
        proxy_line(fixture.proxy, "^reloaded ");
    }
    stats_await_cause(fixture.proxy, "client_fin", CLIENTS * rounds);
    fixture_close(&fixture);
}

/* ---- services and their counters ---- */

/* Its connections are still there, so it is listed still, and once only. */
static void a_service_that_comes_back_goes_on_with_its_counters(void **state)
{
    struct fixture fixture;
    struct loopback other = loopback_new();

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair old = pair_establish(&fixture);
    fixture_reload_other(&fixture, "new", &other);
    fixture_reload(&fixture, "");
    pair_ping(&old);
    stats_await(fixture.proxy, "web", NULL, "active", 1);
    assert_int_equal(
        stats_get(fixture.proxy, "web", fixture.back.text, "total"), 1);
    fixture_close(&fixture);
}

static void a_removed_service_is_listed_until_its_last_connection(void **state)
{
    struct fixture fixture;
    struct loopback other = loopback_new();

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_establish(&fixture);
    fixture_reload_other(&fixture, "new", &other);
    stats_await(fixture.proxy, "web", NULL, "active", 1);
    assert_true(stats_listed(fixture.proxy, "web", fixture.back.text));
    pair_close(&pair);
    wait_until(!stats_listed(fixture.proxy, "web", NULL));
    assert_false(stats_listed(fixture.proxy, "web", fixture.back.text));
    assert_true(stats_listed(fixture.proxy, "new", fixture.back.text));
    fixture_close(&fixture);
}

static void counters_go_on_over_reloads(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_establish(&fixture);
    proxy_reload(fixture.proxy);
    struct pair next = pair_establish(&fixture);
    stats_await(fixture.proxy, "web", NULL, "accepted", 2);
    stats_await(fixture.proxy, "web", fixture.back.text, "total", 2);
    stats_await(fixture.proxy, "web", fixture.back.text, "active", 2);
    pair_close(&pair);
    pair_close(&next);
    stats_await_cause(fixture.proxy, "client_fin", 2);
    fixture_close(&fixture);
}

/* ---- refusals and warnings ---- */

/* One line tells why, and all goes on as before. */
static void expect_reload_refused(struct fixture *fixture, const char *pattern)
{
    proxy_mark(fixture->proxy);
    proxy_signal(fixture->proxy, SIGHUP);
    proxy_line(fixture->proxy, pattern);
    assert_int_equal(proxy_count(fixture->proxy, "^reloaded"), 0);
    assert_int_equal(proxy_count(fixture->proxy, "^reload refused: "), 1);
    stats_await(fixture->proxy, NULL, NULL, "generation", 1);
    pair_establish(fixture);
}

static void a_refused_reload_changes_nothing(void **state)
{
    struct fixture fixture;
    struct loopback taken = loopback_new();

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair old = pair_establish(&fixture);
    proxy_configure(fixture.proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n"
                    "balance = badly\n",
                    fixture.front.text, fixture.back.text);
    expect_reload_refused(&fixture, "^reload refused: [^ ]*\\.ini:4: ");
    socket_listen(&taken);
    proxy_configure(fixture.proxy,
                    "[service new]\nlisten = %s\nupstream = %s\n"
                    "[service web]\nlisten = %s\nupstream = %s\n",
                    loopback_new().text, fixture.back.text, taken.text,
                    fixture.back.text);
    expect_reload_refused(&fixture, "^reload refused: .*[Aa]ddress");
    assert_false(stats_listed(fixture.proxy, "new", NULL));
    proxy_configure(fixture.proxy, "%s", "");
    expect_reload_refused(&fixture, "^reload refused: ");
    pair_ping(&old);
    fixture_close(&fixture);
}

static void
a_key_that_needs_a_restart_keeps_its_value_with_a_warning(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "workers = 1\nbuffer_size = 16K", "");
    fixture_reload(&fixture, "[global]\nworkers = 2\nbuffer_size = 8K");
    proxy_line(fixture.proxy, "workers.*restart");
    proxy_line(fixture.proxy, "buffer_size.*restart");
    stats_await(fixture.proxy, NULL, NULL, "workers", 1);
    pair_establish(&fixture);
    fixture_close(&fixture);
}

/* ---- resources ---- */

/* With or without a second service at the address. */
static void reload_with(struct fixture *fixture, const struct loopback *second,
                        bool with)
{
    char more[320];

    snprintf(more, sizeof(more), "[service more]\nlisten = %s\nupstream = %s\n",
             second->text, fixture->back.text);
    fixture_reload(fixture, with ? more : "");
}

static void a_hundred_reloads_leave_nothing_behind(void **state)
{
    enum { RELOADS = 100, SETTLED = 10 };
    struct fixture fixture;
    struct loopback second = loopback_new();
    unsigned fds = 0;
    unsigned threads = 0;
    uint64_t resident = 0;

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair held = pair_establish(&fixture);
    for (int i = 0; i < RELOADS; i++) {
        reload_with(&fixture, &second, i % 2 == 1);
        struct pair pair = pair_establish(&fixture);
        pair_close(&pair);
        stats_await(fixture.proxy, NULL, NULL, "active", 1);
        if (i == SETTLED) {
            fds = proc_entries(fixture.proxy, "fd");
            threads = proc_entries(fixture.proxy, "task");
            resident = proc_resident(fixture.proxy);
        }
    }
    reload_with(&fixture, &second, SETTLED % 2 == 1);
    wait_until(proc_entries(fixture.proxy, "fd") <= fds);
    assert_int_equal(proc_entries(fixture.proxy, "task"), threads);
    if (!test_slow()) {
        assert_true(proc_resident(fixture.proxy) < resident + 512 * 1024);
    }
    pair_ping(&held);
    fixture_close(&fixture);
}

/* ---- doubts ---- */

static void a_start_and_a_reload_tell_doubts(void **state)
{
    static const char line[] = ":[0-9]+: warning: idle_timeout = 30000: ";
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "idle_timeout = 30000");
    proxy_line(fixture.proxy, line);
    proxy_mark(fixture.proxy);
    fixture_reload(&fixture, "idle_timeout = 30000");
    proxy_line(fixture.proxy, line);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(reload_touches_no_established_connection),
        E2E(a_start_and_a_reload_tell_doubts),
        E2E(a_connection_keeps_the_keys_it_began_with),
        E2E(upstreams_come_and_go_by_reload),
        E2E(clients_connect_throughout_reloads),
        E2E(a_service_that_comes_back_goes_on_with_its_counters),
        E2E(a_removed_service_is_listed_until_its_last_connection),
        E2E(counters_go_on_over_reloads),
        E2E(a_refused_reload_changes_nothing),
        E2E(a_key_that_needs_a_restart_keeps_its_value_with_a_warning),
        E2E(a_hundred_reloads_leave_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
