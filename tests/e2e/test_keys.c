/*
 * Keys of the process and of its sockets: each does what the manual says.
 */
#include "command.h"
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proc.h"
#include "proxy.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "wait.h"

#include "control/cgroup.h"

#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- [global] ---- */

static void workers_says_how_many_threads_carry_bytes(void **state)
{
    (void)state;
    unsigned threads[3] = {0};
    for (unsigned n = 1; n <= 2; n++) {
        struct fixture fixture;
        char keys[64];

        snprintf(keys, sizeof(keys), "workers = %u", n);
        fixture_open(&fixture, keys, "");
        const char *ready = proxy_line(fixture.proxy, "^ready version=[^ ]+ "
                                                      "services=1 workers=");
        assert_int_equal(proxy_line_value(ready, "workers"), n);
        threads[n] = proc_entries(fixture.proxy, "task");
        pair_establish(&fixture);
        stats_await(fixture.proxy, NULL, NULL, "workers", n);
        fixture_close(&fixture);
    }
    assert_int_equal(threads[2], threads[1] + 1);
}

static void workers_auto_is_one_for_each_usable_cpu(void **state)
{
    struct cgroup_limits limits;
    struct fixture fixture;
    cpu_set_t set;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
    cgroup_read_own(&limits);
    fixture_open(&fixture, "workers = auto", "");
    stats_await(fixture.proxy, NULL, NULL, "workers",
                MIN(limits.processors, (uint64_t)CPU_COUNT(&set)));
    fixture_close(&fixture);
}

/* The bytes that are lent for one upstream that reads nothing. */
static uint64_t block_bytes(const char *global)
{
    struct fixture fixture;

    fixture_open(&fixture, global, "");
    struct pair pair = pair_establish(&fixture);
    socket_fill(pair.client, 100);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 1);
    uint64_t bytes = stats_get(fixture.proxy, NULL, NULL, "buffer_bytes");
    fixture_close(&fixture);
    return bytes;
}

static void buffer_size_is_the_size_of_a_lent_block(void **state)
{
    (void)state;
    assert_int_equal(block_bytes("buffer_size = 4K"), 4096);
    assert_int_equal(block_bytes(""), 16384);
    assert_int_equal(block_bytes("buffer_size = 64K"), 65536);
}

static void stats_interval_writes_the_stats_unasked(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "stats_interval = 100ms", "");
    struct stopwatch watch = stopwatch_start();
    wait_until(proxy_count(fixture.proxy, "^stats uptime_s=") >= 3);
    stopwatch_expect(&watch, 180, 8000);
    assert_true(proxy_count(fixture.proxy, "^stats service=web active=") >= 2);
    fixture_close(&fixture);
}

static void without_stats_interval_there_are_none(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair pair = pair_establish(&fixture);
    expect_silence(pair.client, 300);
    assert_int_equal(proxy_count(fixture.proxy, "^stats "), 0);
    fixture_close(&fixture);
}

/* A run to its end at that level, with an upstream that is marked down. The log
 * is complete. */
static struct proxy *log_at(const char *level)
{
    const struct proxy_options options = {.no_ready = true};
    struct loopback front = loopback_new();
    struct loopback back = server_refusing();

    struct proxy *proxy =
        proxy_launch(&options,
                     "[global]\nlog_level = %s\n[service web]\nlisten = %s\n"
                     "upstream = %s\nfail_threshold = 1\naccess_log = yes\n",
                     level, front.text, back.text);
    /* A connection's line comes at every level. */
    wait_until(socket_try_connect(NULL, &front) >= 0 ||
               proxy_count(proxy, "^conn ") > 0);
    proxy_line(proxy, "^conn service=web .*cause=");
    stats_line(proxy, "web", NULL);
    proxy_stop(proxy);
    return proxy;
}

static void log_level_leaves_out_what_is_below_it(void **state)
{
    (void)state;
    struct proxy *error = log_at("error");
    assert_int_equal(proxy_count(error, "^(ready|upstream) "), 0);
    struct proxy *info = log_at("info");
    assert_int_equal(proxy_count(info, "^ready "), 1);
    assert_true(proxy_count(info, "^upstream .*state=down") >= 1);
    struct proxy *debug = log_at("debug");
    assert_int_equal(proxy_count(debug, "^ready "), 1);
}

/* ---- user and group ---- */

