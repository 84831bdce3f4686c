/*
 * What metrics_listen serves, to clients of all kinds; /metrics and
 * /status.json in particular are in test_metrics.c.
 */
#include "command.h"
#include "expect.h"
#include "fixture.h"
#include "http.h"
#include "loopback.h"
#include "pair.h"
#include "proc.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* A fixture, and the address of HTTP. */
struct watched {
    struct fixture fixture;
    struct loopback http;
};

static void open_watched(struct watched *watched, const char *global,
                         const char *service)
{
    char text[512];

    watched->http = loopback_new();
    snprintf(text, sizeof(text), "metrics_listen = %s\n%s", watched->http.text,
             global);
    fixture_open(&watched->fixture, text, service);
}

/* ---- answers ---- */

static void assert_head(const struct http_reply *reply, const char *line)
{
    if (strstr(reply->head, line) == NULL) {
        fail_msg("no '%s' in:\n%s", line, reply->head);
    }
}

static void assert_page(const struct watched *watched, const char *path,
                        const char *type, const char *part)
{
    struct http_reply reply = http_get(&watched->http, path);

    assert_int_equal(reply.status, 200);
    assert_head(&reply, type);
    assert_head(&reply, "\r\nConnection: close\r\n");
    assert_non_null(strstr(reply.body, part));
    http_free(&reply);
}

static void every_path_answers(void **state)
{
    struct watched watched;

    (void)state;
    open_watched(&watched, "", "");
    assert_page(&watched, "/metrics",
                "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n",
                "\nevproxy_accepted_total{service=\"web\"} 0\n");
    assert_page(&watched, "/status.json", "Content-Type: application/json\r\n",
                "\"service\":\"web\"");
    assert_page(&watched, "/", "Content-Type: text/html; charset=utf-8\r\n",
                "<title>");
    assert_page(&watched, "/healthz", "Content-Length: 3\r\n", "ok\n");
    assert_page(&watched, "/healthz/web", "Content-Length: 3\r\n", "ok\n");
    assert_page(&watched, "/livez?a=b#c", "Content-Length: 3\r\n", "ok\n");
    assert_page(&watched, "/healthz/w%65b?x", "Content-Length: 3\r\n", "ok\n");
    fixture_close(&watched.fixture);
}

static void expect_status(const struct loopback *http, const char *text,
                          int status)
{
    struct http_reply reply = http_ask(http, text);

    if (reply.status != status) {
        fail_msg("status %d instead of %d to: %s", reply.status, status, text);
    }
    http_free(&reply);
}

static void what_is_not_served_is_told(void **state)
{
    struct watched watched;

    (void)state;
    open_watched(&watched, "", "");
    assert_int_equal(http_status(&watched.http, "/nope"), 404);
    assert_int_equal(http_status(&watched.http, "/healthz/nope"), 404);
    assert_int_equal(http_status(&watched.http, "/healthz/%00"), 404);
    assert_int_equal(http_status(&watched.http, "/metrics/"), 404);
    expect_status(&watched.http, "DELETE /metrics HTTP/1.1\r\n\r\n", 405);
    expect_status(&watched.http, "OPTIONS * HTTP/1.1\r\n\r\n", 405);
    expect_status(&watched.http, "GET /metrics\r\n\r\n", 400);
    expect_status(&watched.http, "GET / HTTP/2.0\r\n\r\n", 400);
    expect_status(&watched.http, "\x16\x03\x01\x02\x03 hello\r\n\r\n", 400);
    expect_status(&watched.http, "GET /livez HTTP/1.0\n\n", 200);
    fixture_close(&watched.fixture);
}

/* A server that closes with unread bytes would reset, and the client could
 * lose the answer. */
