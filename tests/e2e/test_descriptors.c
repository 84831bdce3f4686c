/*
 * A shortage of descriptors: accepting pauses, nothing spins, and all goes on
 * when there are some again.
 */
#include "expect.h"
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proc.h"
#include "proxy.h"
#include "serve.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <sys/resource.h>
#include <sys/socket.h>

/* For a second the pair works, and the proxy neither spins nor floods its log.
 */
static void expect_calm(struct proxy *proxy, const struct pair *pair)
{
    uint64_t before = proc_cpu_ms(proxy);
    int64_t begin = wait_now_ms();

    proxy_mark(proxy);
    while (wait_now_ms() < begin + 1000) {
        pair_ping(pair);
        expect_silence(pair->client, 20);
    }
    assert_in_range(proc_cpu_ms(proxy) - before, 0, test_slow() ? 900 : 150);
    /* Reports of the shortage: one a second, and those at both edges. */
    assert_in_range(proxy_count(proxy, "."), 0, 3);
}

/* Lowers the limit while it runs, so that no count of the proxy's protects it.
 * Answers the limit before. */
static rlim_t leave_few_descriptors(const struct proxy *proxy)
{
    return proc_limit_descriptors(proxy, proc_entries(proxy, "fd") + 7);
}

/* Some may be reset before the connect returns: the last descriptor can be a
 * client's, with none left for its upstream. */
static void connect_many(const struct loopback *front, int *clients,
                         unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        clients[i] = socket_try_connect(NULL, front);
    }
}

static void close_many(const int *clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (clients[i] >= 0) {
            socket_close(clients[i]);
        }
    }
}

static void without_descriptors_accepting_pauses_and_resumes(void **state)
{
    enum { WAITING = 100 };
    struct fixture fixture;
    int waiting[WAITING];

    (void)state;
    fixture_open(&fixture, "", "connect_attempts = 1\nidle_timeout = 1h");
    struct pair pair = pair_connect(&fixture);
    rlim_t before = leave_few_descriptors(fixture.proxy);
    connect_many(&fixture.front, waiting, WAITING);
    wait_until(stats_get(fixture.proxy, NULL, NULL, "accept_paused") > 0);
    expect_calm(fixture.proxy, &pair);
    proxy_mark(fixture.proxy);
    uint64_t accepted = stats_get(fixture.proxy, NULL, NULL, "accepted");
    assert_true(accepted < WAITING);
    proc_limit_descriptors(fixture.proxy, before);
    stats_await(fixture.proxy, NULL, NULL, "accepted", WAITING + 1);
    pair_ping(&pair);
    close_many(waiting, WAITING);
    fixture_close(&fixture);
}

static void descriptors_that_come_free_let_waiting_clients_in(void **state)
{
    enum { WAITING = 40 };
    struct fixture fixture;
    int waiting[WAITING];
    char byte;

    (void)state;
    fixture_open_server(&fixture, serve_letter, "A", "", "");
    int first = socket_connect(&fixture.front);
    expect_text(first, "A");
    leave_few_descriptors(fixture.proxy);
    connect_many(&fixture.front, waiting, WAITING);
    wait_until(stats_get(fixture.proxy, NULL, NULL, "accept_paused") > 0);
    close_many(waiting, WAITING);
    stats_await(fixture.proxy, NULL, NULL, "accepted", WAITING + 1);
    stats_await(fixture.proxy, NULL, NULL, "active", 1);
    expect_text(socket_connect(&fixture.front), "A");
    assert_int_equal(recv(first, &byte, 1, 0), -1); /* it still stands */
    fixture_close(&fixture);
}

static void a_small_descriptor_limit_is_a_limit_of_connections(void **state)
{
    enum { CLIENTS = 300 };
    struct proxy_options options = {.descriptors = 400};
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();
    int clients[CLIENTS];

    (void)state;
    int listener = socket_listen(&back);
    struct proxy *proxy =
        proxy_launch(&options, "[service web]\nlisten = %s\nupstream = %s\n",
                     front.text, back.text);
    uint64_t limit =
        proxy_line_value(proxy_line(proxy, "^ready "), "max_connections");
    assert_in_range(limit, 10, CLIENTS - 20);
    struct pair pair = {.client = socket_connect(&front)};
    pair.upstream = socket_accept(listener);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = socket_connect(&front);
    }
    stats_await(proxy, NULL, NULL, "active", limit);
    assert_true(stats_get(proxy, NULL, NULL, "accept_paused") > 0);
    proxy_line(proxy, "^accepting paused reason=\"max_connections = [0-9]+ is "
                      "reached\"");
    expect_calm(proxy, &pair);
    for (int i = 0; i < CLIENTS; i++) {
        socket_close(clients[i]);
        socket_close(socket_accept(listener));
    }
    stats_await(proxy, NULL, NULL, "accepted", CLIENTS + 1);
    stats_await(proxy, NULL, NULL, "active", 1);
    stats_await(proxy, "web", NULL, "ended_local_resource", 0);
    proxy_stop(proxy);
}

static void more_connections_than_descriptors_prevent_the_start(void **state)
{
    struct proxy_options options = {.descriptors = 400, .no_ready = true};
    struct proxy *proxy;

    (void)state;
    proxy = proxy_launch(&options,
                         "[global]\nmax_connections = 1000\n"
                         "[service web]\nlisten = %s\n"
                         "upstream = 127.0.0.1:1\n",
                         loopback_new().text);
    assert_int_equal(proxy_wait(proxy), 1);
    proxy_line(proxy, "max_connections");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(without_descriptors_accepting_pauses_and_resumes),
        E2E(descriptors_that_come_free_let_waiting_clients_in),
        E2E(a_small_descriptor_limit_is_a_limit_of_connections),
        E2E(more_connections_than_descriptors_prevent_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
