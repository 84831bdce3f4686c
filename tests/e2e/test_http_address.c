/* The address of HTTP, which a reload can change. */
#include "command.h"
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
    watched_open(&watched, "", "");
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
    watched_open(&watched, "", "");
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
    watched_open(&watched, "", "");
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
        E2E(a_reload_changes_the_address),
        E2E(the_clients_of_an_old_address_get_their_answer),
        E2E(an_address_in_use_refuses_the_reload),
        E2E(wrong_addresses_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
