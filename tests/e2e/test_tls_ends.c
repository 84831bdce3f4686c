/*
 * Clients speak TLS and the upstream does not: every end of a stream arrives as
 * it was meant. What passes before is in test_tls.c.
 */
#include "expect.h"
#include "fixture.h"
#include "pair.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "tls_expect.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"
#include "wait.h"

#include <sys/socket.h>

#define MEGABYTE (1024 * 1024)

/* ---- ends ---- */

static void half_close(struct fixture *fixture,
                       const struct tls_options *client)
{
    struct stream answer = {.seed = 4, .bytes = MEGABYTE, .fin = true};
    struct stream got = answer;
    struct pair pair = tls_pair_connect(fixture, client);

    socket_send_text(pair.client, "all of it");
    socket_finish(pair.client);
    expect_text(pair.upstream, "all of it");
    expect_eof(pair.upstream);
    answer.fd = pair.upstream;
    got.fd = pair.client;
    stream_pass(&answer, &got);
    tls_expect_fin(pair.client);
    stats_await_cause(fixture->proxy, "client_fin", 1);
    pair_close(&pair);
}

static void after_the_end_of_a_client_the_answer_still_comes(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", half_close);
}

/* As clients do that cannot half-close. */
static void notify_alone(struct fixture *fixture,
                         const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    socket_send_text(pair.client, "all of it");
    tls_socket_close_notify(pair.client);
    expect_text(pair.upstream, "all of it");
    expect_eof(pair.upstream);
    socket_send_text(pair.upstream, "answer");
    expect_text(pair.client, "answer");
    socket_close(pair.upstream);
    expect_eof(pair.client);
    tls_expect_fin(pair.client);
    stats_await_cause(fixture->proxy, "client_fin", 1);
    socket_close(pair.client);
}

static void a_close_notify_ends_the_stream_without_a_fin(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", notify_alone);
}

static void upstream_ends(struct fixture *fixture,
                          const struct tls_options *client)
{
    struct stream rest = {.seed = 5, .bytes = MEGABYTE, .fin = true};
    struct stream got = rest;
    struct pair pair = tls_pair_connect(fixture, client);

    socket_send_last(pair.upstream, "bye", 3);
    expect_text(pair.client, "bye");
    expect_eof(pair.client);
    tls_expect_fin(pair.client);
    rest.fd = pair.client;
    got.fd = pair.upstream;
    stream_pass(&rest, &got);
    stats_await_cause(fixture->proxy, "upstream_fin", 1);
    pair_close(&pair);
}

static void the_end_of_an_upstream_is_a_close_notify_and_a_fin(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", upstream_ends);
}

/* An attacker may have cut the stream: what the upstream has got is not all. */
static void cut_off(struct fixture *fixture, const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    socket_send_text(pair.client, "not all");
    expect_text(pair.upstream, "not all");
    tls_socket_truncate(pair.client);
    expect_reset(pair.upstream);
    stats_await_cause(fixture->proxy, "client_reset", 1);
    pair_close(&pair);
    pair = tls_pair_connect(fixture, client);
    tls_socket_truncate(pair.client);
    expect_reset(pair.upstream);
    stats_await_cause(fixture->proxy, "client_reset", 2);
    pair_close(&pair);
}

static void a_stream_that_is_cut_off_is_a_reset(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", cut_off);
}

/* In the middle of a record, of which the head was sent. */
static void cut_a_record(struct fixture *fixture,
                         const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    assert_int_equal(send(pair.client, "\x17\x03\x03\x00\x80", 5, 0), 5);
    tls_socket_truncate(pair.client);
    expect_reset(pair.upstream);
    stats_await_cause(fixture->proxy, "client_reset", 1);
    pair_close(&pair);
}

static void a_record_that_is_cut_off_is_a_reset(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", cut_a_record);
}

/* ---- resets ---- */

static void reset_as_client(struct fixture *fixture,
                            const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    socket_send_text(pair.client, "before");
    expect_text(pair.upstream, "before");
    socket_reset(pair.client);
    expect_reset(pair.upstream);
    socket_close(pair.upstream);
    stats_await_cause(fixture->proxy, "client_reset", 1);
}

static void a_clients_reset_is_passed_on(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", reset_as_client);
}

/* With a close_notify it would look like a clean end. */
static void reset_as_upstream(struct fixture *fixture,
                              const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    socket_send_text(pair.upstream, "before");
    expect_text(pair.client, "before");
    socket_reset(pair.upstream);
    expect_reset(pair.client);
    socket_close(pair.client);
    stats_await_cause(fixture->proxy, "upstream_reset", 1);
}

static void an_upstreams_reset_is_passed_on_without_close_notify(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", reset_as_upstream);
}

/* The bytes came before the reset, though the client had not read them. */
static void reset_behind_bytes(struct fixture *fixture,
                               const struct tls_options *client)
{
    struct stream sent = {.seed = 6, .bytes = 30000};
    struct stream got = sent;
    struct pair pair = tls_pair_connect(fixture, client);

    sent.fd = pair.upstream;
    got.fd = pair.client;
    stream_send(&sent);
    socket_await_acknowledged(pair.upstream);
    stats_await(fixture->proxy, "web", NULL, "bytes_down", sent.bytes);
    socket_reset(pair.upstream);
    stream_expect(&got);
    expect_reset(pair.client);
    socket_close(pair.client);
}

