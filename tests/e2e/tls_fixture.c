#include "tls_fixture.h"

#include "socket.h"
#include "stats.h"
#include "test.h"
#include "tls_socket.h"

#include <openssl/ssl.h>
#include <stdio.h>

const int tls_versions[TLS_VERSIONS] = {TLS1_2_VERSION, TLS1_3_VERSION};

const char *tls_fixture_keys(const struct identity *identity)
{
    static char texts[8][400];
    static unsigned turn;
    char *text = texts[turn++ % 8];

    snprintf(text, sizeof(texts[0]), "tls_certificate = %s\ntls_key = %s\n",
             identity->certificate, identity->key);
    return text;
}

const char *tls_fixture_client_ca(const struct identity *ca)
{
    static char texts[2][256];
    static unsigned turn;
    char *text = texts[turn++ % 2];

    snprintf(text, sizeof(texts[0]), "tls_client_ca = %s\n", ca->certificate);
    return text;
}

const struct identity *tls_fixture_identity(void)
{
    static struct identity identity;

    if (identity.certificate[0] == '\0') {
        identity = identity_for("server", "DNS:a.example, IP:127.0.0.1");
    }
    return &identity;
}

/* Valid until the next call. */
static const char *with_keys(const char *service)
{
    static char text[2048];

    snprintf(text, sizeof(text), "%s%s",
             tls_fixture_keys(tls_fixture_identity()), service);
    return text;
}

void tls_fixture_open(struct fixture *fixture, const char *global,
                      const char *service)
{
    fixture_open(fixture, global, with_keys(service));
}

void tls_fixture_reload(struct fixture *fixture, const char *service)
{
    fixture_reload(fixture, with_keys(service));
}

struct tls_options tls_fixture_client(int version)
{
    return (struct tls_options){
        .ca = identity_authority(), .name = "a.example", .version = version};
}

struct pair tls_pair_connect(const struct fixture *fixture,
                             const struct tls_options *client)
{
    struct pair pair;

    pair.client = tls_socket_connect(&fixture->front, client);
    pair.upstream = socket_accept(fixture->listener);
    return pair;
}

struct pair tls_pair_connect_narrow(const struct fixture *fixture,
                                    const struct tls_options *client)
{
    struct pair pair;

    pair.client = socket_connect_narrow(&fixture->front);
    tls_socket_start_client(pair.client, client);
    pair.upstream = socket_accept(fixture->listener);
    return pair;
}

SSL_SESSION *tls_fixture_session(const struct fixture *fixture,
                                 const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    pair_ping(&pair);
    SSL_SESSION *session = tls_socket_session(pair.client);
    assert_true(SSL_SESSION_is_resumable(session));
    pair_close(&pair);
    return session;
}

SSL_SESSION *tls_fixture_resume(const struct fixture *fixture,
                                const struct tls_options *client,
                                SSL_SESSION *session, bool resumed)
{
    struct tls_options with_session = *client;

    with_session.session = session;
    struct pair pair = tls_pair_connect(fixture, &with_session);
    assert_int_equal(SSL_session_reused(tls_socket_ssl(pair.client)), resumed);
    pair_ping(&pair);
    SSL_SESSION *now = tls_socket_session(pair.client);
    pair_close(&pair);
    return now;
}

void tls_fixture_expect_resumed(const struct fixture *fixture,
                                const struct tls_options *client,
                                SSL_SESSION *session, bool resumed)
{
    SSL_SESSION_free(tls_fixture_resume(fixture, client, session, resumed));
}

void tls_fixture_expect_certificate(const struct fixture *fixture,
                                    const char *common_name)
{
    struct tls_options client = tls_fixture_client(0);
    struct pair pair = tls_pair_connect(fixture, &client);

    assert_string_equal(tls_socket_peer(pair.client), common_name);
    pair_ping(&pair);
    pair_close(&pair);
}

void tls_fixture_each_version(const char *global, const char *service,
                              tls_part_fn part)
{
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);
        struct fixture fixture;

        tls_fixture_open(&fixture, global, service);
        part(&fixture, &client);
        stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
        fixture_close(&fixture);
    }
}
