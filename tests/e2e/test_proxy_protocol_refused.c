/*
 * PROXY headers that are refused: sent by others than those that may,
 * malformed, cut off or late.
 */
#include "command.h"
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "header.h"
#include "header_fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>

/* ---- who may send one ---- */

static void only_trusted_sources_may_send_a_header(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    fixture_open(&fixture, "access_log = yes",
                 "proxy_protocol = on\n"
                 "proxy_protocol_from = 127.9.0.0/16, 2001:db8::/32\n"
                 "proxy_protocol_from = 127.11.0.1\n");
    const char *const trusted[] = {"127.9.0.1", "127.9.255.2", "127.11.0.1"};
    for (unsigned i = 0; i < 3; i++) {
        pair.client = socket_connect_from(trusted[i], &fixture.front);
        socket_send_text(pair.client, "PROXY UNKNOWN\r\n");
        pair.upstream = socket_accept(fixture.listener);
        pair_ping(&pair);
    }
    expect_connect_reset("127.10.0.1", &fixture.front, NULL);
    expect_connect_reset("127.10.0.1", &fixture.front, "PROXY UNKNOWN\r\n");
    expect_connect_reset("127.11.0.2", &fixture.front,
                         "GET / HTTP/1.0\r\n\r\n");
    stats_await_cause(fixture.proxy, "denied", 3);
    proxy_line(fixture.proxy,
               "^conn service=web client=127\\.10\\.0\\.1:.* cause=denied ");
    assert_int_equal(stats_get(fixture.proxy, "web", NULL, "ended_bad_header"),
                     0);
    fixture_close(&fixture);
}

static void no_client_of_a_unix_socket_may_send_a_header(void **state)
{
    struct loopback front = loopback_unix("inlet");

    (void)state;
    struct proxy *proxy = proxy_start("[service web]\nlisten = %s\n"
                                      "upstream = 127.0.0.1:1\n" HEADER_TRUSTED,
                                      front.text);
    expect_connect_ended(&front);
    stats_await_cause(proxy, "denied", 1);
    proxy_stop(proxy);
}

static void trusted_sources_must_be_configured(void **state)
{
    (void)state;
    command_expect_error("proxy_protocol = on", ":4: ");
    command_expect_error("proxy_protocol = on", "proxy_protocol_from");
    command_expect_error("proxy_protocol = v1", ":4: proxy_protocol: ");
    command_expect_error("proxy_protocol_from = 10.0.0.1/8",
                         ":4: proxy_protocol_from: ");
    command_expect_error("proxy_protocol_from = 10.0.0.0/8,",
                         ":4: proxy_protocol_from: ");
    command_expect_error("upstream = 127.0.0.1:82 proxy_protocol=v3",
                         ":4: upstream: ");
}

/* ---- malformed ---- */

static void a_malformed_header_of_version_1_is_reset(void **state)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "proxy TCP4 192.0.2.7 192.0.2.99 4000 443\r\n",
        "PROXY TCP5 192.0.2.7 192.0.2.99 4000 443\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000 65536\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000 -1\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443 1\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\n",
        "PROXY TCP4 192.0.2.256 192.0.2.99 4000 443\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::99 4000 443\r\n",
        "PROXY TCP6 192.0.2.7 192.0.2.99 4000 443\r\n",
        "PROXY TCP4  192.0.2.7 192.0.2.99 4000 443\r\n",
        "\r\n\r\nQUIT\n",
    };
    struct fixture fixture;
    uint64_t refused = 0;

    (void)state;
    header_fixture_open(&fixture, "header_timeout = off");
    for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        header_expect_reset(&fixture, header_text(texts[i]));
        stats_await_cause(fixture.proxy, "bad_header", ++refused);
    }
    expect_silence(fixture.listener, 0);
    fixture_close(&fixture);
}

