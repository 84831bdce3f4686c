/*
 * Services without an upstream that is up: one line when that begins, and one
 * when it is over, whatever the reason.
 */
#include "expect.h"
#include "greeters.h"
#include "loopback.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "teardown.h"

#include <stdio.h>

#define SERVICE_DOWN "^service service=web state=down upstreams="
#define SERVICE_UP   "^service service=web state=up$"

static void expect_state(const struct greeters *greeters, const char *state)
{
    char pattern[256];

    snprintf(pattern, sizeof(pattern), "^upstream .* address=%s state=%s( |$)",
             greeters->back[0].text, state);
    proxy_line(greeters->proxy, pattern);
}

static void the_last_check_that_fails_takes_the_service_down(void **state)
{
    struct greeters greeters;

    (void)state;
    greeters_open(&greeters, 2, NULL,
                  "health_check = tcp\nhealth_interval = 60ms\n"
                  "health_timeout = 50ms\nhealth_rise = 1\nhealth_fall = 2");
    for (unsigned round = 1; round <= 2; round++) {
        greeters_stop(&greeters, 0);
        expect_state(&greeters, "down");
        assert_int_equal(proxy_count(greeters.proxy, SERVICE_DOWN), 0);
        greeters_stop(&greeters, 1);
        proxy_line(greeters.proxy, SERVICE_DOWN "2$");
        assert_int_equal(proxy_count(greeters.proxy, SERVICE_UP), 0);
        greeters_start(&greeters, 1);
        proxy_line(greeters.proxy, SERVICE_UP);
        greeters_start(&greeters, 0);
        expect_state(&greeters, "up");
        proxy_mark(greeters.proxy);
    }
    greeters_close(&greeters);
}

static void a_backup_that_is_up_is_enough(void **state)
{
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();
    struct server *server = server_start(&back, serve_letter, "B");
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nupstream = %s backup\n"
        "fail_threshold = 1\n",
        front.text, server_refusing().text, back.text);

    (void)state;
    assert_int_equal(greeters_ask(&front, NULL), 1);
    proxy_line(proxy, "^upstream .* state=down cause=connect_refused");
    proxy_stop(proxy);
    assert_int_equal(proxy_count(proxy, "^service "), 0);
    server_stop(server);
}

static void failed_connects_and_a_reload_tell_too(void **state)
{
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();
    struct loopback dead = server_refusing();
    struct server *server = server_start(&back, serve_letter, "A");
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n"
                    "fail_threshold = 1\nfail_window = 1h\n",
                    front.text, dead.text);

    (void)state;
    expect_connect_ended(&front);
    proxy_line(proxy, SERVICE_DOWN "1$");
    proxy_configure(proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n"
                    "upstream = %s\n",
                    front.text, dead.text, back.text);
    proxy_reload(proxy);
    proxy_line(proxy, SERVICE_UP);
    proxy_reload(proxy);
    proxy_stop(proxy);
    assert_int_equal(proxy_count(proxy, "^service "), 0);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            the_last_check_that_fails_takes_the_service_down, teardown),
        cmocka_unit_test_teardown(a_backup_that_is_up_is_enough, teardown),
        cmocka_unit_test_teardown(failed_connects_and_a_reload_tell_too,
                                  teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