static void root_is_dropped_after_the_listeners_are_open(void **state)
{
    struct fixture fixture;
    struct passwd *nobody = getpwnam("nobody");

    (void)state;
    if (geteuid() != 0 || !nobody) {
        skip_because("root and a user nobody are needed");
    }
    fixture_open(&fixture, "user = nobody", "");
    assert_int_equal(proc_status(fixture.proxy, "Uid"), nobody->pw_uid);
    assert_int_equal(proc_status(fixture.proxy, "Gid"), nobody->pw_gid);
    pair_establish(&fixture);
    proxy_reload(fixture.proxy);
    pair_establish(&fixture);
    fixture_close(&fixture);
}

static void a_group_may_be_another_than_the_users(void **state)
{
    struct fixture fixture;

    (void)state;
    if (geteuid() != 0 || !getpwnam("nobody") || !getgrnam("daemon")) {
        skip_because("root and a user nobody are needed");
    }
    fixture_open(&fixture, "user = nobody\ngroup = daemon", "");
    assert_int_equal(proc_status(fixture.proxy, "Gid"),
                     getgrnam("daemon")->gr_gid);
    fixture_close(&fixture);
}

static void an_unknown_user_prevents_the_start(void **state)
{
    const struct proxy_options options = {.no_ready = true};
    struct proxy *proxy;

    (void)state;
    proxy = proxy_launch(&options,
                         "[global]\nuser = no-such-user\n[service web]\n"
                         "listen = %s\nupstream = 127.0.0.1:1\n",
                         loopback_new().text);
    assert_int_equal(proxy_wait(proxy), 1);
    proxy_line(proxy, "no-such-user");
}

/* ---- TLS ---- */

static void version_tells_what_is_built_in(void **state)
{
    static const char *const arguments[] = {"evproxy", "-V", NULL};
    struct command_result result;

    (void)state;
    command_run(&result, arguments);
    assert_non_null(strstr(result.out, EVPROXY_TLS ? "\nbuilt in: tcp udp tls\n"
                                                   : "\nbuilt in: tcp udp\n"));
}

/* Of these keys, which begin in line 4, -t reports this line alone. */
static void expect_error(const char *keys, unsigned line, const char *message)
{
    struct command_result result;
    char text[1024];
    const char *path;

    snprintf(text, sizeof(text),
             "[service web]\nlisten = 127.0.0.1:81\n"
             "upstream = 127.0.0.1:80\n%s\n",
             keys);
    path = command_check(&result, "tls.ini", text);
    snprintf(text, sizeof(text), "%s:%u: %s\n", path, line, message);
    assert_string_equal(result.err, text);
    assert_int_equal(result.status, 1);
}

#if EVPROXY_TLS
static void keys_of_tls_that_do_not_fit_are_reported_by_line(void **state)
{
    (void)state;
    expect_error("tls_key = /x.key", 4, "tls_key needs tls_certificate");
    expect_error("tls_min_version = 1.3", 4,
                 "tls_min_version needs tls_certificate");
    expect_error("tls_min_version = 1.1", 4,
                 "tls_min_version: '1.1' is not one of 1.2, 1.3");
    expect_error("tls_certificate = /x.pem\ntls_key = /x.key\n"
                 "tls_certificate = /y.pem",
                 5,
                 "tls_key: 1 for 2 of tls_certificate: there is one for "
                 "each, in the same order, or none");
    expect_error(
        "upstream_tls_name = a.example", 4,
        "upstream_tls_name needs upstream_tls = yes or health_tls = yes");
    expect_error("upstream_tls = yes\nupstream = unix:/run/x", 5,
                 "unix:/run/x: upstream_tls needs upstream_tls_name for a unix "
                 "socket");
    expect_error("mode = udp\ntls_certificate = /x.pem", 5,
                 "tls_certificate is not available for mode = udp");
}
#define TEST_OF_TLS_KEYS keys_of_tls_that_do_not_fit_are_reported_by_line
#else
static void keys_of_tls_are_refused_with_the_way_to_build_it_in(void **state)
{
    static const char *const keys[] = {
        "tls_certificate",  "tls_key",           "tls_client_ca",
        "tls_min_version",  "tls_alpn",          "upstream_tls",
        "upstream_tls_ca",  "upstream_tls_name", "upstream_tls_certificate",
        "upstream_tls_key", "tls_ticket_keys",
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        char line[64];
        char message[128];

        snprintf(line, sizeof(line), "%s = yes", keys[i]);
        snprintf(message, sizeof(message),
                 "%s: this build has no TLS (make TLS=1 builds it in)",
                 keys[i]);
        expect_error(line, 4, message);
    }
}
#define TEST_OF_TLS_KEYS keys_of_tls_are_refused_with_the_way_to_build_it_in
#endif

