/*
 * Listening sockets that the service manager passes on: the test is the
 * manager, and keeps them open.
 */
#include "expect.h"
#include "http.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "udp.h"
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PASSED_MAX = 8, FIRST_FD = 3, SPARE_FD = 100 };

static int passed[PASSED_MAX];
static unsigned passed_count;
static char listen_pid[32];
static char listen_fds[32];

/* In the child: the sockets become descriptors 3, 4, ... of its own. */
static void pass_all(void)
{
    for (unsigned i = 0; i < passed_count; i++) {
        passed[i] = fcntl(passed[i], F_DUPFD_CLOEXEC, SPARE_FD);
    }
    for (unsigned i = 0; i < passed_count; i++) {
        dup2(passed[i], FIRST_FD + (int)i);
    }
    snprintf(listen_pid, sizeof(listen_pid), "LISTEN_PID=%d", (int)getpid());
    snprintf(listen_fds, sizeof(listen_fds), "LISTEN_FDS=%u", passed_count);
}

static const char *const passed_environment[] = {listen_pid, listen_fds, NULL};
static const struct proxy_options pass = {
    .environment = passed_environment,
    .prepare = pass_all,
};

/* Several of an address share the port. */
static int open_passed(const struct loopback *address, int type, bool share)
{
    struct socket_address to = loopback_resolve(address);
    int fd = socket_adopt(socket(to.storage.ss_family, type, 0));
    int on = share;

    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    assert_int_equal(bind(fd, (struct sockaddr *)&to.storage, to.length), 0);
    if (type == SOCK_STREAM) {
        assert_int_equal(listen(fd, 128), 0);
    }
    passed[passed_count++] = fd;
    return fd;
}

static int pass_nothing(void **state)
{
    (void)state;
    passed_count = 0;
    return 0;
}

static void ping(int client, const char *text)
{
    socket_send_text(client, text);
    expect_text(client, text);
}

static void stop(struct proxy *proxy)
{
    proxy_signal(proxy, SIGTERM);
    assert_int_equal(proxy_wait(proxy), 0);
}

static const char config[] = "[global]\nworkers = %u\ndrain_timeout = 0\n"
                             "[service web]\nlisten = %s\nupstream = %s\n";

static void a_restart_refuses_nobody(void **state)
{
    struct loopback front = loopback_new(), back = loopback_new();
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy;
    int clients[20];

    (void)state;
    open_passed(&front, SOCK_STREAM, false);
    proxy = proxy_launch(&pass, config, 3u, front.text, back.text);
    for (int i = 0; i < 20; i++) {
        clients[i] = socket_connect(&front);
        ping(clients[i], "before");
        socket_close(clients[i]);
    }
    stop(proxy);
    for (int i = 0; i < 20; i++) {
        clients[i] = socket_connect(&front);
        socket_send_text(clients[i], "between");
    }
    proxy = proxy_launch(&pass, config, 3u, front.text, back.text);
    for (int i = 0; i < 20; i++) {
        expect_text(clients[i], "between");
    }
    proxy_stop(proxy);
    assert_int_equal(proxy_count(proxy, "inherited"), 0);
    server_stop(server);
}

/* The manager's sockets stay the manager's over upgrades. */
static void upgrades_keep_them(void **state)
{
    struct loopback front = loopback_new(), back = loopback_new();
    struct loopback other = loopback_new();
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy;
    int client;

    (void)state;
    open_passed(&front, SOCK_STREAM, false);
    proxy = proxy_launch(&pass, config, 3u, front.text, back.text);
    for (unsigned i = 0; i < 2; i++) {
        proxy_await_old(proxy_upgrade(proxy));
        client = socket_connect(&front);
        ping(client, "hello");
        socket_close(client);
    }
    /* Given up, and taken again. */
    proxy_configure(proxy, config, 3u, other.text, back.text);
    proxy_reload(proxy);
    ping(socket_connect(&other), "other");
    proxy_configure(proxy, config, 3u, front.text, back.text);
    proxy_reload(proxy);
    ping(socket_connect(&front), "again");
    socket_close_all();
    proxy_signal(proxy, SIGTERM);
    assert_int_equal(proxy_wait(proxy), 0);
    server_stop(server);
}

static void several_sockets_of_an_address_are_all_served(void **state)
{
    struct loopback front = loopback_new(), back = loopback_new();
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy;

    (void)state;
    open_passed(&front, SOCK_STREAM, true);
    open_passed(&front, SOCK_STREAM, true);
    proxy = proxy_launch(&pass, config, 3u, front.text, back.text);
    for (int i = 0; i < 40; i++) {
        int client = socket_connect(&front);

        ping(client, "hello");
        socket_close(client);
    }
    proxy_stop(proxy);
    server_stop(server);
}

