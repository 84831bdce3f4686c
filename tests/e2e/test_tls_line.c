/*
 * The line of handshakes: who comes into it, who leaves it, and that nobody
 * else pays for its length.
 */
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "identity.h"
#include "loopback.h"
#include "proc.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>

/* A ClientHello of a client that never goes on. */
static struct {
    unsigned char bytes[4096];
    size_t count;
} hello;

static int make_hello(void **state)
{
    struct tls_options client = tls_fixture_client(0);

    (void)state;
    hello.count = tls_socket_hello(&client, hello.bytes, sizeof(hello.bytes));
    return 0;
}

/* Client number n sends so much of it. They come from many sources, as one may
 * have only so many handshakes. */
static int send_hello(const struct loopback *to, unsigned n, size_t count)
{
    int client = socket_connect_from(loopback_source(1 + n / 100), to);

    socket_send(client, hello.bytes, count);
    return client;
}

/* A certificate whose signature takes long. */
static const char *slow_keys(void)
{
    static struct identity slow;

    if (slow.certificate[0] == '\0') {
        slow = identity_new(
            "slow", &(struct identity_options){.names = "DNS:a.example",
                                               .issuer = identity_authority(),
                                               .rsa = true});
    }
    return tls_fixture_keys(&slow);
}

/* ---- in the line ---- */

/* OpenSSL's state of a connection is made when there is something for it. */
static void a_client_without_a_whole_hello_holds_little(void **state)
{
    enum { COUNT = 1000, BYTES_MAX = 4096 };
    const size_t parts[] = {0, hello.count - 1};

    (void)state;
    for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        struct fixture fixture;
        uint64_t before;
        uint64_t each;

        tls_fixture_open(&fixture, "workers = 1", "header_timeout = off");
        before = proc_resident(fixture.proxy);
        for (unsigned n = 0; n < COUNT; n++) {
            send_hello(&fixture.front, n, parts[i]);
        }
        stats_await(fixture.proxy, NULL, NULL, "active", COUNT);
        each = (proc_resident(fixture.proxy) - before) / COUNT;
        print_message("%u bytes a client\n", (unsigned)each);
        assert_true(test_slow() || each <= BYTES_MAX);
        fixture_close(&fixture);
    }
}

static void a_hello_that_is_too_long_is_refused(void **state)
{
    static const char head[] = {0x16, 3, 1, 0x40, 0, 1, 1, (char)0x86, 0};
    struct fixture fixture;
    int client;

    (void)state;
    tls_fixture_open(&fixture, "", "header_timeout = off");
    client = socket_connect(&fixture.front);
    socket_send(client, head, sizeof(head));
    expect_closed(client);
    stats_await_cause(fixture.proxy, "tls_error", 1);
    proxy_line(fixture.proxy, "^tls error .*reason=.*too long");
    fixture_close(&fixture);
}

/* Many come, ask and go while the proxy stands still. */
static void a_client_that_left_costs_no_handshake(void **state)
{
    enum { COUNT = 1500 };
    struct loopback front = loopback_new();
    uint64_t before;
    uint64_t spent;

    (void)state;
    struct proxy *proxy =
        proxy_start("[global]\nworkers = 1\n"
                    "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n%s",
                    front.text, slow_keys());
    proxy_signal(proxy, SIGSTOP);
    for (unsigned i = 0; i < COUNT; i++) {
        socket_close(send_hello(&front, i, hello.count));
    }
    before = proc_cpu_ms(proxy);
    proxy_signal(proxy, SIGCONT);
    stats_await(proxy, "web", NULL, "accepted", COUNT);
    stats_await(proxy, "web", NULL, "active", 0);
    spent = proc_cpu_ms(proxy) - before;
    print_message("%u ms for %u\n", (unsigned)spent, COUNT);
    assert_true(test_slow() || spent < COUNT / 5);
    proxy_stop(proxy);
}

/* One is served when it has an answer. A turn of the loop takes 64 at most, and
 * no more until all of them had their steps. */
static void no_more_are_accepted_than_can_be_served(void **state)
{
    enum { COUNT = 1000, LEAD_MAX = 2 * 64 };
    struct loopback front = loopback_new();
    int clients[COUNT];
    uint64_t accepted;
    unsigned served = 0;

    (void)state;
    struct proxy *proxy =
        proxy_start("[global]\nworkers = 1\n"
                    "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n"
                    "header_timeout = 60s\n%s",
                    front.text, slow_keys());
    proxy_signal(proxy, SIGSTOP);
    for (unsigned i = 0; i < COUNT; i++) {
        clients[i] = send_hello(&front, i, hello.count);
    }
    proxy_signal(proxy, SIGCONT);
    wait_until((accepted = stats_get(proxy, "web", NULL, "accepted")) >=
               COUNT / 2);
    for (unsigned i = 0; i < COUNT; i++) {
        served += wait_readable(clients[i], 0);
    }
    print_message("%u accepted, %u served\n", (unsigned)accepted, served);
    assert_true(accepted <= served + LEAD_MAX);
    proxy_stop(proxy);
}

/* ---- behind the line ---- */

/* A service whose clients never go on, with very many of them, and another one
 * whose upstream answers at once. */
static void a_line_of_clients_is_not_held_against_an_upstream(void **state)
{
    enum { COUNT = 2000, CLIENTS = 5 };
    struct loopback flooded = loopback_new();
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();
    struct tls_service service = {.options.identity = tls_fixture_identity(),
                                  .serve = serve_echo};
    struct server *server = server_start(&back, serve_tls, &service);
    struct stopwatch watch;

    (void)state;
    struct proxy *proxy = proxy_start(
        "[global]\nworkers = 1\n"
        "[service flooded]\nlisten = %s\nupstream = 127.0.0.1:1\n"
        "header_timeout = 60s\n%s"
        "[service web]\nlisten = %s\nupstream = %s\nupstream_tls = yes\n"
        "upstream_tls_ca = off\nconnect_timeout = 300ms\n"
        "connect_attempts = 1\nfail_threshold = 1\n",
        flooded.text, slow_keys(), front.text, back.text);
    for (unsigned i = 0; i < COUNT; i++) {
        send_hello(&flooded, i, hello.count);
    }
    watch = stopwatch_start();
    for (unsigned i = 0; i < CLIENTS; i++) {
        int client = socket_connect(&front);

        socket_send_text(client, "hello");
        expect_text(client, "hello");
        socket_close(client);
    }
    stopwatch_expect(&watch, 0, 1000);
    assert_int_equal(stats_get(proxy, "web", NULL, "ended_connect_timeout"), 0);
    proxy_stop(proxy);
    server_stop(server);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(a_client_without_a_whole_hello_holds_little),
        E2E(a_hello_that_is_too_long_is_refused),
        E2E(a_client_that_left_costs_no_handshake),
        E2E(no_more_are_accepted_than_can_be_served),
        E2E(a_line_of_clients_is_not_held_against_an_upstream),
    };

    return cmocka_run_group_tests(tests, make_hello, NULL);
}
