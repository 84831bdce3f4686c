/*
 * Handshakes with clients: in pieces, with bytes behind them, broken off,
 * failed, or never ended; and the versions, ciphers and protocols that are
 * agreed on.
 */
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "header.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "tls_expect.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"
#include "wait.h"

#include <openssl/ssl.h>
#include <signal.h>

/* ---- in pieces ---- */

static void a_handshake_may_come_byte_by_byte(void **state)
{
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);

        client.byte_by_byte = true;
        struct pair pair = tls_pair_connect(&fixture, &client);
        pair_ping(&pair);
        pair_close(&pair);
    }
    fixture_close(&fixture);
}

/* Bytes that were read together with the handshake raise no edge. */
static void first_bytes_may_come_with_the_end_of_the_handshake(void **state)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(TLS1_3_VERSION);

    (void)state;
    client.coalesce = true;
    tls_fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < 20; i++) {
        struct pair pair = {.client =
                                tls_socket_connect(&fixture.front, &client)};

        socket_send_text(pair.client, "first");
        pair.upstream = socket_accept(fixture.listener);
        expect_text(pair.upstream, "first");
        pair_ping(&pair);
        pair_close(&pair);
    }
    fixture_close(&fixture);
}

static void all_of_a_stream_may_come_with_the_end_of_the_handshake(void **state)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(TLS1_3_VERSION);

    (void)state;
    client.coalesce = true;
    tls_fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < 20; i++) {
        struct pair pair = {.client =
                                tls_socket_connect(&fixture.front, &client)};

        socket_send_last(pair.client, "all of it", 9);
        pair.upstream = socket_accept(fixture.listener);
        expect_text(pair.upstream, "all of it");
        expect_eof(pair.upstream);
        socket_send_last(pair.upstream, "answer", 6);
        expect_text(pair.client, "answer");
        expect_eof(pair.client);
        pair_close(&pair);
    }
    stats_await_cause(fixture.proxy, "client_fin", 20);
    fixture_close(&fixture);
}

/* The first upstream never answers. */
static void bytes_wait_while_the_upstream_is_connected(void **state)
{
    struct loopback front = loopback_new();
    struct loopback silent = server_silent();
    struct loopback back = loopback_new();
    struct tls_options client = tls_fixture_client(TLS1_3_VERSION);

    (void)state;
    int listener = socket_listen(&back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n"
                    "upstream = %s backup\nconnect_timeout = 300ms\n%s",
                    front.text, silent.text, back.text,
                    tls_fixture_keys(tls_fixture_identity()));
    struct stream out = {.seed = 1, .bytes = 1 << 20, .fin = true};
    struct stream in = out;
    out.fd = tls_socket_connect(&front, &client);
    stream_start_send(&out);
    in.fd = socket_accept(listener);
    stream_expect(&in);
    stream_join(&out);
    proxy_stop(proxy);
}

/* ---- never ended ---- */

/* What a client sends first, whole. */
struct hello {
    unsigned char bytes[4096];
    size_t count;
};

static struct hello make_hello(void)
{
    struct tls_options client = tls_fixture_client(0);
    struct hello hello;

    hello.count = tls_socket_hello(&client, hello.bytes, sizeof(hello.bytes));
    return hello;
}

static void a_handshake_that_never_ends_is_header_timeout(void **state)
{
    struct hello hello = make_hello();
    const size_t parts[] = {0,          1, 5, hello.count / 2, hello.count - 1,
                            hello.count};
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "header_timeout = 300ms");
    for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        int64_t begin = wait_now_ms();
        int fd = socket_connect(&fixture.front);

        socket_send(fd, hello.bytes, parts[i]);
        stats_await_cause(fixture.proxy, "header_timeout", i + 1);
        assert_true(wait_now_ms() - begin >= 295);
        socket_close(fd);
    }
    expect_silence(fixture.listener, 0);
    stats_await(fixture.proxy, NULL, NULL, "active", 0);
    fixture_close(&fixture);
}

static void single_bytes_do_not_extend_the_timeout(void **state)
{
    struct hello hello = make_hello();
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "header_timeout = 300ms");
    struct stopwatch watch = stopwatch_start();
    int fd = socket_connect(&fixture.front);
    for (size_t i = 0; i + 1 < hello.count && stopwatch_ms(&watch) < 250; i++) {
        socket_send(fd, hello.bytes + i, 1);
        wait_tick();
    }
    stats_await_cause(fixture.proxy, "header_timeout", 1);
    stopwatch_expect(&watch, 295, 1500);
    fixture_close(&fixture);
}

