/*
 * What an upgrade leaves in the old process: it ends there, and the new one
 * counts it.
 */
#include "expect.h"
#include "fixture.h"
#include "proxy.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <signal.h>
#include <sys/wait.h>

/* A proxy in front of an upstream that never answers a connect, with one client
 * whose connection stays in the old process. Returns the client. */
static int open_stuck(struct fixture *fixture, const char *global,
                      const char *service)
{
    struct loopback silent = server_silent();
    int client;

    fixture_open_back(fixture, &silent, global, service);
    client = socket_connect(&fixture->front);
    wait_until(stats_get(fixture->proxy, "web", NULL, "active") == 1);
    return client;
}

static void what_cannot_move_ends_in_the_old_process(void **state)
{
    struct fixture fixture;
    int client;
    pid_t old;

    (void)state;
    client =
        open_stuck(&fixture, "", "connect_timeout = 2s\nconnect_attempts = 1");
    old = proxy_upgrade(fixture.proxy);
    stats_await(fixture.proxy, "web", NULL, "active", 1);
    assert_int_equal(waitpid(old, NULL, WNOHANG), 0);
    expect_reset(client);
    proxy_await_old(old);
    stats_await_cause(fixture.proxy, "connect_timeout", 1);
    stats_expect_only(fixture.proxy, "connect_timeout", 1);
    fixture_close(&fixture);
}

/* It ends by its own drain_timeout, and the new one by its own. */
static void both_processes_can_be_stopped(void **state)
{
    struct fixture fixture;
    pid_t old;
    int client;

    (void)state;
    client = open_stuck(&fixture, "drain_timeout = 500ms",
                        "connect_timeout = 1h\nconnect_attempts = 1");
    old = proxy_upgrade(fixture.proxy);
    assert_int_equal(kill(old, SIGTERM), 0);
    expect_reset(client);
    proxy_await_old(old);
    stats_await_cause(fixture.proxy, "drain", 1);
    stats_expect_only(fixture.proxy, "drain", 1);

    client = socket_connect(&fixture.front);
    wait_until(stats_get(fixture.proxy, "web", NULL, "active") == 1);
    old = proxy_upgrade(fixture.proxy);
    proxy_signal(fixture.proxy, SIGTERM); /* the old one has a connection */
    wait_until(kill(proxy_pid(fixture.proxy), 0) < 0); /* its parent is old */
    assert_int_equal(kill(old, SIGTERM), 0);
    proxy_await_old(old);
    expect_closed(client);
    proxy_lose(fixture.proxy);
}

/* Two upgrades, and what is left of the first process is told to the third. */
static void the_books_balance_over_two_upgrades(void **state)
{
    struct fixture fixture;
    pid_t first, second;
    int client;

    (void)state;
    client =
        open_stuck(&fixture, "", "connect_timeout = 3s\nconnect_attempts = 1");
    first = proxy_upgrade(fixture.proxy);
    second = proxy_upgrade(fixture.proxy);
    stats_await(fixture.proxy, "web", NULL, "active", 1);
    expect_reset(client);
    proxy_await_old(first);
    proxy_await_old(second);
    stats_expect_only(fixture.proxy, "connect_timeout", 1);
    fixture_close(&fixture);
}

static void an_old_process_that_is_killed_leaves_balanced_books(void **state)
{
    struct fixture fixture;
    int client;
    pid_t old;

    (void)state;
    client =
        open_stuck(&fixture, "", "connect_timeout = 1h\nconnect_attempts = 1");
    old = proxy_upgrade(fixture.proxy);
    kill(old, SIGKILL);
    assert_int_equal(waitpid(old, NULL, 0), old);
    expect_closed(client);
    proxy_line(fixture.proxy, "^the old process is lost connections=1$");
    stats_await_cause(fixture.proxy, "internal", 1);
    stats_expect_only(fixture.proxy, "internal", 1);
    fixture_close(&fixture);
}

static void udp_goes_on_at_the_same_socket(void **state)
{
    struct udp_fixture fixture;
    int client;
    pid_t old;

    (void)state;
    udp_fixture_open(&fixture, "", "idle_timeout = 1s");
    client = udp_connect(NULL, &fixture.front);
    (void)udp_fixture_ping(&fixture, client);
    old = proxy_upgrade(fixture.proxy);
    (void)udp_fixture_ping(&fixture, client);
    proxy_await_old(old);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
        TEST(what_cannot_move_ends_in_the_old_process),
        TEST(both_processes_can_be_stopped),
        TEST(the_books_balance_over_two_upgrades),
        TEST(an_old_process_that_is_killed_leaves_balanced_books),
        TEST(udp_goes_on_at_the_same_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
