/*
 * Records that are much work for few bytes: they become few segments, take no
 * longer than others, and end the connection when none of them has data. Bulk
 * becomes large segments.
 */
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"
#include "tls_upstream.h"
#include "wait.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <signal.h>
#include <sys/socket.h>

/* False: the peer's kernel takes no more, or the peer has ended. */
static bool send_key_updates(int fd, unsigned count)
{
    SSL *ssl = tls_socket_ssl(fd);

    for (unsigned i = 0; i < count; i++) {
        if (SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 ||
            SSL_do_handshake(ssl) != 1) {
            ERR_clear_error();
            return false;
        }
    }
    return true;
}

/* ---- records without data ---- */

static void after_32_changes_of_keys_without_data_it_ends(void **state)
{
    struct tls_options client = tls_fixture_client(TLS1_3_VERSION);
    struct fixture fixture;
    struct pair pair;

    (void)state;
    tls_fixture_open(&fixture, "", "");
    pair = tls_pair_connect(&fixture, &client);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(send_key_updates(pair.client, 32));
        socket_send_text(pair.client, "x");
        expect_text(pair.upstream, "x");
    }
    pair_ping(&pair);
    (void)send_key_updates(pair.client, 33);
    expect_reset(pair.upstream);
    stats_await_cause(fixture.proxy, "tls_error", 1);
    fixture_close(&fixture);
}

static void an_upstream_may_not_flood_either(void **state)
{
    struct tls_options upstream = tls_upstream_options(TLS1_3_VERSION);
    struct fixture fixture;
    struct pair pair;

    (void)state;
    fixture_open(&fixture, "", tls_upstream_keys(NULL, ""));
    pair = tls_upstream_pair(&fixture, &upstream);
    socket_send_text(pair.client, "x");
    expect_text(pair.upstream, "x");
    (void)send_key_updates(pair.upstream, 40); /* until it is reset */
    expect_reset(pair.client);
    stats_await_cause(fixture.proxy, "tls_error", 1);
    fixture_close(&fixture);
}

/* What came before is delivered. */
static void bytes_before_a_violation_arrive(void **state)
{
    static const unsigned char forged[5 + 64] = {0x17, 3, 3, 0, 64};
    struct tls_options client = tls_fixture_client(0);
    struct fixture fixture;
    struct pair pair;

    (void)state;
    tls_fixture_open(&fixture, "", "");
    pair = tls_pair_connect(&fixture, &client);
    socket_send_text(pair.client, "before");
    assert_int_equal(send(pair.client, forged, sizeof(forged), 0),
                     sizeof(forged));
    expect_text(pair.upstream, "before");
    expect_reset(pair.upstream);
    stats_await_cause(fixture.proxy, "tls_error", 1);
    fixture_close(&fixture);
}

/* ---- records of one byte ---- */

/* Segments with data that came in. */
static unsigned segments_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
    return info.tcpi_data_segs_in;
}

/* The proxy is stopped between two turns of its loop, not within one, before
 * anything more is sent. */
static void stop(struct proxy *proxy)
{
    wait_sleep(50);
    proxy_signal(proxy, SIGSTOP);
    wait_sleep(50);
}

/* They wait in the kernel while the proxy stands still. */
static void records_of_one_byte_become_few_segments(void **state)
{
    struct tls_options client = tls_fixture_client(0);
    struct stream sent = {.seed = 7, .bytes = 3000, .chunk = 1};
    struct stream got = sent;
    struct fixture fixture;
    struct pair pair;

    (void)state;
    tls_fixture_open(&fixture, "workers = 1", "");
    pair = tls_pair_connect(&fixture, &client);
    pair_ping(&pair);
    stop(fixture.proxy);
    sent.fd = pair.client;
    got.fd = pair.upstream;
    stream_send(&sent);
    assert_null(sent.error);
    proxy_signal(fixture.proxy, SIGCONT);
    stream_expect(&got);
    print_message("%u segments\n", segments_of(pair.upstream));
    assert_in_range(segments_of(pair.upstream), 1, 15);
    fixture_close(&fixture);
}