static void a_client_that_sends_much_gets_its_answer(void **state)
{
    static char body[4 << 20];
    struct watched watched;
    struct http_reply reply;
    int fd;

    (void)state;
    open_watched(&watched, "", "");
    fd = socket_connect(&watched.http);
    socket_send_text(fd, "POST /metrics HTTP/1.1\r\n\r\n");
    socket_send(fd, body, sizeof(body));
    reply = http_read(fd);
    assert_int_equal(reply.status, 405);
    assert_head(&reply, "\r\nAllow: GET, HEAD\r\n");
    http_free(&reply);

    memset(body, 'a', sizeof(body));
    fd = socket_connect(&watched.http);
    socket_send_text(fd, "GET / HTTP/1.1\r\nA: ");
    socket_send(fd, body, 100000);
    reply = http_read(fd);
    assert_int_equal(reply.status, 400);
    http_free(&reply);
    fixture_close(&watched.fixture);
}

static void head_has_no_body(void **state)
{
    static const char *const paths[] = {"/", "/metrics", "/healthz", "/nope"};
    struct watched watched;

    (void)state;
    open_watched(&watched, "", "");
    for (size_t i = 0; i < 4; i++) {
        char text[128];
        struct http_reply reply;

        snprintf(text, sizeof(text), "HEAD %s HTTP/1.1\r\n\r\n", paths[i]);
        reply = http_ask(&watched.http, text);
        assert_int_equal(reply.status, i < 3 ? 200 : 404);
        assert_int_equal(reply.count, 0);
        http_free(&reply);
    }
    fixture_close(&watched.fixture);
}

static void a_request_may_come_byte_by_byte_and_half_closed(void **state)
{
    static const char text[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    struct watched watched;
    struct http_reply reply;
    int fd;

    (void)state;
    open_watched(&watched, "", "");
    fd = socket_connect(&watched.http);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        socket_send(fd, text + i, 1);
        socket_await_acknowledged(fd);
    }
    socket_finish(fd);
    reply = http_read(fd);
    assert_int_equal(reply.status, 200);
    http_free(&reply);
    fixture_close(&watched.fixture);
}

/* ---- clients that take their time ---- */

static void a_slow_client_has_five_seconds_in_all(void **state)
{
    struct watched watched;
    struct http_reply reply;
    int64_t begin = wait_now_ms();
    int silent, slow, kept;

    (void)state;
    open_watched(&watched, "", "");
    silent = socket_connect(&watched.http);
    slow = socket_connect(&watched.http);
    kept = socket_connect(&watched.http);
    socket_send_text(kept, "GET /livez HTTP/1.1\r\n\r\n");
    while (!wait_readable(slow, 250)) { /* more bytes do not help it */
        socket_send_text(slow, "\r");
        assert_in_range(wait_now_ms() - begin, 0, 20000);
    }
    assert_true(wait_now_ms() - begin > 4000);
    reply = http_read(slow);
    assert_int_equal(reply.status, 408);
    http_free(&reply);
    reply = http_read(silent);
    assert_int_equal(reply.status, 408);
    http_free(&reply);
    /* It has its answer, and does not close. */
    expect_text(kept, "HTTP/1.1 200 OK\r\n");
    expect_closed(kept);
    fixture_close(&watched.fixture);
}

/* Those who ask and never read, and those who never ask. */
static void crowd(const struct watched *watched, int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        fds[i] = socket_connect_narrow(&watched->http);
        if (i % 4 != 0) {
            socket_send_text(fds[i], "GET /metrics HTTP/1.1\r\n\r\n");
        }
    }
}

static void a_thousand_clients_that_never_read_harm_nobody(void **state)
{
    enum { CROWD = 1000 };
    static int fds[CROWD];
    struct watched watched;
    unsigned before, most = 0;
    uint64_t resident;
    int64_t begin;

    (void)state;
    open_watched(&watched, "", "");
    struct pair pair = pair_establish(&watched.fixture);
    before = proc_entries(watched.fixture.proxy, "fd");
    resident = proc_resident(watched.fixture.proxy);
    crowd(&watched, fds, CROWD);
    pair_expect_prompt(&pair);
    for (unsigned i = 0; i < 20; i++) {
        unsigned open = proc_entries(watched.fixture.proxy, "fd");

        most = open > most ? open : most;
        begin = wait_now_ms();
        assert_int_equal(http_status(&watched.http, "/healthz"), 200);
        if (!test_slow()) {
            assert_in_range(wait_now_ms() - begin, 0, 3000);
        }
    }
    assert_in_range(most, before + 1, before + 64);
    pair_expect_prompt(&pair);
    if (!test_slow()) {
        assert_true(proc_resident(watched.fixture.proxy) < resident + 8000000);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        socket_close(fds[i]);
    }
    wait_until(proc_entries(watched.fixture.proxy, "fd") == before);
    pair_ping(&pair);
    fixture_close(&watched.fixture);
}

