/*
 * What arrives is what was sent: every byte once and in order, then the end as
 * the sender meant it.
 */
#include "expect.h"
#include "fixture.h"
#include "pair.h"
#include "seed.h"
#include "serve.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"

#define MEGABYTE (1024 * 1024)

static void carry_sizes_around(const struct fixture *fixture, size_t size,
                               uint64_t seed)
{
    for (size_t n = size - 2; n <= size + 2; n++) {
        struct pair pair = pair_connect(fixture);

        stream_carry(pair.client, pair.upstream, n, seed);
        stream_carry(pair.upstream, pair.client, n, seed + 1);
        pair_close(&pair);
        pair = pair_connect(fixture);
        stream_carry(pair.upstream, pair.client, n, seed + 2);
        stream_carry(pair.client, pair.upstream, n, seed + 3);
        pair_close(&pair);
    }
}

static void
bytes_and_fin_in_one_segment_arrive_for_sizes_around_a_block(void **state)
{
    struct fixture fixture;
    struct seeded seeded = seed_new();

    (void)state;
    fixture_open(&fixture, "buffer_size = 4K", "");
    for (int round = 0; round < (test_slow() ? 3 : 20); round++) {
        carry_sizes_around(&fixture, 3, seeded_below(&seeded, UINT64_MAX));
        carry_sizes_around(&fixture, 4096, seeded_below(&seeded, UINT64_MAX));
        carry_sizes_around(&fixture, 8192, seeded_below(&seeded, UINT64_MAX));
    }
    fixture_close(&fixture);
}

static void sizes_around_the_default_block_arrive(void **state)
{
    struct fixture fixture;
    struct seeded seeded = seed_new();

    (void)state;
    fixture_open(&fixture, "", "");
    for (int round = 0; round < (test_slow() ? 2 : 10); round++) {
        carry_sizes_around(&fixture, 16384, seeded_below(&seeded, UINT64_MAX));
        carry_sizes_around(&fixture, 32768, seeded_below(&seeded, UINT64_MAX));
        carry_sizes_around(&fixture, 3 + seeded_below(&seeded, 65000),
                           seeded_below(&seeded, UINT64_MAX));
    }
    fixture_close(&fixture);
}

static void long_streams_pass_both_ways_with_pauses_on_every_side(void **state)
{
    struct fixture fixture;
    struct stream way = {.seed = 1,
                         .bytes = 64 * MEGABYTE,
                         .pause_every = 6 * MEGABYTE,
                         .pause_ms = 20,
                         .fin = true};

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_connect(&fixture);
    pair_exchange(&pair, &way);
    pair_close(&pair);
    stats_await(fixture.proxy, "web", NULL, "bytes_up", way.bytes);
    stats_await(fixture.proxy, "web", NULL, "bytes_down", way.bytes);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    fixture_close(&fixture);
}

static void streams_pass_in_small_blocks_with_odd_chunks_and_rates(void **state)
{
    struct fixture fixture;
    struct stream way = {.seed = 2,
                         .bytes = 4 * MEGABYTE + 13,
                         .chunk = 3331,
                         .pause_every = 3331 * 99,
                         .pause_ms = 3,
                         .fin = true};

    (void)state;
    fixture_open(&fixture, "buffer_size = 4K\nbuffer_memory = 1M",
                 "rate_up = 16M\nrate_down = 8M\nrate_burst = 5000");
    struct pair pair = pair_connect(&fixture);
    pair_exchange(&pair, &way);
    pair_close(&pair);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    fixture_close(&fixture);
}

static void many_connections_do_not_mix_their_bytes(void **state)
{
    enum { CONNECTIONS = 24 };
    static struct stream out[CONNECTIONS];
    static struct stream in[CONNECTIONS];
    struct fixture fixture;

    (void)state;
    fixture_open_server(&fixture, serve_echo, NULL, "", "");
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        int fd = socket_connect(&fixture.front);

        out[i] = in[i] = (struct stream){.fd = fd,
                                         .seed = 1000 * i,
                                         .bytes = MEGABYTE / 2 + i,
                                         .chunk = 500 + 777 * i,
                                         .fin = true};
    }
    stream_pass_all(out, in, CONNECTIONS);
    stats_await_cause(fixture.proxy, "client_fin", CONNECTIONS);
    fixture_close(&fixture);
}

/* ---- FIN ---- */

/* One end finishes. The other sees that, and then sends for a while. */
static void answer_after_fin(int first, int second, uint64_t seed)
{
    struct stream in = {
        .fd = first, .seed = seed, .bytes = 2 * MEGABYTE, .fin = true};
    struct stream out = in;

    out.fd = second;
    out.pause_every = MEGABYTE / 2;
    out.pause_ms = 100;
    socket_send_text(first, "question");
    socket_finish(first);
    expect_text(second, "question");
    expect_eof(second);
    stream_pass(&out, &in);
}

static void an_answer_goes_on_after_the_clients_fin(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_connect(&fixture);
    answer_after_fin(pair.client, pair.upstream, 3);
    stats_await_cause(fixture.proxy, "client_fin", 1);
    fixture_close(&fixture);
}

static void a_request_goes_on_after_the_upstreams_fin(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_connect(&fixture);
    answer_after_fin(pair.upstream, pair.client, 4);
    stats_await_cause(fixture.proxy, "upstream_fin", 1);
    fixture_close(&fixture);
}

