/*
 * Which upstreams with TLS are trusted, and what a session that is resumed is
 * worth.
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
#include "teardown.h"
#include "test.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"
#include "tls_upstream.h"
#include "wait.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

/* ---- certificates ---- */

/* The service's upstream is written as host, and it listens at back. It is
 * trusted, and it sees this server name. */
static void expect_trusted(const struct loopback *back, const char *host,
                           const struct identity *identity, const char *keys,
                           const char *server_name)
{
    struct loopback front = loopback_new();
    struct tls_options upstream = {.identity = identity};
    int listener = socket_listen(back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n%s", front.text,
                    host, keys);
    if (strcmp(host, back->text) != 0) {
        proxy_line(proxy, "^resolve name=[^ ]+ addresses=");
    }
    struct pair pair = {.client = socket_connect(&front)};

    pair.upstream = tls_socket_accept(listener, &upstream);
    assert_string_equal(tls_socket_server_name(pair.upstream), server_name);
    pair_ping(&pair);
    proxy_stop(proxy);
}

static void expect_rejected(const struct identity *identity, const char *keys)
{
    struct loopback front = loopback_new();
    struct loopback back = loopback_on("127.0.0.1");
    struct tls_service echo = {.options = {.identity = identity},
                               .serve = serve_echo};
    struct server *server = server_start(&back, serve_tls, &echo);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n%s\n",
                    front.text, back.text, keys);

    expect_connect_ended(&front);
    stats_await_cause(proxy, "tls_error", 1);
    assert_true(stats_get(proxy, "web", back.text, "failed") > 0);
    assert_int_equal(stats_get(proxy, "web", NULL, "bytes_up"), 0);
    proxy_stop(proxy);
    server_stop(server);
}

static void an_upstream_is_verified_by_the_host_of_its_address(void **state)
{
    struct loopback four = loopback_on("127.0.0.1");
    struct loopback six = loopback_on("[::1]");
    struct loopback named = loopback_at("localhost", &four);
    const struct identity *identity = tls_upstream_identity();
    const char *keys = tls_upstream_keys(identity_authority(), "");

    (void)state;
    expect_trusted(&four, four.text, identity, keys, "");
    expect_trusted(&six, six.text, identity, keys, "");
    test_need_localhost();
    expect_trusted(&four, named.text, identity, keys, "localhost");
}

static void an_upstream_is_verified_by_the_name_that_is_set(void **state)
{
    struct loopback back = loopback_new(); /* not in the certificate */
    struct loopback path = loopback_unix("secure-back");
    const struct identity *identity = tls_upstream_identity();
    const char *named =
        tls_upstream_keys(identity_authority(), TLS_UPSTREAM_NAMED);
    const char *four = tls_upstream_keys(identity_authority(),
                                         "upstream_tls_name = 127.0.0.1\n");
    const char *six =
        tls_upstream_keys(identity_authority(), "upstream_tls_name = ::1\n");

    (void)state;
    expect_trusted(&back, back.text, identity, named, "up.example");
    expect_trusted(&path, path.text, identity, named, "up.example");
    expect_trusted(&back, back.text, identity, four, "");
    expect_trusted(&back, back.text, identity, six, "");
}

static void every_upstream_is_trusted_if_no_authority_is_set(void **state)
{
    const struct identity_options options = {0};
    struct identity alone = identity_new("alone", &options);
    struct loopback back = loopback_new();

    (void)state;
    expect_trusted(&back, back.text, &alone, tls_upstream_keys(NULL, ""), "");
    expect_trusted(&back, back.text, &alone,
                   tls_upstream_keys(NULL, TLS_UPSTREAM_NAMED), "up.example");
}

static void an_upstream_that_the_system_trusts_is_trusted(void **state)
{
    struct loopback front = loopback_new();
    struct loopback back = loopback_on("127.0.0.1");
    struct tls_options upstream = tls_upstream_options(0);
    char trust[200];
    const char *const environment[] = {trust, NULL};
    const struct proxy_options options = {.environment = environment};

    (void)state;
    snprintf(trust, sizeof(trust), "SSL_CERT_FILE=%s",
             identity_authority()->certificate);
    int listener = socket_listen(&back);
    struct proxy *proxy = proxy_launch(
        &options,
        "[service web]\nlisten = %s\nupstream = %s\nupstream_tls = yes\n",
        front.text, back.text);
    struct pair pair = {.client = socket_connect(&front)};
    pair.upstream = tls_socket_accept(listener, &upstream);
    pair_ping(&pair);
    proxy_stop(proxy);
}

