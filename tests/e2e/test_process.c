/*
 * The process: how it ends, what it tells the service manager, and its log.
 */
#include "delay.h"
#include "expect.h"
#include "file.h"
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- its end ---- */

static void
after_sigterm_connections_finish_and_no_new_one_is_accepted(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fixture fixture;

        fixture_open(&fixture, "", "");
        struct pair pair = pair_establish(&fixture);
        proxy_signal(fixture.proxy, signals[i]);
        /* One that comes as the listener closes is reset. */
        wait_until(socket_try_connect(NULL, &fixture.front) < 0 &&
                   errno == ECONNREFUSED);
        pair_ping(&pair);
        expect_silence(pair.client, 100);
        struct stopwatch watch = stopwatch_start();
        pair_close(&pair);
        socket_close_all(); /* those that came before the listener closed */
        assert_int_equal(proxy_wait(fixture.proxy), 0);
        stopwatch_expect(&watch, 0, 8000);
    }
}

static void a_second_sigterm_ends_at_once(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "drain_timeout = 1h", "");
    struct pair pair = pair_establish(&fixture);
    proxy_signal(fixture.proxy, SIGTERM);
    expect_silence(pair.client, 100);
    pair_ping(&pair);
    proxy_signal(fixture.proxy, SIGTERM);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
    expect_end(pair.client);
}

/* ---- the service manager ---- */

/* Stands in for the service manager: the socket that a proxy writes to. */
struct manager {
    int fd;
    struct loopback front;
    struct proxy *proxy;
    char message[2048]; /* the last one */
};

static int bind_datagram(const char *path)
{
    struct sockaddr_un here = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(here.sun_path, sizeof(here.sun_path), "%.100s", path);
    unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
    return socket_adopt(fd);
}

/* Starts a proxy with that "K=V", or NULL, in its environment. */
static void manager_start(struct manager *manager, const char *variable)
{
    const char *path = file_path("notify");
    char notify[256];
    const char *const environment[] = {notify, variable, NULL};
    const struct proxy_options options = {.environment = environment};

    snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s", path);
    manager->fd = bind_datagram(path);
    manager->front = loopback_new();
    manager->proxy = proxy_launch(
        &options, "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n",
        manager->front.text);
}

static void manager_receive(struct manager *manager)
{
    ssize_t count =
        recv(manager->fd, manager->message, sizeof(manager->message) - 1, 0);

    assert_true(count > 0);
    manager->message[count] = '\0';
}

/* The next message has the assignment, apart from those of the watchdog. */
static void manager_expect(struct manager *manager, const char *assignment)
{
    for (;;) {
        if (!wait_readable(manager->fd, test_slow() ? 50000 : 10000)) {
            fail_msg("no message with %s", assignment);
        }
        manager_receive(manager);
        if (strstr(manager->message, assignment) != NULL) {
            return;
        }
        assert_non_null(strstr(manager->message, "WATCHDOG=1"));
    }
}

static void the_service_manager_is_told_each_step(void **state)
{
    static const char stamp[] = "MONOTONIC_USEC=";
    struct manager manager;

    (void)state;
    manager_start(&manager, NULL);
    manager_expect(&manager, "READY=1");
    socket_close(socket_connect(&manager.front));
    for (unsigned i = 0; i < 10; i++) {
        /* systemd ignores a time before the signal. */
        int64_t begun_ms = wait_now_ms();
        const char *found;

        proxy_signal(manager.proxy, SIGHUP);
        manager_expect(&manager, "RELOADING=1");
        found = strstr(manager.message, stamp);
        assert_non_null(found);
        assert_in_range(atoll(found + strlen(stamp)) / 1000, begun_ms,
                        wait_now_ms());
        manager_expect(&manager, "READY=1");
    }
    proxy_configure(manager.proxy, "%s", "nonsense\n");
    proxy_signal(manager.proxy, SIGHUP);
    manager_expect(&manager, "RELOADING=1");
    manager_expect(&manager, "READY=1");
    assert_non_null(strstr(manager.message, "STATUS="));
    proxy_signal(manager.proxy, SIGTERM);
    manager_expect(&manager, "STOPPING=1");
    manager_expect(&manager, "EXTEND_TIMEOUT_USEC=30000000");
    assert_int_equal(proxy_wait(manager.proxy), 0);
}

static void the_watchdog_is_fed_in_time(void **state)
{
    int most_ms = test_slow() ? 20000 : 2000;
    struct manager manager;

    (void)state;
    manager_start(&manager, "WATCHDOG_USEC=2000000");
    manager_expect(&manager, "READY=1");
    struct stopwatch watch = stopwatch_start();
    for (int i = 0; i < 3; i++) {
        assert_true(wait_readable(manager.fd, most_ms));
        manager_receive(&manager);
        assert_int_equal(strncmp(manager.message, "WATCHDOG=1", 10), 0);
        stopwatch_expect(&watch, 0, most_ms);
        watch = stopwatch_start();
    }
    proxy_stop(manager.proxy);
}

/* ---- its log ---- */

static void lines_for_the_journal_carry_their_priority(void **state)
{
    const struct proxy_options options = {.journal = true};
    struct proxy *proxy;

    (void)state;
    proxy = proxy_launch(&options,
                         "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n",
                         loopback_new().text);
    proxy_line(proxy, "^<6>ready ");
    proxy_signal(proxy, SIGUSR1);
    proxy_line(proxy, "^<6>stats uptime_s=");
    proxy_configure(proxy, "%s", "nonsense\n");
    proxy_signal(proxy, SIGHUP);
    proxy_line(proxy, "^<3>reload refused: ");
    proxy_stop(proxy);
    assert_int_equal(proxy_count(proxy, "^[^<]"), 0);
}

static void a_log_that_nobody_reads_stalls_no_traffic(void **state)
{
    const struct proxy_options options = {.log_unread = true};
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();

    (void)state;
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy =
        proxy_launch(&options,
                     "[global]\naccess_log = yes\n"
                     "[service web]\nlisten = %s\nupstream = %s\n",
                     front.text, back.text);
    int fd = 0;
    wait_until((fd = socket_try_connect(NULL, &front)) >= 0);
    for (int i = 0; i < 1500; i++) { /* a pipe holds some 400 lines */
        socket_send_text(fd, "x");
        expect_text(fd, "x");
        socket_close(fd);
        fd = socket_connect(&front);
    }
    for (int i = 0; i < 50; i++) {
        proxy_signal(proxy, SIGUSR1);
        socket_send_text(fd, "y");
        expect_text(fd, "y");
    }
    proxy_stop(proxy);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(after_sigterm_connections_finish_and_no_new_one_is_accepted),
        E2E(a_second_sigterm_ends_at_once),
        E2E(the_service_manager_is_told_each_step),
        E2E(the_watchdog_is_fed_in_time),
        E2E(lines_for_the_journal_carry_their_priority),
        E2E(a_log_that_nobody_reads_stalls_no_traffic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
