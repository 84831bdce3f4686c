/*
 * PROXY headers that come: whole or byte by byte, with all that follows, and
 * the client that they name is the one that counts.
 */
#include "expect.h"
#include "fixture.h"
#include "greeters.h"
#include "header.h"
#include "header_fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

/* ---- whose address it is ---- */

/* Header and payload in one segment. The log shows this client. */
static void expect_client(struct fixture *fixture, struct header *header,
                          const char *client)
{
    char line[256];
    struct pair pair;

    header_append(header, "first", 5);
    proxy_mark(fixture->proxy);
    pair = header_pair_connect(fixture, header);
    expect_text(pair.upstream, "first");
    pair_ping(&pair);
    socket_close(pair.client);
    expect_eof(pair.upstream);
    socket_close(pair.upstream);
    snprintf(line, sizeof(line),
             "^conn service=web client=%s upstream=.* cause=client_fin "
             "bytes_up=6 bytes_down=1 ",
             client);
    proxy_line(fixture->proxy, line);
}

static void the_source_of_version_1_is_the_client(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "");
    expect_client(&fixture, header_text(HEADER_V1), "192\\.0\\.2\\.7:4000");
    expect_client(&fixture,
                  header_text("PROXY TCP4 255.255.255.255 255.255.255.255 "
                              "65535 65535\r\n"),
                  "255\\.255\\.255\\.255:65535");
    expect_client(
        &fixture,
        header_text("PROXY TCP6 2001:db8::7 2001:db8::99 4000 443\r\n"),
        "\\[2001:db8::7]:4000");
    expect_client(
        &fixture,
        header_text("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe "
                    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                    "65535 65535\r\n"),
        "\\[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535");
    fixture_close(&fixture);
}

static void the_source_of_version_2_is_the_client(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "");
    expect_client(&fixture, header_v2_from("192.0.2.7"),
                  "192\\.0\\.2\\.7:4000");
    expect_client(&fixture, header_v2_from("2001:db8::7"),
                  "\\[2001:db8::7]:4000");
    expect_client(&fixture, header_v2_with_tlvs(), "192\\.0\\.2\\.7:4000");
    fixture_close(&fixture);
}

/* The connection's own address counts then. */
static void a_header_without_addresses_names_nobody_else(void **state)
{
    static const char own[] = "127\\.0\\.0\\.1:[0-9]+";
    struct fixture fixture;
    struct header *header;

    (void)state;
    header_fixture_open(&fixture, "");
    expect_client(&fixture, header_text("PROXY UNKNOWN\r\n"), own);
    expect_client(
        &fixture,
        header_text("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                    "65535 65535\r\n"),
        own);
    expect_client(&fixture, header_v2_bare(HEADER_LOCAL, HEADER_UNSPEC), own);
    expect_client(&fixture, header_v2_bare(HEADER_PROXY, HEADER_UNSPEC), own);
    header = header_v2_from("192.0.2.7");
    header->bytes[12] = HEADER_LOCAL;
    expect_client(&fixture, header, own);
    header = header_v2_bare(HEADER_LOCAL, HEADER_UNSPEC);
    header_add_tlv(header, HEADER_UNIQUE_ID, "x", 1);
    expect_client(&fixture, header, own);
    fixture_close(&fixture);
}

/* Its client has no address, not even the connection's. */
static void a_header_of_a_unix_socket_is_accepted(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "");
    expect_client(&fixture, header_v2_unix(), "unix[^ ]*");
    fixture_close(&fixture);
}

static void a_checksum_must_be_right(void **state)
{
    struct fixture fixture;
    struct header *header = header_v2_from("192.0.2.7");

    (void)state;
    header_fixture_open(&fixture, "");
    header_add_checksum(header);
    expect_client(&fixture, header, "192\\.0\\.2\\.7:4000");
    header = header_v2_with_tlvs();
    header->bytes[HEADER_V2_FIXED] ^= 1;
    header_expect_reset(&fixture, header);
    stats_await_cause(fixture.proxy, "bad_header", 1);
    header = header_v2_with_tlvs();
    header->bytes[header->size - 1] ^= 0x80;
    header_expect_reset(&fixture, header);
    stats_await_cause(fixture.proxy, "bad_header", 2);
    fixture_close(&fixture);
}

/* ---- in pieces ---- */

static void expect_accepted_byte_by_byte(struct fixture *fixture,
                                         struct header *header)
{
    struct pair pair = {.client = socket_connect(&fixture->front)};
    int on = 1;