static void an_upstream_of_an_unknown_authority_is_rejected(void **state)
{
    const struct identity_options authority = {.authority = true};
    const struct identity_options self_signed = {.names = "DNS:up.example"};
    struct identity other = identity_new("other-ca", &authority);
    struct identity alone = identity_new("alone", &self_signed);

    (void)state;
    expect_rejected(tls_upstream_identity(),
                    tls_upstream_keys(&other, TLS_UPSTREAM_NAMED));
    expect_rejected(
        &alone, tls_upstream_keys(identity_authority(), TLS_UPSTREAM_NAMED));
    expect_rejected(tls_upstream_identity(),
                    "upstream_tls = yes\n" TLS_UPSTREAM_NAMED);
}

static void an_upstream_of_another_name_is_rejected(void **state)
{
    const struct identity *authority = identity_authority();
    struct identity nameless = identity_for("up.example", NULL);
    struct identity elsewhere = identity_for("elsewhere", "IP:127.0.0.2");

    (void)state;
    expect_rejected(
        tls_upstream_identity(),
        tls_upstream_keys(authority, "upstream_tls_name = no.example\n"));
    expect_rejected(
        tls_upstream_identity(),
        tls_upstream_keys(authority, "upstream_tls_name = 127.0.0.2\n"));
    expect_rejected(&elsewhere, tls_upstream_keys(authority, ""));
    expect_rejected(&nameless, tls_upstream_keys(authority, ""));
}

static void an_upstream_whose_certificate_expired_is_rejected(void **state)
{
    const struct identity_options options = {.names = "DNS:up.example",
                                             .issuer = identity_authority(),
                                             .expired = true};
    struct identity expired = identity_new("expired", &options);

    (void)state;
    expect_rejected(
        &expired, tls_upstream_keys(identity_authority(), TLS_UPSTREAM_NAMED));
}

/* ---- sessions ---- */

/* An upstream that resumes every session it has begun. */
struct resuming {
    struct fixture fixture;
    struct tls_options upstream;
};

static void resuming_open(struct resuming *resuming, int version)
{
    resuming->upstream = tls_upstream_options(version);
    resuming->upstream.context = tls_options_context(&resuming->upstream, true);
    assert_non_null(resuming->upstream.context);
    fixture_open(&resuming->fixture, "workers = 1",
                 tls_upstream_keys(identity_authority(), TLS_UPSTREAM_NAMED));
}

static void resuming_close(struct resuming *resuming)
{
    fixture_close(&resuming->fixture);
    SSL_CTX_free(resuming->upstream.context);
}

static void expect_resumed(const struct resuming *resuming, bool resumed)
{
    struct pair pair =
        tls_upstream_pair(&resuming->fixture, &resuming->upstream);

    assert_int_equal(SSL_session_reused(tls_socket_ssl(pair.upstream)),
                     resumed);
    assert_string_equal(tls_socket_server_name(pair.upstream), "up.example");
    pair_ping(&pair);
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    pair_close(&pair);
    stats_await(resuming->fixture.proxy, "web", NULL, "active", 0);
}

static void the_session_of_an_upstream_is_resumed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct resuming resuming;

        resuming_open(&resuming, tls_versions[i]);
        expect_resumed(&resuming, false);
        for (unsigned turn = 0; turn < 5; turn++) {
            expect_resumed(&resuming, true);
        }
        resuming_close(&resuming);
    }
}

/* All workers offer the same session, and store a new one. */
static void a_session_may_be_resumed_by_many_at_once(void **state)
{
    enum { CLIENTS = 16, ROUNDS = 10 };
    struct tls_service echo = {.options = tls_upstream_options(0),
                               .serve = serve_echo};
    struct fixture fixture;

    (void)state;
    echo.options.context = tls_options_context(&echo.options, true);
    fixture_open_server(
        &fixture, serve_tls, &echo, "workers = 4",
        tls_upstream_keys(identity_authority(), TLS_UPSTREAM_NAMED));
    for (unsigned round = 0; round < ROUNDS; round++) {
        int clients[CLIENTS];

        for (unsigned i = 0; i < CLIENTS; i++) {
            clients[i] = socket_connect(&fixture.front);
            socket_send_text(clients[i], "echo");
        }
        for (unsigned i = 0; i < CLIENTS; i++) {
            expect_text(clients[i], "echo");
            socket_close(clients[i]);
        }
    }
    stats_await_cause(fixture.proxy, "client_fin", CLIENTS * ROUNDS);
    assert_true(SSL_CTX_sess_hits(echo.options.context) > ROUNDS);
    fixture_close(&fixture);
    SSL_CTX_free(echo.options.context);
}

