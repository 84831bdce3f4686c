/*
 * What metrics_listen serves, to clients of all kinds; /metrics and
 * /status.json in particular are in test_metrics.c.
 */
#include "delay.h"
#include "expect.h"
#include "fixture.h"
#include "http.h"
#include "loopback.h"
#include "pair.h"
#include "proc.h"
#include "proxy.h"
#include "socket.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"
#include "watched.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

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
    watched_open(&watched, "", "");
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
    watched_open(&watched, "", "");
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
    watched_open(&watched, "", "");
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
    watched_open(&watched, "", "");
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
    watched_open(&watched, "", "");
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
    struct stopwatch watch = stopwatch_start();
    int silent, slow, kept;

    (void)state;
    watched_open(&watched, "", "");
    silent = socket_connect(&watched.http);
    slow = socket_connect(&watched.http);
    kept = socket_connect(&watched.http);
    socket_send_text(kept, "GET /livez HTTP/1.1\r\n\r\n");
    while (!wait_readable(slow, 250)) { /* more bytes do not help it */
        socket_send_text(slow, "\r");
        stopwatch_expect(&watch, 0, 20000);
    }
    stopwatch_expect(&watch, 4000, 20000);
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
    struct stopwatch watch;

    (void)state;
    watched_open(&watched, "", "");
    struct pair pair = pair_establish(&watched.fixture);
    before = proc_entries(watched.fixture.proxy, "fd");
    resident = proc_resident(watched.fixture.proxy);
    crowd(&watched, fds, CROWD);
    pair_expect_prompt(&pair);
    for (unsigned i = 0; i < 20; i++) {
        unsigned open = proc_entries(watched.fixture.proxy, "fd");

        most = open > most ? open : most;
        watch = stopwatch_start();
        assert_int_equal(http_status(&watched.http, "/healthz"), 200);
        stopwatch_expect(&watch, 0, 3000);
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
    watched_open(&watched, "", "");
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

/* ---- the end ---- */

static void a_client_that_was_accepted_gets_its_answer_at_the_end(void **state)
{
    struct watched watched;
    struct http_reply reply;
    int client, late;

    (void)state;
    watched_open(&watched, "", "");
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
    struct stopwatch watch;

    (void)state;
    watched_open(&watched, "", "");
    socket_connect(&watched.http);
    assert_int_equal(http_status(&watched.http, "/livez"), 200);
    watch = stopwatch_start();
    proxy_signal(watched.fixture.proxy, SIGTERM);
    assert_int_equal(proxy_wait(watched.fixture.proxy), 0);
    stopwatch_expect(&watch, 0, 3000);
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
        E2E(a_client_that_was_accepted_gets_its_answer_at_the_end),
        E2E(a_client_that_never_asks_does_not_hold_up_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
