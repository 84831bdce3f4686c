/*
 * Clients speak TLS and the upstream does not: what arrives is what was sent.
 * How such connections end is in test_tls_ends.c.
 */
#include "expect.h"
#include "fixture.h"
#include "identity.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "serve.h"
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
#include "transport.h"
#include "wait.h"

#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

#define MEGABYTE   (1024 * 1024)
#define RECORD_MAX 16384

static void talk(struct fixture *fixture, const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    assert_int_equal(SSL_version(tls_socket_ssl(pair.client)), client->version);
    socket_send_text(pair.client, "question");
    expect_text(pair.upstream, "question");
    socket_send_text(pair.upstream, "the answer");
    expect_text(pair.client, "the answer");
    socket_close(pair.client);
    expect_eof(pair.upstream);
    socket_close(pair.upstream);
    stats_await_cause(fixture->proxy, "client_fin", 1);
    const char *line = proxy_line(fixture->proxy, "^conn service=web ");
    assert_int_equal(proxy_line_value(line, "bytes_up"), strlen("question"));
    assert_int_equal(proxy_line_value(line, "bytes_down"),
                     strlen("the answer"));
    line = stats_line(fixture->proxy, "web", fixture->back.text);
    assert_int_equal(proxy_line_value(line, "bytes_up"), strlen("question"));
    assert_int_equal(proxy_line_value(line, "bytes_down"),
                     strlen("the answer"));
}

static void the_upstream_gets_and_gives_plain_bytes_which_count(void **state)
{
    (void)state;
    tls_fixture_each_version("access_log = yes", "", talk);
}

/* Before the client has sent a byte of payload. */
static void speak_first(struct fixture *fixture,
                        const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    socket_send_text(pair.upstream, "220 ready");
    expect_text(pair.client, "220 ready");
    pair_ping(&pair);
}

static void an_upstream_may_speak_first(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", speak_first);
}

/* ---- long streams ---- */

static void stream_both_ways(struct fixture *fixture,
                             const struct tls_options *client)
{
    struct stream way = {.seed = 1,
                         .bytes = (test_slow() ? 12 : 64) * MEGABYTE,
                         .pause_every = 6 * MEGABYTE,
                         .pause_ms = 20,
                         .fin = true};
    struct pair pair = tls_pair_connect(fixture, client);

    pair_exchange(&pair, &way);
    pair_close(&pair);
    stats_await(fixture->proxy, "web", NULL, "bytes_up", way.bytes);
    stats_await(fixture->proxy, "web", NULL, "bytes_down", way.bytes);
    stats_await(fixture->proxy, "web", NULL, "active", 0);
}

static void long_streams_pass_both_ways_at_once(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", stream_both_ways);
}

static void long_streams_pass_in_small_blocks(void **state)
{
    (void)state;
    tls_fixture_each_version("buffer_size = 4K\nbuffer_memory = 1M", "",
                             stream_both_ways);
}

static void stream_in_odd_chunks(struct fixture *fixture,
                                 const struct tls_options *client)
{
    struct stream way = {.seed = 2,
                         .bytes = 4 * MEGABYTE + 13,
                         .chunk = 3331,
                         .pause_every = 3331 * 99,
                         .pause_ms = 3,
                         .fin = true};
    struct pair pair = tls_pair_connect(fixture, client);

    pair_exchange(&pair, &way);
    pair_close(&pair);
}

static void streams_pass_with_odd_chunks_and_rates(void **state)
{
    (void)state;
    tls_fixture_each_version("buffer_size = 4K\nbuffer_memory = 1M",
                             "rate_up = 16M\nrate_down = 8M\nrate_burst = 5000",
                             stream_in_odd_chunks);
}

