/*
 * Listen addresses that another evproxy of the same user has: they are refused,
 * not shared.
 */
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const struct proxy_options without_ready = {.no_ready = true};

static struct proxy *launch(const char *mode, const char *listen)
{
    return proxy_launch(&without_ready,
                        "[global]\nworkers = 2\n[service second]\nmode = %s\n"
                        "listen = %s\nupstream = 127.0.0.1:1\n",
                        mode, listen);
}

static const char in_use[] = "^(<3>)?evproxy: cannot listen on .*: Address "
                             "already in use";

static void expect_refused(const char *mode, const char *listen)
{
    struct proxy *second = launch(mode, listen);

    proxy_line(second, in_use);
    assert_int_equal(proxy_wait(second), 1);
}

static void expect_accepted(const char *mode, const char *listen)
{
    struct proxy *second = launch(mode, listen);

    proxy_line(second, "^ready ");
    proxy_signal(second, SIGTERM);
    assert_int_equal(proxy_wait(second), 0);
}

/* ---- starts ---- */

static void a_second_evproxy_is_refused(void **state)
{
    static const char *const modes[] = {"tcp", "udp"};
    static const char *const hosts[] = {"127.0.0.1", "", "0.0.0.0"};

    (void)state;
    for (unsigned mode = 0; mode < 2; mode++) {
        struct loopback front = loopback_on("127.0.0.1");
        struct proxy *first = launch(modes[mode], front.text);

        proxy_line(first, "^ready ");
        for (unsigned host = 0; host < 3; host++) {
            struct loopback same = loopback_at(hosts[host], &front);

            expect_refused(modes[mode], same.text);
        }
        struct loopback other = loopback_at("127.0.0.9", &front);
        expect_accepted(modes[mode], other.text);
        expect_accepted(modes[1 - mode], front.text);
        proxy_signal(first, SIGTERM);
        assert_int_equal(proxy_wait(first), 0);
        expect_accepted(modes[mode], front.text);
    }
}

static void every_address_of_the_machine_is_claimed(void **state)
{
    struct loopback front = loopback_on("");
    struct loopback one = loopback_at("127.0.0.1", &front);
    struct proxy *first = launch("tcp", front.text);

    (void)state;
    proxy_line(first, "^ready ");
    expect_refused("tcp", one.text);
    proxy_signal(first, SIGTERM);
    assert_int_equal(proxy_wait(first), 0);
}

enum { RIVALS = 5 };

/* However they meet: one is ready in the end, unless each was in the way of
 * another. */
static void expect_one_of(const char *mode)
{
    struct loopback front = loopback_new();
    struct proxy *rivals[RIVALS];
    struct proxy *ready = NULL;

    for (unsigned i = 0; i < RIVALS; i++) {
        rivals[i] = launch(mode, front.text);
    }
    for (unsigned i = 0; i < RIVALS; i++) {
        proxy_line(rivals[i], "^(ready |(<3>)?evproxy: cannot listen)");
        if (proxy_count(rivals[i], "^ready ") == 0) {
            assert_int_equal(proxy_wait(rivals[i]), 1);
            continue;
        }
        assert_null(ready);
        ready = rivals[i];
    }
    if (ready != NULL) {
        proxy_signal(ready, SIGTERM);
        assert_int_equal(proxy_wait(ready), 0);
    }
}

static void of_many_that_start_at_once_one_is_ready(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 4; turn++) {
        expect_one_of("tcp");
        expect_one_of("udp");
    }
}

static void one_that_drains_is_in_nobodys_way(void **state)
{
    struct fixture old;
    int claim;

    (void)state;
    fixture_open(&old, "drain_timeout = 1h", "");
    struct pair held = pair_connect(&old);
    pair_ping(&held);
    proxy_signal(old.proxy, SIGTERM);
    /* A claim, as a start makes it. */
    wait_until((claim = loopback_bind(&old.front, SOCK_STREAM)) >= 0);
    assert_int_equal(close(claim), 0);
    struct fixture next = old;
    next.proxy = proxy_start("[service web]\nlisten = %s\nupstream = %s\n",
                             old.front.text, old.back.text);
    struct pair pair = pair_connect(&next);
    pair_ping(&pair);
    pair_ping(&held);
    pair_close(&held);
    assert_int_equal(proxy_wait(old.proxy), 0);
    pair_close(&pair);
    fixture_close(&next);
}

/* ---- reloads ---- */

static void a_reload_claims_what_it_adds(void **state)
{
    struct loopback taken = loopback_new(), front = loopback_new();
    struct proxy *other = launch("tcp", taken.text);
    struct proxy *proxy;

    (void)state;
    proxy_line(other, "^ready ");
    proxy = proxy_start("[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n",
                        front.text);
    proxy_configure(proxy,
                    "[service web]\nlisten = %s\nlisten = %s\n"
                    "upstream = 127.0.0.1:1\n",
                    front.text, taken.text);
    proxy_mark(proxy);
    proxy_signal(proxy, SIGHUP);
    proxy_line(proxy, "^reload refused: .*cannot listen on .*: Address already "
                      "in use by evproxy ");
    proxy_signal(other, SIGTERM);
    assert_int_equal(proxy_wait(other), 0);
    proxy_reload(proxy);
    proxy_stop(proxy);
}

/* Its own addresses are in the way of one another. */
static void expect_overlaps(const char *mode)
{
    struct loopback all = loopback_on("");
    struct loopback one = loopback_at("127.0.0.1", &all);
    const char *const texts[] = {all.text, one.text, all.text};
    struct proxy *proxy;

    proxy = proxy_start("[global]\nworkers = 2\n"
                        "[service web]\nmode = %s\nlisten = %s\nlisten = %s\n"
                        "upstream = 127.0.0.1:1\n",
                        mode, one.text, all.text);
    for (unsigned turn = 0; turn < 3; turn++) {
        proxy_configure(proxy,
                        "[service web]\nmode = %s\nlisten = %s\n"
                        "upstream = 127.0.0.1:1\n",
                        mode, texts[turn]);
        proxy_reload(proxy);
    }
    for (unsigned turn = 0; turn < 3; turn++) {
        struct loopback other = loopback_new();

        proxy_configure(proxy,
                        "[service web]\nmode = %s\nlisten = %s\n"
                        "upstream = 127.0.0.1:1\n",
                        mode, turn == 1 ? all.text : other.text);
        proxy_reload(proxy);
    }
    proxy_stop(proxy);
}

static void addresses_of_one_process_may_overlap(void **state)
{
    (void)state;
    expect_overlaps("tcp");
    expect_overlaps("udp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_second_evproxy_is_refused),
        E2E(every_address_of_the_machine_is_claimed),
        E2E(of_many_that_start_at_once_one_is_ready),
        E2E(one_that_drains_is_in_nobodys_way),
        E2E(a_reload_claims_what_it_adds),
        E2E(addresses_of_one_process_may_overlap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
