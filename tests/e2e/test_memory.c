/*
 * Memory and fairness: what a connection costs, what a burst leaves behind,
 * what the ceiling of the buffers does, and that no connection waits for
 * another's peer.
 */
#include "expect.h"
#include "fixture.h"
#include "pair.h"
#include "proc.h"
#include "serve.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

#define KILOBYTE 1024
#define MEGABYTE (1024 * 1024)

/* More than the kernel of a client that does not read takes, with one block;
 * less than all kernels on the way take, so that the sender never waits. */
#define STALL_BYTES (60 * KILOBYTE)

static const char *const SMALL_QUEUES = "tcp_notsent_lowat = 4K";

/* Sends to a client that reads nothing. */
static void stall(const struct pair *pair, uint64_t seed)
{
    struct stream out = {
        .fd = pair->upstream, .seed = seed, .bytes = STALL_BYTES};

    stream_send(&out);
    if (out.error != NULL) {
        fail_msg("%s after %zu bytes", out.error, out.moved);
    }
}

static void stall_all(const struct pair *pairs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        stall(&pairs[i], i);
    }
}

/* The client reads after all. */
static void resume(const struct pair *pair, uint64_t seed)
{
    struct stream in = {.fd = pair->client, .seed = seed, .bytes = STALL_BYTES};

    stream_expect(&in);
}

static void pairs_open(const struct fixture *fixture, struct pair *pairs,
                       unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pairs[i] = pair_connect_narrow(fixture);
    }
}

static void pairs_close(const struct pair *pairs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pair_close(&pairs[i]);
    }
}

/* ---- what a connection costs ---- */

static void an_idle_connection_holds_no_buffer(void **state)
{
    enum { COUNT = 100 };
    struct fixture fixture;
    struct pair pairs[COUNT];
    (void)state;
    fixture_open(&fixture, "", "");
    pairs_open(&fixture, pairs, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        pair_ping(&pairs[i]);
    }
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    stats_await(fixture.proxy, NULL, NULL, "active", COUNT);
    assert_true(stats_get(fixture.proxy, NULL, NULL, "buffers_peak") > 0);
    fixture_close(&fixture);
}

static void an_idle_connection_costs_at_most_320_bytes(void **state)
{
    enum { COUNT = 9000, EACH = 320 };
    static struct pair pairs[COUNT];
    struct fixture fixture;

    (void)state;
    if (test_slow()) {
        skip_because("a slow run compares no figures");
    }
    test_need_descriptors(2 * COUNT + 100);
    fixture_open(&fixture, "", "");
    pair_establish(&fixture); /* so that all is set up */
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    uint64_t before = proc_resident(fixture.proxy);
    pairs_open(&fixture, pairs, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        pair_ping(&pairs[i]);
    }
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    stats_await(fixture.proxy, NULL, NULL, "active", COUNT + 1);
    uint64_t most = before + (uint64_t)COUNT * EACH;
    uint64_t after = proc_await_resident(fixture.proxy, most);
    print_message("%.1f bytes a connection\n",
                  ((double)after - (double)before) / COUNT);
    assert_true(after <= most);
    pairs_close(pairs, COUNT);
    stats_await(fixture.proxy, NULL, NULL, "active", 1);
    fixture_close(&fixture);
}

static void the_memory_of_a_burst_goes_back(void **state)
{
    enum { COUNT = 1000 };
    static struct pair pairs[COUNT];
    struct fixture fixture;

    (void)state;
    test_need_descriptors(2 * COUNT + 100);
    fixture_open(&fixture, "", SMALL_QUEUES);
    pairs_open(&fixture, pairs, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        pair_ping(&pairs[i]);
    }
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    uint64_t before = proc_resident(fixture.proxy);
    stall_all(pairs, COUNT);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", COUNT);
    assert_true(proc_resident(fixture.proxy) > before + COUNT * 8 * KILOBYTE);
    for (unsigned i = 0; i < COUNT; i++) {
        if (i % 2 == 1) {
            resume(&pairs[i], i);
        } else {
            socket_reset(pairs[i].client);
        }
    }
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    uint64_t most = before + before / 10 + 2 * MEGABYTE;
    uint64_t after = proc_await_resident(fixture.proxy, most);
    print_message("%lu KiB before, %lu after\n",
                  (unsigned long)before / KILOBYTE,
                  (unsigned long)after / KILOBYTE);
    assert_true(test_slow() || after <= most);
    fixture_close(&fixture);
}

