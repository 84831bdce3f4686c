/*
 * The command line, and the errors of a configuration file.
 */
#include "command.h"
#include "expect.h"
#include "loopback.h"
#include "proxy.h"
#include "socket.h"
#include "teardown.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

/* Runs it with up to three arguments; NULL ends them. */
static int run(struct command_result *result, const char *first,
               const char *second, const char *third)
{
    const char *const arguments[] = {"evproxy", first, second, third, NULL};

    command_run(result, arguments);
    return result->status;
}

static void help_and_version_go_to_standard_output(void **state)
{
    static const char *const flags[] = {"-h", "--help", "-V", "--version"};
    struct command_result result;

    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(run(&result, flags[i], NULL, NULL), 0);
        assert_non_null(strstr(result.out, "evproxy"));
        assert_string_equal(result.err, "");
    }
}

static void wrong_usage_is_status_2_and_says_why(void **state)
{
    static const char *const wrong[][3] = {
        {"-x"},      {"--nonsense"},         {"argument"},
        {"-c"},      {"-l", "127.0.0.1:80"}, {"-u", "127.0.0.1:80"},
        {"-w", "2"}, {"-t", "more"},         {"--as-service"},
    };
    struct command_result result;

    (void)state;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        int status = run(&result, wrong[i][0], wrong[i][1], wrong[i][2]);

        if (status != 2 || strstr(result.err, "see evproxy --help\n") == NULL ||
            result.out[0] != '\0') {
            fail_msg("%s: status %d, '%s'", wrong[i][0], status, result.err);
        }
    }
}

static void a_file_that_is_not_there_is_status_1(void **state)
{
    struct command_result result;

    (void)state;
    assert_int_equal(run(&result, "-c", "/nonexistent.ini", NULL), 1);
    assert_non_null(strstr(result.err, "/nonexistent.ini"));
    assert_int_equal(run(&result, "-t", "-c", "/nonexistent.ini"), 1);
    assert_non_null(strstr(result.err, "/nonexistent.ini"));
}

static void a_good_file_is_ok(void **state)
{
    struct command_result result;
    char expected[256];
    const char *path;

    (void)state;
    path = command_check(&result, "good.ini",
                         "# all is well\r\n[service web]\r\n"
                         "listen = 127.0.0.1:81 ; here\r\n"
                         "upstream = 127.0.0.1:80 weight=3\r\n");
    snprintf(expected, sizeof(expected), "%s: ok\n", path);
    assert_int_equal(result.status, 0);
    assert_int_equal(strncmp(result.out, expected, strlen(expected)), 0);
    assert_string_equal(result.err, "");
}

/* By -t and by a start alike. */
static void every_error_is_reported_with_its_line(void **state)
{
    static const char text[] = "[global]\n"
                               "workers = lots\n"  /* 2 */
                               "no_such_key = 1\n" /* 3 */
                               "buffer_size = 1\n" /* 4 */
                               "[nonsense]\n"      /* 5 */
                               "[service web]\n"   /* 6: no upstream */
                               "listen = 127.0.0.1:81\n"
                               "idle_timeout = 5 weeks\n" /* 8 */
                               "balance = fairly\n"       /* 9 */
                               "backlog = 1\n"
                               "backlog = 2\n"         /* 11 */
                               "not a pair\n"          /* 12 */
                               "allow = 1.2.3.4/77\n"; /* 13 */
    static const int lines[] = {2, 3, 4, 5, 6, 8, 9, 11, 12, 13};
    struct command_result check;
    struct command_result start;
    const char *path;

    (void)state;
    path = command_check(&check, "bad.ini", text);
    assert_int_equal(check.status, 1);
    assert_int_equal(run(&start, "-c", path, NULL), 1);
    assert_null(strstr(check.out, "ok"));
    for (unsigned i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        char location[256];

        snprintf(location, sizeof(location), "%s:%d: ", path, lines[i]);
        if (strstr(check.err, location) == NULL ||
            strstr(start.err, location) == NULL) {
            fail_msg("no line '%s' in:\n%s\nor:\n%s", location, check.err,
                     start.err);
        }
    }
}

static void without_a_file_addresses_come_from_the_command_line(void **state)
{
    struct loopback front[2] = {loopback_new(), loopback_new()};
    struct loopback back[2] = {loopback_new(), loopback_new()};
    char list[256];

    (void)state;
    int listener = socket_listen(&back[0]);
    int backup = socket_listen(&back[1]);
    snprintf(list, sizeof(list), "%s weight=1,%s backup", back[0].text,
             back[1].text);
    const char *const arguments[] = {"evproxy",     "-l", front[0].text, "-l",
                                     front[1].text, "-u", list,          "-w",
                                     "1",           NULL};
    const struct proxy_options options = {.arguments = arguments};
    struct proxy *proxy = proxy_launch(&options, "%s", "");
    assert_int_equal(proxy_line_value(proxy_line(proxy, "^ready "), "workers"),
                     1);
    for (int i = 0; i < 2; i++) {
        int fd = socket_connect(&front[i]);

        socket_send_text(fd, "by hand");
        expect_text(socket_accept(listener), "by hand");
    }
    expect_silence(backup, 0);
    proxy_reload(proxy);
    socket_close(socket_connect(&front[0]));
    proxy_stop(proxy);
}

static void an_address_in_use_prevents_the_start(void **state)
{
    const struct proxy_options options = {.no_ready = true};
    struct loopback front = loopback_new();
    struct proxy *proxy;

    (void)state;
    socket_listen(&front);
    proxy = proxy_launch(&options,
                         "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n",
                         front.text);
    assert_int_equal(proxy_wait(proxy), 1);
    proxy_line(proxy, front.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(help_and_version_go_to_standard_output),
        E2E(wrong_usage_is_status_2_and_says_why),
        E2E(a_file_that_is_not_there_is_status_1),
        E2E(a_good_file_is_ok),
        E2E(every_error_is_reported_with_its_line),
        E2E(without_a_file_addresses_come_from_the_command_line),
        E2E(an_address_in_use_prevents_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