    header_append(header, "first", 5);
    setsockopt(pair.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    for (size_t i = 0; i < header->size; i++) {
        socket_send(pair.client, header->bytes + i, 1);
    }
    pair.upstream = socket_accept(fixture->listener);
    expect_text(pair.upstream, "first");
    pair_ping(&pair);
    pair_close(&pair);
}

static void a_header_may_come_byte_by_byte(void **state)
{
    struct fixture fixture;
    struct header *header;

    (void)state;
    header_fixture_open(&fixture, "");
    expect_accepted_byte_by_byte(&fixture, header_text(HEADER_V1));
    expect_accepted_byte_by_byte(&fixture, header_text("PROXY UNKNOWN\r\n"));
    expect_accepted_byte_by_byte(&fixture, header_v2_from("2001:db8::7"));
    expect_accepted_byte_by_byte(&fixture, header_v2_with_tlvs());
    expect_accepted_byte_by_byte(&fixture,
                                 header_v2_bare(HEADER_LOCAL, HEADER_UNSPEC));
    header = header_v2_from("192.0.2.7");
    header_pad(header, test_slow() ? 512 : 3000);
    expect_accepted_byte_by_byte(&fixture, header);
    fixture_close(&fixture);
}

static void expect_accepted_in_two(struct fixture *fixture,
                                   const struct header *header, size_t cut)
{
    struct pair pair = {.client = socket_connect(&fixture->front)};

    socket_send(pair.client, header->bytes, cut);
    socket_await_acknowledged(pair.client);
    wait_tick(); /* most of the time the proxy reads the first part alone */
    socket_send(pair.client, header->bytes + cut, header->size - cut);
    pair.upstream = socket_accept(fixture->listener);
    expect_text(pair.upstream, "payload");
    pair_close(&pair);
}

static void a_header_may_be_cut_anywhere(void **state)
{
    struct fixture fixture;
    struct header *header;

    (void)state;
    header_fixture_open(&fixture, "");
    header = header_text("PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\npayload");
    for (size_t cut = 1; cut < header->size; cut++) {
        expect_accepted_in_two(&fixture, header, cut);
    }
    header = header_v2_with_tlvs();
    header_append(header, "payload", 7);
    for (size_t cut = 1; cut < header->size; cut++) {
        expect_accepted_in_two(&fixture, header, cut);
    }
    stats_await(fixture.proxy, "web", NULL, "ended_bad_header", 0);
    fixture_close(&fixture);
}

static void a_header_may_have_any_legal_length(void **state)
{
    static const size_t sizes[] = {1024,  4096,      12288,     16384,
                                   16385, 32 * 1024, 60 * 1024, HEADER_MAX};
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "");
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct header *header = header_v2_from("192.0.2.7");

        header_pad(header, sizes[i]);
        struct pair pair = header_pair_connect(&fixture, header);
        pair_ping(&pair);
        pair_close(&pair);
    }
    fixture_close(&fixture);
}

/* ---- what follows ---- */

/* More than the kernel keeps, so that it arrives while the header is parsed. */
static void what_follows_a_header_is_passed_on_unchanged(void **state)
{
    struct fixture fixture;
    struct stream out = {.seed = 7, .bytes = 1 << 20, .fin = true};
    struct stream in = {.seed = 7, .bytes = SIZE_MAX, .fin = true};

    (void)state;
    header_fixture_open(&fixture, "");
    out.fd = socket_connect(&fixture.front);
    header_send(out.fd, header_v2_with_tlvs());
    stream_start_send(&out);
    in.fd = socket_accept(fixture.listener);
    stream_expect(&in);
    stream_join(&out);
    assert_int_equal(in.moved, out.bytes);
    socket_close(in.fd);
    stats_await_cause(fixture.proxy, "client_fin", 1);
    stats_await(fixture.proxy, "web", NULL, "bytes_up", out.bytes);
    fixture_close(&fixture);
}

/* It looks like a header, and belongs to the client's stream. */
static void a_second_header_is_payload(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "");
    struct pair pair = header_pair_connect(&fixture, header_text(HEADER_V1));
    socket_send_text(pair.client, HEADER_V1);
    expect_text(pair.upstream, HEADER_V1);
    fixture_close(&fixture);
}

static void a_header_may_come_with_the_end_of_the_stream(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    header_fixture_open(&fixture, "");
    for (unsigned i = 0; i < 2; i++) {
        struct header *header = header_v2_from("192.0.2.7");

        header_append(header, "last", i == 0 ? 0 : 4);
        pair.client = socket_connect(&fixture.front);
        socket_send_last(pair.client, header->bytes, header->size);
        pair.upstream = socket_accept(fixture.listener);
        if (i == 1) {
            expect_text(pair.upstream, "last");
        }
        expect_eof(pair.upstream);
        socket_send_text(pair.upstream, "answer");
        socket_close(pair.upstream);
        expect_text(pair.client, "answer");
        expect_eof(pair.client);
        socket_close(pair.client);
        stats_await_cause(fixture.proxy, "client_fin", i + 1);
    }
    fixture_close(&fixture);
}

static void an_upstream_may_speak_first(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "");
    struct pair pair =
        header_pair_connect(&fixture, header_v2_from("192.0.2.7"));
    socket_send_text(pair.upstream, "220 welcome");
    expect_text(pair.client, "220 welcome");
    pair_ping(&pair);
    fixture_close(&fixture);
}

/* ---- the named client ---- */