static void echo_many(struct fixture *fixture, unsigned count)
{
    enum { MOST = 48 };
    static struct stream out[MOST];
    static struct stream in[MOST];
    struct tls_options client = tls_fixture_client(0);

    assert_in_range(count, 1, MOST);
    for (unsigned i = 0; i < count; i++) {
        int fd = tls_socket_connect(&fixture->front, &client);

        out[i] = in[i] = (struct stream){
            .fd = fd, .seed = i, .bytes = MEGABYTE / 4, .fin = true};
    }
    stream_pass_all(out, in, count);
}

static void many_connections_do_not_mix_their_bytes(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_server(&fixture, serve_echo, NULL, "buffer_memory = 1M",
                        tls_fixture_keys(tls_fixture_identity()));
    echo_many(&fixture, 48); /* more than there are blocks */
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    fixture_close(&fixture);
}

static void tls_goes_through_unix_sockets(void **state)
{
    struct loopback front = loopback_unix("tls-front");
    struct loopback back = loopback_unix("tls-back");
    struct tls_options client = tls_fixture_client(0);
    struct tls_options upstream = tls_upstream_options(0);
    struct stream way = {.seed = 9, .bytes = 16 * MEGABYTE, .fin = true};

    (void)state;
    int listener = socket_listen(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n%s%s", front.text,
        back.text, tls_fixture_keys(tls_fixture_identity()),
        tls_upstream_keys(identity_authority(), TLS_UPSTREAM_NAMED));
    for (unsigned i = 0; i < 3; i++) {
        struct pair pair = {.client = tls_socket_connect(&front, &client)};

        pair.upstream = tls_socket_accept(listener, &upstream);
        pair_exchange(&pair, &way);
        pair_close(&pair);
        way.chunk = i == 0 ? 16384 : 1000;
    }
    stats_await(proxy, NULL, NULL, "buffers_lent", 0);
    proxy_stop(proxy);
}

/* ---- records ---- */

/* A record for each byte, and many of them in a segment. */
static void stream_in_bytes(struct fixture *fixture,
                            const struct tls_options *client)
{
    struct stream out = {.seed = 3, .bytes = 50000, .chunk = 1, .fin = true};
    struct stream in = {.seed = 3, .bytes = out.bytes, .fin = true};
    struct pair pair = tls_pair_connect(fixture, client);

    out.fd = pair.client;
    in.fd = pair.upstream;
    stream_pass(&out, &in);
    pair_close(&pair);
}

static void records_of_one_byte_arrive(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", stream_in_bytes);
}

/* One record up, and as many bytes down. */
static void pass_record(const struct pair *pair, size_t count)
{
    static unsigned char bytes[RECORD_MAX];
    struct stream up = {.fd = pair->upstream, .seed = count, .bytes = count};
    struct stream down = {
        .fd = pair->client, .seed = count + 1, .bytes = count};

    stream_fill(&up, bytes);
    socket_send(pair->client, bytes, count);
    stream_expect(&up);
    stream_fill(&down, bytes);
    socket_send(pair->upstream, bytes, count);
    stream_expect(&down);
}

/* All sizes at both ends of the range, and some between. */
static void pass_records(struct fixture *fixture,
                         const struct tls_options *client)
{
    size_t step = test_slow() ? 61 : 3;
    struct pair pair = tls_pair_connect(fixture, client);

    for (size_t n = 1; n <= RECORD_MAX;
         n += n < 300 || n > RECORD_MAX - 300 ? 1 : step) {
        pass_record(&pair, n);
    }
    pair_close(&pair);
}

static void records_of_every_size_arrive(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", pass_records);
    tls_fixture_each_version("buffer_size = 4K", "", pass_records);
}

/* Bytes, close_notify and FIN are on their way at once. */
static void carry_size_around(const struct fixture *fixture,
                              const struct tls_options *client, size_t size)
{
    for (size_t n = size - 1; n <= size + 1; n++) {
        struct pair pair = tls_pair_connect(fixture, client);

        stream_carry(pair.client, pair.upstream, n, n);
        stream_carry(pair.upstream, pair.client, n, n + 1);
        tls_expect_fin(pair.client);
        pair_close(&pair);
        pair = tls_pair_connect(fixture, client);
        stream_carry(pair.upstream, pair.client, n, n + 2);
        stream_carry(pair.client, pair.upstream, n, n + 3);
        pair_close(&pair);
    }
}

