/* What connections may take of the process before their service is known. */
#include "expect.h"
#include "header.h"
#include "loopback.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"

#include <stdio.h>

/* 200 connections: 50 may owe a header, 16 of them from one source. */
static struct proxy *start(const struct loopback *front,
                           const struct loopback *open,
                           const struct loopback *back, const char *keys)
{
    return proxy_start("[global]\nmax_connections = 200\nworkers = 2\n"
                       "[service named]\nlisten = %s\nupstream = %s\n"
                       "sni = a.example\nheader_timeout = 1h\n%s\n"
                       "[service web]\nlisten = %s\nupstream = %s\n",
                       front->text, back->text, keys, open->text, back->text);
}

static void silent_connections_leave_the_process_to_others(void **state)
{
    struct loopback front = loopback_new();
    struct loopback open = loopback_new();
    struct loopback back = loopback_new();
    struct server *server = server_start(&back, serve_letter, "s");
    struct proxy *proxy = start(&front, &open, &back, "");
    int first[10];

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        first[i] = socket_connect_from(loopback_source(1), &front);
    }
    stats_await(proxy, NULL, NULL, "active", 10);
    stats_await(proxy, NULL, NULL, "accepted", 10);
    assert_int_equal(stats_get(proxy, "named", NULL, "accepted"), 0);
    for (unsigned i = 0; i < 50; i++) { /* whatever worker has them */
        socket_connect_from(loopback_source(2 + i / 10), &front);
    }
    for (unsigned i = 0; i < 10; i++) {
        expect_reset(first[i]);
    }
    stats_await(proxy, "named", NULL, "ended_header_timeout", 10);
    stats_await(proxy, NULL, NULL, "active", 50);
    stats_await(proxy, NULL, NULL, "accepted", 60);
    for (unsigned i = 0; i < 100; i++) {
        expect_text(socket_connect(&open), "s");
    }
    proxy_stop(proxy);
    server_stop(server);
}

static void one_source_has_a_part_of_it(void **state)
{
    struct loopback front = loopback_new();
    struct loopback open = loopback_new();
    struct loopback back = loopback_new();
    struct proxy *proxy = start(&front, &open, &back, "");
    int clients[16];

    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        clients[i] = socket_connect_from(loopback_source(1), &front);
    }
    stats_await(proxy, NULL, NULL, "active", 16);
    for (unsigned i = 0; i < 30; i++) {
        expect_connect_reset(loopback_source(1), &front, NULL);
    }
    stats_await(proxy, "named", NULL, "ended_limit_source", 30);
    socket_connect_from(loopback_source(2), &front);
    stats_await(proxy, NULL, NULL, "active", 17);
    socket_close(clients[0]);
    stats_await(proxy, NULL, NULL, "active", 16);
    socket_connect_from(loopback_source(1), &front);
    stats_await(proxy, NULL, NULL, "active", 17);
    stats_await(proxy, NULL, NULL, "accepted", 48);
    proxy_stop(proxy);
}

/* A sender of headers is no source. The client that a header names is one. */
static void a_sender_of_headers_is_not_the_source(void **state)
{
    struct loopback front = loopback_new();
    struct loopback open = loopback_new();
    struct loopback back = loopback_new();
    struct proxy *proxy = start(&front, &open, &back, HEADER_TRUSTED);

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        socket_connect(&front);
    }
    stats_await(proxy, NULL, NULL, "active", 20);
    for (unsigned i = 0; i < 17; i++) {
        socket_send_text(socket_connect(&front), HEADER_V1);
    }
    stats_await(proxy, "named", NULL, "ended_limit_source", 1);
    stats_await(proxy, NULL, NULL, "active", 36);
    proxy_stop(proxy);
}

/* No server name could let it in. */
static void one_that_every_service_denies_is_reset_at_once(void **state)
{
    struct loopback front = loopback_new();
    struct loopback open = loopback_new();
    struct loopback back = loopback_new();
    struct proxy *proxy = start(&front, &open, &back, "allow = 192.0.2.0/24");

    (void)state;
    expect_connect_reset(NULL, &front, NULL);
    stats_await(proxy, "named", NULL, "ended_denied", 1);
    proxy_stop(proxy);
}

/* Two services share the address, of which one lets a source have one and the
 * other two. */
static void no_more_of_a_source_wait_than_its_services_let_in(void **state)
{
    static const char service[] =
        "[service %s]\nlisten = %s\nupstream = 127.0.0.1:1\nsni = %s.example\n"
        "header_timeout = 1h\nmax_connections_per_source = %u\n";
    struct loopback front = loopback_new();
    char services[1024];
    int length =
        snprintf(services, sizeof(services), service, "a", front.text, "a", 1u);
    struct proxy *proxy;

    (void)state;
    snprintf(services + length, sizeof(services) - (size_t)length, service, "b",
             front.text, "b", 2u);
    proxy = proxy_start("[global]\nworkers = 2\n%s", services);
    int first = socket_connect_from(loopback_source(1), &front);
    socket_connect_from(loopback_source(1), &front);
    socket_connect_from(loopback_source(1), &front);
    stats_await(proxy, NULL, NULL, "active", 3);
    expect_connect_reset(loopback_source(1), &front, NULL);
    stats_await(proxy, "a", NULL, "ended_limit_source", 1);
    socket_connect_from(loopback_source(2), &front);
    stats_await(proxy, NULL, NULL, "active", 4);
    socket_close(first);
    stats_await(proxy, NULL, NULL, "active", 3);
    socket_connect_from(loopback_source(1), &front);
    stats_await(proxy, NULL, NULL, "active", 4);
    proxy_stop(proxy);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(silent_connections_leave_the_process_to_others),
        E2E(one_source_has_a_part_of_it),
        E2E(a_sender_of_headers_is_not_the_source),
        E2E(one_that_every_service_denies_is_reset_at_once),
        E2E(no_more_of_a_source_wait_than_its_services_let_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
