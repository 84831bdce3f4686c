/* Datagrams whose source is a listening address: their replies would come back
 * as questions, for ever. */
#include "expect.h"
#include "loopback.h"
#include "proxy.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

/* One byte to the front's port at `to`, from the same port at `from`: a socket
 * that shares the port sends what a forger would. */
static void send_from_front(const struct udp_fixture *fixture, const char *from,
                            const char *to)
{
    struct loopback source = loopback_at(from, &fixture->front);
    struct loopback target = loopback_at(to, &fixture->front);
    struct socket_address here = loopback_resolve(&source);
    struct socket_address there = loopback_resolve(&target);
    const int on = 1;
    int fd = socket(here.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (here.storage.ss_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    assert_int_equal(
        bind(fd, (const struct sockaddr *)&here.storage, here.length), 0);
    udp_reply(fd, &there, "x", 1);
    close(fd);
}

static void open_on(struct udp_fixture *fixture, const char *host)
{
    struct loopback front = loopback_on(host);

    udp_fixture_open_at(fixture, &front, "", "workers = 2", "");
}

static void expect_dropped(const struct udp_fixture *fixture, unsigned count)
{
    stats_await(fixture->proxy, "web", NULL, "dropped", count);
    expect_silence(fixture->upstream, 20);
    assert_int_equal(udp_fixture_stat(fixture, "accepted"), 0);
}

static void from_the_listener_itself_it_is_dropped(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    open_on(&fixture, "127.0.0.1");
    send_from_front(&fixture, "0.0.0.0", "127.0.0.1");
    expect_dropped(&fixture, 1);
    udp_fixture_close(&fixture);
    open_on(&fixture, "[::1]");
    send_from_front(&fixture, "[::]", "[::1]");
    expect_dropped(&fixture, 1);
    udp_fixture_close(&fixture);
}

static void from_another_address_of_the_listener_it_is_dropped(void **state)
{
    static const char *const hosts[] = {"", "0.0.0.0"};
    struct udp_fixture fixture;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        open_on(&fixture, hosts[i]);
        send_from_front(&fixture, "127.0.0.9", "127.0.0.1");
        expect_dropped(&fixture, 1);
        send_from_front(&fixture, "127.0.0.1", "127.0.0.2");
        expect_dropped(&fixture, 2);
        udp_fixture_close(&fixture);
    }
}

static void from_another_listener_it_is_dropped(void **state)
{
    struct loopback front = loopback_on("127.0.0.1");
    struct loopback other = loopback_at("127.0.0.2", &front);
    struct udp_fixture fixture;
    char key[160];

    (void)state;
    snprintf(key, sizeof(key), "listen = %s", other.text);
    udp_fixture_open_at(&fixture, &front, "", "", key);
    send_from_front(&fixture, "127.0.0.2", "127.0.0.1");
    expect_dropped(&fixture, 1);
    udp_fixture_close(&fixture);
}

/* The same port at an address where nobody listens is a client's. */
static void a_client_may_have_the_same_port(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    open_on(&fixture, "127.0.0.1");
    send_from_front(&fixture, "127.0.0.9", "127.0.0.1");
    udp_expect(fixture.upstream, "x", 1);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 1);
    udp_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(from_the_listener_itself_it_is_dropped),
        E2E(from_another_address_of_the_listener_it_is_dropped),
        E2E(from_another_listener_it_is_dropped),
        E2E(a_client_may_have_the_same_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
