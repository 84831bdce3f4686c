/*
 * Which UDP session goes when there are too many: the longest idle one of all
 * workers, while the new client is served; and what UDP leaves to TCP.
 */
#include "expect.h"
#include "loopback.h"
#include "network.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- of a service ---- */

static void expect_evicted(const struct udp_fixture *fixture, int client)
{
    struct loopback here = loopback_local(client);
    char regex[200];

    snprintf(regex, sizeof(regex), "conn .*client=%s .*cause=limit_connections",
             here.text);
    proxy_line(fixture->proxy, regex);
}

/* The kernel gives the clients to the workers as it likes. */
static void the_longest_idle_session_of_all_workers_makes_room(void **state)
{
    enum { MOST = 3, CLIENTS = 18, PAUSE_MS = 120 };
    struct udp_fixture fixture;
    int clients[CLIENTS];

    (void)state;
    udp_fixture_open(&fixture, "workers = 4\naccess_log = yes",
                     "max_sessions = 3");
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = udp_connect(NULL, &fixture.front);
        udp_fixture_ping(&fixture, clients[i]);
        if (i >= MOST) {
            expect_evicted(&fixture, clients[i - MOST]);
        }
        stats_await(fixture.proxy, "web", NULL, "active",
                    i < MOST ? i + 1 : MOST);
        wait_sleep(PAUSE_MS);
    }
    /* One that moves is kept, though it is the oldest. */
    udp_fixture_ping(&fixture, clients[CLIENTS - MOST]);
    udp_fixture_ping(&fixture, udp_connect(NULL, &fixture.front));
    expect_evicted(&fixture, clients[CLIENTS - MOST + 1]);
    stats_await_cause(fixture.proxy, "limit_connections", CLIENTS - MOST + 1);
    udp_fixture_close(&fixture);
}

static void a_new_client_is_served_whichever_worker_has_the_old(void **state)
{
    enum { CLIENTS = 60 };
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "workers = 4", "max_sessions = 1");
    for (unsigned i = 0; i < CLIENTS; i++) {
        udp_fixture_ping(&fixture, udp_connect(NULL, &fixture.front));
    }
    stats_await_cause(fixture.proxy, "limit_connections", CLIENTS - 1);
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 1);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), CLIENTS);
    udp_fixture_close(&fixture);
}

/* Every worker is over the limit at the same time. */
static void a_flood_ends_as_many_as_are_too_many(void **state)
{
    enum { CLIENTS = 400, MOST = 20 };
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "workers = 4", "max_sessions = 20");
    for (unsigned i = 0; i < CLIENTS; i++) {
        udp_send(udp_connect(NULL, &fixture.front), "x", 1);
    }
    stats_await_cause(fixture.proxy, "limit_connections", CLIENTS - MOST);
    assert_int_equal(udp_fixture_stat(&fixture, "active"), MOST);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

/* What workers ask one another about is gone from the next configuration. */
static void a_service_may_leave_in_a_flood(void **state)
{
    enum { RELOADS = 20, CLIENTS = 60 };
    static const char text[] = "[global]\nworkers = 4\ndrain_timeout = 50ms\n"
                               "[service %u]\nmode = udp\nlisten = %s\n"
                               "upstream = %s\nmax_sessions = 5\n"
                               "idle_timeout = 30ms\n";
    struct loopback front = loopback_new(), back = loopback_new();
    struct proxy *proxy = proxy_start(text, 0, front.text, back.text);

    (void)state;
    (void)udp_bind(&back);
    for (unsigned i = 1; i <= RELOADS; i++) {
        for (unsigned n = 0; n < CLIENTS; n++) {
            int client = udp_connect(NULL, &front);

            udp_send(client, "x", 1);
            socket_close(client);
        }
        proxy_configure(proxy, text, i, front.text, back.text);
        proxy_reload(proxy);
    }
    wait_until(!stats_listed(proxy, "0", NULL));
    stats_await(proxy, NULL, NULL, "active", 0);
    proxy_stop(proxy);
}

/* ---- of the process ---- */

/* A UDP service "web", and a TCP service "tcp" that leads to a listener. */
struct both {
    struct udp_fixture udp;
    struct fixture tcp;
};

