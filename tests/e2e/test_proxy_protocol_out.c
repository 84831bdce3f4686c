/*
 * PROXY headers that upstreams are sent: of the client, or of the one that a
 * header has named.
 */
#include "expect.h"
#include "fixture.h"
#include "header.h"
#include "header_fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"

#include <signal.h>
#include <stdio.h>

/* A service whose upstream gets headers of that version, or "off". */
static void open_sender(struct fixture *fixture, const struct loopback *front,
                        const char *version, const char *service)
{
    char option[64];

    snprintf(option, sizeof(option), "proxy_protocol=%s", version);
    fixture_open_at(fixture, front, option, "access_log = yes", service);
}

/* The header comes alone, before a byte of the client, and once. */
static void expect_header(const struct loopback *front,
                          const struct loopback *address, const char *version)
{
    struct fixture fixture;

    open_sender(&fixture, front, version, "");
    struct pair pair = {.client = socket_connect(address)};
    pair.upstream = socket_accept(fixture.listener);
    header_expect(pair.upstream, header_of_client(pair.client, version));
    expect_silence(pair.upstream, 50);
    pair_ping(&pair);
    pair_close(&pair);
    proxy_line(fixture.proxy, "^conn .* bytes_up=1 bytes_down=1 ");
    stats_await(fixture.proxy, "web", NULL, "bytes_up", 1);
    assert_int_equal(
        stats_get(fixture.proxy, "web", fixture.back.text, "bytes_up"), 1);
    fixture_close(&fixture);
}

/* ---- of the client ---- */

static void an_upstream_gets_a_header_of_the_client(void **state)
{
    static const char *const versions[] = {"v1", "v2"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct loopback four = loopback_new();
        struct loopback six = loopback_on("[::1]");
        struct loopback both = loopback_on("");
        struct loopback both_by_four = loopback_at("127.0.0.1", &both);
        struct loopback both_by_six = loopback_at("[::1]", &both);

        expect_header(&four, &four, versions[i]);
        expect_header(&six, &six, versions[i]);
        expect_header(&both, &both_by_four, versions[i]);
        expect_header(&both, &both_by_six, versions[i]);
    }
}

static void a_unix_client_has_no_address_in_the_header(void **state)
{
    struct loopback front = loopback_unix("outlet");
    struct fixture fixture;
    struct pair pair;

    (void)state;
    for (unsigned i = 1; i <= 2; i++) {
        open_sender(&fixture, &front, i == 1 ? "v1" : "v2", "");
        pair.client = socket_connect(&front);
        pair.upstream = socket_accept(fixture.listener);
        header_expect(pair.upstream,
                      i == 1 ? header_text("PROXY UNKNOWN\r\n")
                             : header_v2_bare(HEADER_LOCAL, HEADER_UNSPEC));
        pair_ping(&pair);
        fixture_close(&fixture);
    }
}

