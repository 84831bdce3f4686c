/*
 * TLS sessions that clients resume, and when they may not.
 */
#include "fixture.h"
#include "identity.h"
#include "loopback.h"
#include "pair.h"
#include "stats.h"
#include "teardown.h"
#include "tls_expect.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"

#include <openssl/ssl.h>
#include <stdio.h>

static void sessions_are_resumed(void **state)
{
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "workers = 2", "");
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);
        SSL_SESSION *session = tls_fixture_session(&fixture, &client);

        for (unsigned turn = 0; turn < 6; turn++) {
            client.byte_by_byte = turn == 5;
            client.coalesce = turn == 4;
            tls_fixture_expect_resumed(&fixture, &client, session, true);
        }
        SSL_SESSION_free(session);
    }
    fixture_close(&fixture);
}

static void sessions_with_client_certificates_are_resumed(void **state)
{
    struct identity mine = identity_for("client", NULL);
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", tls_fixture_client_ca(identity_authority()));
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);

        client.identity = &mine;
        SSL_SESSION *session = tls_fixture_session(&fixture, &client);
        tls_fixture_expect_resumed(&fixture, &client, session, true);
        SSL_SESSION_free(session);
    }
    fixture_close(&fixture);
}

static void sessions_outlast_a_reload(void **state)
{
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);
        SSL_SESSION *session = tls_fixture_session(&fixture, &client);

        tls_fixture_reload(&fixture, "");
        tls_fixture_expect_resumed(&fixture, &client, session, true);
        SSL_SESSION_free(session);
    }
    fixture_close(&fixture);
}

/* A client that needed no certificate for its session needs one elsewhere. */
static void a_session_does_not_stand_for_a_certificate(void **state)
{
    struct identity mine = identity_for("client", NULL);
    struct fixture fixture;
    struct loopback strict = loopback_new();
    char service[1024];

    (void)state;
    tls_fixture_open(&fixture, "", "");
    snprintf(service, sizeof(service),
             "[service strict]\nlisten = %s\nupstream = %s\n%s%s", strict.text,
             fixture.back.text, tls_fixture_keys(tls_fixture_identity()),
             tls_fixture_client_ca(identity_authority()));
    tls_fixture_reload(&fixture, service);
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);
        SSL_SESSION *session = tls_fixture_session(&fixture, &client);
        struct fixture other = fixture;

        other.front = strict;
        client.session = session;
        tls_expect_connect_refused(&strict, &client, NULL);
        stats_await(fixture.proxy, "strict", NULL, "ended_tls_error", i + 1);
        client.identity = &mine;
        tls_fixture_expect_resumed(&other, &client, session, false);
        SSL_SESSION_free(session);
    }
    fixture_close(&fixture);
}

/* After a reload that changes whose certificates clients must have. */
static void expect_session_ended(const char *before, const char *after,
                                 const struct identity *identity)
{
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);
        struct fixture fixture;

        client.identity = identity;
        tls_fixture_open(&fixture, "", before);
        client.session = tls_fixture_session(&fixture, &client);
        tls_fixture_reload(&fixture, after);
        tls_expect_connect_refused(&fixture.front, &client, NULL);
        stats_await_cause(fixture.proxy, "tls_error", 1);
        SSL_SESSION_free(client.session);
        fixture_close(&fixture);
    }
}

static void a_session_ends_when_certificates_are_asked_for(void **state)
{
    (void)state;
    expect_session_ended("", tls_fixture_client_ca(identity_authority()), NULL);
}

static void a_session_ends_when_another_authority_is_asked_for(void **state)
{
    const struct identity_options authority = {.authority = true};
    struct identity mine = identity_for("client", NULL);
    struct identity other = identity_new("other-ca", &authority);

    (void)state;
    expect_session_ended(tls_fixture_client_ca(identity_authority()),
                         tls_fixture_client_ca(&other), &mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(sessions_are_resumed),
        E2E(sessions_with_client_certificates_are_resumed),
        E2E(sessions_outlast_a_reload),
        E2E(a_session_does_not_stand_for_a_certificate),
        E2E(a_session_ends_when_certificates_are_asked_for),
        E2E(a_session_ends_when_another_authority_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
