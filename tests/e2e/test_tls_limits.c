/*
 * Clients with TLS that limits and rules keep out, their lines in the access
 * log, and TLS in a drain.
 */
#include "expect.h"
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "tls_expect.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "wait.h"

#include <openssl/ssl.h>
#include <signal.h>

static void above_a_limit_there_is_no_handshake(void **state)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(0);

    (void)state;
    tls_fixture_open(&fixture, "", "max_connections = 1");
    struct pair pair = tls_pair_connect(&fixture, &client);
    expect_connect_reset(NULL, &fixture.front, NULL);
    stats_await_cause(fixture.proxy, "limit_connections", 1);
    pair_ping(&pair);
    pair_close(&pair);
    stats_await(fixture.proxy, "web", NULL, "active", 0);
    tls_fixture_expect_certificate(&fixture, "server");
    fixture_close(&fixture);
}

static void a_denied_client_gets_no_handshake(void **state)
{
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "deny = 127.0.0.0/8");
    expect_connect_reset(NULL, &fixture.front, NULL);
    stats_await_cause(fixture.proxy, "denied", 1);
    fixture_close(&fixture);
}

static void a_handshake_that_fails_has_its_line_in_the_access_log(void **state)
{
    struct fixture fixture;
    struct tls_options old = {.version = TLS1_1_VERSION};

    (void)state;
    tls_fixture_open(&fixture, "access_log = yes", "");
    tls_expect_connect_refused(&fixture.front, &old, NULL);
    proxy_line(fixture.proxy,
               "^conn service=web client=127\\.0\\.0\\.1:[0-9]+ upstream=- "
               "cause=tls_error bytes_up=0 bytes_down=0 ");
    fixture_close(&fixture);
}

/* ---- drain ---- */

static bool accepts(const struct loopback *front)
{
    int fd = socket_try_connect(NULL, front);

    if (fd >= 0) {
        socket_close(fd);
    }
    return fd >= 0;
}

static void connections_with_tls_may_finish_while_it_drains(void **state)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(0);

    (void)state;
    tls_fixture_open(&fixture, "drain_timeout = 20s", "");
    struct pair pair = tls_pair_connect(&fixture, &client);
    proxy_mark(fixture.proxy);
    proxy_signal(fixture.proxy, SIGTERM);
    wait_until(!accepts(&fixture.front));
    pair_ping(&pair);
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    socket_send_last(pair.upstream, "last", 4);
    expect_text(pair.client, "last");
    expect_eof(pair.client);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
}

/* Without a close_notify: the stream may not be complete. */
static void what_is_left_after_the_drain_is_reset(void **state)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(0);

    (void)state;
    tls_fixture_open(&fixture, "drain_timeout = 200ms", "");
    struct pair pair = tls_pair_connect(&fixture, &client);
    pair_ping(&pair);
    proxy_signal(fixture.proxy, SIGTERM);
    expect_reset(pair.client);
    expect_reset(pair.upstream);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(above_a_limit_there_is_no_handshake),
        E2E(a_denied_client_gets_no_handshake),
        E2E(a_handshake_that_fails_has_its_line_in_the_access_log),
        E2E(connections_with_tls_may_finish_while_it_drains),
        E2E(what_is_left_after_the_drain_is_reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
