/*
 * Lines that come faster than the log takes them.
 */
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "teardown.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { SERVICES = 200 };

static struct proxy *start_services(void)
{
    char *config = NULL;
    size_t size = 0;
    FILE *text = open_memstream(&config, &size);
    struct proxy *proxy;

    assert_non_null(text);
    for (unsigned i = 0; i < SERVICES; i++) {
        fprintf(text, "[service s%u]\nlisten = %s\nupstream = 127.0.0.1:9\n", i,
                loopback_new().text);
    }
    fclose(text);
    proxy = proxy_start("%s", config);
    free(config);
    return proxy;
}

/* Far more than a pipe holds, at once. */
static void no_stats_line_is_lost_while_the_log_is_read(void **state)
{
    struct proxy *proxy = start_services();

    (void)state;
    proxy_mark(proxy);
    for (unsigned round = 1; round <= 5; round++) {
        proxy_signal(proxy, SIGUSR1);
        wait_until(proxy_count(proxy, "^stats service=s[0-9]* upstream=") ==
                   round * SERVICES);
        assert_int_equal(proxy_count(proxy, "^stats service=s[0-9]* active="),
                         round * SERVICES);
    }
    assert_int_equal(proxy_count(proxy, "^stats uptime_s=.* log_lost=0 "), 5);
    assert_int_equal(proxy_count(proxy, "^log lost="), 0);
    proxy_stop(proxy);
}

/* The lines of connections that end with the process are written before it. */
static void a_stop_writes_all_lines(void **state)
{
    enum { CLIENTS = 300 };
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "access_log = yes\ndrain_timeout = 0", "");
    for (unsigned i = 0; i < CLIENTS; i++) {
        (void)pair_connect(&fixture);
    }
    proxy_signal(fixture.proxy, SIGTERM);
    assert_int_equal(proxy_wait(fixture.proxy), 0);
    assert_int_equal(proxy_count(fixture.proxy, "^conn service=web "), CLIENTS);
    assert_int_equal(proxy_count(fixture.proxy, "^stopped$"), 1);
    socket_close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(no_stats_line_is_lost_while_the_log_is_read),
        E2E(a_stop_writes_all_lines),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
