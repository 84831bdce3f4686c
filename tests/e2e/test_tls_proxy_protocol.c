/*
 * PROXY headers and TLS: a header comes in clear before the handshake, from
 * clients and to upstreams.
 */
#include "expect.h"
#include "fixture.h"
#include "header.h"
#include "header_fixture.h"
#include "identity.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "tls_expect.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"
#include "tls_upstream.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum manner { ALONE, WITH_THE_HELLO, BYTE_BY_BYTE, MANNERS };

static void send_header(int fd, const struct header *header, enum manner manner)
{
    if (manner == BYTE_BY_BYTE) {
        for (size_t i = 0; i < header->size; i++) {
            socket_send(fd, header->bytes + i, 1);
        }
    } else {
        int flags = manner == WITH_THE_HELLO ? MSG_MORE : 0;
        ssize_t sent = send(fd, header->bytes, header->size, flags);

        assert_int_equal(sent, header->size);
    }
}

/* The header is of 192.0.2.7:4000. */
static void expect_accepted(struct fixture *fixture,
                            const struct header *header, enum manner manner)
{
    struct tls_options client = tls_fixture_client(0);
    struct pair pair = {.client = socket_connect(&fixture->front)};

    client.byte_by_byte = manner == BYTE_BY_BYTE;
    send_header(pair.client, header, manner);
    proxy_mark(fixture->proxy);
    tls_socket_start_client(pair.client, &client);
    pair.upstream = socket_accept(fixture->listener);
    pair_ping(&pair);
    pair_close(&pair);
    proxy_line(fixture->proxy, "^conn service=web client=192\\.0\\.2\\.7:4000 "
                               ".* bytes_up=1 bytes_down=1 ");
}

static void a_proxy_header_comes_before_the_handshake(void **state)
{
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "access_log = yes", HEADER_TRUSTED);
    for (enum manner manner = 0; manner < MANNERS; manner++) {
        expect_accepted(&fixture, header_text(HEADER_V1), manner);
        expect_accepted(&fixture, header_v2_from("192.0.2.7"), manner);
    }
    fixture_close(&fixture);
}

/* All three before a byte of payload: header, name and handshake. */
static void a_proxy_header_comes_before_the_name(void **state)
{
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();
    struct identity b = identity_for("cert-b", "DNS:b.example");
    struct tls_options client = tls_fixture_client(0);

    (void)state;
    int listener = socket_listen(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n%s" HEADER_TRUSTED
        "[service b]\nlisten = %s\nupstream = %s\n"
        "sni = b.example\n%s" HEADER_TRUSTED,
        front.text, back.text, tls_fixture_keys(tls_fixture_identity()),
        front.text, back.text, tls_fixture_keys(&b));
    for (unsigned i = 0; i < 4; i++) {
        struct pair pair = {.client = socket_connect(&front)};
        bool named = i % 2 == 1;

        client.name = named ? "b.example" : "a.example";
        client.byte_by_byte = i / 2 == 1;
        send_header(pair.client, header_v2_from("192.0.2.7"), WITH_THE_HELLO);
        tls_socket_start_client(pair.client, &client);
        assert_string_equal(tls_socket_peer(pair.client),
                            named ? "cert-b" : "server");
        pair.upstream = socket_accept(listener);
        pair_ping(&pair);
        pair_close(&pair);
    }
    stats_await(proxy, "b", NULL, "accepted", 2);
    proxy_stop(proxy);
}

static void a_handshake_without_the_proxy_header_is_bad_header(void **state)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(0);

    (void)state;
    tls_fixture_open(&fixture, "", HEADER_TRUSTED);
    tls_expect_connect_refused(&fixture.front, &client, NULL);
    stats_await_cause(fixture.proxy, "bad_header", 1);
    fixture_close(&fixture);
}

static void garbage_behind_a_proxy_header_is_a_tls_error(void **state)
{
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", HEADER_TRUSTED);
    int fd = socket_connect(&fixture.front);
    socket_send_text(fd, HEADER_V1 "GET / HTTP/1.0\r\n\r\n");
    stats_await_cause(fixture.proxy, "tls_error", 1);
    fixture_close(&fixture);
}