static void a_deaf_peer_holds_one_block_a_direction(void **state)
{
    enum { COUNT = 20 };
    struct fixture fixture;
    struct pair pairs[COUNT];

    (void)state;
    fixture_open(&fixture, "", SMALL_QUEUES);
    pairs_open(&fixture, pairs, COUNT);
    stall_all(pairs, COUNT);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        resume(&pairs[i], i);
    }
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    stats_await(fixture.proxy, NULL, NULL, "buffers_peak", COUNT);
    fixture_close(&fixture);
}

/* ---- fairness ---- */

static void deaf_peers_delay_no_other_connection(void **state)
{
    enum { COUNT = 200 };
    struct fixture fixture;
    struct pair pairs[COUNT];

    (void)state;
    fixture_open(&fixture, "workers = 1", SMALL_QUEUES);
    pairs_open(&fixture, pairs, COUNT);
    struct pair lively = pair_connect(&fixture);
    stall_all(pairs, COUNT);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", COUNT);
    pair_expect_prompt(&lively);
    fixture_close(&fixture);
}

static void a_connection_at_full_speed_starves_no_other(void **state)
{
    size_t bytes = (test_slow()   ? 32
                    : test_long() ? 512
                                  : 256) *
                   (size_t)MEGABYTE;
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "workers = 1", "");
    struct pair lively = pair_connect(&fixture);
    struct pair busy[2] = {pair_connect(&fixture), pair_connect(&fixture)};
    pair_expect_prompt_beside(&lively, busy, bytes);
    fixture_close(&fixture);
}

/* ---- the ceiling ---- */

/* What one service gets of a direction's 32: half of 1M, in blocks of 16K. */
#define BLOCKS 29

