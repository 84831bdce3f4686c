/*
 * Upstreams that speak TLS: what arrives is what was sent, every end is the one
 * that was meant, and they are offered the protocols of the client.
 */
#include "expect.h"
#include "fixture.h"
#include "identity.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "tls_expect.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"
#include "tls_upstream.h"

#include <openssl/ssl.h>

#define MEGABYTE (1024 * 1024)

/* ---- bytes ---- */

static void talk(struct fixture *fixture, const struct tls_options *upstream)
{
    struct pair pair = tls_upstream_pair(fixture, upstream);

    assert_int_equal(SSL_version(tls_socket_ssl(pair.upstream)),
                     upstream->version);
    assert_string_equal(tls_socket_server_name(pair.upstream), "up.example");
    assert_string_equal(tls_socket_offered_alpn(pair.upstream), "");
    socket_send_text(pair.client, "question");
    expect_text(pair.upstream, "question");
    socket_send_text(pair.upstream, "the answer");
    expect_text(pair.client, "the answer");
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    tls_expect_fin(pair.upstream);
    socket_send_last(pair.upstream, "the rest", 8);
    expect_text(pair.client, "the rest");
    expect_eof(pair.client);
    pair_close(&pair);
    stats_await_cause(fixture->proxy, "client_fin", 1);
    const char *line = proxy_line(fixture->proxy, "^conn service=web ");
    assert_int_equal(proxy_line_value(line, "bytes_up"), 8);
    assert_int_equal(proxy_line_value(line, "bytes_down"), 18);
    line = stats_line(fixture->proxy, "web", fixture->back.text);
    assert_int_equal(proxy_line_value(line, "bytes_up"), 8);
    assert_int_equal(proxy_line_value(line, "bytes_down"), 18);
    assert_int_equal(proxy_line_value(line, "failed"), 0);
}

static void an_upstream_may_speak_tls(void **state)
{
    (void)state;
    tls_upstream_each_version(TLS_UPSTREAM_NAMED, talk);
}

static void speak_first(struct fixture *fixture,
                        const struct tls_options *upstream)
{
    struct pair pair = tls_upstream_pair(fixture, upstream);

    socket_send_text(pair.upstream, "220 ready");
    expect_text(pair.client, "220 ready");
    pair_ping(&pair);
}

static void an_upstream_may_speak_first(void **state)
{
    (void)state;
    tls_upstream_each_version(TLS_UPSTREAM_NAMED, speak_first);
}

static void stream_both_ways(struct fixture *fixture,
                             const struct tls_options *upstream)
{
    struct stream way = {.seed = 1,
                         .bytes = (test_slow() ? 8 : 32) * MEGABYTE,
                         .pause_every = 6 * MEGABYTE,
                         .pause_ms = 20,
                         .fin = true};
    struct pair pair = tls_upstream_pair(fixture, upstream);

    pair_exchange(&pair, &way);
    pair_close(&pair);
    stats_await(fixture->proxy, "web", NULL, "bytes_up", way.bytes);
    stats_await(fixture->proxy, "web", NULL, "bytes_down", way.bytes);
}

static void long_streams_pass_both_ways_at_once(void **state)
{
    (void)state;
    tls_upstream_each_version(TLS_UPSTREAM_NAMED, stream_both_ways);
}

static void carry_sizes(struct fixture *fixture,
                        const struct tls_options *upstream)
{
    static const size_t sizes[] = {1,     2,     4096,  16383,
                                   16384, 16385, 32768, 65536};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        size_t n = sizes[i];
        struct pair pair = tls_upstream_pair(fixture, upstream);

        stream_carry(pair.client, pair.upstream, n, n);
        stream_carry(pair.upstream, pair.client, n, n + 1);
        pair_close(&pair);
        pair = tls_upstream_pair(fixture, upstream);
        stream_carry(pair.upstream, pair.client, n, n + 2);
        stream_carry(pair.client, pair.upstream, n, n + 3);
        tls_expect_fin(pair.upstream);
        pair_close(&pair);
    }
}

static void bytes_and_the_end_arrive_for_sizes_around_a_block(void **state)
{
    (void)state;
    tls_upstream_each_version(TLS_UPSTREAM_NAMED, carry_sizes);
}

/* All of the client's stream is there before its upstream is. */
static void send_all_early(struct fixture *fixture,
                           const struct tls_options *upstream)
{
    struct pair pair = {.client = socket_connect(&fixture->front)};

    socket_send_last(pair.client, "all of it", 9);
    socket_await_acknowledged(pair.client);
    pair.upstream = tls_socket_accept(fixture->listener, upstream);
    expect_text(pair.upstream, "all of it");
    expect_eof(pair.upstream);
    socket_send_last(pair.upstream, "answer", 6);
    expect_text(pair.client, "answer");
    expect_eof(pair.client);
    pair_close(&pair);
}

static void a_client_may_send_all_before_the_handshake(void **state)
{
    (void)state;
    tls_upstream_each_version(TLS_UPSTREAM_NAMED, send_all_early);
}

static void handshake_byte_by_byte(struct fixture *fixture,
                                   const struct tls_options *upstream)
{
    struct tls_options slow = *upstream;

    slow.byte_by_byte = true;
    struct pair pair = tls_upstream_pair(fixture, &slow);
    pair_ping(&pair);
    pair_close(&pair);
}

