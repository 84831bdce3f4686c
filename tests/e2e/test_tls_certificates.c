/*
 * Certificates: which one a client is shown, and which ones clients must show.
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
#include "tls_expect.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"

#include <openssl/ssl.h>
#include <stdio.h>

/* ---- shown to clients ---- */

static void expect_shown(const struct fixture *fixture, const char *name,
                         const char *common_name)
{
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = {.name = name, .version = tls_versions[i]};
        struct pair pair = tls_pair_connect(fixture, &client);

        assert_string_equal(tls_socket_peer(pair.client), common_name);
        pair_ping(&pair);
        pair_close(&pair);
    }
}

static void the_name_picks_the_certificate(void **state)
{
    struct identity first = identity_for("first", "DNS:first.example");
    struct identity wild = identity_for("wild", "DNS:*.wild.example");
    struct identity exact =
        identity_for("exact", "DNS:exact.wild.example, DNS:other.example");
    struct identity last = identity_for("last", "DNS:first.example");
    struct fixture fixture;
    char keys[2048];

    (void)state;
    snprintf(keys, sizeof(keys), "%s%s%s%s", tls_fixture_keys(&first),
             tls_fixture_keys(&wild), tls_fixture_keys(&exact),
             tls_fixture_keys(&last));
    fixture_open(&fixture, "", keys);
    expect_shown(&fixture, "first.example", "first");
    expect_shown(&fixture, "a.wild.example", "wild");
    expect_shown(&fixture, "A.WILD.example", "wild");
    expect_shown(&fixture, "exact.wild.example", "exact");
    expect_shown(&fixture, "Other.Example", "exact");
    expect_shown(&fixture, "a.b.wild.example", "first");
    expect_shown(&fixture, "wild.example", "first");
    expect_shown(&fixture, "unknown.example", "first");
    expect_shown(&fixture, NULL, "first");
    fixture_close(&fixture);
}

static void a_name_may_have_certificates_of_two_kinds(void **state)
{
    static const struct tls_options rsa[] = {
        {.name = "a.example",
         .version = TLS1_2_VERSION,
         .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"},
        {.name = "a.example",
         .version = TLS1_3_VERSION,
         .signatures = "RSA-PSS+SHA256"}};
    static const struct tls_options ecdsa[] = {
        {.name = "a.example",
         .version = TLS1_2_VERSION,
         .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"},
        {.name = "a.example",
         .version = TLS1_3_VERSION,
         .signatures = "ECDSA+SHA256"}};
    const struct identity_options options = {
        .names = "DNS:a.example", .issuer = identity_authority(), .rsa = true};
    struct identity with_rsa = identity_new("rsa", &options);
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", tls_fixture_keys(&with_rsa));
    for (unsigned i = 0; i < 2; i++) {
        struct pair pair = tls_pair_connect(&fixture, &rsa[i]);

        assert_string_equal(tls_socket_peer(pair.client), "rsa");
        pair_ping(&pair);
        pair = tls_pair_connect(&fixture, &ecdsa[i]);
        assert_string_equal(tls_socket_peer(pair.client), "server");
        pair_ping(&pair);
    }
    fixture_close(&fixture);
}

/* The whole chain is sent, so the client need trust only the root. */
static void the_chain_is_shown(void **state)
{
    const struct identity_options authority = {.issuer = identity_authority(),
                                               .authority = true};
    struct identity middle = identity_new("middle", &authority);
    const struct identity_options signed_by_it = {.names = "DNS:a.example",
                                                  .issuer = &middle};
    struct identity leaf = identity_new("leaf", &signed_by_it);
    struct fixture fixture;

    (void)state;
    identity_append_issuer(&leaf, &middle);
    fixture_open(&fixture, "", tls_fixture_keys(&leaf));
    tls_fixture_expect_certificate(&fixture, "leaf");
    fixture_close(&fixture);
}

static void a_key_may_be_in_the_certificates_file(void **state)
{
    struct identity both = identity_for("joined", "DNS:a.example");
    struct fixture fixture;
    char service[512];

    (void)state;
    identity_append_key(&both);
    snprintf(service, sizeof(service), "tls_certificate = %s",
             both.certificate);
    fixture_open(&fixture, "", service);
    tls_fixture_expect_certificate(&fixture, "joined");
    fixture_close(&fixture);
}

/* ---- services that share an address ---- */

/* TLS ends at the proxy for the services a and b, and passes through to the
 * upstreams of c and of web, the default. */
struct routes {
    struct loopback front;
    struct loopback back[4];
    int listeners[4];
    struct proxy *proxy;
};

enum route { ROUTE_A, ROUTE_B, ROUTE_C, ROUTE_DEFAULT, ROUTES };

static void routes_open(struct routes *routes)
{
    struct identity a = identity_for("cert-a", "DNS:a.example");
    struct identity b = identity_for("cert-b", "DNS:b.example");

    routes->front = loopback_new();
    for (unsigned i = 0; i < ROUTES; i++) {
        routes->back[i] = loopback_new();
        routes->listeners[i] = socket_listen(&routes->back[i]);
    }
    routes->proxy = proxy_start(
        "[service a]\nlisten = %s\nupstream = %s\nsni = a.example\n%s"
        "[service b]\nlisten = %s\nupstream = %s\nsni = *.example\n%s"
        "[service c]\nlisten = %s\nupstream = %s\nsni = c.example\n"
        "[service web]\nlisten = %s\nupstream = %s\n",
        routes->front.text, routes->back[ROUTE_A].text, tls_fixture_keys(&a),
        routes->front.text, routes->back[ROUTE_B].text, tls_fixture_keys(&b),
        routes->front.text, routes->back[ROUTE_C].text, routes->front.text,
        routes->back[ROUTE_DEFAULT].text);
}

static void expect_route(const struct routes *routes, enum route route,
                         const struct tls_options *client,
                         const char *common_name)
{
    struct pair pair = {.client = tls_socket_connect(&routes->front, client)};

    assert_string_equal(tls_socket_peer(pair.client), common_name);
    pair.upstream = socket_accept(routes->listeners[route]);
    pair_ping(&pair);
    pair_close(&pair);
}

static void services_of_one_address_have_their_own_certificates(void **state)
{
    struct routes routes;

    (void)state;
    routes_open(&routes);
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);

        expect_route(&routes, ROUTE_A, &client, "cert-a");
        client.name = "b.example";
        expect_route(&routes, ROUTE_B, &client, "cert-b");
        client.byte_by_byte = true;
        expect_route(&routes, ROUTE_B, &client, "cert-b");
    }
    struct pair pair = {.client = socket_connect(&routes.front)};
    socket_send_text(pair.client, "GET / HTTP/1.0\r\n\r\n");
    pair.upstream = socket_accept(routes.listeners[ROUTE_DEFAULT]);
    expect_text(pair.upstream, "GET / HTTP/1.0\r\n\r\n");
    pair_ping(&pair);
    proxy_stop(routes.proxy);
}