/* A line has 107 bytes at most, its end included. */
static void a_line_that_does_not_end_is_reset(void **state)
{
    struct fixture fixture;
    struct header *header = header_text("PROXY UNKNOWN ");

    (void)state;
    header_fixture_open(&fixture, "header_timeout = off");
    while (header->size < 120) {
        header_append(header, "x", 1);
    }
    header_expect_reset(&fixture, header);
    stats_await_cause(fixture.proxy, "bad_header", 1);
    fixture_close(&fixture);
}

/* With another byte at that position. */
static void expect_reset_with_byte(struct fixture *fixture,
                                   struct header *header, size_t position,
                                   int byte)
{
    header->bytes[position] = (unsigned char)byte;
    header_expect_reset(fixture, header);
}

static void a_malformed_header_of_version_2_is_reset(void **state)
{
    struct fixture fixture;
    struct header *header;

    (void)state;
    header_fixture_open(&fixture, "header_timeout = off");
    expect_reset_with_byte(&fixture, header_v2_from("192.0.2.7"), 11, '\r');
    expect_reset_with_byte(&fixture, header_v2_from("192.0.2.7"), 12, 0x11);
    expect_reset_with_byte(&fixture, header_v2_from("192.0.2.7"), 12, 0x22);
    expect_reset_with_byte(&fixture, header_v2_from("192.0.2.7"), 15, 11);
    expect_reset_with_byte(&fixture, header_v2_from("2001:db8::7"), 15, 35);
    expect_reset_with_byte(&fixture, header_v2_unix(), 15, 215);
    stats_await_cause(fixture.proxy, "bad_header", 6);
    header = header_v2_from("192.0.2.7");
    header_add_tlv(header, HEADER_NOOP, "abc", 3);
    header->bytes[header->size - 4] = 4; /* longer than the header */
    header_expect_reset(&fixture, header);
    header = header_v2_from("192.0.2.7");
    header_append(header, "\4\0", 2); /* half of a TLV's head */
    header_set_length(header);
    header_expect_reset(&fixture, header);
    stats_await_cause(fixture.proxy, "bad_header", 8);
    expect_silence(fixture.listener, 0);
    fixture_close(&fixture);
}

/* One line a second, for all clients together. */
static void bad_headers_do_not_flood_the_log(void **state)
{
    enum { BAD = 60 };
    struct fixture fixture;
    (void)state;
    fixture_open(&fixture, "workers = 2", HEADER_TRUSTED);
    int64_t begin = wait_now_ms();
    for (unsigned i = 0; i < BAD; i++) {
        header_expect_reset(&fixture, header_text("nonsense\r\n"));
    }
    stats_await_cause(fixture.proxy, "bad_header", BAD);
    unsigned seconds = (unsigned)((wait_now_ms() - begin) / 1000);
    unsigned lines = proxy_count(fixture.proxy, "bad.header service=web");
    assert_in_range(lines, 1, 1 + seconds);
    fixture_close(&fixture);
}

/* ---- cut off ---- */

/* The end comes with the bytes, or after the proxy has read them. */
static void end_within_header(const struct fixture *fixture, const char *start,
                              bool later)
{
    int fd = socket_connect(&fixture->front);

    if (later) {
        socket_send_text(fd, start);
        socket_await_acknowledged(fd);
        expect_silence(fd, 20);
        socket_finish(fd);
    } else {
        socket_send_last(fd, start, strlen(start));
    }
    expect_reset(fd);
    socket_close(fd);
}

static void a_fin_within_a_header_is_bad_header(void **state)
{
    static const char *const starts[] = {
        "P", "PROXY", "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r", "\r\n\r\n"};
    struct fixture fixture;
    uint64_t bad = 0;

    (void)state;
    header_fixture_open(&fixture, "header_timeout = off");
    for (unsigned i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
        for (unsigned later = 0; later < 2; later++) {
            end_within_header(&fixture, starts[i], later);
            stats_await_cause(fixture.proxy, "bad_header", ++bad);
        }
    }
    int fd = socket_connect(&fixture.front);
    socket_finish(fd);
    expect_end(fd);
    stats_await_cause(fixture.proxy, "bad_header", ++bad);
    fixture_close(&fixture);
}