static void clients_come_and_go_by_thousands(void **state)
{
    struct watched watched;
    unsigned rounds = test_slow() ? 200 : 3000;
    unsigned before;

    (void)state;
    open_watched(&watched, "", "");
    before = proc_entries(watched.fixture.proxy, "fd");
    for (unsigned i = 0; i < rounds; i++) {
        int fd = socket_connect(&watched.http);

        if (i % 3 > 0) {
            socket_send_text(fd, "GET /status.json HTTP/1.1\r\n\r\n");
        }
        if (i % 3 == 1) {
            struct http_reply reply = http_read(fd);

            assert_int_equal(reply.status, 200);
            http_free(&reply);
        } else {
            socket_reset(fd);
        }
    }
    wait_until(proc_entries(watched.fixture.proxy, "fd") == before);
    fixture_close(&watched.fixture);
}

/* ---- health ---- */

static void health_of_a_service_follows_its_upstreams(void **state)
{
    struct watched watched;

    (void)state;
    open_watched(&watched, "",
                 "health_check = tcp\nhealth_interval = 50ms\n"
                 "health_fall = 1\nhealth_rise = 1\n");
    assert_int_equal(http_status(&watched.http, "/healthz/web"), 200);
    socket_close(watched.fixture.listener);
    wait_until(http_status(&watched.http, "/healthz/web") == 503);
    assert_int_equal(http_status(&watched.http, "/healthz"), 200);
    watched.fixture.listener = socket_listen(&watched.fixture.back);
    wait_until(http_status(&watched.http, "/healthz/web") == 200);
    fixture_close(&watched.fixture);
}

static void in_a_drain_it_is_alive_but_not_healthy(void **state)
{
    struct watched watched;
    struct http_reply reply;

    (void)state;
    open_watched(&watched, "drain_timeout = 1h", "");
    struct pair pair = pair_establish(&watched.fixture);
    assert_int_equal(http_status(&watched.http, "/healthz"), 200);
    proxy_mark(watched.fixture.proxy);
    proxy_signal(watched.fixture.proxy, SIGTERM);
    proxy_line(watched.fixture.proxy, "^stopping ");
    reply = http_get(&watched.http, "/healthz");
    assert_int_equal(reply.status, 503);
    assert_string_equal(reply.body, "stopping\n");
    http_free(&reply);
    assert_int_equal(http_status(&watched.http, "/healthz/web"), 503);
    assert_int_equal(http_status(&watched.http, "/healthz/nope"), 404);
    assert_int_equal(http_status(&watched.http, "/livez"), 200);
    assert_true(http_metric(&watched.http, "evproxy_stopping") == 1);
    assert_true(http_metric(&watched.http, "evproxy_active{service=\"web\"}") ==
                1);
    pair_ping(&pair);
    pair_close(&pair);
    socket_close_all();
    assert_int_equal(proxy_wait(watched.fixture.proxy), 0);
}

/* The threads of the proxy but the first, into a list. */
static unsigned other_threads(const struct proxy *proxy, pid_t *list,
                              unsigned size)
{
    char path[64];
    DIR *directory;
    const struct dirent *entry;
    unsigned count = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)proxy_pid(proxy));
    directory = opendir(path);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL && count < size) {
        pid_t id = (pid_t)atoi(entry->d_name);

        if (id > 0 && id != proxy_pid(proxy)) {
            list[count++] = id;
        }
    }
    closedir(directory);
    return count;
}