static void without_the_option_no_header_is_sent(void **state)
{
    struct loopback front = loopback_new();
    struct fixture fixture;

    (void)state;
    open_sender(&fixture, &front, "off", "");
    struct pair pair = pair_connect(&fixture);
    expect_silence(pair.upstream, 50);
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void the_command_line_takes_the_option_too(void **state)
{
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();
    char upstream[160];

    (void)state;
    int listener = socket_listen(&back);
    snprintf(upstream, sizeof(upstream), "%s proxy_protocol=v1", back.text);
    const char *const arguments[] = {"evproxy", "-l",     front.text,
                                     "-u",      upstream, NULL};
    const struct proxy_options options = {.arguments = arguments};
    struct proxy *proxy = proxy_launch(&options, "%s", "");
    struct pair pair = {.client = socket_connect(&front),
                        .upstream = socket_accept(listener)};
    header_expect(pair.upstream, header_of_client(pair.client, "v1"));
    pair_ping(&pair);
    proxy_stop(proxy);
}

/* Header, payload and FIN are under way before there is an upstream. */
static void a_header_precedes_bytes_that_waited(void **state)
{
    struct loopback front = loopback_new();
    struct fixture fixture;

    (void)state;
    open_sender(&fixture, &front, "v1", "");
    for (unsigned i = 0; i < 20; i++) {
        struct pair pair = {.client = socket_connect(&front)};
        struct header *header = header_of_client(pair.client, "v1");

        socket_send_last(pair.client, "early", 5);
        pair.upstream = socket_accept(fixture.listener);
        header_append(header, "early", 5);
        header_expect(pair.upstream, header);
        expect_eof(pair.upstream);
        pair_close(&pair);
    }
    fixture_close(&fixture);
}

/* ---- of the client that a header has named ---- */

/* The upstream gets the second header for the first. */
static void expect_forwarded(const struct fixture *fixture,
                             const struct header *in, const struct header *out)
{
    struct pair pair = header_pair_connect(fixture, in);

    header_expect(pair.upstream, out);
    pair_ping(&pair);
    pair_close(&pair);
}

static void version_1_forwards_what_came(void **state)
{
    static const char *const lines[] = {
        HEADER_V1,
        "PROXY TCP6 2001:db8::7 2001:db8::99 4000 443\r\n",
        "PROXY TCP6 ::ffff:c000:207 2001:db8::99 4000 443\r\n",
        "PROXY UNKNOWN\r\n",
    };
    struct loopback front = loopback_new();
    struct fixture fixture;

    (void)state;
    open_sender(&fixture, &front, "v1", HEADER_TRUSTED);
    for (unsigned i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        static struct header in;

        in = *header_text(lines[i]);
        expect_forwarded(&fixture, &in, &in);
    }
    static struct header out;
    out = *header_text(lines[0]);
    expect_forwarded(&fixture, header_v2_with_tlvs(), &out);
    out = *header_text(lines[1]);
    expect_forwarded(&fixture, header_v2_from("2001:db8::7"), &out);
    out = *header_text(lines[3]);
    expect_forwarded(&fixture, header_v2_unix(), &out);
    expect_forwarded(&fixture, header_v2_bare(HEADER_LOCAL, HEADER_UNSPEC),
                     &out);
    fixture_close(&fixture);
}

static void version_2_forwards_what_came(void **state)
{
    static struct header out;
    struct loopback front = loopback_new();
    struct fixture fixture;

    (void)state;
    open_sender(&fixture, &front, "v2", HEADER_TRUSTED);
    out = *header_v2_from("192.0.2.7");
    expect_forwarded(&fixture, header_text(HEADER_V1), &out);
    out = *header_v2_from("2001:db8::7");
    expect_forwarded(
        &fixture,
        header_text("PROXY TCP6 2001:db8::7 2001:db8::99 4000 443\r\n"), &out);
    out = *header_v2("::ffff:192.0.2.7", 4000, "2001:db8::99", 443);
    expect_forwarded(
        &fixture,
        header_text("PROXY TCP6 ::ffff:192.0.2.7 2001:db8::99 4000 443\r\n"),
        &out);
    out = *header_v2_bare(HEADER_LOCAL, HEADER_UNSPEC);
    expect_forwarded(&fixture, header_text("PROXY UNKNOWN\r\n"), &out);
    expect_forwarded(&fixture, header_v2_unix(), &out);
    fixture_close(&fixture);
}

/* In order, without padding, and with a checksum of their own. Without
 * addresses there are none. */
static void version_2_passes_tlvs_on(void **state)
{
    static struct header in, out;
    struct loopback front = loopback_new();
    struct fixture fixture;

    (void)state;
    open_sender(&fixture, &front, "v2", HEADER_TRUSTED);
    out = *header_v2_passed_on();
    expect_forwarded(&fixture, header_v2_with_tlvs(), &out);
    in = *header_v2_from("2001:db8::7");
    header_add_tlv(&in, HEADER_ALPN, "h2", 2);
    header_add_tlv(&in, HEADER_ALPN, "", 0);
    out = in;
    header_add_checksum(&out);
    expect_forwarded(&fixture, &in, &out);
    in = *header_v2_from("192.0.2.7");
    out = in;
    header_add_checksum(&out);
    header_add_tlv(&in, HEADER_NOOP, "x", 1);
    expect_forwarded(&fixture, &in, header_v2_from("192.0.2.7"));
    header_add_checksum(&in);
    expect_forwarded(&fixture, &in, &out);
    in = *header_v2_with_tlvs();
    in.bytes[12] = HEADER_LOCAL;
    in.size -= 7;
    header_add_checksum(&in);
    expect_forwarded(&fixture, &in,
                     header_v2_bare(HEADER_LOCAL, HEADER_UNSPEC));
    fixture_close(&fixture);
}

/* The longest that can be told, also with a checksum in place of the padding;
 * one more byte has no header. */
static void the_longest_header_is_passed_on(void **state)
{
    static struct header in, out;
    struct loopback front = loopback_new();
    struct fixture fixture;

    (void)state;
    open_sender(&fixture, &front, "v2", HEADER_TRUSTED);
    in = *header_v2_from("192.0.2.7");
    header_fill(&in, 0xee, HEADER_MAX - 7);
    out = in;
    header_add_checksum(&out);
    expect_forwarded(&fixture, &in, &out);
    header_pad(&in, HEADER_MAX);
    expect_forwarded(&fixture, &in, &out);
    in = *header_v2_from("192.0.2.7");
    header_fill(&in, 0xee, HEADER_MAX - 6);
    header_expect_reset(&fixture, &in);
    stats_await_cause(fixture.proxy, "bad_header", 1);
    fixture_close(&fixture);
}

/* ---- to the next upstream ---- */

/* By its own option, whichever failed before it. */
static void the_next_upstream_gets_a_header_too(void **state)
{
    enum { CLIENTS = 20 };
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();
    struct loopback refusing = server_refusing();
    struct loopback silent = server_silent();

    (void)state;
    int listener = socket_listen(&back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nbalance = roundrobin\n"
                    "fail_threshold = off\nconnect_timeout = 100ms\n"
                    "upstream = %s proxy_protocol=v1\nupstream = %s\n"
                    "upstream = %s proxy_protocol=v2\n",
                    front.text, refusing.text, silent.text, back.text);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct pair pair = {.client = socket_connect(&front)};
        struct header *header = header_of_client(pair.client, "v2");

        socket_send_text(pair.client, "first");
        header_append(header, "first", 5);
        pair.upstream = socket_accept(listener);
        header_expect(pair.upstream, header);
        pair_ping(&pair);
        pair_close(&pair);
    }
    assert_true(stats_get(proxy, "web", refusing.text, "failed") > 0);
    assert_true(stats_get(proxy, "web", silent.text, "failed") > 0);
    stats_await(proxy, "web", back.text, "total", CLIENTS);
    proxy_stop(proxy);
}