/* ---- sockets ---- */

static int option(int fd, int level, int name)
{
    int value = 0;
    socklen_t length = sizeof(value);

    assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
    return value;
}

/* The proxy's own two sockets of a connection, and its listening one. */
struct inside {
    int client;
    int upstream;
    int listener;
};

/* Two messages have passed, so the connection is an established one. */
static struct inside look_inside(const struct fixture *fixture)
{
    struct pair pair = pair_establish(fixture);
    struct loopback client = loopback_local(pair.client);
    struct inside inside;

    pair_ping(&pair);
    inside.listener = proc_socket(fixture->proxy, &fixture->front, false);
    inside.client = proc_socket(fixture->proxy, &client, true);
    inside.upstream = proc_socket(fixture->proxy, &fixture->back, true);
    if (inside.listener < 0) {
        skip_because("not allowed to look at its sockets");
    }
    assert_true(inside.client >= 0 && inside.upstream >= 0);
    return inside;
}

static bool has_options(int fd)
{
    return option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1 &&
           option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 7 &&
           option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 4500 &&
           option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 20480;
}

/* On the upstream's side the proxy may set them later. */
static void keepalive_user_timeout_and_lowat_are_set_on_both_sides(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "",
                 "tcp_keepalive = 7s\ntcp_user_timeout = 4500ms\n"
                 "tcp_notsent_lowat = 20K");
    struct inside inside = look_inside(&fixture);
    assert_true(has_options(inside.client));
    wait_until(has_options(inside.upstream));
    fixture_close(&fixture);
}

static void keepalive_is_a_minute_unless_it_is_off(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct inside inside = look_inside(&fixture);
    assert_int_equal(option(inside.client, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    assert_int_equal(option(inside.client, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
    fixture_close(&fixture);
    fixture_open(&fixture, "", "tcp_keepalive = off");
    inside = look_inside(&fixture);
    assert_int_equal(option(inside.client, SOL_SOCKET, SO_KEEPALIVE), 0);
    fixture_close(&fixture);
}

/* A second small write does not wait for the answer to the first. */
static void nothing_waits_for_an_acknowledgement(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct inside inside = look_inside(&fixture);
    assert_true(option(inside.client, IPPROTO_TCP, TCP_NODELAY) != 0);
    assert_true(option(inside.upstream, IPPROTO_TCP, TCP_NODELAY) != 0);
    fixture_close(&fixture);
}

static void tcp_fastopen_opens_the_listener_for_it(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "tcp_fastopen = yes");
    struct inside inside = look_inside(&fixture);
    assert_true(option(inside.listener, IPPROTO_TCP, TCP_FASTOPEN) > 0);
    fixture_close(&fixture);
    fixture_open(&fixture, "", "");
    inside = look_inside(&fixture);
    assert_int_equal(option(inside.listener, IPPROTO_TCP, TCP_FASTOPEN), 0);
    fixture_close(&fixture);
}

/* For a listening socket tcpi_sacked is the length of its queue. */
static uint32_t queue_length(int listener)
{
    struct tcp_info info;
    socklen_t length = sizeof(info);

    assert_int_equal(
        getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return info.tcpi_sacked;
}

static void backlog_is_the_length_of_the_queue(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "backlog = 123");
    struct inside inside = look_inside(&fixture);
    assert_int_equal(queue_length(inside.listener), 123);
    fixture_reload(&fixture, "backlog = 77");
    wait_until(queue_length(inside.listener) == 77);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(workers_says_how_many_threads_carry_bytes),
        E2E(workers_auto_is_one_for_each_usable_cpu),
        E2E(buffer_size_is_the_size_of_a_lent_block),
        E2E(stats_interval_writes_the_stats_unasked),
        E2E(without_stats_interval_there_are_none),
        E2E(log_level_leaves_out_what_is_below_it),
        E2E(root_is_dropped_after_the_listeners_are_open),
        E2E(a_group_may_be_another_than_the_users),
        E2E(an_unknown_user_prevents_the_start),
        E2E(version_tells_what_is_built_in),
        E2E(TEST_OF_TLS_KEYS),
        E2E(keepalive_user_timeout_and_lowat_are_set_on_both_sides),
        E2E(keepalive_is_a_minute_unless_it_is_off),
        E2E(nothing_waits_for_an_acknowledgement),
        E2E(tcp_fastopen_opens_the_listener_for_it),
        E2E(backlog_is_the_length_of_the_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
