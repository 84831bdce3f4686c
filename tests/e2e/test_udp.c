/*
 * Datagrams: each passes whole, from and to the right socket, or is counted as
 * dropped.
 */
#include "command.h"
#include "file.h"
#include "header.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "udp.h"
#include "udp_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* ---- whole and in order ---- */

static void datagrams_of_every_size_pass_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 512, 1472, 1473, 9000, UDP_PAYLOAD_MAX,
                                   0, 7};
    static char bytes[UDP_PAYLOAD_MAX];
    struct udp_fixture fixture;
    struct socket_address session;
    uint64_t sum = 0;

    (void)state;
    udp_fill(bytes, sizeof(bytes));
    udp_fixture_open(&fixture, "", "");
    int client = udp_connect(NULL, &fixture.front);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        udp_send(client, bytes, sizes[i]);
        udp_expect_from(fixture.upstream, bytes, sizes[i], &session);
        udp_reply(fixture.upstream, &session, bytes, sizes[i]);
        udp_expect(client, bytes, sizes[i]);
        sum += sizes[i];
    }
    stats_await(fixture.proxy, "web", NULL, "bytes_up", sum);
    stats_await(fixture.proxy, "web", NULL, "bytes_down", sum);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 1);
    assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 0);
    udp_fixture_close(&fixture);
}

/* A round of the clients from first on: each sends who it is and gets that
 * back. */
static void exchange(const int *clients, unsigned first, unsigned count,
                     unsigned round)
{
    for (unsigned i = first; i < first + count; i++) {
        unsigned word[2] = {i, round};

        udp_send(clients[i], word, sizeof(word));
    }
    for (unsigned i = first; i < first + count; i++) {
        unsigned word[2] = {i, round};

        udp_expect(clients[i], word, sizeof(word));
    }
}

static void each_of_many_clients_gets_its_own_answers(void **state)
{
    enum { CLIENTS = 200, ROUNDS = 50, AT_ONCE = 40 };
    struct udp_fixture fixture;
    int clients[CLIENTS];

    (void)state;
    udp_fixture_open(&fixture, "workers = 2", "");
    udp_echo_start(fixture.upstream);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = udp_connect(NULL, &fixture.front);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < CLIENTS; i += AT_ONCE) {
            exchange(clients, i, AT_ONCE, round);
        }
    }
    udp_echo_stop();
    stats_await(fixture.proxy, "web", NULL, "bytes_down",
                CLIENTS * ROUNDS * 2 * sizeof(unsigned));
    assert_int_equal(udp_fixture_stat(&fixture, "active"), CLIENTS);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), CLIENTS);
    assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 0);
    assert_int_equal(
        stats_get(fixture.proxy, "web", fixture.back.text, "total"), CLIENTS);
    udp_fixture_close(&fixture);
}

static void a_burst_of_one_client_passes_in_order(void **state)
{
    enum { BURST = 150 };
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "");
    int client = udp_connect(NULL, &fixture.front);
    struct socket_address session = udp_fixture_ping(&fixture, client);
    for (unsigned i = 0; i < BURST; i++) {
        udp_send(client, &i, sizeof(i));
    }
    for (unsigned i = 0; i < BURST; i++) {
        udp_expect(fixture.upstream, &i, sizeof(i));
    }
    for (unsigned i = 0; i < BURST; i++) {
        udp_reply(fixture.upstream, &session, &i, sizeof(i));
    }
    for (unsigned i = 0; i < BURST; i++) {
        udp_expect(client, &i, sizeof(i));
    }
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 1);
    udp_fixture_close(&fixture);
}

/* ---- in batches ---- */

static void a_gso_batch_arrives_as_the_datagrams_it_was_made_of(void **state)
{
    static const char *const listens[] = {"127.0.0.1", "", "0.0.0.0", "[::1]"};
    static const char *const hosts[] = {"127.0.0.1", "127.0.0.1", "127.0.0.1",
                                        "[::1]"};
    char bytes[UDP_BATCH_BYTES];

    (void)state;
    udp_fill(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(listens) / sizeof(*listens); i++) {
        struct loopback front = loopback_on(listens[i]);
        struct loopback to = loopback_at(hosts[i], &front);
        struct udp_fixture fixture;

        udp_fixture_open_at(&fixture, &front, "", "", "");
        int client = udp_connect(NULL, &to);
        struct socket_address session = udp_fixture_ping(&fixture, client);
        for (unsigned round = 0; round < 10; round++) {
            udp_send_batch(client, NULL, bytes);
            udp_expect_batch(fixture.upstream, bytes);
            udp_send_batch(fixture.upstream, &session, bytes);
            udp_expect_batch(client, bytes);
        }
        assert_int_equal(udp_fixture_stat(&fixture, "bytes_up"),
                         10 * sizeof(bytes) + 1);
        assert_int_equal(udp_fixture_stat(&fixture, "bytes_down"),
                         10 * sizeof(bytes) + 1);
        assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 0);
        udp_fixture_close(&fixture);
    }
}