static void carry_sizes_around_blocks(struct fixture *fixture,
                                      const struct tls_options *client)
{
    static const size_t sizes[] = {2, 4096, 8192, RECORD_MAX, 32768, 65536};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        carry_size_around(fixture, client, sizes[i]);
    }
}

static void bytes_and_the_end_arrive_for_sizes_around_a_block(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", carry_sizes_around_blocks);
    tls_fixture_each_version("buffer_size = 4K", "", carry_sizes_around_blocks);
}

/* The kernel's TLS cannot change the keys that it sends with, so the proxy
 * leaves a request for that unanswered. */
static bool kernel_has_tls(void)
{
    return access("/proc/net/tls_stat", F_OK) == 0;
}

/* A KeyUpdate is a message without payload, and may ask for an answer. */
static void change_keys(struct fixture *fixture,
                        const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    if (client->version != TLS1_3_VERSION) {
        return;
    }
    for (unsigned i = 0; i < 20; i++) {
        SSL_key_update(tls_socket_ssl(pair.client),
                       i % 2 && !kernel_has_tls()
                           ? SSL_KEY_UPDATE_REQUESTED
                           : SSL_KEY_UPDATE_NOT_REQUESTED);
        pair_ping(&pair);
    }
}

static void a_client_may_change_its_keys(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", change_keys);
}

/* ---- slow readers ---- */

static void await_no_bytes_down(struct proxy *proxy)
{
    int64_t limit = wait_limit_ms();
    uint64_t before = 0;
    uint64_t now = stats_get(proxy, "web", NULL, "bytes_down");

    while (now != before && wait_now_ms() < limit) {
        before = now;
        wait_tick();
        wait_tick();
        now = stats_get(proxy, "web", NULL, "bytes_down");
    }
}

/* Bytes that have no seed. */
static void read_all(int fd, size_t count)
{
    static char bytes[65536];

    while (count > 0) {
        size_t step = count < sizeof(bytes) ? count : sizeof(bytes);
        ssize_t got = transport_recv_wait(fd, bytes, step);

        assert_true(got > 0);
        count -= (size_t)got;
    }
}

/* It holds one block, not all that the upstream has ready for it. */
static void read_nothing(struct fixture *fixture,
                         const struct tls_options *client)
{
    struct pair pair = tls_pair_connect_narrow(fixture, client);
    struct pair lively = tls_pair_connect(fixture, client);
    size_t sent = socket_fill(pair.upstream, 200);

    await_no_bytes_down(fixture->proxy);
    stats_await(fixture->proxy, NULL, NULL, "buffers_lent", 1);
    pair_expect_prompt(&lively);
    read_all(pair.client, sent);
    pair_ping(&pair);
    pair_close(&pair);
    pair_close(&lively);
}

static void a_client_that_does_not_read_holds_one_block(void **state)
{
    (void)state;
    tls_fixture_each_version("workers = 1", "tcp_notsent_lowat = 4K",
                             read_nothing);
}

/* OpenSSL wants the bytes of a record that is half sent again. */
static void read_slowly(struct fixture *fixture,
                        const struct tls_options *client)
{
    struct stream out = {.seed = 8, .bytes = MEGABYTE, .fin = true};
    struct stream in = {.seed = 8,
                        .bytes = out.bytes,
                        .chunk = 7777,
                        .pause_every = 7777 * 4,
                        .pause_ms = 5,
                        .fin = true};
    struct pair pair = tls_pair_connect_narrow(fixture, client);

    in.fd = pair.client;
    out.fd = pair.upstream;
    stream_pass(&out, &in);
    tls_expect_fin(pair.client);
    pair_close(&pair);
}