/* The end, or the alert that is the reason for it. */
static void expect_broken_off(int fd)
{
    SSL *ssl = tls_socket_ssl(fd);
    char byte;
    int count;

    wait_until((count = SSL_read(ssl, &byte, 1)) > 0 ||
               SSL_get_error(ssl, count) != SSL_ERROR_WANT_READ);
    assert_true(count <= 0);
}

/* After a reload with these keys the session is worth nothing. */
static void expect_verified_again(const char *keys)
{
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct resuming resuming;

        resuming_open(&resuming, tls_versions[i]);
        expect_resumed(&resuming, false);
        fixture_reload(&resuming.fixture, keys);
        struct pair pair = pair_connect(&resuming.fixture);
        if (tls_socket_handshake(pair.upstream, &resuming.upstream, true) ==
            0) {
            expect_broken_off(pair.upstream); /* TLS 1.3 tells it later */
        }
        pair_close(&pair);
        stats_await(resuming.fixture.proxy, "web", NULL, "active", 0);
        assert_int_equal(
            stats_get(resuming.fixture.proxy, "web", NULL, "ended_tls_error"),
            1);
        resuming_close(&resuming);
    }
}

static void a_session_does_not_stand_for_another_certificate(void **state)
{
    const struct identity_options authority = {.authority = true};
    struct identity other = identity_new("other-ca", &authority);

    (void)state;
    expect_verified_again(
        tls_upstream_keys(&other, TLS_UPSTREAM_NAMED "connect_attempts = 1\n"));
    expect_verified_again(tls_upstream_keys(identity_authority(),
                                            "upstream_tls_name = no.example\n"
                                            "connect_attempts = 1\n"));
}

/* ---- a certificate of our own ---- */

/* The lines that show it to upstreams; valid until the next call. */
static const char *showing(const struct identity *mine, bool key_apart)
{
    static char text[1024];

    snprintf(text, sizeof(text),
             TLS_UPSTREAM_NAMED "upstream_tls_certificate = %s\n",
             mine->certificate);
    if (key_apart) {
        strcat(strcat(strcat(text, "upstream_tls_key = "), mine->key), "\n");
    }
    return text;
}

static void expect_shown(const struct fixture *fixture, const char *name)
{
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options upstream = tls_upstream_options(tls_versions[i]);
        struct pair pair;

        upstream.ca = identity_authority();
        pair = tls_upstream_pair(fixture, &upstream);
        assert_string_equal(tls_socket_peer(pair.upstream), name);
        pair_ping(&pair);
        pair_close(&pair);
    }
}

/* The upstream demands one. A reload reads the file again. */
static void a_certificate_is_shown_to_an_upstream_that_asks(void **state)
{
    struct identity first = identity_for("first", "DNS:first.example");
    struct identity second = identity_for("second", "DNS:second.example");
    struct fixture fixture;

    (void)state;
    fixture_open(
        &fixture, "",
        tls_upstream_keys(identity_authority(), showing(&first, true)));
    expect_shown(&fixture, "first");
    identity_append_key(&second);
    fixture_reload(&fixture, tls_upstream_keys(identity_authority(),
                                               showing(&second, false)));
    expect_shown(&fixture, "second");
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(an_upstream_is_verified_by_the_host_of_its_address),
        E2E(an_upstream_is_verified_by_the_name_that_is_set),
        E2E(every_upstream_is_trusted_if_no_authority_is_set),
        E2E(an_upstream_that_the_system_trusts_is_trusted),
        E2E(an_upstream_of_an_unknown_authority_is_rejected),
        E2E(an_upstream_of_another_name_is_rejected),
        E2E(an_upstream_whose_certificate_expired_is_rejected),
        E2E(the_session_of_an_upstream_is_resumed),
        E2E(a_session_may_be_resumed_by_many_at_once),
        E2E(a_session_does_not_stand_for_another_certificate),
        E2E(a_certificate_is_shown_to_an_upstream_that_asks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