static void an_upstream_may_get_the_header_of_a_client_with_tls(void **state)
{
    struct loopback front = loopback_new();
    struct tls_options client = tls_fixture_client(0);
    struct fixture fixture;
    char service[1024];

    (void)state;
    snprintf(service, sizeof(service), HEADER_TRUSTED "%s",
             tls_fixture_keys(tls_fixture_identity()));
    fixture_open_at(&fixture, &front, "proxy_protocol=v1", "", service);
    struct pair pair = {.client = socket_connect(&front)};
    socket_send_text(pair.client, HEADER_V1);
    tls_socket_start_client(pair.client, &client);
    pair.upstream = socket_accept(fixture.listener);
    expect_text(pair.upstream, HEADER_V1);
    pair_ping(&pair);
    fixture_close(&fixture);
}

/* ---- what an upstream is told of TLS ---- */

/* PP2_TYPE_SSL: the bits of "client", "verify", the version, and the common
 * name, "" for none. */
static void add_ssl(struct header *header, int bits, int verify, int version,
                    const char *common_name)
{
    unsigned char value[64] = {(unsigned char)bits, 0, 0, 0,
                               (unsigned char)verify};
    size_t size = 5;

    size += (size_t)sprintf((char *)value + size, "%c%c%cTLSv1.%d", 0x21, 0, 7,
                            version == TLS1_3_VERSION ? 3 : 2);
    if (common_name[0] != '\0') {
        size += (size_t)sprintf((char *)value + size, "%c%c%c%s", 0x22, 0,
                                (int)strlen(common_name), common_name);
    }
    header_add_tlv(header, HEADER_SSL, value, size);
}

/* A service in whose stead upstreams speak no TLS, but are told of it. */
static void open_telling(struct fixture *fixture, const char *service)
{
    struct loopback front = loopback_new();
    char lines[1024];

    snprintf(lines, sizeof(lines), "%s%s",
             tls_fixture_keys(tls_fixture_identity()), service);
    fixture_open_at(fixture, &front, "proxy_protocol=v2", "", lines);
}

static struct pair connect_after(const struct fixture *fixture,
                                 const struct header *header,
                                 const struct tls_options *client)
{
    struct pair pair = {.client = socket_connect(&fixture->front)};

    if (header != NULL) {
        header_send(pair.client, header);
    }
    tls_socket_start_client(pair.client, client);
    pair.upstream = socket_accept(fixture->listener);
    return pair;
}

static void an_upstream_is_told_of_the_name_and_the_protocol(void **state)
{
    struct fixture fixture;

    (void)state;
    open_telling(&fixture, "tls_alpn = h2, http/1.1\n");
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);
        struct pair pair;
        struct header *header;

        client.alpn = "http/1.1";
        pair = connect_after(&fixture, NULL, &client);
        header = header_of_client(pair.client, "v2");
        header_add_tlv(header, HEADER_ALPN, "http/1.1", 8);
        header_add_tlv(header, HEADER_AUTHORITY, "a.example", 9);
        add_ssl(header, 1, 1, tls_versions[i], "");
        header_add_checksum(header);
        header_expect(pair.upstream, header);
        pair_ping(&pair);
        pair_close(&pair);
        client = (struct tls_options){.version = tls_versions[i]};
        pair = connect_after(&fixture, NULL, &client);
        header = header_of_client(pair.client, "v2");
        add_ssl(header, 1, 1, tls_versions[i], "");
        header_add_checksum(header);
        header_expect(pair.upstream, header);
        pair_ping(&pair);
        pair_close(&pair);
    }
    fixture_close(&fixture);
}

