/*
 * Keys of the process and of its sockets: each changes what it says it does.
 */
#include "harness.h"

#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- [global] ---- */

static void workers_says_how_many_threads_carry_bytes(void **state)
{
    (void)state;
    unsigned threads[3] = {0};
    for (unsigned n = 1; n <= 2; n++) {
        struct scene scene;
        char keys[64];
        snprintf(keys, sizeof keys, "workers = %u", n);
        scene_open(&scene, keys, "");
        const char *ready = proxy_line(scene.proxy, "^ready version=[^ ]+ "
                                                    "services=1 workers=");
        assert_int_equal(line_number(ready, "workers"), n);
        threads[n] = proxy_entries(scene.proxy, "task");
        scene_pair_open(&scene);
        assert_int_equal(stat_get(scene.proxy, NULL, NULL, "workers"), n);
        scene_close(&scene);
    }
    assert_int_equal(threads[2], threads[1] + 1);
}

static void workers_auto_is_one_for_each_cpu(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "workers = auto", "");
    assert_int_equal(stat_get(scene.proxy, NULL, NULL, "workers"),
                     sysconf(_SC_NPROCESSORS_ONLN));
    scene_close(&scene);
}

/* How many bytes are lent for one upstream that reads nothing. */
static uint64_t block_bytes(const char *keys)
{
    struct scene scene;
    scene_open(&scene, keys, "");
    struct pair pair = scene_pair_open(&scene);
    stuff(pair.client, 100);
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 1);
    uint64_t bytes = stat_get(scene.proxy, NULL, NULL, "buffer_bytes");
    scene_close(&scene);
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
    struct scene scene;
    (void)state;
    scene_open(&scene, "stats_interval = 100ms", "");
    int64_t begin = time_ms();
    eventually(proxy_count(scene.proxy, "^stats uptime_s=") >= 3);
    assert_in_range(time_ms() - begin, 180, 8000);
    assert_true(proxy_count(scene.proxy, "^stats service=web active=") >= 2);
    scene_close(&scene);
}

static void without_stats_interval_there_are_none(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair_open(&scene);
    expect_silence(pair.client, 300);
    assert_int_equal(proxy_count(scene.proxy, "^stats "), 0);
    scene_close(&scene);
}

/* Runs until it can be stopped, with an upstream that is taken out; the log is
 * then complete. */