static void a_header_that_is_forwarded_to_the_next_comes_once(void **state)
{
    struct loopback front = loopback_new();
    struct loopback refusing = server_refusing();
    struct fixture fixture;
    char service[256];

    (void)state;
    snprintf(service, sizeof(service),
             "upstream = %s\nbalance = roundrobin\n"
             "fail_threshold = off\n" HEADER_TRUSTED,
             refusing.text);
    open_sender(&fixture, &front, "v1", service);
    for (unsigned i = 0; i < 4; i++) {
        struct header *header = header_text(HEADER_V1);

        header_append(header, "first", 5);
        expect_forwarded(&fixture, header, header);
    }
    fixture_close(&fixture);
}

/* ---- an upstream that goes at once ---- */

/* A connect hangs while the upstream's queue is full. The upstream accepts it,
 * writes and resets while the proxy is stopped. */
static void expect_last_bytes(const char *version)
{
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();
    int listener = socket_listen_backlog(&back, 0);
    int filler = socket_connect(&back);
    struct proxy *proxy = proxy_start("[service web]\nlisten = %s\n"
                                      "upstream = %s proxy_protocol=%s\n",
                                      front.text, back.text, version);
    int client = socket_connect(&front);

    stats_await(proxy, "web", back.text, "active", 1);
    proxy_signal(proxy, SIGSTOP);
    socket_close(filler);
    socket_close(socket_accept(listener));
    int upstream = socket_accept(listener);
    socket_send_text(upstream, "sorry");
    socket_await_acknowledged(upstream);
    socket_reset(upstream);
    proxy_signal(proxy, SIGCONT);
    expect_text(client, "sorry");
    expect_end(client);
    stats_await_cause(proxy, "upstream_reset", 1);
    proxy_stop(proxy);
}

static void the_last_bytes_of_an_upstream_that_has_gone_arrive(void **state)
{
    (void)state;
    expect_last_bytes("off");
    expect_last_bytes("v2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(an_upstream_gets_a_header_of_the_client),
        E2E(a_unix_client_has_no_address_in_the_header),
        E2E(without_the_option_no_header_is_sent),
        E2E(the_command_line_takes_the_option_too),
        E2E(a_header_precedes_bytes_that_waited),
        E2E(version_1_forwards_what_came),
        E2E(version_2_forwards_what_came),
        E2E(version_2_passes_tlvs_on),
        E2E(the_longest_header_is_passed_on),
        E2E(the_next_upstream_gets_a_header_too),
        E2E(a_header_that_is_forwarded_to_the_next_comes_once),
        E2E(the_last_bytes_of_an_upstream_that_has_gone_arrive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
