/*
 * Ranges of ports: many ports are one service. And upstreams with the port that
 * the client came to.
 */
#include "expect.h"
#include "header.h"
#include "loopback.h"
#include "pair.h"
#include "proc.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "wait.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* The address without its port. */
static const char *host_of(const struct loopback *address)
{
    static char host[sizeof(address->text)];

    strcpy(host, address->text);
    *strrchr(host, ':') = '\0';
    return host;
}

static unsigned port_of(const struct loopback *address)
{
    return (unsigned)atoi(strrchr(address->text, ':') + 1);
}

static struct loopback at_port(const struct loopback *address, unsigned port)
{
    struct loopback other;

    snprintf(other.text, sizeof(other.text), "%.90s:%u", host_of(address),
             port);
    return other;
}

/* On another host than loopback_new. */
static struct loopback elsewhere(void)
{
    return loopback_on(loopback_source(1));
}

static void a_range_of_ports_is_one_service(void **state)
{
    struct loopback front = loopback_new(), back = elsewhere();
    unsigned first = port_of(&front);
    int listener = socket_listen(&back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s-%u\nupstream = %s\n",
                    front.text, first + 9, back.text);
    struct loopback beyond = at_port(&front, first + 10);
    struct pair pairs[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct loopback at = at_port(&front, first + (i == 0   ? 0
                                                      : i == 1 ? 4
                                                               : 9));

        pairs[i].client = socket_connect(&at);
        pairs[i].upstream = socket_accept(listener);
        pair_ping(&pairs[i]);
    }
    assert_int_equal(socket_try_connect(NULL, &beyond), -1);
    assert_int_equal(errno, ECONNREFUSED);
    stats_await(proxy, "web", NULL, "active", 3);
    stats_await(proxy, "web", back.text, "total", 3);

    /* A reload closes ports and keeps connections. */
    proxy_configure(proxy,
                    "[service web]\nlisten = %s-%u\nlisten = %s\n"
                    "upstream = %s\n",
                    front.text, first + 4, beyond.text, back.text);
    proxy_reload(proxy);
    for (unsigned i = 0; i < 3; i++) {
        pair_ping(&pairs[i]);
    }
    struct loopback closed = at_port(&front, first + 9);
    wait_until(socket_try_connect(NULL, &closed) == -1);
    socket_connect(&beyond);
    socket_accept(listener);
    stats_await(proxy, "web", NULL, "active", 4);
    proxy_await_old(proxy_upgrade(proxy));
    for (unsigned i = 0; i < 3; i++) {
        pair_ping(&pairs[i]);
    }
    socket_connect(&front);
    socket_accept(listener);
    stats_await(proxy, "web", NULL, "active", 5);
    proxy_stop(proxy);
}

static void an_upstream_may_have_the_port_of_the_client(void **state)
{
    struct loopback front = loopback_new(), base = elsewhere();
    unsigned first = port_of(&front);
    struct loopback back[2] = {at_port(&base, first),
                               at_port(&base, first + 1)};
    int listener[2] = {socket_listen(&back[0]), socket_listen(&back[1])};
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s-%u\nupstream = %s:*\n",
                    front.text, first + 2, host_of(&back[0]));

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct loopback at = at_port(&front, first + i);
        struct pair pair = {.client = socket_connect(&at)};

        pair.upstream = socket_accept(listener[i]);
        pair_ping(&pair);
    }
    /* A port that nobody has there takes nothing from the others. */
    struct loopback nobody = at_port(&front, first + 2);
    char upstream[160];
    snprintf(upstream, sizeof(upstream), "%s:*", host_of(&back[0]));
    for (unsigned i = 0; i < 3; i++) {
        expect_connect_reset(NULL, &nobody, NULL);
    }
    stats_await_cause(proxy, "connect_refused", 3);
    assert_non_null(strstr(stats_line(proxy, "web", upstream), " state=up "));
    struct pair pair = {.client = socket_connect(&front)};
    pair.upstream = socket_accept(listener[0]);
    pair_ping(&pair);
    proxy_stop(proxy);
}

/* Without a range, and with a name. */
static void the_port_may_come_from_a_header(void **state)
{
    struct loopback front = loopback_new(), base = elsewhere();
    struct loopback known = loopback_at("127.0.0.1", &base);
    struct proxy *proxy;
    struct pair pair;
    int listener;

    (void)state;
    test_need_localhost();
    listener = socket_listen(&known);
    proxy = proxy_start("[service web]\nlisten = %s\n"
                        "upstream = localhost:*\n" HEADER_TRUSTED,
                        front.text);
    proxy_line(proxy, "^resolve name=localhost ");
    pair.client = socket_connect(&front);
    header_send(pair.client,
                header_v2("192.0.2.7", 4000, "192.0.2.99", port_of(&known)));
    pair.upstream = socket_accept(listener);
    pair_ping(&pair);
    proxy_stop(proxy);
}

