/*
 * Connections over TCP that end by a timeout, by its cause and not before its
 * time.
 */
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "pair.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "transport.h"
#include "wait.h"

#include <signal.h>
#include <sys/socket.h>

/* The connection ends by that cause, so long after begin_ms at the least. */
static void expect_timeout(const struct fixture *fixture, int client,
                           int64_t begin_ms, int64_t least_ms,
                           const char *cause)
{
    expect_end(client);
    assert_in_range(wait_now_ms() - begin_ms, least_ms, least_ms + 8000);
    stats_expect_only(fixture->proxy, cause, 1);
}

/* Five bytes from the upstream, 120 ms apart. Answers when the last was sent.
 */
static int64_t trickle_down(const struct pair *pair)
{
    int64_t last = 0;

    for (int i = 0; i < 5; i++) {
        expect_silence(pair->client, 120);
        last = wait_now_ms();
        socket_send_text(pair->upstream, "x");
        expect_text(pair->client, "x");
    }
    return last;
}

/* Bytes to the upstream until the connection ends, which may be between any two
 * calls. */
static void trickle_up(const struct pair *pair, int pause_ms)
{
    struct stopwatch watch = stopwatch_start();

    while (!wait_readable(pair->client, pause_ms)) {
        char byte;

        stopwatch_expect(&watch, 0, 8000);
        if (transport_send_all(pair->client, "x", 1) != 0 ||
            transport_recv_wait(pair->upstream, &byte, 1) != 1) {
            return;
        }
    }
}

static void no_byte_either_way_is_idle_timeout(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "idle_timeout = 400ms");
    struct pair pair = pair_connect(&fixture);
    int64_t begin = 0;
    for (int i = 0; i < 6; i++) { /* bytes of either direction put it off */
        expect_silence(pair.client, 120);
        begin = wait_now_ms();
        socket_send_text(i % 2 ? pair.client : pair.upstream, "x");
        expect_text(i % 2 ? pair.upstream : pair.client, "x");
    }
    expect_timeout(&fixture, pair.client, begin, 380, "idle_timeout");
    expect_end(pair.upstream);
    fixture_close(&fixture);
}

/* They came in time, and the process looks late. */
static void bytes_that_wait_for_a_stopped_process_count(void **state)
{
    struct fixture fixture;
    struct pair pairs[4];

    (void)state;
    fixture_open(&fixture, "", "idle_timeout = 1500ms\nread_timeout = 1500ms");
    for (int i = 0; i < 4; i++) {
        pairs[i] = pair_establish(&fixture);
    }
    proxy_pause(fixture.proxy);
    for (int i = 0; i < 4; i++) {
        socket_send_text(pairs[i].client, "u");
        socket_send_text(pairs[i].upstream, "d");
    }
    expect_silence(pairs[0].client, 2000);
    proxy_signal(fixture.proxy, SIGCONT);
    for (int i = 0; i < 4; i++) {
        expect_text(pairs[i].upstream, "u");
        expect_text(pairs[i].client, "d");
    }
    fixture_close(&fixture);
}

static void a_side_that_sends_nothing_is_read_timeout(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "read_timeout = 250ms");
    int64_t begin = wait_now_ms();
    struct pair pair = pair_connect(&fixture);
    trickle_up(&pair, 40); /* the upstream is silent */
    expect_timeout(&fixture, pair.client, begin, 240, "read_timeout");
    fixture_close(&fixture);
}

static void a_side_that_has_ended_its_stream_may_be_silent(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "read_timeout = 400ms");
    struct pair pair = pair_connect(&fixture);
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    (void)trickle_down(&pair);
    socket_close(pair.upstream);
    expect_eof(pair.client);
    stats_expect_only(fixture.proxy, "client_fin", 1);
    fixture_close(&fixture);
}

static void a_peer_that_takes_nothing_is_write_timeout(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "write_timeout = 250ms");
    int64_t begin = wait_now_ms();
    struct pair pair = pair_connect(&fixture);
    size_t sent = socket_fill(pair.client, 60); /* the upstream never reads */
    assert_in_range(sent, 1, 1024 * 1024 * 1024);
    wait_until(wait_now_ms() > begin + 240);
    expect_timeout(&fixture, pair.client, begin, 240, "write_timeout");
    fixture_close(&fixture);
}