static void open_both(struct both *both, const char *global)
{
    char service[600];

    both->tcp.front = loopback_new();
    both->tcp.back = loopback_new();
    both->tcp.listener = socket_listen(&both->tcp.back);
    snprintf(service, sizeof(service),
             "[service tcp]\nlisten = %s\nupstream = %s\n",
             both->tcp.front.text, both->tcp.back.text);
    udp_fixture_open(&both->udp, global, service);
    both->tcp.proxy = both->udp.proxy;
}

static void a_flood_of_datagrams_leaves_half_to_tcp(void **state)
{
    enum { MOST = 40, FLOOD = 300, AFTER = 20 };
    struct both both;

    (void)state;
    open_both(&both, "workers = 4\nmax_connections = 40");
    for (unsigned i = 0; i < FLOOD; i++) {
        udp_send(udp_connect(NULL, &both.udp.front), "q", 1);
    }
    stats_await(both.udp.proxy, "web", NULL, "accepted", FLOOD);
    stats_await(both.udp.proxy, "web", NULL, "active", MOST / 2);
    for (unsigned i = 0; i < MOST / 2; i++) {
        (void)pair_establish(&both.tcp);
    }
    while (wait_readable(both.udp.upstream, 20)) {
        udp_expect(both.udp.upstream, "q", 1);
    }
    for (unsigned i = 0; i < AFTER; i++) {
        udp_fixture_ping(&both.udp, udp_connect(NULL, &both.udp.front));
    }
    assert_int_equal(udp_fixture_stat(&both.udp, "dropped"), 0);
    stats_await_cause(both.udp.proxy, "limit_connections",
                      FLOOD + AFTER - MOST / 2);
    udp_fixture_close(&both.udp);
}

static void in_what_tcp_leaves_the_longest_idle_session_goes(void **state)
{
    struct both both;

    (void)state;
    open_both(&both, "workers = 4\nmax_connections = 4");
    for (unsigned i = 0; i < 3; i++) {
        (void)pair_establish(&both.tcp);
    }
    for (unsigned i = 0; i < 20; i++) {
        udp_fixture_ping(&both.udp, udp_connect(NULL, &both.udp.front));
    }
    stats_await(both.udp.proxy, "web", NULL, "active", 1);
    assert_int_equal(udp_fixture_stat(&both.udp, "dropped"), 0);
    udp_fixture_close(&both.udp);
}

static void where_tcp_leaves_nothing_new_clients_are_dropped(void **state)
{
    struct both both;

    (void)state;
    open_both(&both, "max_connections = 4");
    for (unsigned i = 0; i < 4; i++) {
        (void)pair_establish(&both.tcp);
    }
    udp_send(udp_connect(NULL, &both.udp.front), "q", 1);
    stats_await(both.udp.proxy, "web", NULL, "dropped", 1);
    assert_int_equal(udp_fixture_stat(&both.udp, "accepted"), 0);
    udp_fixture_close(&both.udp);
}

/* ---- ports ---- */

static void out_of_ports_the_longest_idle_session_goes(void **state)
{
    enum { CLIENTS = 60, PORTS = 16 };
    struct udp_fixture fixture;
    int clients[CLIENTS];

    (void)state;
    if (!network_enter()) {
        skip_because("no network namespace of its own");
    }
    udp_fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = udp_connect(NULL, &fixture.front);
    }
    network_narrow_ports("20000 20015\n");
    for (unsigned i = 0; i < CLIENTS; i++) {
        udp_fixture_ping(&fixture, clients[i]);
    }
    assert_in_range(udp_fixture_stat(&fixture, "active"), PORTS / 2, PORTS);
    assert_int_equal(udp_fixture_stat(&fixture, "ended_local_resource"),
                     CLIENTS - udp_fixture_stat(&fixture, "active"));
    assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 0);
    assert_int_equal(
        stats_get(fixture.proxy, "web", fixture.back.text, "failed"), 0);
    udp_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_longest_idle_session_of_all_workers_makes_room),
        E2E(a_new_client_is_served_whichever_worker_has_the_old),
        E2E(a_flood_ends_as_many_as_are_too_many),
        E2E(a_service_may_leave_in_a_flood),
        E2E(a_flood_of_datagrams_leaves_half_to_tcp),
        E2E(in_what_tcp_leaves_the_longest_idle_session_goes),
        E2E(where_tcp_leaves_nothing_new_clients_are_dropped),
        E2E(out_of_ports_the_longest_idle_session_goes), /* last: it leaves the
                                                            network */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