/* ---- bulk ---- */

/* Two blocks each. The relay is in bulk after the first few. Held back, each
 * would take 200 ms. */
enum { BURSTS = 100, BURST_BYTES = 32 * 1024, BURSTS_MS_MAX = 5000 };

static void a_burst_in_bulk_becomes_one_segment_at_once(void **state)
{
    static char bytes[BURST_BYTES];
    struct tls_options client = tls_fixture_client(0);
    struct fixture fixture;
    struct pair pair;
    struct stopwatch watch;
    unsigned segments;

    (void)state;
    tls_fixture_open(&fixture, "", "");
    pair = tls_pair_connect(&fixture, &client);
    pair_ping(&pair);
    segments = segments_of(pair.client);
    watch = stopwatch_start();
    for (unsigned i = 0; i < BURSTS; i++) {
        socket_send(pair.upstream, bytes, sizeof(bytes));
        expect_bytes(pair.client, bytes, sizeof(bytes));
    }
    segments = segments_of(pair.client) - segments;
    print_message("%u segments\n", segments);
    assert_in_range(segments, BURSTS, BURSTS * 3 / 2);
    stopwatch_expect(&watch, 0, BURSTS_MS_MAX);
    fixture_close(&fixture);
}

/* ---- turns ---- */

/* All of it is 700 ms of work. A turn takes a few, but on a busy machine the
 * proxy may have to wait for a processor. */
enum { FLOODERS = 20, RECORDS = 4000, TURN_MS_MAX = 300 };

/* Fills the proxy's kernel with changes of keys, and a byte at every 16th
 * record. Answers the number of bytes. */
static uint64_t flood(int fd)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < RECORDS / 16; i++) {
        if (SSL_write(tls_socket_ssl(fd), "x", 1) != 1) {
            break;
        }
        bytes++;
        if (!send_key_updates(fd, 15)) {
            break;
        }
    }
    ERR_clear_error();
    return bytes;
}

static void turns_stay_short_under_a_flood(void **state)
{
    struct tls_options client = tls_fixture_client(TLS1_3_VERSION);
    struct pair floods[FLOODERS];
    struct fixture fixture;
    struct pair quiet;
    struct stopwatch watch;
    int64_t longest_ms;
    uint64_t bytes = 2; /* of the quiet one */

    (void)state;
    client.context = tls_options_context(&client, false);
    assert_non_null(client.context);
    tls_fixture_open(&fixture, "workers = 1", "");
    for (unsigned i = 0; i < FLOODERS; i++) {
        floods[i] = tls_pair_connect(&fixture, &client);
    }
    quiet = tls_pair_connect(&fixture, &client);
    pair_ping(&quiet);
    stop(fixture.proxy);
    for (unsigned i = 0; i < FLOODERS; i++) {
        bytes += flood(floods[i].client);
    }
    proxy_signal(fixture.proxy, SIGCONT);
    watch = stopwatch_start();
    socket_send_text(quiet.client, "x");
    expect_text(quiet.upstream, "x");
    stopwatch_expect(&watch, 0, TURN_MS_MAX);
    stats_await(fixture.proxy, "web", NULL, "bytes_up", bytes);
    longest_ms =
        (int64_t)stats_get(fixture.proxy, NULL, NULL, "longest_turn_us") / 1000;
    print_message("longest turn %d ms\n", (int)longest_ms);
    longest_ms -= stopwatch_ms(&watch) - stopwatch_own_ms(&watch);
    assert_true(test_slow() || longest_ms < TURN_MS_MAX);
    SSL_CTX_free(client.context);
    fixture_close(&fixture);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(after_32_changes_of_keys_without_data_it_ends),
        E2E(an_upstream_may_not_flood_either),
        E2E(bytes_before_a_violation_arrive),
        E2E(records_of_one_byte_become_few_segments),
        E2E(a_burst_in_bulk_becomes_one_segment_at_once),
        E2E(turns_stay_short_under_a_flood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