static void datagrams_have_ranges_too(void **state)
{
    struct loopback front = loopback_new(), base = elsewhere();
    unsigned first = port_of(&front);
    struct loopback back[2] = {at_port(&base, first),
                               at_port(&base, first + 5)};
    int upstream[2] = {udp_bind(&back[0]), udp_bind(&back[1])};
    struct proxy *proxy = proxy_start(
        "[service dns]\nmode = udp\nlisten = %s-%u\nupstream = %s:*\n",
        front.text, first + 5, host_of(&back[0]));

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct loopback at = at_port(&front, first + 5 * i);
        struct socket_address session;
        int client = udp_connect(NULL, &at);

        udp_send(client, "ask", 3);
        udp_expect_from(upstream[i], "ask", 3, &session);
        udp_reply(upstream[i], &session, "tell", 4);
        udp_expect(client, "tell", 4);
    }
    stats_await(proxy, "dns", NULL, "active", 2);
    proxy_stop(proxy);
}

/* ---- ten thousand ---- */

#define MANY 10000u

/* What a port may cost in this process, beside its socket. */
#define PORT_BYTES 1024u

static bool descriptors_suffice(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
           limit.rlim_max >= MANY + 1000;
}

static void configure_many(struct proxy *proxy, const char *mode,
                           const char *host, const struct loopback *back)
{
    proxy_configure(proxy,
                    "[service web]\nmode = %s\nlisten = %s:10000-%u\n"
                    "upstream = %s\n",
                    mode, host, 10000 + MANY - 1, back->text);
}

/* A byte to the upstream and one back, by that port. */
typedef void (*ask_fn)(const struct loopback *front, int upstream);

static void ask_stream(const struct loopback *front, int listener)
{
    struct pair pair = {.client = socket_connect(front)};

    pair.upstream = socket_accept(listener);
    pair_ping(&pair);
}

static void ask_datagram(const struct loopback *front, int upstream)
{
    struct socket_address session;
    int client = udp_connect(NULL, front);

    udp_send(client, "ask", 3);
    udp_expect_from(upstream, "ask", 3, &session);
    udp_reply(upstream, &session, "tell", 4);
    udp_expect(client, "tell", 4);
}

/* It starts with one port, and then has many. */
static void have_many(const char *mode, int upstream,
                      const struct loopback *back, ask_fn ask)
{
    struct loopback front = loopback_new();
    const char *host = host_of(&front);
    struct proxy *proxy =
        proxy_start("[global]\nworkers = 1\n[service web]\nmode = %s\n"
                    "listen = %s\nupstream = %s\n",
                    mode, front.text, back->text);
    uint64_t before;

    ask(&front, upstream);
    before = proc_settled_resident(proxy);
    configure_many(proxy, mode, host, back);
    proxy_reload(proxy);
    assert_true(proc_entries(proxy, "fd") >= MANY);
    if (!test_slow()) {
        uint64_t each = (proc_settled_resident(proxy) - before) / MANY;

        assert_in_range(each, 0, PORT_BYTES);
    }
    for (unsigned i = 0; i < 3; i++) {
        struct loopback at = at_port(&front, 10000 + i * (MANY - 1) / 2);

        ask(&at, upstream);
    }
    pid_t old = proxy_upgrade(proxy);
    struct loopback last = at_port(&front, 10000 + MANY - 1);
    ask(&last, upstream);
    stats_await(proxy, "web", NULL, "accepted", 5);
    /* And all but one are closed again, in a moment. */
    proxy_configure(proxy,
                    "[service web]\nmode = %s\nlisten = %s\nupstream = %s\n",
                    mode, last.text, back->text);
    proxy_reload(proxy);
    ask(&last, upstream);
    wait_until(proc_entries(proxy, "fd") < 100);
    proxy_stop(proxy);
    proxy_await_old(old);
}

static void ten_thousand_ports_cost_descriptors_alone(void **state)
{
    struct loopback back = elsewhere();

    (void)state;
    if (!descriptors_suffice()) {
        print_message("skipped: RLIMIT_NOFILE is too low\n");
        skip();
    }
    have_many("tcp", socket_listen(&back), &back, ask_stream);
}

static void so_do_ten_thousand_for_datagrams(void **state)
{
    struct loopback back = elsewhere();

    (void)state;
    if (!descriptors_suffice()) {
        print_message("skipped: RLIMIT_NOFILE is too low\n");
        skip();
    }
    have_many("udp", udp_bind(&back), &back, ask_datagram);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(a_range_of_ports_is_one_service),
        E2E(an_upstream_may_have_the_port_of_the_client),
        E2E(the_port_may_come_from_a_header),
        E2E(datagrams_have_ranges_too),
        E2E(ten_thousand_ports_cost_descriptors_alone),
        E2E(so_do_ten_thousand_for_datagrams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