static void bytes_before_a_reset_arrive(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", reset_behind_bytes);
}

/* ---- breaches of the protocol ---- */

/* With urgent data a read stops short of what there is. */
static void send_urgent(struct fixture *fixture,
                        const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    socket_send_text(pair.client, "before");
    expect_text(pair.upstream, "before");
    socket_send_urgent(pair.client, '!'); /* no record begins with it */
    socket_send_text(pair.client, "behind it");
    expect_reset(pair.upstream);
    stats_await_cause(fixture->proxy, "tls_error", 1);
    pair_close(&pair);
}

static void urgent_data_is_no_tls(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", send_urgent);
}

/* The client did not send what does not decrypt. The stream is cut there. */
static void forge_a_record(struct fixture *fixture,
                           const struct tls_options *client)
{
    static const unsigned char record[5 + 64] = {0x17, 3, 3, 0, 64};
    struct pair pair = tls_pair_connect(fixture, client);

    assert_int_equal(send(pair.client, record, sizeof(record), 0),
                     sizeof(record));
    expect_reset(pair.upstream);
    socket_close(pair.upstream);
    stats_await_cause(fixture->proxy, "tls_error", 1);
    socket_close(pair.client);
}

static void a_forged_record_ends_both_sides(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", forge_a_record);
}

/* After a close_notify only the end may come. */
static void send_after_close_notify(struct fixture *fixture,
                                    const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    tls_socket_close_notify(pair.client);
    expect_eof(pair.upstream);
    assert_int_equal(send(pair.client, "more", 4, 0), 4);
    socket_send_text(pair.upstream, "answer");
    expect_text(pair.client, "answer");
    socket_close(pair.upstream);
    expect_closed(pair.client);
    socket_close(pair.client);
    stats_await_cause(fixture->proxy, "client_fin", 1);
    assert_int_equal(stats_get(fixture->proxy, "web", NULL, "bytes_up"), 0);
}

static void bytes_behind_a_close_notify_are_dropped(void **state)
{
    (void)state;
    tls_fixture_each_version("", "", send_after_close_notify);
}

/* ---- timeouts and rates ---- */

static void stay_idle(struct fixture *fixture, const struct tls_options *client)
{
    struct pair pair = tls_pair_connect(fixture, client);

    pair_ping(&pair);
    expect_eof(pair.client);
    tls_expect_fin(pair.client);
    expect_eof(pair.upstream);
    stats_await_cause(fixture->proxy, "idle_timeout", 1);
    pair_close(&pair);
}

static void the_idle_timeout_ends_with_a_close_notify(void **state)
{
    (void)state;
    tls_fixture_each_version("", "idle_timeout = 300ms", stay_idle);
}

/* Records without payload are no bytes that moved. */
static void read_never(struct fixture *fixture,
                       const struct tls_options *client)
{
    struct pair pair = tls_pair_connect_narrow(fixture, client);

    socket_fill(pair.upstream, 100);
    stats_await_cause(fixture->proxy, "write_timeout", 1);
    pair_close(&pair);
}

static void the_write_timeout_frees_the_block_of_a_deaf_client(void **state)
{
    (void)state;
    tls_fixture_each_version(
        "", "write_timeout = 300ms\ntcp_notsent_lowat = 4K", read_never);
}

static void exchange_at_a_rate(struct fixture *fixture,
                               const struct tls_options *client)
{
    struct stream way = {.seed = 7, .bytes = 96 * 1024, .fin = true};
    struct pair pair = tls_pair_connect(fixture, client);
    int64_t begin = wait_now_ms();

    pair_exchange(&pair, &way);
    /* 64K at once, 32K more at 128K a second */
    assert_true(wait_now_ms() - begin >= 240);
    pair_close(&pair);
    stats_await(fixture->proxy, "web", NULL, "bytes_up", way.bytes);
    stats_await(fixture->proxy, "web", NULL, "bytes_down", way.bytes);
}

static void rates_are_of_plain_bytes(void **state)
{
    (void)state;
    tls_fixture_each_version("", "rate_up = 128K\nrate_down = 128K",
                             exchange_at_a_rate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(after_the_end_of_a_client_the_answer_still_comes),
        E2E(a_close_notify_ends_the_stream_without_a_fin),
        E2E(the_end_of_an_upstream_is_a_close_notify_and_a_fin),
        E2E(a_stream_that_is_cut_off_is_a_reset),
        E2E(a_record_that_is_cut_off_is_a_reset),
        E2E(a_clients_reset_is_passed_on),
        E2E(an_upstreams_reset_is_passed_on_without_close_notify),
        E2E(bytes_before_a_reset_arrive),
        E2E(urgent_data_is_no_tls),
        E2E(a_forged_record_ends_both_sides),
        E2E(bytes_behind_a_close_notify_are_dropped),
        E2E(the_idle_timeout_ends_with_a_close_notify),
        E2E(the_write_timeout_frees_the_block_of_a_deaf_client),
        E2E(rates_are_of_plain_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