static void the_timeout_ends_with_the_handshake(void **state)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(0);

    (void)state;
    tls_fixture_open(&fixture, "", "header_timeout = 500ms");
    struct pair pair = tls_pair_connect(&fixture, &client);
    expect_silence(pair.upstream, 700);
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void a_client_amid_its_handshake_ends_with_the_process(void **state)
{
    struct hello hello = make_hello();
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "drain_timeout = 300ms", "header_timeout = off");
    socket_send(socket_connect(&fixture.front), hello.bytes, hello.count);
    stats_await(fixture.proxy, "web", NULL, "active", 1);
    proxy_signal(fixture.proxy, SIGTERM);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
}

static void clients_amid_their_handshake_hold_no_buffer(void **state)
{
    enum { COUNT = 100 };
    struct hello hello = make_hello();
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < COUNT; i++) {
        socket_send(socket_connect(&fixture.front), hello.bytes,
                    i % 2 == 1 ? hello.count : hello.count / 2);
    }
    stats_await(fixture.proxy, "web", NULL, "active", COUNT);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    fixture_close(&fixture);
}

/* ---- failed ---- */

#define BYTES(text)                                                            \
    {                                                                          \
        text, sizeof(text) - 1                                                 \
    }

static void what_is_no_handshake_is_a_tls_error(void **state)
{
    static const struct {
        const char *text;
        size_t count;

    } wrong[] = {
        BYTES("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
        BYTES(HEADER_V1),
        BYTES("SSH-2.0-OpenSSH_9.2\r\n"),
        BYTES("\0\0\0\0\0\0\0\0\0\0\0\0"),
        BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"),
        BYTES("\x80\x0c\x01\0\2\0\3\0\0\0\0\1\2\3"), /* SSL 2.0 */
        BYTES("\x15\3\1\0\2\2\x28"),                 /* an alert */
        BYTES("\x17\3\3\0\1\0"),                     /* payload */
        BYTES("\x16\3\1\xff\xff\1"),                 /* too large */
        BYTES("\x16\3\1\0\4\1\0\0\0"),               /* empty */
        BYTES("\x16\3\1\0\4\2\0\0\0"),               /* a server's */
    };
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "header_timeout = off");
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        int fd = socket_connect(&fixture.front);

        socket_send(fd, wrong[i].text, wrong[i].count);
        stats_await_cause(fixture.proxy, "tls_error", i + 1);
        socket_close(fd);
    }
    expect_silence(fixture.listener, 0);
    stats_await(fixture.proxy, "web", NULL, "active", 0);
    fixture_close(&fixture);
}

/* One line a second, for all clients together. */
static void failed_handshakes_do_not_flood_the_log(void **state)
{
    enum { BAD = 60 };
    struct fixture fixture;
    (void)state;
    tls_fixture_open(&fixture, "workers = 2", "");
    int64_t begin = wait_now_ms();
    for (unsigned i = 0; i < BAD; i++) {
        int fd = socket_connect(&fixture.front);

        socket_send_text(fd, "nonsense, all of it\r\n");
        expect_closed(fd);
        socket_close(fd);
    }
    stats_await_cause(fixture.proxy, "tls_error", BAD);
    unsigned seconds = (unsigned)((wait_now_ms() - begin) / 1000);
    unsigned lines = proxy_count(fixture.proxy, "tls.* service=web .*count=");
    assert_in_range(lines, 1, 1 + seconds);
    fixture_close(&fixture);
}

static void a_fin_within_a_handshake_is_a_tls_error(void **state)
{
    struct hello hello = make_hello();
    const size_t parts[] = {0, 1, hello.count / 2, hello.count};
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "header_timeout = off");
    for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        int fd = socket_connect(&fixture.front);

        socket_send(fd, hello.bytes, parts[i]);
        socket_finish(fd);
        stats_await_cause(fixture.proxy, "tls_error", i + 1);
        socket_close(fd);
    }
    expect_silence(fixture.listener, 0);
    fixture_close(&fixture);
}

static void a_reset_within_a_handshake_is_client_reset(void **state)
{
    struct hello hello = make_hello();
    const size_t parts[] = {0, 1, hello.count / 2, hello.count};
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "header_timeout = off");
    for (unsigned i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        int fd = socket_connect(&fixture.front);

        socket_send(fd, hello.bytes, parts[i]);
        stats_await(fixture.proxy, "web", NULL, "active", 1);
        socket_reset(fd);
        stats_await_cause(fixture.proxy, "client_reset", i + 1);
    }
    fixture_close(&fixture);
}