static void more_sockets_than_workers_refuse_the_start(void **state)
{
    const struct proxy_options options = {
        .environment = passed_environment,
        .prepare = pass_all,
        .no_ready = true,
    };
    struct loopback front = loopback_new();
    struct proxy *proxy;

    (void)state;
    open_passed(&front, SOCK_STREAM, true);
    open_passed(&front, SOCK_STREAM, true);
    proxy = proxy_launch(&options, config, 1u, front.text, "127.0.0.1:1");
    proxy_line(proxy, "^inherited address=.* error=\"2 sockets, but workers = "
                      "1\"$");
    proxy_line(proxy, "^evproxy: cannot listen on .*: Too many users");
    assert_int_equal(proxy_wait(proxy), 1);
}

static void datagrams_come_by_a_socket_that_was_passed(void **state)
{
    struct loopback front = loopback_new(), back = loopback_new();
    struct socket_address session;
    struct proxy *proxy;

    (void)state;
    open_passed(&front, SOCK_DGRAM, false);
    proxy = proxy_launch(&pass,
                         "[global]\nworkers = 3\ndrain_timeout = 0\n"
                         "[service web]\nmode = udp\nlisten = %s\n"
                         "upstream = %s\n",
                         front.text, back.text);
    int upstream = udp_bind(&back);
    for (unsigned n = 1; n <= 20; n++) {
        int client = udp_connect(loopback_source(n), &front);

        udp_send(client, "question", 8);
        udp_expect_from(upstream, "question", 8, &session);
        udp_reply(upstream, &session, "answer", 6);
        udp_expect(client, "answer", 6);
    }
    proxy_stop(proxy);
}

/* The workers have them before the start is over. */
static void datagrams_that_wait_for_the_start_are_taken(void **state)
{
    struct loopback front = loopback_new(), back = loopback_new();
    int upstream = udp_bind(&back);
    struct socket_address session;

    (void)state;
    open_passed(&front, SOCK_DGRAM, false);
    for (unsigned n = 1; n <= 10; n++) {
        int client = udp_connect(loopback_source(n), &front);
        struct proxy *proxy;

        udp_send(client, "early", 5);
        proxy = proxy_launch(&pass,
                             "[global]\nworkers = 2\ndrain_timeout = 0\n"
                             "[service web]\nmode = udp\nlisten = %s\n"
                             "upstream = %s\n",
                             front.text, back.text);
        udp_expect_from(upstream, "early", 5, &session);
        stop(proxy);
    }
}

/* A session keeps the socket for its answer in a drain. What others send then
 * waits for the next process. */
static void datagrams_of_a_drain_wait_for_the_next_process(void **state)
{
    static const char text[] = "[global]\nworkers = 1\ndrain_timeout = 10s\n"
                               "[service web]\nmode = udp\nlisten = %s\n"
                               "upstream = %s\n"
                               "[service other]\nlisten = %s\n"
                               "upstream = 127.0.0.1:1\n";
    struct loopback front = loopback_new(), back = loopback_new();
    struct loopback other = loopback_new();
    struct socket_address session, next;
    struct proxy *proxy;
    int refused;

    (void)state;
    open_passed(&front, SOCK_DGRAM, false);
    proxy = proxy_launch(&pass, text, front.text, back.text, other.text);
    int upstream = udp_bind(&back);
    int before = udp_connect(loopback_source(1), &front);
    int meanwhile = udp_connect(loopback_source(2), &front);

    udp_send(before, "question", 8);
    udp_expect_from(upstream, "question", 8, &session);
    proxy_signal(proxy, SIGTERM);
    /* The worker drains as soon as it refuses connections. */
    wait_until((refused = socket_try_connect(NULL, &other)) < 0);
    udp_send(meanwhile, "meanwhile", 9);
    udp_reply(upstream, &session, "answer", 6);
    udp_expect(before, "answer", 6);
    assert_int_equal(proxy_wait(proxy), 0);
    proxy = proxy_launch(&pass, text, front.text, back.text, other.text);
    udp_expect_from(upstream, "meanwhile", 9, &next);
    stop(proxy);
}

static void the_file_of_a_unix_socket_is_the_managers(void **state)
{
    struct loopback front = loopback_unix("passed"), back = loopback_new();
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy;
    struct stat status;
    int client;

    (void)state;
    open_passed(&front, SOCK_STREAM, false);
    proxy = proxy_launch(&pass, config, 2u, front.text, back.text);
    client = socket_connect(&front);
    ping(client, "hello");
    socket_close(client);
    stop(proxy);
    assert_int_equal(stat(front.text + strlen("unix:"), &status), 0);
    server_stop(server);
}

static void what_fits_nothing_is_told_and_closed(void **state)
{
    struct loopback front = loopback_new(), other = loopback_new();
    struct proxy *proxy;
    int fd;

    (void)state;
    fd = open_passed(&other, SOCK_STREAM, false);
    open_passed(&front, SOCK_DGRAM, false);
    proxy = proxy_launch(&pass, config, 2u, front.text, "127.0.0.1:1");
    proxy_line(proxy, "^inherited fd=3 address=.* closed "
                      "reason=\"no service listens there\"$");
    proxy_line(proxy, "^inherited fd=4 ");
    socket_close(fd);
    assert_int_equal(socket_try_connect(NULL, &other), -1);
    assert_int_equal(errno, ECONNREFUSED);
    proxy_stop(proxy);
}