static struct proxy *log_at(const char *level)
{
    const struct launch quiet = {.unready = true};
    struct place front = place_new();
    struct place back = refusing_place();
    char config[512];
    snprintf(config, sizeof config,
             "[global]\nlog_level = %s\n[service web]\nlisten = %s\n"
             "upstream = %s\nfail_threshold = 1\naccess_log = yes\n",
             level, front.text, back.text);
    struct proxy *proxy = proxy_launch(&quiet, config);
    /* A connection line comes at every level. */
    eventually(dial_try(NULL, &front) >= 0 || proxy_count(proxy, "^conn ") > 0);
    proxy_line(proxy, "^conn service=web .*cause=");
    stat_line(proxy, "web", NULL);
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

/* ---- user, group ---- */

static void root_is_dropped_after_the_listeners_are_open(void **state)
{
    struct scene scene;
    struct passwd *nobody = getpwnam("nobody");
    (void)state;
    if (geteuid() != 0 || !nobody) {
        print_message("skipped: root and a user nobody are needed\n");
        skip();
    }
    scene_open(&scene, "user = nobody", "");
    assert_int_equal(proxy_status(scene.proxy, "Uid"), nobody->pw_uid);
    assert_int_equal(proxy_status(scene.proxy, "Gid"), nobody->pw_gid);
    scene_pair_open(&scene);
    proxy_reload(scene.proxy);
    scene_pair_open(&scene);
    scene_close(&scene);
}

static void a_group_may_be_another_than_the_users(void **state)
{
    struct scene scene;
    (void)state;
    if (geteuid() != 0 || !getpwnam("nobody") || !getgrnam("daemon")) {
        print_message("skipped: root and a user nobody are needed\n");
        skip();
    }
    scene_open(&scene, "user = nobody\ngroup = daemon", "");
    assert_int_equal(proxy_status(scene.proxy, "Gid"),
                     getgrnam("daemon")->gr_gid);
    scene_close(&scene);
}

static void an_unknown_user_does_not_start(void **state)
{
    const struct launch launch = {.unready = true};
    struct place front = place_new();
    char config[512];
    (void)state;
    snprintf(config, sizeof config,
             "[global]\nuser = no-such-user\n[service web]\n"
             "listen = %s\nupstream = 127.0.0.1:1\n",
             front.text);
    struct proxy *proxy = proxy_launch(&launch, config);
    assert_int_equal(proxy_wait(proxy), 1);
    proxy_line(proxy, "no-such-user");
}

/* ---- TLS ---- */

static void version_tells_what_is_built_in(void **state)
{
    static const char *const arguments[] = {"evproxy", "-V", NULL};
    struct outcome outcome;
    (void)state;
    run_once(&outcome, arguments);
    assert_non_null(strstr(outcome.out, EVPROXY_TLS
                                            ? "\nbuilt in: tcp udp tls\n"
                                            : "\nbuilt in: tcp udp\n"));
}

/* These keys begin in line 4; -t tells of this line and of no other. */
static void assert_told(const char *keys, unsigned line, const char *message)
{
    struct outcome outcome;
    char text[1024];
    snprintf(text, sizeof text,
             "[service web]\nlisten = 127.0.0.1:81\n"
             "upstream = 127.0.0.1:80\n%s\n",
             keys);
    const char *path = file_write("tls.ini", text);
    const char *const arguments[] = {"evproxy", "-t", "-c", path, NULL};
    run_once(&outcome, arguments);
    snprintf(text, sizeof text, "%s:%u: %s\n", path, line, message);
    assert_string_equal(outcome.err, text);
    assert_int_equal(outcome.status, 1);
}

#if EVPROXY_TLS
static void keys_of_tls_that_do_not_fit_are_told_by_line(void **state)
{
    (void)state;
    assert_told("tls_key = /x.key", 4, "tls_key needs tls_certificate");
    assert_told("tls_min_version = 1.3", 4,
                "tls_min_version needs tls_certificate");
    assert_told("tls_min_version = 1.1", 4,
                "tls_min_version: '1.1' is not one of 1.2, 1.3");
    assert_told("tls_certificate = /x.pem\ntls_key = /x.key\n"
                "tls_certificate = /y.pem",
                5,
                "tls_key: 1 for 2 of tls_certificate: there is one for each, "
                "in the same order, or none");
    assert_told("upstream_tls_name = a.example", 4,
                "upstream_tls_name needs upstream_tls = yes");
    assert_told("upstream_tls = yes\nupstream = unix:/run/x", 5,
                "unix:/run/x: upstream_tls needs upstream_tls_name for a unix "
                "socket");
    assert_told("mode = udp\ntls_certificate = /x.pem", 5,
                "tls_certificate is not available for mode = udp");
}
#else
static void without_tls_its_keys_are_refused_with_a_way_to_have_it(void **state)
{
    static const char *const keys[] = {
        "tls_certificate", "tls_key",           "tls_client_ca",
        "tls_min_version", "tls_alpn",          "upstream_tls",
        "upstream_tls_ca", "upstream_tls_name",
    };
    (void)state;
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        char line[64];
        char message[128];
        snprintf(line, sizeof line, "%s = yes", keys[i]);
        snprintf(message, sizeof message,
                 "%s: this build has no TLS (make TLS=1 builds it in)",
                 keys[i]);
        assert_told(line, 4, message);
    }
}
#endif

/* ---- sockets ---- */

static int option(int fd, int level, int name)
{
    int value = 0;
    socklen_t length = sizeof value;
    assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
    return value;
}

static struct place place_of(int fd)
{
    struct sockaddr_in here;
    struct place place;
    socklen_t length = sizeof here;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &length), 0);
    uint32_t host = ntohl(here.sin_addr.s_addr);
    snprintf(place.text, sizeof place.text, "%u.%u.%u.%u:%u", host >> 24,
             host >> 16 & 255, host >> 8 & 255, host & 255,
             ntohs(here.sin_port));
    return place;
}

/* The proxy's own two sockets of a connection, and its listening one. */
struct inside {
    int client;
    int upstream;
    int listener;
};