static void an_upstreams_handshake_may_come_byte_by_byte(void **state)
{
    (void)state;
    tls_upstream_each_version(TLS_UPSTREAM_NAMED, handshake_byte_by_byte);
}

static void tls_may_be_on_both_sides(void **state)
{
    struct stream way = {.seed = 2, .bytes = 8 * MEGABYTE, .fin = true};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i % 2]);
        struct tls_options upstream = tls_upstream_options(tls_versions[i / 2]);
        struct fixture fixture;

        tls_fixture_open(
            &fixture, i == 0 ? "buffer_size = 4K" : "",
            tls_upstream_keys(identity_authority(), TLS_UPSTREAM_NAMED));
        struct pair pair = {.client =
                                tls_socket_connect(&fixture.front, &client)};
        pair.upstream = tls_socket_accept(fixture.listener, &upstream);
        pair_exchange(&pair, &way);
        tls_expect_fin(pair.client);
        tls_expect_fin(pair.upstream);
        pair_close(&pair);
        stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
        fixture_close(&fixture);
    }
}

/* ---- ends ---- */

static void cut_off(struct fixture *fixture, const struct tls_options *upstream)
{
    struct pair pair = tls_upstream_pair(fixture, upstream);

    socket_send_text(pair.upstream, "not all");
    expect_text(pair.client, "not all");
    tls_socket_truncate(pair.upstream);
    expect_reset(pair.client);
    stats_await_cause(fixture->proxy, "upstream_reset", 1);
    pair_close(&pair);
}

static void an_answer_that_is_cut_off_is_a_reset(void **state)
{
    (void)state;
    tls_upstream_each_version(TLS_UPSTREAM_NAMED, cut_off);
}

static void reset_each_way(struct fixture *fixture,
                           const struct tls_options *upstream)
{
    struct pair pair = tls_upstream_pair(fixture, upstream);

    pair_ping(&pair);
    socket_reset(pair.upstream);
    expect_reset(pair.client);
    socket_close(pair.client);
    stats_await_cause(fixture->proxy, "upstream_reset", 1);
    pair = tls_upstream_pair(fixture, upstream);
    pair_ping(&pair);
    socket_reset(pair.client);
    expect_reset(pair.upstream);
    socket_close(pair.upstream);
    stats_await_cause(fixture->proxy, "client_reset", 1);
}

static void resets_are_passed_on_without_close_notify(void **state)
{
    (void)state;
    tls_upstream_each_version(TLS_UPSTREAM_NAMED, reset_each_way);
}

/* ---- protocols ---- */

/* A client with TLS offers one list, and its upstream is offered another. */
static void expect_offered(const char *service, const char *offer,
                           const char *offered)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(0);
    struct tls_options upstream = tls_upstream_options(0);

    tls_fixture_open(&fixture, "",
                     tls_upstream_keys(identity_authority(), service));
    client.alpn = offer;
    upstream.alpn = "http/1.1,h2";
    struct pair pair = {.client = tls_socket_connect(&fixture.front, &client)};
    pair.upstream = tls_socket_accept(fixture.listener, &upstream);
    assert_string_equal(tls_socket_offered_alpn(pair.upstream), offered);
    assert_string_equal(tls_socket_alpn(pair.upstream), offered);
    assert_string_equal(tls_socket_alpn(pair.client), offered);
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void what_was_agreed_with_a_client_is_offered_to_upstreams(void **state)
{
    (void)state;
    expect_offered(TLS_UPSTREAM_NAMED "tls_alpn = h2, http/1.1\n",
                   "http/1.1,h2", "h2");
    expect_offered(TLS_UPSTREAM_NAMED "tls_alpn = h2, http/1.1\n", "http/1.1",
                   "http/1.1");
    expect_offered(TLS_UPSTREAM_NAMED, "h2", "");
}

static void the_list_is_offered_for_a_client_without_tls(void **state)
{
    struct fixture fixture;
    struct tls_options upstream = tls_upstream_options(0);

    (void)state;
    fixture_open(&fixture, "",
                 tls_upstream_keys(identity_authority(), TLS_UPSTREAM_NAMED
                                   "tls_alpn = h2, http/1.1\n"));
    upstream.alpn = "http/1.1";
    struct pair pair = tls_upstream_pair(&fixture, &upstream);
    assert_string_equal(tls_socket_offered_alpn(pair.upstream), "h2,http/1.1");
    assert_string_equal(tls_socket_alpn(pair.upstream), "http/1.1");
    pair_ping(&pair);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(an_upstream_may_speak_tls),
        E2E(an_upstream_may_speak_first),
        E2E(long_streams_pass_both_ways_at_once),
        E2E(bytes_and_the_end_arrive_for_sizes_around_a_block),
        E2E(a_client_may_send_all_before_the_handshake),
        E2E(an_upstreams_handshake_may_come_byte_by_byte),
        E2E(tls_may_be_on_both_sides),
        E2E(an_answer_that_is_cut_off_is_a_reset),
        E2E(resets_are_passed_on_without_close_notify),
        E2E(what_was_agreed_with_a_client_is_offered_to_upstreams),
        E2E(the_list_is_offered_for_a_client_without_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
