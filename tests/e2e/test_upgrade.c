/*
 * Live upgrades: connections go on in a new process, and it takes new ones.
 */
#include "expect.h"
#include "file.h"
#include "pair.h"
#include "proc.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
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

/* More sockets than one message carries. */
static void many_listeners_move(void **state)
{
    struct loopback back = loopback_new();
    char text[150 * 48], host[32];
    size_t used = 0;
    struct proxy *proxy;

    (void)state;
    server_start(&back, serve_echo, NULL);
    /* Where no other test has a port: any may be that of the server. */
    snprintf(host, sizeof(host), "127.3.%u.%u", (unsigned)getpid() / 256 % 256,
             (unsigned)getpid() % 256);
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

/* A copy that every user may run, wherever the build is. */
static const char *public_binary(void)
{
    const char *path = file_path("evproxy-copy");
    char command[600];

    assert_in_range(snprintf(command, sizeof(command),
                             "install -m 755 '%s' '%s'", proxy_binary(), path),
                    1, sizeof(command) - 1);
    assert_int_equal(system(command), 0);
    return path;
}

/* It has dropped root, and the next process is that user from the start. */
static void a_user_without_privileges_upgrades(void **state)
{
    struct proxy_options options = {0};
    struct fixture fixture = {.front = loopback_new(), .back = loopback_new()};
    struct pair pair;
    char binary[200];

    (void)state;
    if (geteuid() != 0) {
        skip_because("root is needed");
    }
    snprintf(binary, sizeof(binary), "%s", public_binary());
    options.binary = binary;
    fixture.listener = socket_listen(&fixture.back);
    fixture.proxy = proxy_launch(&options,
                                 "[global]\nuser = nobody\n"
                                 "[service web]\nlisten = %s\nupstream = %s\n",
                                 fixture.front.text, fixture.back.text);
    pair = pair_establish(&fixture);
    for (unsigned i = 0; i < 2; i++) {
        proxy_await_old(proxy_upgrade(fixture.proxy));
        pair_ping(&pair);
        assert_true(proc_status(fixture.proxy, "Uid") != 0);
    }
    fixture_close(&fixture);
}

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
        stats_await(fixture.proxy, "web", NULL, "active", 20);
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
    stats_await(fixture.proxy, "web", NULL, "accepted", 20 + rounds);
    stats_await(fixture.proxy, NULL, NULL, "generation", 1 + rounds);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
        TEST(a_connection_goes_on_in_the_new_process),
        TEST(many_listeners_move),
        TEST(a_user_without_privileges_upgrades),
        TEST(twenty_upgrades_leave_nothing_behind),
        TEST(no_connection_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