static void at_the_ceiling_reading_waits_and_nothing_is_lost(void **state)
{
    enum { COUNT = 3 * BLOCKS };
    struct fixture fixture;
    struct pair pairs[COUNT];
    static struct stream in[COUNT];

    (void)state;
    fixture_open(&fixture, "buffer_memory = 1M", SMALL_QUEUES);
    pairs_open(&fixture, pairs, COUNT);
    struct pair late = pair_connect(&fixture);
    stall_all(pairs, COUNT);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", BLOCKS);
    socket_send_text(late.upstream, "waits");
    expect_silence(late.client, 200);
    socket_send_text(late.client, "the way up is free");
    expect_text(late.upstream, "the way up is free");
    for (unsigned i = 0; i < COUNT; i++) { /* all at once: which hold blocks? */
        in[i] = (struct stream){.fd = pairs[i].client, .seed = i};
        in[i].bytes = STALL_BYTES;
        stream_start_receive(&in[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        stream_join(&in[i]);
    }
    expect_text(late.client, "waits");
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    fixture_close(&fixture);
}

static void at_the_ceiling_write_timeout_frees_blocks_for_others(void **state)
{
    struct fixture fixture;
    struct pair pairs[BLOCKS];
    char keys[128];

    (void)state;
    snprintf(keys, sizeof(keys), "%s\nwrite_timeout = 500ms", SMALL_QUEUES);
    fixture_open(&fixture, "buffer_memory = 1M", keys);
    pairs_open(&fixture, pairs, BLOCKS);
    struct pair late = pair_connect(&fixture);
    stall_all(pairs, BLOCKS);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", BLOCKS);
    socket_send_text(late.upstream, "waits");
    expect_text(late.client, "waits");
    stats_await_cause(fixture.proxy, "write_timeout", BLOCKS);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    fixture_close(&fixture);
}

/* Each request needs a block for its answer. With one pool for both directions
 * the requests could take all blocks. */
static void at_the_ceiling_echoes_do_not_lock_each_other_out(void **state)
{
    enum { COUNT = 2 * BLOCKS };
    static struct stream out[COUNT];
    static struct stream in[COUNT];
    struct fixture fixture;

    (void)state;
    fixture_open_server(&fixture, serve_echo, NULL, "buffer_memory = 1M",
                        SMALL_QUEUES);
    for (unsigned i = 0; i < COUNT; i++) {
        int fd = socket_connect(&fixture.front);

        out[i] = (struct stream){
            .fd = fd, .seed = i, .bytes = MEGABYTE / 2, .fin = true};
        in[i] = out[i];
        in[i].pause_every = MEGABYTE / 8;
        in[i].pause_ms = 30;
    }
    stream_pass_all(out, in, COUNT);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    fixture_close(&fixture);
}

/* ---- memory of the kernel ---- */

/* Pushes until the kernels on the way take nothing for half a second. */
static size_t push_until_full(int fd)
{
    static const char block[64 * KILOBYTE];
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    size_t pushed = 0;

    while (poll(&writable, 1, 500) > 0) {
        ssize_t sent = send(fd, block, sizeof(block), MSG_DONTWAIT);

        if (sent < 0) {
            assert_int_equal(errno, EAGAIN);
        } else {
            pushed += (size_t)sent;
        }
    }
    return pushed;
}

/* Closes the descriptor. */
static int receive_option(int fd, int name)
{
    int value = -1;
    socklen_t length = sizeof(value);

    assert_int_equal(getsockopt(fd, SOL_SOCKET, name, &value, &length), 0);
    close(fd);
    return value;
}

static void require_buffer_locks(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t length = sizeof(int);
    int locks;
    bool has = getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &length) == 0;

    close(fd);
    if (!has) {
        skip_because("Linux 5.14 is needed");
    }
}

/* A sender on one side pushes, and the reader on the other stops. */
static void expect_held(const struct fixture *fixture, int sender, int reader,
                        const struct loopback *source)
{
    static char bytes[MEGABYTE];
    int held = proc_socket(fixture->proxy, source, true);
    size_t pushed;

    if (held < 0) {
        skip_because("the proxy's socket cannot be had");
    }
    assert_int_equal(receive_option(dup(held), SO_BUF_LOCK), 0);
    pushed = push_until_full(sender);
    assert_int_not_equal(receive_option(dup(held), SO_BUF_LOCK) & 2, 0);
    assert_in_range(receive_option(held, SO_RCVBUF), 1, 256 * KILOBYTE);
    while (pushed > 0) {
        struct pollfd readable = {.fd = reader, .events = POLLIN};
        ssize_t got;

        assert_int_equal(poll(&readable, 1, 5000), 1);
        got = recv(reader, bytes, MIN(pushed, sizeof(bytes)), 0);
        assert_true(got > 0);
        pushed -= (size_t)got;
    }
}

static void a_deaf_peer_grows_no_buffer_of_the_kernel(void **state)
{
    struct fixture fixture;
    struct pair pair;
    struct loopback client;

    (void)state;
    require_buffer_locks();
    fixture_open(&fixture, "", "");
    pair = pair_establish(&fixture);
    expect_held(&fixture, pair.upstream, pair.client, &fixture.back);
    pair_close(&pair);
    pair = pair_establish(&fixture);
    client = loopback_local(pair.client);
    expect_held(&fixture, pair.client, pair.upstream, &client);
    pair_close(&pair);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(an_idle_connection_holds_no_buffer),
        E2E(an_idle_connection_costs_at_most_320_bytes),
        E2E(the_memory_of_a_burst_goes_back),
        E2E(a_deaf_peer_holds_one_block_a_direction),
        E2E(deaf_peers_delay_no_other_connection),
        E2E(a_connection_at_full_speed_starves_no_other),
        E2E(at_the_ceiling_reading_waits_and_nothing_is_lost),
        E2E(at_the_ceiling_write_timeout_frees_blocks_for_others),
        E2E(at_the_ceiling_echoes_do_not_lock_each_other_out),
        E2E(a_deaf_peer_grows_no_buffer_of_the_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
