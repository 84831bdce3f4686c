/*
 * Upstreams whose handshake fails: the next one is tried, and they are marked
 * down as those that refuse connections.
 */
#include "expect.h"
#include "fixture.h"
#include "identity.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "tls_options.h"
#include "tls_socket.h"
#include "tls_upstream.h"
#include "wait.h"

#include <openssl/ssl.h>
#include <stdio.h>

static const char *keys_with(const char *more)
{
    return tls_upstream_keys(identity_authority(), more);
}

/* A server with this certificate, which no authority has signed. */
static struct tls_service untrusted_echo(struct identity *identity)
{
    const struct identity_options options = {.names = "DNS:up.example"};

    *identity = identity_new("alone", &options);
    return (struct tls_service){.options = {.identity = identity},
                                .serve = serve_echo};
}

/* ---- the next upstream ---- */

/* Of two upstreams the server is one and fails. Each client gets the other,
 * with all of its bytes. */
static void expect_next(server_fn serve, const void *arg)
{
    enum { CLIENTS = 6 };
    struct loopback front = loopback_new();
    struct loopback bad = loopback_new();
    struct loopback back = loopback_new();
    struct tls_options upstream = tls_upstream_options(0);
    int listener = socket_listen(&back);
    struct server *server = server_start(&bad, serve, arg);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nupstream = %s\n"
        "balance = roundrobin\nfail_threshold = off\n"
        "connect_timeout = 300ms\n%s",
        front.text, bad.text, back.text, keys_with(TLS_UPSTREAM_NAMED));

    for (unsigned i = 0; i < CLIENTS; i++) {
        struct pair pair = {.client = socket_connect(&front)};

        socket_send_text(pair.client, "first");
        pair.upstream = tls_socket_accept(listener, &upstream);
        expect_text(pair.upstream, "first");
        pair_ping(&pair);
        pair_close(&pair);
    }
    uint64_t failed = stats_get(proxy, "web", bad.text, "failed");
    assert_in_range(failed, CLIENTS / 2 - 1, CLIENTS);
    stats_await(proxy, "web", bad.text, "active", 0);
    stats_await(proxy, "web", back.text, "total", CLIENTS);
    assert_int_equal(stats_get(proxy, "web", back.text, "failed"), 0);
    proxy_stop(proxy);
    server_stop(server);
}

static void the_next_upstream_is_tried_after_one_that_is_rejected(void **state)
{
    struct identity alone;
    struct tls_service echo = untrusted_echo(&alone);

    (void)state;
    expect_next(serve_tls, &echo);
    echo.options.version = TLS1_2_VERSION;
    expect_next(serve_tls, &echo);
}

static void the_next_upstream_is_tried_after_one_without_tls(void **state)
{
    (void)state;
    expect_next(serve_echo, NULL);
    expect_next(serve_letter, "x");
    expect_next(serve_close, NULL);
    expect_next(serve_reset, NULL);
}

static void the_next_upstream_is_tried_after_one_of_an_old_version(void **state)
{
    struct tls_service echo = {.options = tls_upstream_options(TLS1_1_VERSION),
                               .serve = serve_echo};

    (void)state;
    echo.options.ciphers = "ALL:@SECLEVEL=0";
    expect_next(serve_tls, &echo);
}

static void
the_next_upstream_is_tried_after_one_that_does_not_answer(void **state)
{
    (void)state;
    expect_next(serve_discard, NULL); /* the ClientHello too */
}

/* ---- no next one ---- */

static void a_single_upstream_that_does_not_answer_is_a_timeout(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "",
                 keys_with(TLS_UPSTREAM_NAMED "connect_timeout = 300ms\n"
                                              "connect_attempts = 1\n"));
    int64_t begin = wait_now_ms();
    expect_end(socket_connect(&fixture.front));
    assert_true(wait_now_ms() - begin >= 295);
    stats_await_cause(fixture.proxy, "connect_timeout", 1);
    stats_await(fixture.proxy, "web", fixture.back.text, "failed", 1);
    fixture_close(&fixture);
}

/* As one that refuses connections is. */
static void an_upstream_that_is_rejected_is_marked_down(void **state)
{
    struct identity alone;
    struct tls_service echo = untrusted_echo(&alone);
    struct fixture fixture;
    char line[256];

    (void)state;
    fixture_open_server(&fixture, serve_tls, &echo, "",
                        keys_with(TLS_UPSTREAM_NAMED "fail_threshold = 3\n"
                                                     "connect_attempts = 1\n"));
    for (unsigned i = 0; i < 3; i++) {
        expect_connect_ended(&fixture.front);
    }
    snprintf(line, sizeof(line),
             "^upstream service=web address=%s state=down cause=tls_error",
             fixture.back.text);
    proxy_line(fixture.proxy, line);
    stats_await_cause(fixture.proxy, "tls_error", 3);
    fixture_close(&fixture);
}

static void a_client_may_go_during_the_upstreams_handshake(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", keys_with(TLS_UPSTREAM_NAMED));
    struct pair pair = pair_connect(&fixture);
    socket_reset(pair.client);
    stats_await_cause(fixture.proxy, "client_reset", 1);
    expect_closed(pair.upstream);
    stats_await(fixture.proxy, "web", fixture.back.text, "active", 0);
    assert_int_equal(
        stats_get(fixture.proxy, "web", fixture.back.text, "failed"), 0);
    fixture_close(&fixture);
}

static void failed_handshakes_with_upstreams_do_not_flood_the_log(void **state)
{
    enum { BAD = 40 };
    struct stream garbage = {.seed = 3, .bytes = 100};
    struct fixture fixture;

    (void)state;
    fixture_open_server(&fixture, serve_stream, &garbage, "",
                        keys_with(TLS_UPSTREAM_NAMED "fail_threshold = off\n"
                                                     "connect_attempts = 1\n"));
    int64_t begin = wait_now_ms();
    for (unsigned i = 0; i < BAD; i++) {
        expect_connect_ended(&fixture.front);
    }
    stats_await_cause(fixture.proxy, "tls_error", BAD);
    unsigned seconds = (unsigned)((wait_now_ms() - begin) / 1000);
    assert_in_range(proxy_count(fixture.proxy, "tls.* service=web "), 1,
                    1 + seconds);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_next_upstream_is_tried_after_one_that_is_rejected),
        E2E(the_next_upstream_is_tried_after_one_without_tls),
        E2E(the_next_upstream_is_tried_after_one_of_an_old_version),
        E2E(the_next_upstream_is_tried_after_one_that_does_not_answer),
        E2E(a_single_upstream_that_does_not_answer_is_a_timeout),
        E2E(an_upstream_that_is_rejected_is_marked_down),
        E2E(a_client_may_go_during_the_upstreams_handshake),
        E2E(failed_handshakes_with_upstreams_do_not_flood_the_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