/* ---- versions and ciphers ---- */

static void old_versions_are_refused(void **state)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(TLS1_1_VERSION);

    (void)state;
    client.ca = NULL;
    tls_fixture_open(&fixture, "", "");
    tls_expect_connect_refused(&fixture.front, &client, "protocol version");
    stats_await_cause(fixture.proxy, "tls_error", 1);
    expect_silence(fixture.listener, 0);
    fixture_close(&fixture);
}

static void the_least_version_may_be_1_3(void **state)
{
    struct fixture fixture;
    struct tls_options old = tls_fixture_client(TLS1_2_VERSION);
    struct tls_options both = tls_fixture_client(0);

    (void)state;
    tls_fixture_open(&fixture, "", "tls_min_version = 1.3");
    tls_expect_connect_refused(&fixture.front, &old, "protocol version");
    stats_await_cause(fixture.proxy, "tls_error", 1);
    struct pair pair = tls_pair_connect(&fixture, &both);
    assert_int_equal(SSL_version(tls_socket_ssl(pair.client)), TLS1_3_VERSION);
    pair_ping(&pair);
    fixture_close(&fixture);
}

/* The certificate is an ECDSA one. */
static void a_client_without_a_cipher_of_ours_is_refused(void **state)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(TLS1_2_VERSION);

    (void)state;
    client.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
    tls_fixture_open(&fixture, "", "");
    tls_expect_connect_refused(&fixture.front, &client, "handshake failure");
    stats_await_cause(fixture.proxy, "tls_error", 1);
    expect_silence(fixture.listener, 0);
    fixture_close(&fixture);
}

/* ---- protocols ---- */

/* What a client offers, or NULL, and what is chosen. */
static void expect_alpn(const struct fixture *fixture, const char *offer,
                        const char *chosen)
{
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);

        client.alpn = offer;
        struct pair pair = tls_pair_connect(fixture, &client);
        assert_string_equal(tls_socket_alpn(pair.client), chosen);
        pair_ping(&pair);
        pair_close(&pair);
    }
}

static void the_first_of_our_protocols_that_is_offered_is_chosen(void **state)
{
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "tls_alpn = h2, http/1.1");
    expect_alpn(&fixture, "http/1.1,h2", "h2");
    expect_alpn(&fixture, "h2", "h2");
    expect_alpn(&fixture, "spdy/3,http/1.1", "http/1.1");
    expect_alpn(&fixture, NULL, "");
    fixture_close(&fixture);
}

static void without_protocols_of_ours_none_is_chosen(void **state)
{
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "");
    expect_alpn(&fixture, "http/1.1,h2", "");
    expect_alpn(&fixture, NULL, "");
    fixture_close(&fixture);
}

static void a_client_with_no_protocol_of_ours_is_refused(void **state)
{
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "tls_alpn = h2, http/1.1");
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);

        client.alpn = "spdy/3,http/1,h2c";
        tls_expect_connect_refused(&fixture.front, &client,
                                   "no application protocol");
        stats_await_cause(fixture.proxy, "tls_error", i + 1);
    }
    expect_silence(fixture.listener, 0);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_handshake_may_come_byte_by_byte),
        E2E(first_bytes_may_come_with_the_end_of_the_handshake),
        E2E(all_of_a_stream_may_come_with_the_end_of_the_handshake),
        E2E(bytes_wait_while_the_upstream_is_connected),
        E2E(a_handshake_that_never_ends_is_header_timeout),
        E2E(single_bytes_do_not_extend_the_timeout),
        E2E(the_timeout_ends_with_the_handshake),
        E2E(a_client_amid_its_handshake_ends_with_the_process),
        E2E(clients_amid_their_handshake_hold_no_buffer),
        E2E(what_is_no_handshake_is_a_tls_error),
        E2E(failed_handshakes_do_not_flood_the_log),
        E2E(a_fin_within_a_handshake_is_a_tls_error),
        E2E(a_reset_within_a_handshake_is_client_reset),
        E2E(old_versions_are_refused),
        E2E(the_least_version_may_be_1_3),
        E2E(a_client_without_a_cipher_of_ours_is_refused),
        E2E(the_first_of_our_protocols_that_is_offered_is_chosen),
        E2E(without_protocols_of_ours_none_is_chosen),
        E2E(a_client_with_no_protocol_of_ours_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
