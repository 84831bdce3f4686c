/*
 * Upgrades with another configuration, and with other signals in the middle.
 */
#include "expect.h"
#include "next_binary.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <signal.h>

static void a_changed_configuration_is_used(void **state)
{
    struct loopback other = loopback_new();
    struct fixture fixture;
    struct pair pair;
    int client, upstream;
    pid_t old;

    (void)state;
    fixture_open(&fixture, "", "");
    pair = pair_establish(&fixture);
    proxy_configure(fixture.proxy,
                    "[service other]\nlisten = %s\nupstream = %s\n", other.text,
                    fixture.back.text);
    old = proxy_upgrade(fixture.proxy);
    assert_int_equal(socket_try_connect(NULL, &fixture.front), -1);
    client = socket_connect(&other);
    upstream = socket_accept(fixture.listener);
    socket_send_text(client, "new");
    expect_text(upstream, "new");
    pair_ping(&pair); /* its service is gone: it stays in the old process */
    stats_await(fixture.proxy, NULL, NULL, "active", 2);
    pair_close(&pair);
    proxy_await_old(old);
    wait_until(stats_get(fixture.proxy, NULL, NULL, "active") == 1);
    stats_await(fixture.proxy, NULL, NULL, "accepted", 2);
    fixture_close(&fixture);
}

static void a_reload_follows_an_upgrade(void **state)
{
    struct fixture fixture;
    struct pair pair;
    pid_t old;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    next_binary_script("sleep 3");
    proxy_mark(fixture.proxy);
    proxy_signal(fixture.proxy, SIGUSR2);
    proxy_line(fixture.proxy, "^upgrading ");
    proxy_signal(fixture.proxy, SIGUSR2);
    proxy_line(fixture.proxy, "^upgrade refused ");
    proxy_signal(fixture.proxy, SIGHUP);
    stats_await(fixture.proxy, "web", NULL, "active", 1);
    old = proxy_pid(fixture.proxy);
    proxy_follow(fixture.proxy);
    proxy_line(fixture.proxy, "^reloaded generation=3 ");
    proxy_await_old(old);
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void a_reload_follows_an_upgrade_that_fails(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    next_binary_script("sleep 3; exit 3");
    proxy_mark(fixture.proxy);
    proxy_signal(fixture.proxy, SIGUSR2);
    proxy_line(fixture.proxy, "^upgrading ");
    proxy_signal(fixture.proxy, SIGHUP);
    proxy_line(fixture.proxy, "^upgrade failed .*status 3");
    proxy_line(fixture.proxy, "^reloaded generation=2 ");
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void a_stop_ends_an_upgrade(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    next_binary_script("exec sleep 5");
    proxy_mark(fixture.proxy);
    proxy_signal(fixture.proxy, SIGUSR2);
    proxy_line(fixture.proxy, "^upgrading ");
    pair_close(&pair);
    proxy_stop(fixture.proxy);
    proxy_line(fixture.proxy, "^upgrade failed .*told to stop");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
        TEST(a_changed_configuration_is_used),
        TEST(a_reload_follows_an_upgrade),
        TEST(a_reload_follows_an_upgrade_that_fails),
        TEST(a_stop_ends_an_upgrade),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
