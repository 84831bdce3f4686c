/*
 * Every kind of address: IPv4, IPv6, unix sockets and names, on both sides; and
 * the address that upstreams are connected from.
 */
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- both sides ---- */

static void expect_through(const struct loopback *front, int listener)
{
    struct pair pair = {.client = socket_connect(front)};

    pair.upstream = socket_accept(listener);
    pair_ping(&pair);
    pair_close(&pair);
}

static void ipv6_works_on_both_sides(void **state)
{
    struct loopback front = loopback_on("[::1]");
    struct loopback back = loopback_on("[::1]");

    (void)state;
    int listener = socket_listen(&back);
    struct proxy *proxy =
        proxy_start("[global]\naccess_log = yes\n[service web]\nlisten = %s\n"
                    "upstream = %s\n",
                    front.text, back.text);
    expect_through(&front, listener);
    proxy_line(proxy, "^conn service=web client=\\[::1\\]:[0-9]+ "
                      "upstream=\\[::1\\]:[0-9]+ cause=");
    assert_true(stats_listed(proxy, "web", back.text));
    proxy_stop(proxy);
}

static void a_port_alone_listens_on_both_families(void **state)
{
    struct loopback front = loopback_on("");
    struct loopback four = loopback_at("127.0.0.1", &front);
    struct loopback six = loopback_at("[::1]", &front);
    struct fixture fixture;

    (void)state;
    fixture_open_at(&fixture, &front, "", "access_log = yes",
                    "allow = 127.0.0.0/8\nallow = ::1");
    expect_through(&four, fixture.listener);
    expect_through(&six, fixture.listener);
    proxy_line(fixture.proxy, "^conn service=web client=127\\.0\\.0\\.1:");
    proxy_line(fixture.proxy, "^conn service=web client=\\[::1\\]:");
    fixture_close(&fixture);
}

static void unix_sockets_work_on_both_sides(void **state)
{
    struct loopback front = loopback_unix("front");
    struct loopback back = loopback_unix("back");

    (void)state;
    int listener = socket_listen(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n", front.text, back.text);
    for (int i = 0; i < 20; i++) {
        expect_through(&front, listener);
    }
    stats_await_cause(proxy, "client_fin", 20);
    stats_await(proxy, "web", back.text, "total", 20);
    proxy_stop(proxy);
}

static void a_unix_socket_left_behind_is_taken_over(void **state)
{
    struct loopback front = loopback_unix("stale");
    struct fixture fixture;

    (void)state;
    socket_close(socket_listen(&front)); /* the file stays, nobody answers */
    fixture_open_at(&fixture, &front, "", "", "");
    expect_through(&front, fixture.listener);
    fixture_close(&fixture);
}

static void a_name_is_all_its_addresses(void **state)
{
    struct loopback front = loopback_new();
    struct loopback back = loopback_on("127.0.0.1");
    struct loopback name = loopback_at("localhost", &back);

    (void)state;
    test_need_localhost();
    int listener = socket_listen(&back);
    struct proxy *proxy = proxy_start("[service web]\nlisten = %s\n"
                                      "upstream = %s\n",
                                      front.text, name.text);
    proxy_line(proxy, "^resolve name=localhost addresses=");
    for (int i = 0; i < 5; i++) {
        expect_through(&front, listener);
    }
    assert_true(stats_listed(proxy, "web", back.text));
    proxy_stop(proxy);
}

static void an_unknown_name_is_down_and_does_not_prevent_the_start(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "upstream = no-such-name.invalid:80");
    for (int i = 0; i < 5; i++) {
        expect_through(&fixture.front, fixture.listener);
    }
    const char *line =
        stats_line(fixture.proxy, "web", "no-such-name.invalid:80");
    assert_non_null(strstr(line, " state=down "));
    fixture_close(&fixture);
}

static void a_service_listens_on_every_address_it_names(void **state)
{
    struct loopback more[2] = {loopback_new(), loopback_unix("third")};
    struct fixture fixture;
    char service[256];

    (void)state;
    snprintf(service, sizeof(service), "listen = %s\nlisten = %s", more[0].text,
             more[1].text);
    fixture_open(&fixture, "", service);
    expect_through(&fixture.front, fixture.listener);
    expect_through(&more[0], fixture.listener);
    expect_through(&more[1], fixture.listener);
    fixture_close(&fixture);
}

/* ---- the source of connections to upstreams ---- */

/* The peer's IPv4 address as a number. */
static uint32_t source_of(int fd)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof(peer);

    assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &length), 0);
    return ntohl(peer.sin_addr.s_addr);
}

static void upstreams_see_the_source_address(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "source_address = 127.33.0.9");
    struct pair pair = pair_connect(&fixture);
    assert_int_equal(source_of(pair.upstream), 0x7f210009);
    fixture_close(&fixture);
}

static void a_range_of_sources_is_spread(void **state)
{
    struct fixture fixture;
    unsigned counts[5] = {0};

    (void)state;
    fixture_open(&fixture, "",
                 "source_address = 127.33.0.1-127.33.0.3, 127.34.0.9");
    for (int i = 0; i < 40; i++) {
        struct pair pair = pair_connect(&fixture);
        uint32_t source = source_of(pair.upstream);

        if (source != 0x7f220009) {
            assert_in_range(source, 0x7f210001, 0x7f210003);
        }
        counts[source == 0x7f220009 ? 4 : source - 0x7f210000]++;
        pair_close(&pair);
    }
    for (int i = 1; i <= 4; i++) {
        assert_in_range(counts[i], 1, 30);
    }
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(ipv6_works_on_both_sides),
        E2E(a_port_alone_listens_on_both_families),
        E2E(unix_sockets_work_on_both_sides),
        E2E(a_unix_socket_left_behind_is_taken_over),
        E2E(a_name_is_all_its_addresses),
        E2E(an_unknown_name_is_down_and_does_not_prevent_the_start),
        E2E(a_service_listens_on_every_address_it_names),
        E2E(upstreams_see_the_source_address),
        E2E(a_range_of_sources_is_spread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