static struct inside look_inside(const struct scene *scene)
{
    struct pair pair = scene_pair_open(scene);
    send_text(pair.client, "again");
    expect_text(pair.upstream, "again");
    struct place client = place_of(pair.client);
    struct inside inside;
    inside.listener = proxy_socket(scene->proxy, &scene->front, false);
    inside.client = proxy_socket(scene->proxy, &client, true);
    inside.upstream = proxy_socket(scene->proxy, &scene->back, true);
    if (inside.listener < 0) {
        print_message("skipped: not allowed to look at its sockets\n");
        skip();
    }
    assert_true(inside.client >= 0 && inside.upstream >= 0);
    return inside;
}

static bool is_settled(int fd)
{
    return option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1 &&
           option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 7 &&
           option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 4500 &&
           option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 20480;
}

/* On the upstream's side they may come when the connection has lasted. */
static void keepalive_user_timeout_and_lowat_are_set_on_both_sides(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "",
               "tcp_keepalive = 7s\ntcp_user_timeout = 4500ms\n"
               "tcp_notsent_lowat = 20K");
    struct inside inside = look_inside(&scene);
    assert_true(is_settled(inside.client));
    eventually(is_settled(inside.upstream));
    scene_close(&scene);
}

static void keepalive_is_a_minute_unless_it_is_off(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct inside inside = look_inside(&scene);
    assert_int_equal(option(inside.client, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    assert_int_equal(option(inside.client, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
    scene_close(&scene);
    scene_open(&scene, "", "tcp_keepalive = off");
    inside = look_inside(&scene);
    assert_int_equal(option(inside.client, SOL_SOCKET, SO_KEEPALIVE), 0);
    scene_close(&scene);
}

/* A second small write does not wait for the answer to the first. */
static void nothing_waits_for_an_acknowledgement(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct inside inside = look_inside(&scene);
    assert_true(option(inside.client, IPPROTO_TCP, TCP_NODELAY) != 0);
    assert_true(option(inside.upstream, IPPROTO_TCP, TCP_NODELAY) != 0);
    scene_close(&scene);
}

static void tcp_fastopen_opens_the_listener_for_it(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "tcp_fastopen = yes");
    struct inside inside = look_inside(&scene);
    assert_true(option(inside.listener, IPPROTO_TCP, TCP_FASTOPEN) > 0);
    scene_close(&scene);
    scene_open(&scene, "", "");
    inside = look_inside(&scene);
    assert_int_equal(option(inside.listener, IPPROTO_TCP, TCP_FASTOPEN), 0);
    scene_close(&scene);
}

/* For a listening socket tcpi_sacked is the length of its queue. */
static uint32_t queue_of(int listener)
{
    struct tcp_info info;
    socklen_t length = sizeof info;
    assert_int_equal(
        getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length), 0);
    return info.tcpi_sacked;
}

static void backlog_is_the_length_of_the_queue(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "backlog = 123");
    struct inside inside = look_inside(&scene);
    assert_int_equal(queue_of(inside.listener), 123);
    proxy_configure(scene.proxy,
                    "[service web]\nlisten = %s\nupstream = %s\nbacklog = 77\n",
                    scene.front.text, scene.back.text);
    proxy_reload(scene.proxy);
    eventually(queue_of(inside.listener) == 77);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(workers_says_how_many_threads_carry_bytes),
        E2E(workers_auto_is_one_for_each_cpu),
        E2E(buffer_size_is_the_size_of_a_lent_block),
        E2E(stats_interval_writes_the_stats_unasked),
        E2E(without_stats_interval_there_are_none),
        E2E(log_level_leaves_out_what_is_below_it),
        E2E(root_is_dropped_after_the_listeners_are_open),
        E2E(a_group_may_be_another_than_the_users),
        E2E(an_unknown_user_does_not_start),
        E2E(version_tells_what_is_built_in),
#if EVPROXY_TLS
        E2E(keys_of_tls_that_do_not_fit_are_told_by_line),
#else
        E2E(without_tls_its_keys_are_refused_with_a_way_to_have_it),
#endif
        E2E(keepalive_user_timeout_and_lowat_are_set_on_both_sides),
        E2E(keepalive_is_a_minute_unless_it_is_off),
        E2E(nothing_waits_for_an_acknowledgement),
        E2E(tcp_fastopen_opens_the_listener_for_it),
        E2E(backlog_is_the_length_of_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