/* Behind a header a source gets the upstream that it would get without one. */
static void the_upstream_is_picked_for_the_named_client(void **state)
{
    enum { UPSTREAMS = 4, SOURCES = 40 };
    struct loopback front[2] = {loopback_new(), loopback_new()};
    struct greeters greeters;
    unsigned seen = 0;
    char upstreams[1024];

    (void)state;
    greeters_start_all(&greeters, UPSTREAMS);
    greeters_list(&greeters, 0, NULL, upstreams, sizeof(upstreams));
    struct proxy *proxy =
        proxy_start("[service plain]\nlisten = %s\n%s"
                    "[service web]\nlisten = %s\n%s" HEADER_TRUSTED,
                    front[0].text, upstreams, front[1].text, upstreams);
    for (unsigned n = 1; n <= SOURCES; n++) {
        int fd = socket_connect(&front[1]);

        header_send(fd, header_v2_from(loopback_source(n)));
        unsigned upstream = greeters_read(fd);
        assert_int_equal(upstream, greeters_ask(&front[0], loopback_source(n)));
        seen |= 1u << upstream;
        socket_close(fd);
    }
    assert_int_equal(seen, (1 << UPSTREAMS) - 1);
    proxy_stop(proxy);
    greeters_stop_all(&greeters);
}

static void the_named_client_is_counted_by_source(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "max_connections_per_source = 2");
    struct pair first =
        header_pair_connect(&fixture, header_v2_from("192.0.2.1"));
    struct pair second =
        header_pair_connect(&fixture, header_v2_from("192.0.2.1"));
    header_expect_reset(&fixture, header_v2_from("192.0.2.1"));
    stats_await_cause(fixture.proxy, "limit_source", 1);
    proxy_line(fixture.proxy,
               "^conn service=web client=192\\.0\\.2\\.1:4000 .*limit_source ");
    struct pair other =
        header_pair_connect(&fixture, header_v2_from("192.0.2.2"));
    pair_ping(&first);
    pair_ping(&second);
    pair_ping(&other);
    pair_close(&second);
    stats_await(fixture.proxy, "web", NULL, "active", 2);
    second = header_pair_connect(&fixture, header_v2_from("192.0.2.1"));
    pair_ping(&second);
    fixture_close(&fixture);
}

static void the_named_client_has_an_accept_rate(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "accept_rate_per_source = 1");
    header_pair_connect(&fixture, header_v2_from("192.0.2.1"));
    header_expect_reset(&fixture, header_v2_from("192.0.2.1"));
    header_pair_connect(&fixture, header_v2_from("192.0.2.2"));
    stats_await_cause(fixture.proxy, "limit_rate", 1);
    fixture_close(&fixture);
}

/* A refused client does not keep its place. */
static void the_limit_of_the_service_holds_behind_headers(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "max_connections = 1");
    for (uint64_t round = 1; round <= 3; round++) {
        struct pair pair =
            header_pair_connect(&fixture, header_v2_from("192.0.2.1"));

        header_expect_reset(&fixture, header_v2_from("192.0.2.2"));
        stats_await_cause(fixture.proxy, "limit_connections", round);
        pair_ping(&pair);
        pair_close(&pair);
        stats_await(fixture.proxy, "web", NULL, "active", 0);
    }
    fixture_close(&fixture);
}

static void access_rules_apply_to_the_named_client(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "deny = 192.0.2.66\nallow = 192.0.2.0/24\n"
                                  "allow = 2001:db8::/32");
    struct pair pair =
        header_pair_connect(&fixture, header_v2_from("192.0.2.7"));
    pair_ping(&pair);
    pair = header_pair_connect(&fixture, header_v2_from("2001:db8::7"));
    pair_ping(&pair);
    header_expect_reset(&fixture, header_v2_from("192.0.2.66"));
    header_expect_reset(
        &fixture,
        header_text("PROXY TCP4 198.51.100.1 192.0.2.99 4000 443\r\n"));
    stats_await_cause(fixture.proxy, "denied", 2);
    header_expect_reset(&fixture, header_text("PROXY UNKNOWN\r\n"));
    stats_await_cause(fixture.proxy, "denied", 3);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_source_of_version_1_is_the_client),
        E2E(the_source_of_version_2_is_the_client),
        E2E(a_header_without_addresses_names_nobody_else),
        E2E(a_header_of_a_unix_socket_is_accepted),
        E2E(a_checksum_must_be_right),
        E2E(a_header_may_come_byte_by_byte),
        E2E(a_header_may_be_cut_anywhere),
        E2E(a_header_may_have_any_legal_length),
        E2E(what_follows_a_header_is_passed_on_unchanged),
        E2E(a_second_header_is_payload),
        E2E(a_header_may_come_with_the_end_of_the_stream),
        E2E(an_upstream_may_speak_first),
        E2E(the_upstream_is_picked_for_the_named_client),
        E2E(the_named_client_is_counted_by_source),
        E2E(the_named_client_has_an_accept_rate),
        E2E(the_limit_of_the_service_holds_behind_headers),
        E2E(access_rules_apply_to_the_named_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
