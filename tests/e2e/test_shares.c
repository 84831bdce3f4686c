/* What connections may take of the process before their service is known. */
#include "harness.h"

#include <stdio.h>

/* 200 connections: 50 may owe a header, 16 of them from one source. */
static struct proxy *start(const struct place *front, const struct place *open,
                           const struct place *back, const char *keys)
{
    return proxy_start("[global]\nmax_connections = 200\nworkers = 2\n"
                       "[service named]\nlisten = %s\nupstream = %s\n"
                       "sni = a.example\nheader_timeout = 1h\n%s\n"
                       "[service web]\nlisten = %s\nupstream = %s\n",
                       front->text, back->text, keys, open->text, back->text);
}

static void silent_connections_leave_the_process_to_others(void **state)
{
    struct place front = place_new();
    struct place open = place_new();
    struct place back = place_new();
    struct server *server = server_start(&back, serve_name, "s");
    struct proxy *proxy = start(&front, &open, &back, "");
    int first[10];
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        first[i] = dial_from(source_new(1), &front);
    }
    stat_await(proxy, NULL, NULL, "active", 10);
    assert_int_equal(stat_get(proxy, NULL, NULL, "accepted"), 10);
    assert_int_equal(stat_get(proxy, "named", NULL, "accepted"), 0);
    for (unsigned i = 0; i < 50; i++) { /* whatever worker has them */
        dial_from(source_new(2 + i / 10), &front);
    }
    for (unsigned i = 0; i < 10; i++) {
        expect_reset(first[i]);
    }
    stat_await(proxy, "named", NULL, "ended_header_timeout", 10);
    assert_int_equal(stat_get(proxy, NULL, NULL, "active"), 50);
    assert_int_equal(stat_get(proxy, NULL, NULL, "accepted"), 60);
    for (unsigned i = 0; i < 100; i++) {
        expect_text(dial(&open), "s");
    }
    proxy_stop(proxy);
    server_stop(server);
}

static void one_source_has_a_part_of_it(void **state)
{
    struct place front = place_new();
    struct place open = place_new();
    struct place back = place_new();
    struct proxy *proxy = start(&front, &open, &back, "");
    int clients[16];
    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        clients[i] = dial_from(source_new(1), &front);
    }
    stat_await(proxy, NULL, NULL, "active", 16);
    for (unsigned i = 0; i < 30; i++) {
        expect_refused(source_new(1), &front, NULL);
    }
    stat_await(proxy, "named", NULL, "ended_limit_source", 30);
    dial_from(source_new(2), &front);
    stat_await(proxy, NULL, NULL, "active", 17);
    hang_up(clients[0]);
    stat_await(proxy, NULL, NULL, "active", 16);
    dial_from(source_new(1), &front);
    stat_await(proxy, NULL, NULL, "active", 17);
    assert_int_equal(stat_get(proxy, NULL, NULL, "accepted"), 48);
    proxy_stop(proxy);
}

/* Whoever sends headers for many is no source; whom they tell of is one. */
static void a_sender_of_headers_is_not_the_source(void **state)
{
    struct place front = place_new();
    struct place open = place_new();
    struct place back = place_new();
    struct proxy *proxy =
        start(&front, &open, &back,
              "proxy_protocol = on\nproxy_protocol_from = 127.0.0.0/8");
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        dial(&front);
    }
    stat_await(proxy, NULL, NULL, "active", 20);
    for (unsigned i = 0; i < 17; i++) {
        send_text(dial(&front), "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n");
    }
    stat_await(proxy, "named", NULL, "ended_limit_source", 1);
    stat_await(proxy, NULL, NULL, "active", 36);
    proxy_stop(proxy);
}

/* No server name could let it in. */
static void one_that_every_service_denies_is_reset_at_once(void **state)
{
    struct place front = place_new();
    struct place open = place_new();
    struct place back = place_new();
    struct proxy *proxy = start(&front, &open, &back, "allow = 192.0.2.0/24");
    (void)state;
    expect_refused(NULL, &front, NULL);
    stat_await(proxy, "named", NULL, "ended_denied", 1);
    proxy_stop(proxy);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(silent_connections_leave_the_process_to_others),
        E2E(one_source_has_a_part_of_it),
        E2E(a_sender_of_headers_is_not_the_source),
        E2E(one_that_every_service_denies_is_reset_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
