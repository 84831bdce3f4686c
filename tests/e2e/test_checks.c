/* Health checks that ask: by HTTP, by text, over datagrams, at another port. */
#include "answerer.h"
#include "command.h"
#include "expect.h"
#include "fixture.h"
#include "greeters.h"
#include "loopback.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define QUICK                                                                  \
    "health_interval = 50ms\nhealth_timeout = 300ms\nhealth_rise = 1\n"        \
    "health_fall = 2\n"
#define HTTP "health_check = http\n" QUICK

static void expect_down(const struct fixture *fixture, const char *cause)
{
    char pattern[256];

    snprintf(pattern, sizeof(pattern),
             "^upstream service=web address=%s state=down cause=%s( |$)",
             fixture->back.text, cause);
    proxy_line(fixture->proxy, pattern);
}

static void expect_up(const struct fixture *fixture)
{
    char pattern[256];

    snprintf(pattern, sizeof(pattern),
             "^upstream service=web address=%s state=up$", fixture->back.text);
    proxy_line(fixture->proxy, pattern);
}

static void open_checked(struct fixture *fixture, struct answerer *answerer,
                         const char *keys)
{
    fixture_open_server(fixture, answerer_serve, answerer, "", keys);
}

static void expect_refused_end(const struct fixture *fixture)
{
    expect_connect_ended(&fixture->front);
    stats_await_cause(fixture->proxy, "no_upstream", 1);
}

/* ---- http ---- */

static void the_status_decides(void **state)
{
    struct answerer answerer = ANSWERER_HTTP(ANSWERER_OK);
    struct fixture fixture;

    (void)state;
    open_checked(&fixture, &answerer, HTTP);
    answerer_await(&answerer, 5);
    assert_int_equal(proxy_count(fixture.proxy, "state=down"), 0);
    answerer.answer = ANSWERER_DOWN;
    expect_down(&fixture, "status=503");
    expect_refused_end(&fixture);
    proxy_mark(fixture.proxy);
    answerer.answer = "HTTP/1.0 302\r\n\r\n"; /* without a reason */
    expect_up(&fixture);
    assert_int_equal(answerer.reset, 0);
    fixture_close(&fixture);
}

static void the_request_is_plain_http(void **state)
{
    struct answerer answerer = ANSWERER_HTTP(ANSWERER_OK);
    struct fixture fixture;
    char expected[512];

    (void)state;
    open_checked(&fixture, &answerer, HTTP "health_path = /up?x=1");
    answerer_await(&answerer, 1);
    snprintf(expected, sizeof(expected),
             "GET /up?x=1 HTTP/1.1\r\nHost: %s\r\nUser-Agent: evproxy\r\n"
             "Accept: */*\r\nConnection: close\r\n\r\n",
             fixture.back.text);
    assert_string_equal(answerer_question(&answerer), expected);
    fixture_reload(&fixture, HTTP "health_host = www.example");
    answerer_await(&answerer, 2);
    assert_non_null(strstr(answerer_question(&answerer),
                           "GET / HTTP/1.1\r\nHost: www.example\r\n"));
    fixture_close(&fixture);
}

static void statuses_are_configured(void **state)
{
    struct answerer answerer = ANSWERER_HTTP(ANSWERER_DOWN);
    struct fixture fixture;

    (void)state;
    open_checked(&fixture, &answerer, HTTP "health_status = 204, 500-503");
    answerer_await(&answerer, 4);
    assert_int_equal(proxy_count(fixture.proxy, "state=down"), 0);
    answerer.answer = ANSWERER_OK;
    expect_down(&fixture, "status=200");
    fixture_close(&fixture);
}

