/*
 * Datagrams to a broadcast address, which the kernel gives to every worker: one
 * goes up, and the answer comes from a unicast address.
 */
#include "expect.h"
#include "loopback.h"
#include "proxy.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { CLIENTS = 8 };

static int broadcaster(void)
{
    struct loopback here = loopback_new();
    int fd = udp_bind(&here);
    const int on = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)),
                     0);
    return fd;
}

static void broadcast(int fd, const struct loopback *front, char byte)
{
    struct loopback all = loopback_at("127.255.255.255", front);
    struct socket_address to = loopback_resolve(&all);

    udp_reply(fd, &to, &byte, 1);
}

/* Each client asks once; the upstream receives each once and answers it. */
static void exchange_by_broadcast(const struct udp_fixture *fixture)
{
    for (char i = 0; i < CLIENTS; i++) {
        int client = broadcaster();
        struct socket_address peer;

        broadcast(client, &fixture->front, i);
        udp_expect_from(fixture->upstream, &i, 1, &peer);
        expect_silence(fixture->upstream, 20);
        udp_reply(fixture->upstream, &peer, &i, 1);
        udp_expect_from(client, &i, 1, &peer);
        in_addr_t from =
            ((const struct sockaddr_in *)&peer.storage)->sin_addr.s_addr;
        assert_int_equal(ntohl(from) >> 24, IN_LOOPBACKNET);
        assert_int_not_equal(from, inet_addr("127.255.255.255"));
    }
}

static void a_broadcast_goes_up_once_and_is_answered(void **state)
{
    static const char *const listens[] = {"", "0.0.0.0", "127.255.255.255"};

    (void)state;
    for (size_t i = 0; i < sizeof(listens) / sizeof(*listens); i++) {
        struct loopback front = loopback_on(listens[i]);
        struct udp_fixture fixture;

        udp_fixture_open_at(&fixture, &front, "", "workers = 4", "");
        exchange_by_broadcast(&fixture);
        assert_int_equal(udp_fixture_stat(&fixture, "accepted"), CLIENTS);
        assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 0);
        udp_fixture_close(&fixture);
    }
}

/* The old socket stays open beside the new one while it has a session. */
static void it_goes_up_once_when_an_address_comes_back(void **state)
{
    struct loopback front = loopback_on(""), elsewhere = loopback_new();
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open_at(&fixture, &front, "", "", "");
    int client = broadcaster();
    for (unsigned i = 0; i < 3; i++) {
        broadcast(client, &front, 'a');
        udp_expect(fixture.upstream, "a", 1);
        expect_silence(fixture.upstream, 20);
        udp_fixture_reload(&fixture, i == 0 ? &elsewhere : &front, "");
    }
    exchange_by_broadcast(&fixture);
    udp_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_broadcast_goes_up_once_and_is_answered),
        E2E(it_goes_up_once_when_an_address_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