/* Also after a resumption, in which the client sends no certificate. */
static void an_upstream_is_told_whose_certificate_was_shown(void **state)
{
    struct identity me = identity_for("me", "DNS:me.example");
    struct fixture fixture;

    (void)state;
    open_telling(&fixture, tls_fixture_client_ca(identity_authority()));
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);

        client.identity = &me;
        for (unsigned resumed = 0; resumed < 2; resumed++) {
            struct pair pair = connect_after(&fixture, NULL, &client);
            struct header *header = header_of_client(pair.client, "v2");

            header_add_tlv(header, HEADER_AUTHORITY, "a.example", 9);
            add_ssl(header, resumed ? 5 : 7, 0, tls_versions[i], "me");
            header_add_checksum(header);
            header_expect(pair.upstream, header);
            pair_ping(&pair);
            SSL_SESSION_free(client.session);
            client.session = tls_socket_session(pair.client);
            pair_close(&pair);
        }
        SSL_SESSION_free(client.session);
    }
    fixture_close(&fixture);
}

/* Even if it says more than we know; version 1 and a header without addresses
 * say nothing. */
static void what_a_header_says_of_tls_that_ends_here_is_replaced(void **state)
{
    static struct header out;
    struct tls_options client = {.version = TLS1_3_VERSION};
    struct fixture fixture;
    struct pair pair;

    (void)state;
    open_telling(&fixture, HEADER_TRUSTED);
    out = *header_v2_from("192.0.2.7");
    header_add_tlv(&out, HEADER_UNIQUE_ID, "7F000001:1F90", 13);
    header_add_tlv(&out, 0xee, "mine", 4);
    add_ssl(&out, 1, 1, TLS1_3_VERSION, "");
    header_add_checksum(&out);
    pair = connect_after(&fixture, header_v2_with_tlvs(), &client);
    header_expect(pair.upstream, &out);
    pair_ping(&pair);
    pair_close(&pair);
    out = *header_v2_from("192.0.2.7");
    add_ssl(&out, 1, 1, TLS1_3_VERSION, "");
    header_add_checksum(&out);
    pair = connect_after(&fixture, header_text(HEADER_V1), &client);
    header_expect(pair.upstream, &out);
    pair_ping(&pair);
    pair_close(&pair);
    pair = connect_after(&fixture, header_text("PROXY UNKNOWN\r\n"), &client);
    header_expect(pair.upstream, header_v2_bare(HEADER_LOCAL, HEADER_UNSPEC));
    pair_ping(&pair);
    fixture_close(&fixture);
}

/* ---- to an upstream that speaks TLS ---- */

/* The upstream speaks TLS, and the client does not. */
static void expect_sent_in_clear(const char *upstream_options,
                                 const struct header *header)
{
    struct loopback front = loopback_new();
    struct tls_options upstream = tls_upstream_options(0);
    struct fixture fixture;

    fixture_open_at(&fixture, &front, upstream_options, "",
                    tls_upstream_keys(identity_authority(),
                                      TLS_UPSTREAM_NAMED HEADER_TRUSTED));
    struct pair pair = header_pair_connect(&fixture, header);
    header_expect(pair.upstream, header);
    tls_socket_start_server(pair.upstream, &upstream);
    pair_ping(&pair);
    stats_await(fixture.proxy, "web", NULL, "bytes_up", 1);
    fixture_close(&fixture);
}

static void a_proxy_header_is_sent_in_clear_before_the_handshake(void **state)
{
    (void)state;
    expect_sent_in_clear("proxy_protocol=v1", header_text(HEADER_V1));
    expect_sent_in_clear("proxy_protocol=v2", header_v2_from("192.0.2.7"));
    expect_sent_in_clear("proxy_protocol=v2", header_v2_passed_on());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_proxy_header_comes_before_the_handshake),
        E2E(a_proxy_header_comes_before_the_name),
        E2E(a_handshake_without_the_proxy_header_is_bad_header),
        E2E(garbage_behind_a_proxy_header_is_a_tls_error),
        E2E(an_upstream_may_get_the_header_of_a_client_with_tls),
        E2E(an_upstream_is_told_of_the_name_and_the_protocol),
        E2E(an_upstream_is_told_whose_certificate_was_shown),
        E2E(what_a_header_says_of_tls_that_ends_here_is_replaced),
        E2E(a_proxy_header_is_sent_in_clear_before_the_handshake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