static void a_peer_that_reads_now_and_then_is_no_write_timeout(void **state)
{
    struct fixture fixture;
    struct stream out = {.seed = 1, .bytes = 8 * 1024 * 1024, .fin = true};
    struct stream in = out;

    (void)state;
    fixture_open(&fixture, "", "write_timeout = 500ms");
    struct pair pair = pair_connect(&fixture);
    out.fd = pair.client;
    in.fd = pair.upstream;
    in.pause_every = 1024 * 1024;
    in.pause_ms = 120;
    stream_pass(&out, &in);
    socket_close(pair.upstream);
    stats_expect_only(fixture.proxy, "client_fin", 1);
    fixture_close(&fixture);
}

/* What its kernel holds is more than it reads in a write_timeout, so that none
 * of our writes shows that it takes bytes. */
static void a_peer_that_reads_slowly_is_no_write_timeout(void **state)
{
    struct fixture fixture;
    char taken[256];

    (void)state;
    fixture_open(&fixture, "", "write_timeout = 1s");
    struct pair pair = pair_connect_narrow(&fixture);
    struct stream out = {.fd = pair.upstream, .bytes = 256 * 1024};
    stream_start_send(&out);
    for (unsigned i = 0; i < 100; i++) { /* 3 seconds */
        wait_sleep(30);
        assert_true(recv(pair.client, taken, sizeof(taken), 0) > 0);
    }
    stats_await(fixture.proxy, NULL, NULL, "active", 1);
    /* What is in its way now, it takes no more. */
    stats_await_cause(fixture.proxy, "write_timeout", 1);
    stream_join(&out);
    fixture_close(&fixture);
}

static void silence_after_one_fin_is_half_close_timeout(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "half_close_timeout = 400ms");
    struct pair pair = pair_connect(&fixture);
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    int64_t last = trickle_down(&pair); /* puts it off */
    expect_timeout(&fixture, pair.client, last, 380, "half_close_timeout");
    fixture_close(&fixture);
}

static void half_close_timeout_holds_for_the_upstreams_fin_too(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "half_close_timeout = 200ms");
    struct pair pair = pair_connect(&fixture);
    socket_finish(pair.upstream);
    expect_eof(pair.client);
    expect_end(pair.upstream);
    stats_expect_only(fixture.proxy, "half_close_timeout", 1);
    fixture_close(&fixture);
}

static void a_busy_connection_ends_at_its_max_lifetime(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "max_lifetime = 1s");
    struct stopwatch watch = stopwatch_start();
    struct pair pair = pair_connect(&fixture);
    trickle_up(&pair, 20);
    stopwatch_expect(&watch, 890, 1300);
    expect_end(pair.client);
    stats_expect_only(fixture.proxy, "max_lifetime", 1);
    fixture_close(&fixture);
}

static void zero_and_off_turn_a_timeout_off(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "",
                 "idle_timeout = off\nread_timeout = 0\nwrite_timeout = 0\n"
                 "half_close_timeout = off\nmax_lifetime = 0\n"
                 "connect_timeout = 0");
    struct pair pair = pair_connect(&fixture);
    socket_finish(pair.client);
    expect_eof(pair.upstream);
    expect_silence(pair.client, 300);
    socket_send_text(pair.upstream, "still here");
    expect_text(pair.client, "still here");
    socket_close(pair.upstream);
    expect_eof(pair.client);
    stats_expect_only(fixture.proxy, "client_fin", 1);
    fixture_close(&fixture);
}

/* It owes a header, and nothing else ends it. */
static void max_lifetime_ends_a_silent_connection(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "",
                 "proxy_protocol = on\nproxy_protocol_from = 127.0.0.0/8\n"
                 "header_timeout = off\nmax_lifetime = 500ms");
    expect_end(socket_connect(&fixture.front));
    stats_expect_only(fixture.proxy, "max_lifetime", 1);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(no_byte_either_way_is_idle_timeout),
        E2E(bytes_that_wait_for_a_stopped_process_count),
        E2E(a_side_that_sends_nothing_is_read_timeout),
        E2E(a_side_that_has_ended_its_stream_may_be_silent),
        E2E(a_peer_that_takes_nothing_is_write_timeout),
        E2E(a_peer_that_reads_now_and_then_is_no_write_timeout),
        E2E(a_peer_that_reads_slowly_is_no_write_timeout),
        E2E(silence_after_one_fin_is_half_close_timeout),
        E2E(half_close_timeout_holds_for_the_upstreams_fin_too),
        E2E(a_busy_connection_ends_at_its_max_lifetime),
        E2E(max_lifetime_ends_a_silent_connection),
        E2E(zero_and_off_turn_a_timeout_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
