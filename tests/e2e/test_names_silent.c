/* Name servers that are silent make nobody wait. */
#include "command.h"
#include "delay.h"
#include "file.h"
#include "named.h"
#include "nameserver.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "teardown.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void a_server_that_falls_silent_changes_nothing(void **state)
{
    struct named scene;

    (void)state;
    nameserver_be_given_up_soon(true);
    nameserver_answer("127.1.0.1");
    named_open(&scene, "");
    proxy_line(scene.proxy, "^resolve name=up.example addresses=1 ");
    nameserver_be_silent();
    proxy_line(scene.proxy, "^resolve name=up.example error=\"");
    proxy_reload(scene.proxy);
    struct pair pair = named_connect(&scene, 0);
    nameserver_answer("127.1.0.2");
    proxy_line(scene.proxy, "^resolve name=up.example addresses=2 added=1 ");
    proxy_line(scene.proxy, "^resolve name=up.example .* removed=1$");
    struct pair new = named_connect(&scene, 1);
    pair_ping(&pair);
    pair_ping(&new);
    proxy_stop(scene.proxy);
    nameserver_be_given_up_soon(false);
}

#define FOUR_NAMES                                                             \
    "upstream = silent1.example:80\nupstream = silent2.example:80\n"           \
    "upstream = silent3.example:80\nupstream = silent4.example:80\n"

/* Before the five seconds that one silent server can cost. */
static void expect_soon(const struct stopwatch *watch)
{
    stopwatch_expect(watch, 0, 4500);
}

static void a_silent_server_delays_nothing(void **state)
{
    struct fixture fixture;
    struct stopwatch watch = stopwatch_start();

    (void)state;
    nameserver_be_silent();
    fixture_open(&fixture, "", FOUR_NAMES);
    expect_soon(&watch);
    watch = stopwatch_start();
    proxy_reload(fixture.proxy);
    proxy_reload(fixture.proxy);
    expect_soon(&watch);
    struct pair pair = pair_establish(&fixture);
    pair_close(&pair);
    watch = stopwatch_start();
    fixture_close(&fixture);
    expect_soon(&watch);
}

static void the_watchdog_goes_on_beside_a_silent_server(void **state)
{
    struct sockaddr_un here = {.sun_family = AF_UNIX};
    char notify[256], message[2048];
    const char *const environment[] = {notify, "WATCHDOG_USEC=400000", NULL};
    const struct proxy_options options = {.environment = environment};
    int fd = socket_adopt(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));

    (void)state;
    nameserver_be_silent();
    snprintf(here.sun_path, sizeof(here.sun_path), "%.100s",
             file_path("notify"));
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
    snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s", here.sun_path);
    struct proxy *proxy = proxy_launch(
        &options, "[service web]\nlisten = %s\n" FOUR_NAMES NAMED_INTERVAL,
        loopback_new().text);
    proxy_reload(proxy);
    for (unsigned beats = 0; beats < 5;) {
        ssize_t count;

        assert_true(wait_readable(fd, test_slow() ? 5000 : 400));
        count = recv(fd, message, sizeof(message) - 1, 0);
        assert_true(count > 0);
        message[count] = '\0';
        beats += strstr(message, "WATCHDOG=1") != NULL;
    }
    proxy_stop(proxy);
}

/* More silent names than there are look-ups at a time on many machines. */
static void silent_names_hold_up_no_other(void **state)
{
    struct named scene;
    char names[40 * 40];
    size_t length = 0;

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        length += (size_t)snprintf(names + length, sizeof(names) - length,
                                   "upstream = silent%u.example:80\n", i);
    }
    nameserver_answer("127.1.0.1");
    named_open(&scene, names);
    proxy_line(scene.proxy, "^resolve name=up.example addresses=1 ");
    nameserver_answer("127.1.0.1 127.1.0.2");
    proxy_line(scene.proxy, "^resolve name=up.example addresses=2 ");
    proxy_stop(scene.proxy);
}

static void the_check_waits_five_seconds_for_all_names(void **state)
{
    struct stopwatch watch = stopwatch_start();
    struct command_result result;

    (void)state;
    nameserver_answer("127.1.0.1");
    command_check(&result, "silent.ini",
                  NAMED_CHECKED FOUR_NAMES "upstream = up.example:80");
    assert_int_equal(result.status, 0);
    stopwatch_expect(&watch, 4900, 9500); /* not 10 s */
    for (unsigned i = 1; i <= 4; i++) {
        char expected[80];

        snprintf(expected, sizeof(expected),
                 ":%u: warning: silent%u.example does not resolve: no answer",
                 3 + i, i);
        assert_non_null(strstr(result.err, expected));
    }
    assert_null(strstr(result.err, "up.example"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMES(a_server_that_falls_silent_changes_nothing),
        NAMES(a_silent_server_delays_nothing),
        NAMES(the_watchdog_goes_on_beside_a_silent_server),
        NAMES(silent_names_hold_up_no_other),
        NAMES(the_check_waits_five_seconds_for_all_names),
    };

    nameserver_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