static void a_reset_within_a_header_is_client_reset(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "header_timeout = off");
    for (uint64_t i = 1; i <= 3; i++) {
        int fd = socket_connect(&fixture.front);

        if (i > 1) {
            socket_send_text(fd, "PROXY TCP4 192");
        }
        stats_await(fixture.proxy, "web", NULL, "active", 1);
        socket_reset(fd);
        stats_await_cause(fixture.proxy, "client_reset", i);
    }
    fixture_close(&fixture);
}

/* ---- late ---- */

static void a_client_without_a_header_is_header_timeout(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "header_timeout = 300ms");
    struct stopwatch watch = stopwatch_start();
    int fd = socket_connect(&fixture.front);
    expect_end(fd);
    stopwatch_expect(&watch, 290, 700);
    stats_await_cause(fixture.proxy, "header_timeout", 1);
    proxy_line(fixture.proxy,
               "^conn service=web client=127\\.0\\.0\\.1:[0-9]+ .*"
               "cause=header_timeout bytes_up=0 bytes_down=0 ");
    fixture_close(&fixture);
}

static void single_bytes_do_not_extend_the_header_timeout(void **state)
{
    struct fixture fixture;
    struct header *header = header_v2_from("192.0.2.7");

    (void)state;
    header_fixture_open(&fixture, "header_timeout = 400ms");
    header_pad(header, 8000);
    struct stopwatch watch = stopwatch_start();
    int fd = socket_connect(&fixture.front);
    for (size_t i = 0; i < header->size && !wait_readable(fd, 20); i++) {
        send(fd, header->bytes + i, 1, MSG_NOSIGNAL);
    }
    expect_reset(fd);
    stopwatch_expect(&watch, 390, 900);
    stats_await_cause(fixture.proxy, "header_timeout", 1);
    assert_int_equal(stats_get(fixture.proxy, "web", NULL, "ended_bad_header"),
                     0);
    fixture_close(&fixture);
}

/* It does not limit what the connection does later. */
static void the_header_timeout_ends_with_the_header(void **state)
{
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "header_timeout = 200ms");
    struct pair pair =
        header_pair_connect(&fixture, header_v2_from("192.0.2.7"));
    expect_silence(pair.client, 500);
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void clients_without_a_header_hold_no_buffer(void **state)
{
    enum { WAITING = 50 };
    struct fixture fixture;
    (void)state;
    header_fixture_open(&fixture, "header_timeout = 1h\nmax_connections = 1\n"
                                  "max_connections_per_source = 1");
    for (unsigned i = 0; i < WAITING; i++) {
        socket_send_text(socket_connect(&fixture.front),
                         "PROXY TCP4 192.0.2.7 ");
    }
    stats_await(fixture.proxy, "web", NULL, "active", WAITING);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    struct pair pair =
        header_pair_connect(&fixture, header_v2_from("192.0.2.7"));
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void a_client_without_a_header_ends_with_the_process(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "drain_timeout = 200ms", HEADER_TRUSTED);
    int fd = socket_connect(&fixture.front);
    socket_send_text(fd, "PROXY TCP4 ");
    stats_await(fixture.proxy, "web", NULL, "active", 1);
    proxy_signal(fixture.proxy, SIGTERM);
    expect_reset(fd);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(only_trusted_sources_may_send_a_header),
        E2E(no_client_of_a_unix_socket_may_send_a_header),
        E2E(trusted_sources_must_be_configured),
        E2E(a_malformed_header_of_version_1_is_reset),
        E2E(a_line_that_does_not_end_is_reset),
        E2E(a_malformed_header_of_version_2_is_reset),
        E2E(bad_headers_do_not_flood_the_log),
        E2E(a_fin_within_a_header_is_bad_header),
        E2E(a_reset_within_a_header_is_client_reset),
        E2E(a_client_without_a_header_is_header_timeout),
        E2E(single_bytes_do_not_extend_the_header_timeout),
        E2E(the_header_timeout_ends_with_the_header),
        E2E(clients_without_a_header_hold_no_buffer),
        E2E(a_client_without_a_header_ends_with_the_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
