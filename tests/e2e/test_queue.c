/* Connections that wait in line for a place at a full upstream. */
#include "expect.h"
#include "fixture.h"
#include "greeters.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

static const char *const one_place[] = {"max_connections=1"};
static const char *const one_place_each[] = {"max_connections=1",
                                             "max_connections=1"};

static void open_with(struct greeters *greeters, unsigned count,
                      const char *const *options, const char *global,
                      const char *service)
{
    char upstreams[1024];

    greeters->front = loopback_new();
    greeters_start_all(greeters, count);
    greeters_list(greeters, 0, options, upstreams, sizeof(upstreams));
    greeters->proxy =
        proxy_start("[global]\n%s\n[service web]\nlisten = %s\n%s%s\n", global,
                    greeters->front.text, upstreams, service);
}

static int hold(const struct greeters *greeters)
{
    unsigned upstream;

    return greeters_connect(&greeters->front, NULL, &upstream);
}

/* Connects one that has to wait, after `before` others. */
static int wait_behind(const struct greeters *greeters, unsigned before)
{
    int fd = socket_connect(&greeters->front);

    stats_await(greeters->proxy, NULL, NULL, "active", before + 1);
    assert_false(wait_readable(fd, 0));
    return fd;
}

static void who_waits_gets_the_place_that_gets_free(void **state)
{
    struct greeters greeters;

    (void)state;
    greeters_open(&greeters, 1, one_place, "queue_timeout = 1h");
    int holder = hold(&greeters);
    int waiting = wait_behind(&greeters, 1);
    expect_silence(waiting, 50);
    socket_close(holder);
    assert_int_equal(greeters_read(waiting), 0);
    stats_await(greeters.proxy, "web", greeters.back[0].text, "active", 1);
    greeters_close(&greeters);
}

static void who_waits_too_long_is_reset(void **state)
{
    struct greeters greeters;

    (void)state;
    greeters_open(&greeters, 1, one_place,
                  "queue_timeout = 150ms\naccess_log = yes");
    (void)hold(&greeters);
    expect_reset(socket_connect(&greeters.front));
    stats_await_cause(greeters.proxy, "queue_timeout", 1);
    proxy_line(greeters.proxy, "^conn service=web client=[^ ]+ upstream=[^ ]* "
                               "cause=queue_timeout bytes_up=0 bytes_down=0");
    greeters_close(&greeters);
}

/* Each connection is taken by some worker; the line is one. */
static void the_line_is_in_order_over_all_workers(void **state)
{
    enum { WAITING = 24 };
    struct greeters greeters;
    int waiting[WAITING + 1];

    (void)state;
    open_with(&greeters, 1, one_place, "workers = 4", "queue_timeout = 1h");
    waiting[0] = hold(&greeters);
    for (unsigned i = 1; i <= WAITING; i++) {
        waiting[i] = wait_behind(&greeters, i);
    }
    for (unsigned i = 1; i <= WAITING; i++) {
        socket_close(waiting[i - 1]);
        assert_int_equal(greeters_read(waiting[i]), 0);
        for (unsigned j = i + 1; j <= WAITING; j++) {
            assert_false(wait_readable(waiting[j], 0));
        }
    }
    greeters_close(&greeters);
}

/* Many places get free, and are taken, at once: no call is lost. */
static void everybody_is_served(void **state)
{
    enum { CLIENTS = 120 };
    static const char *const options[] = {
        "max_connections=2", "max_connections=1", "max_connections=3"};
    struct greeters greeters;
    int client[CLIENTS];
    unsigned served = 0;

    (void)state;
    open_with(&greeters, 3, options, "workers = 4",
              "queue_timeout = 1h\nbalance = leastconn");
    for (unsigned i = 0; i < CLIENTS; i++) {
        client[i] = socket_connect(&greeters.front);
    }
    while (served < CLIENTS) {
        for (unsigned i = 0; i < CLIENTS; i++) {
            if (client[i] >= 0 && wait_readable(client[i], 1)) {
                (void)greeters_read(client[i]);
                socket_close(client[i]);
                client[i] = -1;
                served++;
            }
        }
    }
    stats_await(greeters.proxy, NULL, NULL, "active", 0);
    greeters_close(&greeters);
}