static void a_worker_that_stands_still_is_told_within_ten_seconds(void **state)
{
    pid_t threads[32];
    struct watched watched;
    unsigned count;
    int64_t begin;
    int status;

    (void)state;
    open_watched(&watched, "workers = 2", "");
    assert_int_equal(http_status(&watched.http, "/livez"), 200);
    count = other_threads(watched.fixture.proxy, threads, 32);
    assert_in_range(count, 2, 31);
    for (unsigned i = 0; i < count; i++) {
        if (ptrace(PTRACE_SEIZE, threads[i], NULL, NULL) < 0) {
            fixture_close(&watched.fixture);
            skip_because("ptrace is not allowed");
        }
        ptrace(PTRACE_INTERRUPT, threads[i], NULL, NULL);
        assert_int_equal(waitpid(threads[i], &status, __WALL), threads[i]);
    }
    begin = wait_now_ms();
    while (http_status(&watched.http, "/livez") == 200) {
        assert_in_range(wait_now_ms() - begin, 0, 10000);
        wait_sleep(100);
    }
    for (unsigned i = 0; i < count; i++) {
        ptrace(PTRACE_DETACH, threads[i], NULL, NULL);
    }
    wait_until(http_status(&watched.http, "/livez") == 200);
    fixture_close(&watched.fixture);
}

/* ---- the end ---- */

static void a_client_that_was_accepted_gets_its_answer_at_the_end(void **state)
{
    struct watched watched;
    struct http_reply reply;
    int client, late;

    (void)state;
    open_watched(&watched, "", "");
    client = socket_connect(&watched.http);
    socket_send_text(client, "GET /livez HTTP/1.1\r\n");
    assert_int_equal(http_status(&watched.http, "/livez"), 200);
    proxy_signal(watched.fixture.proxy, SIGTERM);
    proxy_line(watched.fixture.proxy, "^stopping ");
    wait_until((late = socket_try_connect(NULL, &watched.http)) < 0 ||
               (socket_close(late), false));
    socket_send_text(client, "\r\n");
    reply = http_read(client);
    assert_int_equal(reply.status, 200);
    http_free(&reply);
    assert_int_equal(proxy_wait(watched.fixture.proxy), 0);
}

static void a_client_that_never_asks_does_not_hold_up_the_end(void **state)
{
    struct watched watched;
    int64_t begin;

    (void)state;
    open_watched(&watched, "", "");
    socket_connect(&watched.http);
    assert_int_equal(http_status(&watched.http, "/livez"), 200);
    begin = wait_now_ms();
    proxy_signal(watched.fixture.proxy, SIGTERM);
    assert_int_equal(proxy_wait(watched.fixture.proxy), 0);
    assert_in_range(wait_now_ms() - begin, 0, 3000);
}

/* ---- the address ---- */

static void configure(const struct watched *watched, const char *address)
{
    proxy_configure(watched->fixture.proxy,
                    "[global]\nmetrics_listen = %s\n"
                    "[service web]\nlisten = %s\nupstream = %s\n",
                    address, watched->fixture.front.text,
                    watched->fixture.back.text);
}

static void a_reload_changes_the_address(void **state)
{
    struct watched watched;
    struct loopback unix_socket = loopback_unix("http");
    struct loopback ipv6 = loopback_on("[::1]");
    unsigned before;

    (void)state;
    open_watched(&watched, "", "");
    before = proc_entries(watched.fixture.proxy, "fd");
    for (unsigned round = 0; round < 20; round++) {
        const struct loopback *next = round % 2 == 0 ? &unix_socket : &ipv6;

        configure(&watched, next->text);
        proxy_reload(watched.fixture.proxy);
        assert_int_equal(http_status(next, "/healthz"), 200);
        assert_true(socket_try_connect(NULL, &watched.http) < 0);
    }
    assert_true(access(unix_socket.text + strlen("unix:"), F_OK) < 0);
    proxy_reload(watched.fixture.proxy); /* it stays */
    assert_int_equal(http_status(&ipv6, "/healthz"), 200);
    wait_until(proc_entries(watched.fixture.proxy, "fd") == before);
    configure(&watched, "off");
    proxy_reload(watched.fixture.proxy);
    assert_true(socket_try_connect(NULL, &ipv6) < 0);
    wait_until(proc_entries(watched.fixture.proxy, "fd") == before - 1);
    configure(&watched, watched.http.text);
    proxy_reload(watched.fixture.proxy);
    assert_int_equal(http_status(&watched.http, "/livez"), 200);
    fixture_close(&watched.fixture);
}

