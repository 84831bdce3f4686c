/*
 * Bytes that are under way at the moment of an upgrade: none is lost.
 */
#include "busy.h"
#include "expect.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <stdio.h>
#include <sys/resource.h>

#define BULK_PAIRS 4

/* Bytes that wait for a peer that does not read, in blocks and in pipes. */
static void move_bytes(const char *global)
{
    const size_t bytes = test_long() ? 64u << 20 : 8u << 20;
    struct fixture fixture;
    struct busy busy;

    fixture_open(&fixture, global, "");
    busy_start(&busy, &fixture, BULK_PAIRS, bytes, 50);
    for (unsigned i = 0; i < 3; i++) {
        wait_sleep(100);
        proxy_await_old(proxy_upgrade(fixture.proxy));
    }
    busy_finish(&busy);
    wait_until(stats_get(fixture.proxy, "web", NULL, "active") == 0);
    stats_await(fixture.proxy, "web", NULL, "bytes_up",
                BULK_PAIRS * (bytes + 1));
    stats_await(fixture.proxy, "web", NULL, "bytes_down",
                BULK_PAIRS * (bytes + 1));
    fixture_close(&fixture);
}

static void bytes_under_way_arrive_once_and_in_order(void **state)
{
    (void)state;
    move_bytes("workers = 2");
}

/* More than a message has room for. */
static void large_blocks_move_in_parts(void **state)
{
    (void)state;
    move_bytes("workers = 2\nbuffer_size = 1M\nbuffer_memory = 64M");
}

/* No relay finds a block at once, before and after. */
static void relays_that_wait_for_memory_move(void **state)
{
    (void)state;
    move_bytes("workers = 2\nbuffer_size = 256K\nbuffer_memory = 1M");
}

static void ends_of_streams_move_too(void **state)
{
    struct fixture fixture;
    struct pair client_ended, upstream_ended, reset;

    (void)state;
    fixture_open(&fixture, "", "half_close_timeout = 1m");
    client_ended = pair_establish(&fixture);
    upstream_ended = pair_establish(&fixture);
    reset = pair_establish(&fixture);
    socket_finish(client_ended.client);
    expect_eof(client_ended.upstream);
    socket_finish(upstream_ended.upstream);
    expect_eof(upstream_ended.client);
    (void)socket_fill(reset.client, 100); /* relays hold some of it */
    proxy_await_old(proxy_upgrade(fixture.proxy));
    socket_send_text(client_ended.upstream, "late");
    expect_text(client_ended.client, "late");
    socket_send_text(upstream_ended.client, "late");
    expect_text(upstream_ended.upstream, "late");
    socket_finish(client_ended.upstream);
    expect_eof(client_ended.client);
    socket_finish(upstream_ended.client);
    expect_eof(upstream_ended.upstream);
    socket_reset(reset.client);
    expect_closed(reset.upstream);
    stats_await_cause(fixture.proxy, "client_fin", 1);
    stats_await_cause(fixture.proxy, "upstream_fin", 1);
    stats_await_cause(fixture.proxy, "client_reset", 1);
    fixture_close(&fixture);
}

#define MANY_MAX 9000
#define BULKS    8

/* As many as RLIMIT_NOFILE has room for: each has two ends here. */
static unsigned how_many(void)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (test_slow() || limit.rlim_max < 2 * MANY_MAX + 1000) {
        return 200;
    }
    return test_long() ? MANY_MAX : MANY_MAX / 4;
}

/* Each has a request under way, and some carry all they can. */
static void many_connections_move_at_once(void **state)
{
    static struct pair pairs[MANY_MAX];
    const size_t bytes = test_long() ? 64u << 20 : 8u << 20;
    unsigned count = how_many();
    struct fixture fixture;
    const char *line;
    struct busy busy;

    (void)state;
    fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < count; i++) {
        pairs[i] = pair_establish(&fixture);
    }
    busy_start(&busy, &fixture, BULKS, bytes, 0);
    for (unsigned round = 0; round < 2; round++) {
        pid_t old;

        for (unsigned i = 0; i < count; i++) {
            socket_send_text(pairs[i].client, "question");
            socket_send_text(pairs[i].upstream, "answer");
        }
        old = proxy_upgrade(fixture.proxy);
        line = proxy_line(fixture.proxy, "^upgraded ");
        print_message("%s\n", line);
        assert_true(proxy_line_value(line, "connections") >= count);
        for (unsigned i = 0; i < count; i++) {
            expect_text(pairs[i].upstream, "question");
            expect_text(pairs[i].client, "answer");
        }
        proxy_await_old(old);
    }
    busy_finish(&busy);
    stats_await(fixture.proxy, "web", NULL, "accepted", count + BULKS);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
        TEST(bytes_under_way_arrive_once_and_in_order),
        TEST(large_blocks_move_in_parts),
        TEST(relays_that_wait_for_memory_move),
        TEST(ends_of_streams_move_too),
        TEST(many_connections_move_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