/* The upstream closes while most of its answer is still on the way. */
static void
a_pipelined_megabyte_and_its_answer_reach_a_slow_reader(void **state)
{
    struct fixture fixture;
    struct stream request_out = {.seed = 5, .bytes = MEGABYTE};
    struct stream request_in = request_out;
    struct stream answer_out = {.seed = 6, .bytes = MEGABYTE};
    struct stream begin = {.seed = 6,
                           .bytes = MEGABYTE / 4,
                           .pause_every = MEGABYTE / 16,
                           .pause_ms = 10};
    struct stream rest = {.seed = 6,
                          .offset = MEGABYTE / 4,
                          .bytes = 3 * MEGABYTE / 4,
                          .pause_every = MEGABYTE / 16,
                          .pause_ms = 10,
                          .fin = true};

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_connect(&fixture);
    request_out.fd = begin.fd = rest.fd = pair.client;
    request_in.fd = answer_out.fd = pair.upstream;
    stream_pass(&request_out, &request_in);
    stream_pass(&answer_out, &begin);
    socket_close(pair.upstream);
    stream_expect(&rest);
    fixture_close(&fixture);
}

static void an_upstream_that_answers_and_closes_at_once_is_heard(void **state)
{
    static const struct stream answer = {.seed = 7, .bytes = 100000};
    struct fixture fixture;

    (void)state;
    fixture_open_server(&fixture, serve_stream_after_fin, &answer, "", "");
    for (int i = 0; i < 100; i++) {
        struct stream in = answer;

        in.fd = socket_connect(&fixture.front);
        in.fin = true;
        socket_send_last(in.fd, "?", 1);
        stream_expect(&in);
        socket_close(in.fd);
    }
    stats_await_cause(fixture.proxy, "client_fin", 100);
    fixture_close(&fixture);
}

/* ---- urgent data ---- */

static void send_urgent(int from, int to)
{
    socket_send_text(from, "0123456789");
    expect_text(to, "0123456789");
    socket_send_text(from, "before.urg");
    socket_send_urgent(from, '!');
    socket_send_text(from, "after..urg");
    expect_text(to, "before.urg!after..urg"); /* no edge follows it */
    socket_send_text(from, "more");
    expect_text(to, "more");
}

static void an_urgent_byte_is_ordinary_and_stops_nothing(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    for (int i = 0; i < 20; i++) {
        struct pair pair = pair_connect(&fixture);

        send_urgent(pair.client, pair.upstream);
        send_urgent(pair.upstream, pair.client);
        pair_close(&pair);
    }
    fixture_close(&fixture);
}

/* ---- resets ---- */

/* Bytes and then a reset: a reader that is slow gets both. */
static void send_and_reset(int from, int to, size_t bytes, uint64_t seed)
{
    struct stream out = {.fd = from, .seed = seed, .bytes = bytes};
    struct stream in = out;

    in.fd = to;
    in.pause_every = MEGABYTE / 16;
    in.pause_ms = 5;
    stream_start_receive(&in);
    stream_send(&out);
    assert_null(out.error);
    socket_await_acknowledged(from); /* our own kernel must not lose them */
    socket_reset(from);
    stream_join(&in);
    expect_reset(to);
    socket_close(to);
}

static void expect_resets_passed_on(bool by_client, const char *cause)
{
    static const size_t bytes[] = {0, 1, MEGABYTE};
    struct fixture fixture;

    fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < 3; i++) {
        struct pair pair = pair_establish(&fixture);

        send_and_reset(by_client ? pair.client : pair.upstream,
                       by_client ? pair.upstream : pair.client, bytes[i], i);
        stats_await_cause(fixture.proxy, cause, i + 1);
    }
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    fixture_close(&fixture);
}

static void a_clients_reset_is_passed_on_behind_its_bytes(void **state)
{
    (void)state;
    expect_resets_passed_on(true, "client_reset");
}

static void an_upstreams_reset_is_passed_on_behind_its_bytes(void **state)
{
    (void)state;
    expect_resets_passed_on(false, "upstream_reset");
}

static void a_reset_after_a_fin_is_no_clean_end(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_establish(&fixture);
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    socket_send_text(pair.upstream, "half an ans");
    expect_text(pair.client, "half an ans");
    socket_reset(pair.upstream);
    expect_reset(pair.client);
    stats_await_cause(fixture.proxy, "upstream_reset", 1);
    fixture_close(&fixture);
}

/* The client's FIN comes first and its reset later. What it has not read is
 * lost, and the upstream must learn that. */
static void
the_upstream_is_reset_if_its_client_goes_amid_the_answer(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_establish(&fixture);
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    socket_fill(pair.upstream, 100);
    socket_reset(pair.client);
    expect_reset_after_fin(pair.upstream);
    stats_await_cause(fixture.proxy, "client_reset", 1);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(bytes_and_fin_in_one_segment_arrive_for_sizes_around_a_block),
        E2E(sizes_around_the_default_block_arrive),
        E2E(long_streams_pass_both_ways_with_pauses_on_every_side),
        E2E(streams_pass_in_small_blocks_with_odd_chunks_and_rates),
        E2E(many_connections_do_not_mix_their_bytes),
        E2E(an_answer_goes_on_after_the_clients_fin),
        E2E(a_request_goes_on_after_the_upstreams_fin),
        E2E(a_pipelined_megabyte_and_its_answer_reach_a_slow_reader),
        E2E(an_upstream_that_answers_and_closes_at_once_is_heard),
        E2E(an_urgent_byte_is_ordinary_and_stops_nothing),
        E2E(a_clients_reset_is_passed_on_behind_its_bytes),
        E2E(an_upstreams_reset_is_passed_on_behind_its_bytes),
        E2E(a_reset_after_a_fin_is_no_clean_end),
        E2E(the_upstream_is_reset_if_its_client_goes_amid_the_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