/* All datagrams wait for the stopped proxy, so it may join what it can. */
static void a_burst_of_many_sizes_keeps_its_borders(void **state)
{
    static const size_t sizes[] = {1200, 1200, 1200, 1200, 7, 0, 0, 5000, 5000,
                                   1200, 1200, 1201, 1201, 1, 1, 1, 1200};

    enum { SIZES = sizeof(sizes) / sizeof(*sizes) };
    static char bytes[5000];
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "", "");
    int client = udp_connect(NULL, &fixture.front);
    struct socket_address session = udp_fixture_ping(&fixture, client);
    for (unsigned down = 0; down < 2; down++) {
        proxy_signal(fixture.proxy, SIGSTOP);
        for (unsigned i = 0; i < 3 * SIZES; i++) {
            bytes[0] = (char)i;
            if (down == 0) {
                udp_send(client, bytes, sizes[i % SIZES]);
            } else {
                udp_reply(fixture.upstream, &session, bytes, sizes[i % SIZES]);
            }
        }
        proxy_signal(fixture.proxy, SIGCONT);
        for (unsigned i = 0; i < 3 * SIZES; i++) {
            bytes[0] = (char)i;
            udp_expect(down == 0 ? fixture.upstream : client, bytes,
                       sizes[i % SIZES]);
        }
    }
    assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 0);
    udp_fixture_close(&fixture);
}

/* ---- with a PROXY header ---- */

/* The datagram, behind the header of that client, from its session. */
static struct socket_address expect_with_header(int fd, int client,
                                                const void *bytes, size_t count)
{
    struct header *header = header_of_client(client, "v2");
    struct socket_address session;

    header_append(header, bytes, count);
    udp_expect_from(fd, header->bytes, header->size, &session);
    return session;
}

static void the_first_datagram_carries_the_header(void **state)
{
    static const char *const listens[] = {"127.0.0.1", "", "[::1]", "0.0.0.0"};
    static const char *const hosts[] = {"127.0.0.1", "127.9.8.7", "[::1]",
                                        "127.9.8.7"};

    (void)state;
    for (size_t i = 0; i < sizeof(listens) / sizeof(*listens); i++) {
        struct loopback front = loopback_on(listens[i]);
        struct loopback to = loopback_at(hosts[i], &front);
        struct udp_fixture fixture;

        udp_fixture_open_at(&fixture, &front, "proxy_protocol=v2", "", "");
        for (unsigned j = 0; j < 2; j++) {
            int client = udp_connect(NULL, &to);

            udp_send(client, "first", 5);
            struct socket_address session =
                expect_with_header(fixture.upstream, client, "first", 5);
            udp_send(client, "second", 6);
            udp_expect(fixture.upstream, "second", 6);
            udp_reply(fixture.upstream, &session, "answer", 6);
            udp_expect(client, "answer", 6);
        }
        assert_int_equal(udp_fixture_stat(&fixture, "bytes_up"), 22);
        assert_int_equal(udp_fixture_stat(&fixture, "bytes_down"), 12);
        udp_fixture_close(&fixture);
    }
}

static void open_with_header(struct udp_fixture *fixture)
{
    struct loopback front = loopback_new();

    udp_fixture_open_at(fixture, &front, "proxy_protocol=v2", "", "");
}

static void the_header_stands_before_the_first_of_a_batch(void **state)
{
    char bytes[UDP_BATCH_BYTES];
    struct udp_fixture fixture;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    open_with_header(&fixture);
    int client = udp_connect(NULL, &fixture.front);
    udp_send_batch(client, NULL, bytes);
    expect_with_header(fixture.upstream, client, bytes, UDP_BATCH_EACH);
    for (unsigned i = 1; i < UDP_BATCH_COUNT; i++) {
        udp_expect(fixture.upstream, bytes, UDP_BATCH_EACH);
    }
    udp_expect(fixture.upstream, bytes, 1);
    client = udp_connect(NULL, &fixture.front);
    udp_send(client, "", 0); /* an empty datagram gets one, too */
    expect_with_header(fixture.upstream, client, "", 0);
    assert_int_equal(udp_fixture_stat(&fixture, "bytes_up"), sizeof(bytes));
    assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 0);
    udp_fixture_close(&fixture);
}

static void each_datagram_carries_the_header_if_it_is_asked_for(void **state)
{
    char bytes[UDP_BATCH_BYTES];
    struct loopback front = loopback_new();
    struct udp_fixture fixture;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    udp_fixture_open_at(&fixture, &front, "proxy_protocol=v2-each", "", "");
    int client = udp_connect(NULL, &front);
    for (unsigned i = 0; i < 3; i++) {
        udp_send(client, "one", 3);
        struct socket_address session =
            expect_with_header(fixture.upstream, client, "one", 3);
        udp_reply(fixture.upstream, &session, "answer", 6);
        udp_expect(client, "answer", 6);
    }
    udp_send_batch(client, NULL, bytes);
    for (unsigned i = 0; i < UDP_BATCH_COUNT; i++) {
        expect_with_header(fixture.upstream, client, bytes, UDP_BATCH_EACH);
    }
    expect_with_header(fixture.upstream, client, bytes, 1);
    assert_int_equal(udp_fixture_stat(&fixture, "bytes_up"), 9 + sizeof(bytes));
    assert_int_equal(udp_fixture_stat(&fixture, "bytes_down"), 18);
    assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 0);
    udp_fixture_close(&fixture);
}