static void the_path_of_a_socket_cannot_forge_a_line(void **state)
{
    struct loopback front = loopback_new();
    struct loopback other = loopback_unix("a\nready \"x\"=\xff");
    struct proxy *proxy;

    (void)state;
    open_passed(&other, SOCK_STREAM, false);
    proxy = proxy_launch(&pass, config, 2u, front.text, "127.0.0.1:1");
    proxy_line(proxy, "^inherited fd=3 address=\"unix:/[^ ]*/a\\\\nready "
                      "\\\\\"x\\\\\"=\\\\ufffd\" closed reason=");
    proxy_stop(proxy);
}

static void a_reload_gives_an_address_up_and_takes_it_again(void **state)
{
    struct loopback front = loopback_new(), other = loopback_new();
    struct loopback back = loopback_new();
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy;
    int client;

    (void)state;
    open_passed(&front, SOCK_STREAM, false);
    proxy = proxy_launch(&pass, config, 2u, front.text, back.text);
    proxy_configure(proxy, config, 2u, other.text, back.text);
    proxy_reload(proxy);
    client = socket_connect(&front); /* the manager still has the socket */
    socket_send_text(client, "patience");
    expect_silence(client, 100);
    proxy_configure(proxy, config, 2u, front.text, back.text);
    proxy_reload(proxy);
    expect_text(client, "patience");
    proxy_stop(proxy);
    server_stop(server);
}

static const char with_metrics[] =
    "[global]\nworkers = 2\ndrain_timeout = 0\nmetrics_listen = %s\n"
    "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n";

static void metrics_are_served_at_a_socket_that_was_passed(void **state)
{
    struct loopback http = loopback_new(), front = loopback_new();
    struct proxy *proxy;
    int client;

    (void)state;
    open_passed(&http, SOCK_STREAM, false);
    proxy = proxy_launch(&pass, with_metrics, http.text, front.text);
    assert_int_equal(http_status(&http, "/metrics"), 200);
    proxy_configure(proxy, with_metrics, "off", front.text);
    proxy_reload(proxy);
    client = socket_connect(&http); /* the manager still has the socket */
    socket_send_text(client, "GET /healthz HTTP/1.0\r\n\r\n");
    expect_silence(client, 100);
    proxy_configure(proxy, with_metrics, http.text, front.text);
    proxy_reload(proxy);
    expect_text(client, "HTTP/1.1 200 OK\r\n");
    stop(proxy);
    assert_int_equal(proxy_count(proxy, "inherited"), 0);

    client = socket_connect(&http);
    socket_send_text(client, "GET /healthz HTTP/1.0\r\n\r\n");
    proxy = proxy_launch(&pass, with_metrics, http.text, front.text);
    expect_text(client, "HTTP/1.1 200 OK\r\n");
    proxy_stop(proxy);
}

static void the_file_of_a_socket_of_metrics_is_the_managers(void **state)
{
    struct loopback http = loopback_unix("metrics"), front = loopback_new();
    struct proxy *proxy;
    struct stat status;

    (void)state;
    open_passed(&http, SOCK_STREAM, false);
    proxy = proxy_launch(&pass, with_metrics, http.text, front.text);
    assert_int_equal(http_status(&http, "/livez"), 200);
    stop(proxy);
    assert_int_equal(stat(http.text + strlen("unix:"), &status), 0);
}

static void two_sockets_of_metrics_refuse_the_start(void **state)
{
    const struct proxy_options options = {
        .environment = passed_environment,
        .prepare = pass_all,
        .no_ready = true,
    };
    struct loopback http = loopback_new(), front = loopback_new();
    struct proxy *proxy;

    (void)state;
    open_passed(&http, SOCK_STREAM, true);
    open_passed(&http, SOCK_STREAM, true);
    proxy = proxy_launch(&options, with_metrics, http.text, front.text);
    proxy_line(proxy, "^inherited address=.* error=\"2 sockets, but "
                      "metrics_listen takes one\"$");
    proxy_line(proxy, "^evproxy: cannot listen on .*: Too many users");
    assert_int_equal(proxy_wait(proxy), 1);
}

#define PASSING(name)                                                          \
    cmocka_unit_test_setup_teardown(name, pass_nothing, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PASSING(a_restart_refuses_nobody),
        PASSING(upgrades_keep_them),
        PASSING(several_sockets_of_an_address_are_all_served),
        PASSING(more_sockets_than_workers_refuse_the_start),
        PASSING(datagrams_come_by_a_socket_that_was_passed),
        PASSING(datagrams_that_wait_for_the_start_are_taken),
        PASSING(datagrams_of_a_drain_wait_for_the_next_process),
        PASSING(the_file_of_a_unix_socket_is_the_managers),
        PASSING(what_fits_nothing_is_told_and_closed),
        PASSING(the_path_of_a_socket_cannot_forge_a_line),
        PASSING(a_reload_gives_an_address_up_and_takes_it_again),
        PASSING(metrics_are_served_at_a_socket_that_was_passed),
        PASSING(the_file_of_a_socket_of_metrics_is_the_managers),
        PASSING(two_sockets_of_metrics_refuse_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
