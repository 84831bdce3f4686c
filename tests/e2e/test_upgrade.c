/*
 * Live upgrades: connections go on in a new process, and no byte is lost.
 */
#include "expect.h"
#include "file.h"
#include "http.h"
#include "next_binary.h"
#include "proc.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_connection_goes_on_in_the_new_process(void **state)
{
    struct fixture fixture;
    struct pair pair;
    pid_t old;

    (void)state;
    fixture_open(&fixture, "", "");
    pair = pair_establish(&fixture);
    pair_ping(&pair);
    old = proxy_upgrade(fixture.proxy);
    pair_ping(&pair);
    proxy_await_old(old);
    pair_ping(&pair);
    pair_close(&pair);
    stats_await_cause(fixture.proxy, "client_fin", 1);
    stats_expect_only(fixture.proxy, "client_fin", 1);
    fixture_close(&fixture);
}

/* ---- bytes ---- */

#define BULK_PAIRS 4

/* Bytes that wait for a peer that does not read, in blocks and in pipes. */
static void move_bytes(const char *global)
{
    const size_t bytes = test_slow() ? 4u << 20 : 64u << 20;
    struct stream out[2 * BULK_PAIRS], in[2 * BULK_PAIRS];
    struct fixture fixture;
    pid_t old[3];

    fixture_open(&fixture, global, "");
    for (unsigned i = 0; i < BULK_PAIRS; i++) {
        struct pair pair = pair_establish(&fixture);

        for (unsigned j = 0; j < 2; j++) {
            struct stream *to = &out[2 * i + j], *from = &in[2 * i + j];

            *to = (struct stream){.fd = j == 0 ? pair.client : pair.upstream,
                                  .seed = 2 * i + j + 1,
                                  .bytes = bytes,
                                  .fin = true};
            *from = *to;
            from->fd = j == 0 ? pair.upstream : pair.client;
            from->bytes = SIZE_MAX;
            from->pause_every = bytes / 8;
            from->pause_ms = 50;
            stream_start_send(to);
            stream_start_receive(from);
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        wait_sleep(100);
        old[i] = proxy_upgrade(fixture.proxy);
        proxy_await_old(old[i]);
    }
    for (unsigned i = 0; i < 2 * BULK_PAIRS; i++) {
        stream_join(&out[i]);
        stream_join(&in[i]);
        assert_int_equal(in[i].moved, bytes);
    }
    wait_until(stats_get(fixture.proxy, "web", NULL, "active") == 0);
    assert_int_equal(stats_get(fixture.proxy, "web", NULL, "bytes_up"),
                     BULK_PAIRS * (bytes + 1));
    assert_int_equal(stats_get(fixture.proxy, "web", NULL, "bytes_down"),
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

/* ---- many ---- */

/* Descriptors of processes without leftovers. */
static void twenty_upgrades_leave_nothing_behind(void **state)
{
    const unsigned rounds = test_slow() ? 5 : 20;
    unsigned descriptors = 0, threads = 0;
    uint64_t resident = 0;
    struct fixture fixture;
    struct pair pairs[20];

    (void)state;
    fixture_open(&fixture, "workers = 2", "");
    for (unsigned i = 0; i < 20; i++) {
        pairs[i] = pair_establish(&fixture);
    }
    for (unsigned round = 0; round < rounds; round++) {
        pid_t old = proxy_upgrade(fixture.proxy);
        struct pair fresh = pair_establish(&fixture);

        proxy_await_old(old);
        for (unsigned i = 0; i < 20; i++) {
            pair_ping(&pairs[i]);
        }
        pair_close(&fresh);
        stats_await_cause(fixture.proxy, "client_fin", round + 1);
        assert_int_equal(stats_get(fixture.proxy, "web", NULL, "active"), 20);
        if (round == 0) {
            threads = proc_entries(fixture.proxy, "task");
            descriptors = proc_entries(fixture.proxy, "fd");
            resident = proc_settled_resident(fixture.proxy);
        } else {
            wait_until(proc_entries(fixture.proxy, "task") == threads);
            wait_until(proc_entries(fixture.proxy, "fd") == descriptors);
        }
    }
    if (!test_slow()) {
        assert_true(proc_settled_resident(fixture.proxy) <
                    resident + resident / 5);
    }
    assert_int_equal(stats_get(fixture.proxy, "web", NULL, "accepted"),
                     20 + rounds);
    assert_int_equal(stats_get(fixture.proxy, NULL, NULL, "generation"),
                     1 + rounds);
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
    return MANY_MAX;
}

/* Each has a request under way, and some carry all they can. */
static void many_connections_move_at_once(void **state)
{
    static struct pair pairs[MANY_MAX];
    const size_t bytes = test_slow() ? 4u << 20 : 128u << 20;
    unsigned count = how_many();
    struct stream out[BULKS], in[BULKS];
    struct fixture fixture;
    const char *line;

    (void)state;
    fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < count; i++) {
        pairs[i] = pair_establish(&fixture);
    }
    for (unsigned i = 0; i < BULKS; i++) {
        struct pair pair = pair_establish(&fixture);

        out[i] = (struct stream){
            .fd = pair.client, .seed = i + 1, .bytes = bytes, .fin = true};
        in[i] = out[i];
        in[i].fd = pair.upstream;
        in[i].bytes = SIZE_MAX;
        stream_start_send(&out[i]);
        stream_start_receive(&in[i]);
    }
    for (unsigned round = 0; round < 2; round++) {
        pid_t old;

        for (unsigned i = 0; i < count; i++) {
            socket_send_text(pairs[i].client, "question");
            socket_send_text(pairs[i].upstream, "answer");
        }
        old = proxy_upgrade(fixture.proxy);
        line = proxy_line(fixture.proxy, "^upgraded ");
        print_message("%s\n", line);
        assert_int_equal(proxy_line_value(line, "connections"), count + BULKS);
        for (unsigned i = 0; i < count; i++) {
            expect_text(pairs[i].upstream, "question");
            expect_text(pairs[i].client, "answer");
        }
        proxy_await_old(old);
    }
    for (unsigned i = 0; i < BULKS; i++) {
        stream_join(&out[i]);
        stream_join(&in[i]);
        assert_int_equal(in[i].moved, bytes);
    }
    assert_int_equal(stats_get(fixture.proxy, "web", NULL, "accepted"),
                     count + BULKS);
    fixture_close(&fixture);
}

/* Clients that come all the time, by every address of a service. */
static void no_connection_is_refused(void **state)
{
    struct fixture fixture;
    char listen[160];
    struct loopback path = loopback_unix("listen");
    struct stat before, after;
    unsigned begun = 0;

    (void)state;
    snprintf(listen, sizeof(listen), "listen = %s", path.text);
    fixture_open_server(&fixture, serve_echo, NULL, "workers = 2", listen);
    assert_int_equal(stat(file_path("listen"), &before), 0);
    for (unsigned round = 0; round < 3; round++) {
        unsigned upgraded;
        pid_t old = proxy_pid(fixture.proxy);

        proxy_mark(fixture.proxy);
        upgraded = proxy_count(fixture.proxy, "^ready ");
        proxy_signal(fixture.proxy, SIGUSR2);
        while (proxy_count(fixture.proxy, "^ready ") == upgraded) {
            int fd = socket_connect(begun % 2 == 0 ? &fixture.front : &path);

            socket_send_text(fd, "x");
            expect_text(fd, "x");
            socket_close(fd);
            begun++;
        }
        proxy_follow(fixture.proxy);
        proxy_await_old(old);
    }
    assert_true(begun > 10);
    assert_int_equal(stat(file_path("listen"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    wait_until(stats_get(fixture.proxy, "web", NULL, "accepted") == begun);
    wait_until(stats_get(fixture.proxy, "web", NULL, "active") == 0);
    fixture_close(&fixture);
    assert_int_equal(stat(file_path("listen"), &after), -1);
}

/* More sockets than one message carries. */
static void many_listeners_move(void **state)
{
    struct loopback back = loopback_new();
    char text[150 * 48], host[64];
    size_t used = 0;
    struct proxy *proxy;

    (void)state;
    server_start(&back, serve_echo, NULL);
    assert_int_equal(sscanf(back.text, "%63[^:]", host), 1);
    for (unsigned port = 20000; port < 20150; port++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "listen = %s:%u\n", host, port);
    }
    proxy = proxy_start("[global]\nworkers = 4\n[service web]\n%s"
                        "upstream = %s\n",
                        text, back.text);
    for (unsigned round = 0; round < 2; round++) {
        proxy_await_old(proxy_upgrade(proxy));
        for (unsigned port = 20000; port < 20150; port += 7) {
            struct loopback to;
            int fd;

            snprintf(to.text, sizeof(to.text), "%s:%u", host, port);
            fd = socket_connect(&to);
            socket_send_text(fd, "x");
            expect_text(fd, "x");
            socket_close(fd);
        }
    }
    proxy_stop(proxy);
}

/* ---- what stays behind ---- */

/* A proxy in front of an upstream that never answers a connect, with one client
 * whose connection stays in the old process. Returns the client. */
static int open_stuck(struct fixture *fixture, const char *global,
                      const char *service)
{
    struct loopback silent = server_silent();
    int client;

    fixture_open_back(fixture, &silent, global, service);
    client = socket_connect(&fixture->front);
    wait_until(stats_get(fixture->proxy, "web", NULL, "active") == 1);
    return client;
}

static void what_cannot_move_ends_in_the_old_process(void **state)
{
    struct fixture fixture;
    int client;
    pid_t old;

    (void)state;
    client =
        open_stuck(&fixture, "", "connect_timeout = 2s\nconnect_attempts = 1");
    old = proxy_upgrade(fixture.proxy);
    assert_int_equal(stats_get(fixture.proxy, "web", NULL, "active"), 1);
    assert_int_equal(waitpid(old, NULL, WNOHANG), 0);
    expect_reset(client);
    proxy_await_old(old);
    stats_await_cause(fixture.proxy, "connect_timeout", 1);
    stats_expect_only(fixture.proxy, "connect_timeout", 1);
    fixture_close(&fixture);
}

/* It ends by its own drain_timeout, and the new one by its own. */
static void both_processes_can_be_stopped(void **state)
{
    struct fixture fixture;
    pid_t old;
    int client;

    (void)state;
    client = open_stuck(&fixture, "drain_timeout = 500ms",
                        "connect_timeout = 1h\nconnect_attempts = 1");
    old = proxy_upgrade(fixture.proxy);
    assert_int_equal(kill(old, SIGTERM), 0);
    expect_reset(client);
    proxy_await_old(old);
    stats_await_cause(fixture.proxy, "drain", 1);
    stats_expect_only(fixture.proxy, "drain", 1);

    client = socket_connect(&fixture.front);
    wait_until(stats_get(fixture.proxy, "web", NULL, "active") == 1);
    old = proxy_upgrade(fixture.proxy);
    proxy_signal(fixture.proxy, SIGTERM); /* the old one has a connection */
    wait_until(kill(proxy_pid(fixture.proxy), 0) < 0); /* its parent is old */
    assert_int_equal(kill(old, SIGTERM), 0);
    proxy_await_old(old);
    expect_closed(client);
    proxy_lose(fixture.proxy);
}

/* Two upgrades, and what is left of the first process is told to the third. */
static void the_books_balance_over_two_upgrades(void **state)
{
    struct fixture fixture;
    pid_t first, second;
    int client;

    (void)state;
    client =
        open_stuck(&fixture, "", "connect_timeout = 3s\nconnect_attempts = 1");
    first = proxy_upgrade(fixture.proxy);
    second = proxy_upgrade(fixture.proxy);
    assert_int_equal(stats_get(fixture.proxy, "web", NULL, "active"), 1);
    expect_reset(client);
    proxy_await_old(first);
    proxy_await_old(second);
    stats_expect_only(fixture.proxy, "connect_timeout", 1);
    fixture_close(&fixture);
}

static void an_old_process_that_is_killed_leaves_balanced_books(void **state)
{
    struct fixture fixture;
    int client;
    pid_t old;

    (void)state;
    client =
        open_stuck(&fixture, "", "connect_timeout = 1h\nconnect_attempts = 1");
    old = proxy_upgrade(fixture.proxy);
    kill(old, SIGKILL);
    assert_int_equal(waitpid(old, NULL, 0), old);
    expect_closed(client);
    proxy_line(fixture.proxy, "^the old process is lost connections=1$");
    stats_await_cause(fixture.proxy, "internal", 1);
    stats_expect_only(fixture.proxy, "internal", 1);
    fixture_close(&fixture);
}

static void udp_goes_on_at_the_same_socket(void **state)
{
    struct udp_fixture fixture;
    int client;
    pid_t old;

    (void)state;
    udp_fixture_open(&fixture, "", "idle_timeout = 1s");
    client = udp_connect(NULL, &fixture.front);
    (void)udp_fixture_ping(&fixture, client);
    old = proxy_upgrade(fixture.proxy);
    (void)udp_fixture_ping(&fixture, client);
    proxy_await_old(old);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

/* ---- state ---- */

static void limits_hold_over_an_upgrade(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    fixture_open(&fixture, "", "max_connections_per_source = 1");
    pair = pair_establish(&fixture);
    expect_connect_reset(NULL, &fixture.front, NULL);
    proxy_await_old(proxy_upgrade(fixture.proxy));
    expect_connect_reset(NULL, &fixture.front, NULL);
    pair_ping(&pair);
    pair_close(&pair);
    stats_await_cause(fixture.proxy, "client_fin", 1);
    pair = pair_establish(&fixture);
    stats_await_cause(fixture.proxy, "limit_source", 2);
    fixture_close(&fixture);
}

static void an_upstream_that_is_down_stays_down(void **state)
{
    struct loopback refusing = server_refusing();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &refusing, "",
                      "fail_threshold = 1\nfail_window = 1h");
    expect_connect_reset(NULL, &fixture.front, NULL);
    proxy_line(fixture.proxy, "^upstream .*state=down");
    proxy_await_old(proxy_upgrade(fixture.proxy));
    assert_non_null(strstr(stats_line(fixture.proxy, "web", fixture.back.text),
                           " state=down "));
    expect_connect_reset(NULL, &fixture.front, NULL);
    assert_int_equal(
        stats_get(fixture.proxy, "web", fixture.back.text, "failed"), 1);
    fixture_close(&fixture);
}

/* Two failed connects before it, and the third takes the upstream out. */
static void failures_are_counted_on(void **state)
{
    struct loopback refusing = server_refusing();
    struct fixture fixture;

    (void)state;
    fixture_open_back(&fixture, &refusing, "",
                      "fail_threshold = 3\nfail_window = 1h\n"
                      "connect_attempts = 1");
    expect_connect_reset(NULL, &fixture.front, NULL);
    expect_connect_reset(NULL, &fixture.front, NULL);
    proxy_await_old(proxy_upgrade(fixture.proxy));
    expect_connect_reset(NULL, &fixture.front, NULL);
    proxy_line(fixture.proxy, "^upstream .*state=down cause=connect_refused");
    fixture_close(&fixture);
}

static void a_rate_holds_over_an_upgrade(void **state)
{
    const size_t bytes = 96 * 1024;
    struct fixture fixture;
    struct stream out, in;
    struct pair pair;
    int64_t begun;

    (void)state;
    fixture_open(&fixture, "", "rate_up = 32K\nrate_burst = 32K");
    pair = pair_establish(&fixture);
    out = (struct stream){.fd = pair.client, .seed = 1, .bytes = bytes};
    in = (struct stream){.fd = pair.upstream, .seed = 1, .bytes = bytes};
    begun = wait_now_ms();
    stream_start_send(&out);
    stream_start_receive(&in);
    for (unsigned i = 0; i < 3; i++) {
        wait_sleep(300);
        proxy_await_old(proxy_upgrade(fixture.proxy));
    }
    stream_join(&out);
    stream_join(&in);
    assert_int_equal(in.moved, bytes);
    /* The burst, and two seconds for the rest. */
    assert_true(wait_now_ms() - begun >= 1900);
    fixture_close(&fixture);
}

/* Without its addresses a new client would find no upstream. */
static void names_keep_their_addresses(void **state)
{
    struct loopback back = loopback_on("127.0.0.1"), named;
    struct fixture fixture;
    struct pair pair;

    (void)state;
    named = loopback_at("localhost", &back);
    fixture_open_back(&fixture, &named, "", "resolve_interval = 1h");
    fixture.listener = socket_listen(&back);
    proxy_line(fixture.proxy, "^resolve name=localhost ");
    pair = pair_establish(&fixture);
    for (unsigned i = 0; i < 3; i++) {
        pid_t old = proxy_upgrade(fixture.proxy);
        struct pair fresh = pair_establish(&fixture);

        pair_ping(&pair);
        pair_close(&fresh);
        proxy_await_old(old);
    }
    stats_await_cause(fixture.proxy, "client_fin", 3);
    fixture_close(&fixture);
}

static void metrics_go_on(void **state)
{
    struct loopback metrics = loopback_new();
    struct fixture fixture;
    struct pair pair;
    char global[200];

    (void)state;
    snprintf(global, sizeof(global), "metrics_listen = %s", metrics.text);
    fixture_open(&fixture, global, "");
    pair = pair_establish(&fixture);
    for (unsigned i = 0; i < 2; i++) {
        pid_t old = proxy_upgrade(fixture.proxy);

        assert_int_equal(http_status(&metrics, "/healthz"), 200);
        proxy_await_old(old);
        assert_int_equal(http_status(&metrics, "/livez"), 200);
    }
    assert_true(
        http_metric(&metrics, "evproxy_accepted_total{service=\"web\"}") == 1);
    assert_true(http_metric(&metrics, "evproxy_active{service=\"web\"}") == 1);
    assert_true(http_metric(&metrics,
                            "evproxy_connect_seconds_count{service=\"web\"}") ==
                1);
    pair_ping(&pair);
    fixture_close(&fixture);
}

/* It has dropped root, and the next process is that user from the start. */
static void a_user_without_privileges_upgrades(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    fixture_open(&fixture, "user = nobody", "");
    pair = pair_establish(&fixture);
    for (unsigned i = 0; i < 2; i++) {
        proxy_await_old(proxy_upgrade(fixture.proxy));
        pair_ping(&pair);
        assert_true(proc_status(fixture.proxy, "Uid") != 0);
    }
    fixture_close(&fixture);
}

static void times_go_on(void **state)
{
    struct fixture fixture;
    struct pair pair;
    int64_t begun;

    (void)state;
    fixture_open(&fixture, "", "idle_timeout = 2s");
    pair = pair_establish(&fixture);
    begun = wait_now_ms();
    wait_sleep(1200);
    proxy_await_old(proxy_upgrade(fixture.proxy));
    expect_eof(pair.client);
    assert_in_range(wait_now_ms() - begun, 1500, test_slow() ? 20000 : 2600);
    stats_await_cause(fixture.proxy, "idle_timeout", 1);
    fixture_close(&fixture);
}

/* ---- other signals, other configurations ---- */

static void a_changed_configuration_is_used(void **state)
{
    struct loopback other = loopback_new();
    struct fixture fixture;
    struct pair pair;
    int client, upstream;
    pid_t old;

    (void)state;
    fixture_open(&fixture, "", "");
    pair = pair_establish(&fixture);
    proxy_configure(fixture.proxy,
                    "[service other]\nlisten = %s\nupstream = %s\n", other.text,
                    fixture.back.text);
    old = proxy_upgrade(fixture.proxy);
    assert_int_equal(socket_try_connect(NULL, &fixture.front), -1);
    client = socket_connect(&other);
    upstream = socket_accept(fixture.listener);
    socket_send_text(client, "new");
    expect_text(upstream, "new");
    pair_ping(&pair); /* its service is gone: it stays in the old process */
    assert_int_equal(stats_get(fixture.proxy, NULL, NULL, "active"), 2);
    pair_close(&pair);
    proxy_await_old(old);
    wait_until(stats_get(fixture.proxy, NULL, NULL, "active") == 1);
    assert_int_equal(stats_get(fixture.proxy, NULL, NULL, "accepted"), 2);
    fixture_close(&fixture);
}

static void a_reload_follows_an_upgrade(void **state)
{
    struct fixture fixture;
    struct pair pair;
    pid_t old;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    next_binary_script("sleep 1");
    proxy_mark(fixture.proxy);
    proxy_signal(fixture.proxy, SIGUSR2);
    proxy_line(fixture.proxy, "^upgrading ");
    proxy_signal(fixture.proxy, SIGUSR2);
    proxy_line(fixture.proxy, "^upgrade refused ");
    proxy_signal(fixture.proxy, SIGHUP);
    assert_int_equal(stats_get(fixture.proxy, "web", NULL, "active"), 1);
    old = proxy_pid(fixture.proxy);
    proxy_follow(fixture.proxy);
    proxy_line(fixture.proxy, "^reloaded generation=3 ");
    proxy_await_old(old);
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void a_reload_follows_an_upgrade_that_fails(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    next_binary_script("sleep 1; exit 3");
    proxy_mark(fixture.proxy);
    proxy_signal(fixture.proxy, SIGUSR2);
    proxy_line(fixture.proxy, "^upgrading ");
    proxy_signal(fixture.proxy, SIGHUP);
    proxy_line(fixture.proxy, "^upgrade failed .*status 3");
    proxy_line(fixture.proxy, "^reloaded generation=2 ");
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void a_stop_ends_an_upgrade(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    next_binary_script("sleep 5");
    proxy_mark(fixture.proxy);
    proxy_signal(fixture.proxy, SIGUSR2);
    proxy_line(fixture.proxy, "^upgrading ");
    pair_close(&pair);
    proxy_stop(fixture.proxy);
    proxy_line(fixture.proxy, "^upgrade failed .*told to stop");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
        TEST(a_connection_goes_on_in_the_new_process),
        TEST(bytes_under_way_arrive_once_and_in_order),
        TEST(large_blocks_move_in_parts),
        TEST(relays_that_wait_for_memory_move),
        TEST(ends_of_streams_move_too),
        TEST(many_listeners_move),
        TEST(names_keep_their_addresses),
        TEST(metrics_go_on),
        TEST(a_user_without_privileges_upgrades),
        TEST(twenty_upgrades_leave_nothing_behind),
        TEST(many_connections_move_at_once),
        TEST(no_connection_is_refused),
        TEST(what_cannot_move_ends_in_the_old_process),
        TEST(both_processes_can_be_stopped),
        TEST(the_books_balance_over_two_upgrades),
        TEST(an_old_process_that_is_killed_leaves_balanced_books),
        TEST(udp_goes_on_at_the_same_socket),
        TEST(limits_hold_over_an_upgrade),
        TEST(an_upstream_that_is_down_stays_down),
        TEST(failures_are_counted_on),
        TEST(a_rate_holds_over_an_upgrade),
        TEST(times_go_on),
        TEST(a_changed_configuration_is_used),
        TEST(a_reload_follows_an_upgrade),
        TEST(a_reload_follows_an_upgrade_that_fails),
        TEST(a_stop_ends_an_upgrade),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