static void a_datagram_without_room_leaves_the_header_to_the_next(void **state)
{
    enum { HEADER_BYTES = 28 };
    static char bytes[UDP_PAYLOAD_MAX];
    struct udp_fixture fixture;

    (void)state;
    open_with_header(&fixture);
    int client = udp_connect(NULL, &fixture.front);
    udp_send(client, bytes, UDP_PAYLOAD_MAX - HEADER_BYTES + 1);
    stats_await(fixture.proxy, "web", NULL, "dropped", 1);
    udp_send(client, bytes, UDP_PAYLOAD_MAX - HEADER_BYTES);
    expect_with_header(fixture.upstream, client, bytes,
                       UDP_PAYLOAD_MAX - HEADER_BYTES);
    udp_send(client, bytes, UDP_PAYLOAD_MAX);
    udp_expect(fixture.upstream, bytes, UDP_PAYLOAD_MAX);
    assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 1);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 1);
    udp_fixture_close(&fixture);
}

/* ---- addresses ---- */

static void replies_leave_from_the_address_that_was_sent_to(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "127.9.8.7", "[::1]"};
    static const char *const listens[] = {"", "0.0.0.0"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct loopback front = loopback_on(listens[i]);
        struct udp_fixture fixture;

        udp_fixture_open_at(&fixture, &front, "", "workers = 2", "");
        for (size_t j = 0; j < 3 - i; j++) {
            struct loopback to = loopback_at(hosts[j], &front);
            int client = udp_connect(NULL, &to);

            udp_fixture_ping(&fixture, client);
            udp_fixture_ping(&fixture, client);
        }
        assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 3 - i);
        udp_fixture_close(&fixture);
    }
}

/* One client socket that talks to two of our addresses has two sessions. */
static void each_address_that_a_client_sends_to_is_a_session(void **state)
{
    struct loopback front = loopback_on("");
    struct loopback own = loopback_on("0.0.0.0");
    struct udp_fixture fixture;
    struct socket_address to[2], sessions[2], from;

    (void)state;
    udp_fixture_open_at(&fixture, &front, "", "", "");
    int client = udp_bind(&own);
    for (unsigned i = 0; i < 2; i++) {
        struct loopback host =
            loopback_at(i == 0 ? "127.0.0.1" : "127.0.0.2", &front);

        to[i] = loopback_resolve(&host);
        udp_reply(client, &to[i], "x", 1);
        udp_expect_from(fixture.upstream, "x", 1, &sessions[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        udp_reply(fixture.upstream, &sessions[1 - i], "y", 1);
        udp_expect_from(client, "y", 1, &from);
        assert_int_equal(from.length, to[1 - i].length);
        assert_memory_equal(&from.storage, &to[1 - i].storage, from.length);
    }
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 2);
    udp_fixture_close(&fixture);
}

static void tcp_and_udp_share_an_address(void **state)
{
    struct udp_fixture fixture;
    struct loopback back = loopback_new();
    char other[320];

    (void)state;
    int listener = socket_listen(&back);
    struct loopback front = loopback_new();
    snprintf(other, sizeof(other),
             "[service other]\nlisten = %s\nupstream = %s\n", front.text,
             back.text);
    udp_fixture_open_at(&fixture, &front, "", "", other);
    udp_fixture_ping(&fixture, udp_connect(NULL, &fixture.front));
    struct pair pair = {.client = socket_connect(&fixture.front)};
    pair.upstream = socket_accept(listener);
    pair_ping(&pair);
    stats_await(fixture.proxy, "other", NULL, "accepted", 1);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 1);
    udp_fixture_close(&fixture);
}

static void a_port_that_is_taken_is_an_error(void **state)
{
    struct loopback front = loopback_new();
    struct command_result result;
    char text[256];
    const char *path;

    (void)state;
    udp_bind(&front);
    snprintf(text, sizeof(text),
             "[service web]\nmode = udp\nlisten = %s\nupstream = 127.0.0.1:9\n",
             front.text);
    path = file_write("taken.ini", text);
    const char *const arguments[] = {"evproxy", "-c", path, NULL};
    command_run(&result, arguments);
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.err, front.text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(datagrams_of_every_size_pass_whole),
        E2E(each_of_many_clients_gets_its_own_answers),
        E2E(a_burst_of_one_client_passes_in_order),
        E2E(a_gso_batch_arrives_as_the_datagrams_it_was_made_of),
        E2E(a_burst_of_many_sizes_keeps_its_borders),
        E2E(the_first_datagram_carries_the_header),
        E2E(the_header_stands_before_the_first_of_a_batch),
        E2E(each_datagram_carries_the_header_if_it_is_asked_for),
        E2E(a_datagram_without_room_leaves_the_header_to_the_next),
        E2E(replies_leave_from_the_address_that_was_sent_to),
        E2E(each_address_that_a_client_sends_to_is_a_session),
        E2E(tcp_and_udp_share_an_address),
        E2E(a_port_that_is_taken_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