static void who_leaves_the_line_is_not_waited_for(void **state)
{
    struct greeters greeters;

    (void)state;
    greeters_open(&greeters, 1, one_place, "queue_timeout = 1h");
    int holder = hold(&greeters);
    int first = wait_behind(&greeters, 1);
    int second = wait_behind(&greeters, 2);
    socket_send_text(first, "x"); /* nobody will read it */
    socket_reset(first);
    stats_await_cause(greeters.proxy, "client_reset", 1);
    socket_close(holder);
    assert_int_equal(greeters_read(second), 0);
    greeters_close(&greeters);
}

/* A client that ends resets its connections, one that has the place and one
 * that waits for it, at once. */
static void a_client_that_ends_leaves_the_line_whole(void **state)
{
    struct greeters greeters;
    int holder, waiting;

    (void)state;
    open_with(&greeters, 1, one_place, "workers = 1", "queue_timeout = 1h");
    holder = hold(&greeters);
    waiting = wait_behind(&greeters, 1);
    proxy_pause(greeters.proxy);
    socket_reset(holder);
    socket_reset(waiting);
    proxy_signal(greeters.proxy, SIGCONT);
    stats_await(greeters.proxy, NULL, NULL, "active", 0);
    holder = hold(&greeters);
    waiting = wait_behind(&greeters, 1);
    socket_close(holder);
    assert_int_equal(greeters_read(waiting), 0);
    greeters_close(&greeters);
}

static void an_upstream_that_comes_up_has_places(void **state)
{
    struct greeters greeters;

    (void)state;
    greeters_open(&greeters, 2, one_place_each,
                  "queue_timeout = 1h\nhealth_check = tcp\n"
                  "health_interval = 30ms\nhealth_rise = 1\nhealth_fall = 1");
    greeters_stop(&greeters, 1);
    proxy_line(greeters.proxy, "state=down");
    (void)hold(&greeters);
    int waiting = wait_behind(&greeters, 1);
    greeters_start(&greeters, 1);
    assert_int_equal(greeters_read(waiting), 1);
    greeters_close(&greeters);
}

static void configure(const struct greeters *greeters, const char *options,
                      const char *service)
{
    proxy_configure(
        greeters->proxy, "[service web]\nlisten = %s\nupstream = %s %s\n%s\n",
        greeters->front.text, greeters->back[0].text, options, service);
    proxy_reload(greeters->proxy);
}

static void a_reload_that_brings_places_serves_the_line(void **state)
{
    struct greeters greeters;

    (void)state;
    greeters_open(&greeters, 1, one_place, "queue_timeout = 1h");
    (void)hold(&greeters);
    int waiting[3];
    for (unsigned i = 0; i < 3; i++) {
        waiting[i] = wait_behind(&greeters, 1 + i);
    }
    configure(&greeters, "max_connections=2", "queue_timeout = 1h");
    assert_int_equal(greeters_read(waiting[0]), 0);
    assert_false(wait_readable(waiting[1], 20));
    configure(&greeters, "max_connections=2", "queue_timeout = 1d");
    socket_close(waiting[0]);
    assert_int_equal(greeters_read(waiting[1]), 0);
    configure(&greeters, "max_connections=2", "");
    expect_reset(waiting[2]);
    stats_await_cause(greeters.proxy, "no_upstream", 1);
    greeters_close(&greeters);
}

/* Of 512 KB from the client the source may send 1 KB a second now. */
static void who_waits_gets_the_byte_rates_that_a_reload_brings(void **state)
{
    static char bytes[512 * 1024], got[sizeof(bytes)];
    struct loopback front = loopback_new();
    struct fixture fixture;
    size_t count = 0;

    (void)state;
    fixture_open_at(&fixture, &front, "max_connections=1", "",
                    "queue_timeout = 1h\nmax_connections_per_source = 9");
    struct pair holder = pair_connect(&fixture);
    struct pair pair = {.client = socket_connect(&front)};
    stats_await(fixture.proxy, NULL, NULL, "active", 2);
    socket_send(pair.client, bytes, sizeof(bytes));
    fixture_reload(&fixture, "queue_timeout = 1h\nrate_up_per_source = 1K\n"
                             "source_prefix_v4 = 8");
    pair.upstream = socket_accept(fixture.listener);
    while (count < sizeof(got) && wait_readable(pair.upstream, 300)) {
        ssize_t more = recv(pair.upstream, got, sizeof(got) - count, 0);

        assert_true(more > 0);
        count += (size_t)more;
    }
    assert_in_range(count, 1, sizeof(bytes) / 2);
    pair_close(&pair);
    pair_close(&holder);
    fixture_close(&fixture);
}

