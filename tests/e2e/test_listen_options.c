/*
 * Listeners with Multipath TCP, and on addresses that the machine does not have
 * yet.
 */
#include "command.h"
#include "expect.h"
#include "fixture.h"
#include "http.h"
#include "network.h"
#include "pair.h"
#include "proc.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Multipath TCP ---- */

static int open_multipath(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
}

static void skip_without_multipath(void)
{
    int fd = open_multipath();

    if (fd < 0) {
        print_message("skipped: the kernel has no Multipath TCP: %s\n",
                      strerror(errno));
        skip();
    }
    close(fd);
}

/* The client's and the upstream's end. */
static struct pair connect_multipath(const struct fixture *fixture)
{
    struct socket_address to = loopback_resolve(&fixture->front);
    struct pair pair = {.client = socket_adopt(open_multipath())};

    assert_int_equal(
        connect(pair.client, (struct sockaddr *)&to.storage, to.length), 0);
    assert_int_equal(fcntl(pair.client, F_SETFL, O_NONBLOCK), 0);
    pair.upstream = socket_accept(fixture->listener);
    return pair;
}

static bool is_multipath(int fd)
{
    int protocol = 0;
    socklen_t length = sizeof(protocol);

    assert_int_equal(
        getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length), 0);
    return protocol == IPPROTO_MPTCP;
}

/* Whether the connection is one: a client falls back to plain TCP, and its
 * socket stays what it was. */
static bool proxy_has_multipath(const struct fixture *fixture, int client)
{
    struct loopback address = loopback_local(client);
    int fd = proc_socket(fixture->proxy, &address, true);

    if (fd < 0) {
        print_message("skipped: the kernel does not give descriptors away\n");
        skip();
    }
    bool has = is_multipath(fd);
    socket_close(fd); /* or it would keep the connection */
    return has;
}

static void open_fixture(struct fixture *fixture,
                         const struct loopback *metrics, const char *service)
{
    char global[160];

    snprintf(global, sizeof(global), "metrics_listen = %s", metrics->text);
    fixture_open(fixture, global, service);
}

static double count_multipath(const struct loopback *metrics)
{
    return http_metric(metrics, "evproxy_multipath_total{service=\"web\"}");
}

static void multipath_and_plain_clients_are_served(void **state)
{
    struct loopback metrics = loopback_new();
    struct fixture fixture;

    (void)state;
    skip_without_multipath();
    open_fixture(&fixture, &metrics, "mptcp = yes");
    struct pair plain = pair_connect(&fixture);
    pair_ping(&plain);
    assert_false(proxy_has_multipath(&fixture, plain.client));
    assert_true(count_multipath(&metrics) == 0);
    struct pair pair = connect_multipath(&fixture);
    pair_ping(&pair);
    assert_true(proxy_has_multipath(&fixture, pair.client));
    assert_true(count_multipath(&metrics) == 1);
    assert_false(is_multipath(pair.upstream));
    stats_await(fixture.proxy, "web", NULL, "accepted", 2);

    /* Streams, the end of one, and a reset pass as ever. */
    const struct stream way = {.bytes = 8u << 20, .seed = 7};
    pair_exchange(&pair, &way);
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    socket_send_text(pair.upstream, "late");
    expect_text(pair.client, "late");
    socket_finish(pair.upstream);
    expect_eof(pair.client);
    stats_await_cause(fixture.proxy, "client_fin", 1);
    struct pair broken = connect_multipath(&fixture);
    pair_ping(&broken);
    socket_reset(broken.upstream);
    expect_reset(broken.client);
    stats_await_cause(fixture.proxy, "upstream_reset", 1);
    fixture_close(&fixture);
}

static void a_multipath_connection_lives_through_an_upgrade(void **state)
{
    struct loopback metrics = loopback_new();
    struct fixture fixture;

    (void)state;
    skip_without_multipath();
    open_fixture(&fixture, &metrics, "mptcp = yes");
    struct pair pair = connect_multipath(&fixture);
    pair_ping(&pair);
    proxy_await_old(proxy_upgrade(fixture.proxy));
    pair_ping(&pair);
    assert_true(proxy_has_multipath(&fixture, pair.client));
    assert_true(count_multipath(&metrics) == 1);
    pair = connect_multipath(&fixture);
    pair_ping(&pair);
    assert_true(proxy_has_multipath(&fixture, pair.client));
    assert_true(count_multipath(&metrics) == 2);
    fixture_close(&fixture);
}

/* Of a new connection. */
static bool has_multipath_now(const struct fixture *fixture)
{
    struct pair pair = connect_multipath(fixture);

    pair_ping(&pair);
    return proxy_has_multipath(fixture, pair.client);
}

static void a_reload_turns_it_on_and_off(void **state)
{
    struct fixture fixture;

    (void)state;
    skip_without_multipath();
    fixture_open(&fixture, "", "");
    struct pair before = connect_multipath(&fixture);
    pair_ping(&before);
    assert_false(proxy_has_multipath(&fixture, before.client));
    fixture_reload(&fixture, "mptcp = yes");
    wait_until(has_multipath_now(&fixture));
    fixture_reload(&fixture, "mptcp = no");
    wait_until(!has_multipath_now(&fixture));
    pair_ping(&before);
    fixture_close(&fixture);
}

static void services_that_share_an_address_agree_on_it(void **state)
{
    (void)state;
    command_expect_error("sni = a.example\n[service b]\n"
                         "listen = 127.0.0.1:81\nupstream = 127.0.0.1:82\n"
                         "mptcp = yes\n",
                         "is shared with line 2, but mptcp differs");
    command_expect_error("mode = udp\nmptcp = yes",
                         "mptcp is not available for mode = udp");
}

/* ---- an address that is not there ---- */

#define ABSENT "198.51.100.77" /* RFC 5737: nobody has it */

static void a_missing_address_is_waited_for(void **state)
{
    struct loopback front = loopback_on("127.0.0.1"), back = loopback_new();
    struct loopback absent = loopback_at(ABSENT, &front);
    struct socket_address session;

    (void)state;
    if (!network_enter()) {
        print_message("skipped: no network namespace may be made here\n");
        skip();
    }
    command_expect_error("listen = " ABSENT ":83",
                         "cannot listen on " ABSENT ":83: Cannot assign "
                         "requested address");
    int listener = socket_listen(&back), upstream = udp_bind(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nfreebind = yes\n"
        "[service dns]\nmode = udp\nlisten = %s\nupstream = %s\n"
        "freebind = yes\n",
        absent.text, back.text, absent.text, back.text);
    assert_int_equal(socket_try_connect(NULL, &absent), -1);

    network_add_address(ABSENT);
    struct pair pair = {.client = socket_connect(&absent)};
    pair.upstream = socket_accept(listener);
    pair_ping(&pair);
    int client = udp_connect(NULL, &absent);
    udp_send(client, "ask", 3);
    udp_expect_from(upstream, "ask", 3, &session);
    udp_reply(upstream, &session, "tell", 4);
    udp_expect(client, "tell", 4);
    proxy_stop(proxy);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(multipath_and_plain_clients_are_served),
        E2E(a_multipath_connection_lives_through_an_upgrade),
        E2E(a_reload_turns_it_on_and_off),
        E2E(services_that_share_an_address_agree_on_it),
        E2E(a_missing_address_is_waited_for), /* last: it moves away */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