static void a_slow_reader_gets_all_at_any_rate(void **state)
{
    (void)state;
    tls_fixture_each_version("", "tcp_notsent_lowat = 4K", read_slowly);
    tls_fixture_each_version("buffer_size = 4K",
                             "rate_down = 4M\nrate_burst = 5000", read_slowly);
}

/* When the upstream ends there is no room for the last bytes, or for the
 * close_notify behind them. */
static void read_late(struct fixture *fixture, const struct tls_options *client)
{
    size_t step = test_slow() ? 9000 : 3100;

    for (size_t n = 1000; n < 90000; n += step) {
        struct stream out = {.seed = n, .bytes = n, .fin = true};
        struct stream in = out;
        struct pair pair = tls_pair_connect_narrow(fixture, client);

        out.fd = pair.upstream;
        in.fd = pair.client;
        stream_send(&out);
        assert_null(out.error);
        socket_await_acknowledged(pair.upstream);
        wait_tick();
        stream_expect(&in);
        tls_expect_fin(pair.client);
        pair_close(&pair);
    }
}

static void the_end_waits_for_a_client_that_reads_late(void **state)
{
    (void)state;
    tls_fixture_each_version("", "tcp_notsent_lowat = 4K", read_late);
}

static void run_at_full_speed(struct fixture *fixture,
                              const struct tls_options *client)
{
    size_t bytes = (test_slow() ? 8 : 128) * (size_t)MEGABYTE;
    struct pair lively = tls_pair_connect(fixture, client);
    struct pair busy[2] = {tls_pair_connect(fixture, client),
                           tls_pair_connect(fixture, client)};

    pair_expect_prompt_beside(&lively, busy, bytes);
    socket_close_all();
}

static void a_connection_at_full_speed_starves_no_other(void **state)
{
    (void)state;
    tls_fixture_each_version("workers = 1", "", run_at_full_speed);
}

/* The keys of its records cannot move. New clients are the new process's. */
static void stay_behind(struct fixture *fixture,
                        const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client), fresh;
    pid_t old;

    pair_ping(&pair);
    old = proxy_upgrade(fixture->proxy);
    fresh = tls_pair_connect(fixture, client);
    pair_ping(&fresh);
    pair_ping(&pair);
    stats_await(fixture->proxy, "web", NULL, "active", 2);
    socket_close(pair.client);
    expect_eof(pair.upstream);
    socket_close(pair.upstream);
    proxy_await_old(old);
    stats_await_cause(fixture->proxy, "client_fin", 1);
    pair_ping(&fresh);
    socket_close(fresh.client);
    expect_eof(fresh.upstream);
    socket_close(fresh.upstream);
    stats_await_cause(fixture->proxy, "client_fin", 2);
}

static void connections_end_in_the_old_process_of_an_upgrade(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", stay_behind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_upstream_gets_and_gives_plain_bytes_which_count),
        E2E(an_upstream_may_speak_first),
        E2E(long_streams_pass_both_ways_at_once),
        E2E(long_streams_pass_in_small_blocks),
        E2E(streams_pass_with_odd_chunks_and_rates),
        E2E(many_connections_do_not_mix_their_bytes),
        E2E(tls_goes_through_unix_sockets),
        E2E(records_of_one_byte_arrive),
        E2E(records_of_every_size_arrive),
        E2E(bytes_and_the_end_arrive_for_sizes_around_a_block),
        E2E(a_client_may_change_its_keys),
        E2E(a_client_that_does_not_read_holds_one_block),
        E2E(a_slow_reader_gets_all_at_any_rate),
        E2E(the_end_waits_for_a_client_that_reads_late),
        E2E(a_connection_at_full_speed_starves_no_other),
        E2E(connections_end_in_the_old_process_of_an_upgrade),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