/* The upstream is a server: one thread cannot do both ends of a handshake. */
static void expect_passed_through(const struct loopback *front,
                                  const struct tls_options *client)
{
    int fd = tls_socket_connect(front, client);

    assert_string_equal(tls_socket_peer(fd), "cert-c");
    socket_send_text(fd, "echo");
    expect_text(fd, "echo");
    socket_close(fd);
}

static void another_service_of_the_address_may_pass_tls_through(void **state)
{
    struct routes routes;
    struct identity c = identity_for("cert-c", "DNS:c.example, DNS:other");
    struct tls_service echo = {.options = {.identity = &c},
                               .serve = serve_echo};
    struct tls_options client = tls_fixture_client(0);

    (void)state;
    routes_open(&routes);
    socket_close(routes.listeners[ROUTE_C]);
    socket_close(routes.listeners[ROUTE_DEFAULT]);
    struct server *named =
        server_start(&routes.back[ROUTE_C], serve_tls, &echo);
    struct server *rest =
        server_start(&routes.back[ROUTE_DEFAULT], serve_tls, &echo);
    client.name = "c.example";
    expect_passed_through(&routes.front, &client);
    client.byte_by_byte = true;
    expect_passed_through(&routes.front, &client);
    client.name = "other";
    expect_passed_through(&routes.front, &client);
    assert_int_equal(server_accepted(named), 2);
    assert_int_equal(server_accepted(rest), 1);
    proxy_stop(routes.proxy);
    server_stop(named);
    server_stop(rest);
}

/* ---- of clients ---- */

static void a_client_with_a_good_certificate_is_accepted(void **state)
{
    struct identity mine = identity_for("client", NULL);
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", tls_fixture_client_ca(identity_authority()));
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);

        client.identity = &mine;
        struct pair pair = tls_pair_connect(&fixture, &client);
        pair_ping(&pair);
        pair_close(&pair);
    }
    fixture_close(&fixture);
}

static void a_client_without_a_good_certificate_is_refused(void **state)
{
    const struct identity_options authority = {.authority = true};
    struct identity other_ca = identity_new("other-ca", &authority);
    const struct identity_options by_other = {.issuer = &other_ca};
    struct identity other = identity_new("other-client", &by_other);
    const struct identity_options late = {.issuer = identity_authority(),
                                          .expired = true};
    struct identity expired = identity_new("expired-client", &late);

    const struct {
        const struct identity *identity;
        const char *reasons[TLS_VERSIONS];

    } rows[] = {
        {NULL, {"handshake failure", "certificate required"}},
        {&other, {"unknown ca", "unknown ca"}},
        {&expired, {"certificate expired", "certificate expired"}},
    };
    struct fixture fixture;
    uint64_t refused = 0;

    (void)state;
    tls_fixture_open(&fixture, "", tls_fixture_client_ca(identity_authority()));
    for (unsigned i = 0; i < 6; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i % 2]);

        client.identity = rows[i / 2].identity;
        tls_expect_connect_refused(&fixture.front, &client,
                                   rows[i / 2].reasons[i % 2]);
        stats_await_cause(fixture.proxy, "tls_error", ++refused);
    }
    expect_silence(fixture.listener, 0);
    assert_int_equal(stats_get(fixture.proxy, "web", NULL, "bytes_up"), 0);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_name_picks_the_certificate),
        E2E(a_name_may_have_certificates_of_two_kinds),
        E2E(the_chain_is_shown),
        E2E(a_key_may_be_in_the_certificates_file),
        E2E(services_of_one_address_have_their_own_certificates),
        E2E(another_service_of_the_address_may_pass_tls_through),
        E2E(a_client_with_a_good_certificate_is_accepted),
        E2E(a_client_without_a_good_certificate_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