static void each_way_to_fail_has_its_cause(void **state)
{
    static const char *const answers[][2] = {
        {"SSH-2.0-x\r\n", "\"bad answer\""},
        {"HTTP/1.1 2", "closed"},
        {NULL, "timeout"},
        {"HTTP/1.1 404 Not Found\r\n\r\n", "status=404"},
    };
    struct answerer answerer = ANSWERER_HTTP(ANSWERER_OK);
    struct fixture fixture;

    (void)state;
    open_checked(&fixture, &answerer, HTTP);
    for (unsigned i = 0; i < 4; i++) {
        answerer.answer = answers[i][0];
        expect_down(&fixture, answers[i][1]);
        answerer.answer = ANSWERER_OK;
        expect_up(&fixture);
        proxy_mark(fixture.proxy);
    }
    server_stop(fixture.server);
    fixture.server = NULL;
    expect_down(&fixture, "connect_refused");
    fixture_close(&fixture);
}

static void an_answer_may_come_in_drops_and_behind_interim_ones(void **state)
{
    struct answerer answerer = ANSWERER_HTTP(
        "HTT\aP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 2\a00 OK\r\n"
        "\r\n");
    struct fixture fixture;

    (void)state;
    open_checked(&fixture, &answerer, HTTP);
    answerer_await(&answerer, 6);
    assert_int_equal(proxy_count(fixture.proxy, "state=down"), 0);
    fixture_close(&fixture);
}

/* A server that still writes its body logs a reset otherwise. */
static void the_rest_of_an_answer_is_awaited(void **state)
{
    struct answerer answerer = ANSWERER_HTTP(
        "HTTP/1.1 200 OK\r\n\r\n\aa body\a in parts\a of several writes");
    struct fixture fixture;

    (void)state;
    open_checked(&fixture, &answerer, HTTP);
    answerer_await(&answerer, 6);
    assert_int_equal(answerer.reset, 0);
    fixture_close(&fixture);
}

/* The least time that half of an answer was on its way unacknowledged. */
static _Atomic int64_t quickest_ms;

static void serve_in_two(int fd, const void *arg)
{
    static const char first[] = "HTTP/1.0 2", rest[] = "00 OK\r\n\r\n";
    struct tcp_info info = {.tcpi_unacked = 1};
    socklen_t length = sizeof(info);
    char question[4096];
    int64_t begin;

    (void)arg;
    if (recv(fd, question, sizeof(question), 0) <= 0 ||
        send(fd, first, strlen(first), MSG_NOSIGNAL) < 0) {
        return;
    }
    begin = wait_now_ms();
    while (info.tcpi_unacked > 0 && wait_now_ms() - begin < 1000) {
        wait_tick();
        (void)!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    }
    if (wait_now_ms() - begin < quickest_ms) {
        quickest_ms = wait_now_ms() - begin;
    }
    (void)!send(fd, rest, strlen(rest), MSG_NOSIGNAL);
}

/* A server that follows Nagle's algorithm holds the rest back until then. The
 * kernel delays an acknowledgement for 40 ms at least. */
static void half_of_an_answer_is_acknowledged_at_once(void **state)
{
    struct fixture fixture;

    (void)state;
    quickest_ms = INT64_MAX;
    fixture_open_server(&fixture, serve_in_two, NULL, "", HTTP);
    wait_until(quickest_ms < 30);
    assert_int_equal(proxy_count(fixture.proxy, "state=down"), 0);
    fixture_close(&fixture);
}

/* ---- expect ---- */

#define EXPECT "health_check = expect\n" QUICK

static void an_answer_must_contain_the_text(void **state)
{
    struct answerer answerer = {.answer = "+PO\aNG\r\nrole:m\aaster\r\n",
                                .end = "INFO\r\n",
                                .lock = PTHREAD_MUTEX_INITIALIZER};
    struct fixture fixture;

    (void)state;
    open_checked(&fixture, &answerer,
                 EXPECT "health_send = \\x49NFO\\r\\n\n"
                        "health_expect = role:master\\r\\n");
    answerer_await(&answerer, 5);
    assert_int_equal(proxy_count(fixture.proxy, "state=down"), 0);
    answerer.answer = "role:slave\r\n";
    expect_down(&fixture, "\"no match\"");
    answerer.answer = "role:master\r\n";
    expect_up(&fixture);
    assert_string_equal(answerer_question(&answerer), "INFO\r\n");
    fixture_close(&fixture);
}