static void the_clients_of_an_old_address_get_their_answer(void **state)
{
    struct watched watched;
    struct http_reply reply;
    int fd;

    (void)state;
    open_watched(&watched, "", "");
    fd = socket_connect(&watched.http);
    socket_send_text(fd, "GET /metrics HTTP/1.1\r\n");
    wait_until(http_status(&watched.http, "/healthz") == 200);
    configure(&watched, "off");
    proxy_reload(watched.fixture.proxy);
    socket_send_text(fd, "\r\n");
    reply = http_read(fd);
    assert_int_equal(reply.status, 200);
    http_free(&reply);
    fixture_close(&watched.fixture);
}

static void an_address_in_use_refuses_the_reload(void **state)
{
    struct watched watched;
    struct loopback taken = loopback_new();

    (void)state;
    open_watched(&watched, "", "");
    socket_listen(&taken);
    configure(&watched, taken.text);
    proxy_mark(watched.fixture.proxy);
    proxy_signal(watched.fixture.proxy, SIGHUP);
    proxy_line(watched.fixture.proxy,
               "^reload refused: .*cannot listen on .*Address already in use");
    assert_true(http_metric(&watched.http,
                            "evproxy_reloads_total{result=\"refused\"}") == 1);
    struct pair pair = pair_establish(&watched.fixture);
    pair_close(&pair);
    fixture_close(&watched.fixture);
}

static void wrong_addresses_are_refused(void **state)
{
    struct loopback taken = loopback_new();
    struct command_result result;
    char text[512];

    (void)state;
    socket_listen(&taken);
    snprintf(text, sizeof(text),
             "[global]\nmetrics_listen = %s\n[service web]\n"
             "listen = 127.0.0.1:81\nupstream = 127.0.0.1:82\n",
             taken.text);
    command_check(&result, "taken.ini", text);
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.err, ".ini:2: cannot listen on "));
    command_check(&result, "same.ini",
                  "[global]\nmetrics_listen = 127.0.0.1:81\n[service web]\n"
                  "listen = 127.0.0.1:81\nupstream = 127.0.0.1:82\n");
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.err, ".ini:4: listen address 127.0.0.1:81 is "
                                       "that of metrics_listen in line 2"));
    command_check(&result, "name.ini",
                  "[global]\nmetrics_listen = localhost:81\n[service web]\n"
                  "listen = 127.0.0.1:81\nupstream = 127.0.0.1:82\n");
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.err, ".ini:2: metrics_listen: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(every_path_answers),
        E2E(what_is_not_served_is_told),
        E2E(a_client_that_sends_much_gets_its_answer),
        E2E(head_has_no_body),
        E2E(a_request_may_come_byte_by_byte_and_half_closed),
        E2E(a_slow_client_has_five_seconds_in_all),
        E2E(a_thousand_clients_that_never_read_harm_nobody),
        E2E(clients_come_and_go_by_thousands),
        E2E(health_of_a_service_follows_its_upstreams),
        E2E(in_a_drain_it_is_alive_but_not_healthy),
        E2E(a_worker_that_stands_still_is_told_within_ten_seconds),
        E2E(a_client_that_was_accepted_gets_its_answer_at_the_end),
        E2E(a_client_that_never_asks_does_not_hold_up_the_end),
        E2E(a_reload_changes_the_address),
        E2E(the_clients_of_an_old_address_get_their_answer),
        E2E(an_address_in_use_refuses_the_reload),
        E2E(wrong_addresses_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