static void a_line_outlives_its_service_in_the_file(void **state)
{
    struct greeters greeters;
    struct loopback other = loopback_new();

    (void)state;
    greeters_open(&greeters, 1, one_place, "queue_timeout = 1h");
    int holder = hold(&greeters);
    int waiting = wait_behind(&greeters, 1);
    proxy_configure(greeters.proxy,
                    "[service other]\nlisten = %s\nupstream = %s\n", other.text,
                    greeters.back[0].text);
    proxy_reload(greeters.proxy);
    socket_close(holder);
    assert_int_equal(greeters_read(waiting), 0);
    greeters_close(&greeters);
}

static void no_more_than_half_of_the_process_wait(void **state)
{
    struct greeters greeters;

    (void)state;
    open_with(&greeters, 1, one_place, "max_connections = 8",
              "queue_timeout = 1h");
    int holder = hold(&greeters);
    int first = wait_behind(&greeters, 1);
    for (unsigned i = 2; i <= 4; i++) {
        (void)wait_behind(&greeters, i);
    }
    expect_connect_ended(&greeters.front);
    stats_await_cause(greeters.proxy, "no_upstream", 1);
    socket_close(holder);
    assert_int_equal(greeters_read(first), 0);
    stats_await(greeters.proxy, NULL, NULL, "active", 4);
    (void)wait_behind(&greeters, 4);
    greeters_close(&greeters);
}

static void nobody_waits_while_all_are_down(void **state)
{
    struct greeters greeters;

    (void)state;
    greeters_open(&greeters, 1, one_place,
                  "queue_timeout = 1h\nhealth_check = tcp\n"
                  "health_interval = 30ms\nhealth_fall = 1");
    greeters_stop(&greeters, 0);
    proxy_line(greeters.proxy, "state=down");
    expect_connect_ended(&greeters.front);
    stats_await_cause(greeters.proxy, "no_upstream", 1);
    greeters_close(&greeters);
}

/* The connection that has the place goes on in the new process, and so does its
 * place: who waits stays in the old one and does not get it. */
static void an_upgrade_gives_no_place_away_twice(void **state)
{
    struct greeters greeters;

    (void)state;
    greeters_open(&greeters, 1, one_place, "queue_timeout = 2s");
    (void)hold(&greeters);
    int waiting = wait_behind(&greeters, 1);
    pid_t old = proxy_upgrade(greeters.proxy);
    stats_await(greeters.proxy, "web", greeters.back[0].text, "active", 1);
    int other = socket_connect(&greeters.front);
    expect_reset(waiting);
    expect_reset(other);
    proxy_await_old(old);
    stats_await_cause(greeters.proxy, "queue_timeout", 2);
    greeters_close(&greeters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(who_waits_gets_the_place_that_gets_free),
        E2E(who_waits_too_long_is_reset),
        E2E(the_line_is_in_order_over_all_workers),
        E2E(everybody_is_served),
        E2E(who_leaves_the_line_is_not_waited_for),
        E2E(a_client_that_ends_leaves_the_line_whole),
        E2E(an_upstream_that_comes_up_has_places),
        E2E(a_reload_that_brings_places_serves_the_line),
        E2E(who_waits_gets_the_byte_rates_that_a_reload_brings),
        E2E(a_line_outlives_its_service_in_the_file),
        E2E(no_more_than_half_of_the_process_wait),
        E2E(nobody_waits_while_all_are_down),
        E2E(an_upgrade_gives_no_place_away_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