/* It greets, and answers two questions. */
static void serve_mail(int fd, const void *arg)
{
    char text[64];
    ssize_t count;

    (void)arg;
    if (send(fd, "220 hello 250\r\n", 15, MSG_NOSIGNAL) < 0) {
        return;
    }
    while ((count = recv(fd, text, sizeof(text) - 1, 0)) > 0) {
        const char *answer = memcmp(text, "EHLO x\r\n", 8) == 0 ? "25" : "221 ";

        if (send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0) {
            return;
        }
        wait_sleep(5);
        if (send(fd, "0 ok\r\n", 6, MSG_NOSIGNAL) < 0) {
            return;
        }
    }
}

static void pairs_are_done_in_turn(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open_server(&fixture, serve_mail, NULL, "",
                        EXPECT "health_expect = 220\n"
                               "health_send = EHLO x\\r\\n\n"
                               "health_expect = 250 ok\n"
                               "health_send = QUIT\\r\\n\n"
                               "health_expect = 221\n");
    wait_until(server_accepted(fixture.server) >= 5);
    assert_int_equal(proxy_count(fixture.proxy, "state=down"), 0);
    /* "250" of the greeting is no answer to EHLO, nor is it to QUIT. */
    fixture_reload(&fixture, EXPECT "health_expect = 220\n"
                                    "health_send = QUIT\\r\\n\n"
                                    "health_expect = 250\n");
    expect_down(&fixture, "\"no match\"");
    fixture_close(&fixture);
}

static void sixteen_kilobytes_of_an_answer_are_read(void **state)
{
    static char answer[16384 + 4];
    struct answerer answerer = {
        .answer = answer, .end = "", .lock = PTHREAD_MUTEX_INITIALIZER};
    struct fixture fixture;

    (void)state;
    memset(answer, 'x', sizeof(answer) - 1);
    memcpy(answer + 16384 - 3, "end", 3);
    open_checked(&fixture, &answerer, EXPECT "health_expect = end");
    answerer_await(&answerer, 3);
    assert_int_equal(proxy_count(fixture.proxy, "state=down"), 0);
    memcpy(answer + 16384 - 3, "xend", 4);
    expect_down(&fixture, "\"no match\"");
    fixture_close(&fixture);
}

static void datagrams_are_asked_and_answered(void **state)
{
    struct udp_fixture fixture;
    char pattern[256];

    (void)state;
    udp_fixture_open(&fixture, "",
                     EXPECT "health_send = ping\nhealth_expect = ping");
    snprintf(pattern, sizeof(pattern), "address=%s state=down cause=timeout$",
             fixture.back.text);
    proxy_line(fixture.proxy, pattern);
    udp_send(udp_connect(NULL, &fixture.front), "x", 1);
    stats_await_cause(fixture.proxy, "no_upstream", 1);
    udp_echo_start(fixture.upstream);
    proxy_line(fixture.proxy, "address=.* state=up$");
    udp_echo_stop();
    proxy_mark(fixture.proxy);
    socket_close(fixture.upstream);
    proxy_line(fixture.proxy, "state=down cause=(connect_refused|timeout)$");
    udp_fixture_close(&fixture);
}

/* ---- where and how ---- */

static void another_port_may_be_checked(void **state)
{
    struct answerer answerer = ANSWERER_HTTP(ANSWERER_DOWN);
    struct loopback health = loopback_new();
    struct fixture fixture;
    char keys[256];

    (void)state;
    server_start(&health, answerer_serve, &answerer);
    snprintf(keys, sizeof(keys), HTTP "health_port = %s",
             strrchr(health.text, ':') + 1);
    fixture_open(&fixture, "", keys);
    expect_down(&fixture, "status=503");
    answerer.answer = ANSWERER_OK;
    expect_up(&fixture);
    /* Host is that of the upstream. */
    assert_non_null(strstr(answerer_question(&answerer), fixture.back.text));
    fixture_close(&fixture);
}

/* A good answer at another port does not show that clients could connect. */
static void a_taken_out_upstream_is_tried_at_its_own_port(void **state)
{
    struct answerer answerer = ANSWERER_HTTP(ANSWERER_OK);
    struct loopback health = loopback_new();
    struct loopback back = loopback_new();
    struct fixture fixture;
    char keys[256];

    (void)state;
    server_start(&health, answerer_serve, &answerer);
    snprintf(keys, sizeof(keys),
             HTTP "health_port = %s\nfail_threshold = 1\nfail_window = 100ms",
             strrchr(health.text, ':') + 1);
    fixture_open_back(&fixture, &back, "", keys);
    answerer_await(&answerer, 1);
    expect_connect_ended(&fixture.front);
    expect_down(&fixture, "connect_refused");
    answerer_await(&answerer, 6);
    assert_int_equal(proxy_count(fixture.proxy, "state=up"), 0);
    socket_listen(&back);
    expect_up(&fixture);
    fixture_close(&fixture);
}

static void checks_send_a_header_without_a_client(void **state)
{
    struct answerer answerer = ANSWERER_HTTP(ANSWERER_OK);
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();
    static const char v2[] = "\r\n\r\n\0\r\nQUIT\n\x20\0\0";

    (void)state;
    server_start(&back, answerer_serve, &answerer);
    struct proxy *proxy = proxy_start("[service web]\nlisten = %s\n%s"
                                      "upstream = %s proxy_protocol=v1\n",
                                      front.text, HTTP, back.text);
    answerer_await(&answerer, 2);
    assert_memory_equal(answerer_question(&answerer),
                        "PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n", 31);
    assert_int_equal(answerer.reset, 0);
    proxy_configure(proxy,
                    "[service web]\nlisten = %s\nhealth_check = tcp\n%s"
                    "upstream = %s proxy_protocol=v2\n",
                    front.text, QUICK, back.text);
    proxy_reload(proxy);
    /* No question: what came before the end is all. */
    wait_until(memcmp(answerer_question(&answerer), v2, 16) == 0);
    proxy_stop(proxy);
}

static void what_can_never_be_reached_is_down(void **state)
{
    struct fixture fixture;

    (void)state;
    /* No such address here: every connect ends with EADDRNOTAVAIL. */
    fixture_open(&fixture, "",
                 "health_check = tcp\n" QUICK "source_address = 192.0.2.1");
    expect_down(&fixture, "connect_refused reason=\"[^\"]+\"");
    fixture_close(&fixture);
}

static void a_reload_changes_checks_at_once(void **state)
{
    struct answerer answerer = ANSWERER_HTTP(ANSWERER_DOWN);
    struct fixture fixture;

    (void)state;
    open_checked(&fixture, &answerer, HTTP);
    expect_down(&fixture, "status=503");
    fixture_reload(&fixture, "health_check = tcp\n" QUICK);
    expect_up(&fixture);
    proxy_mark(fixture.proxy);
    answerer.answer = NULL; /* checks are under way when a reload comes */
    fixture_reload(&fixture, HTTP);
    answerer_await(&answerer, 1);
    fixture_reload(&fixture, EXPECT "health_expect = x");
    expect_down(&fixture, "timeout");
    proxy_mark(fixture.proxy);
    fixture_reload(&fixture, "");
    expect_up(&fixture);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_status_decides),
        E2E(the_request_is_plain_http),
        E2E(statuses_are_configured),
        E2E(each_way_to_fail_has_its_cause),
        E2E(an_answer_may_come_in_drops_and_behind_interim_ones),
        E2E(the_rest_of_an_answer_is_awaited),
        E2E(half_of_an_answer_is_acknowledged_at_once),
        E2E(an_answer_must_contain_the_text),
        E2E(pairs_are_done_in_turn),
        E2E(sixteen_kilobytes_of_an_answer_are_read),
        E2E(datagrams_are_asked_and_answered),
        E2E(another_port_may_be_checked),
        E2E(a_taken_out_upstream_is_tried_at_its_own_port),
        E2E(checks_send_a_header_without_a_client),
        E2E(what_can_never_be_reached_is_down),
        E2E(a_reload_changes_checks_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
