/*
 * What -t finds beyond the text of a configuration: what a start would meet on
 * this machine.
 */
#include "command.h"
#include "expect.h"
#include "file.h"
#include "fixture.h"
#include "loopback.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_root(void)
{
    return geteuid() == 0 && getpwnam("nobody") != NULL;
}

static const char *config_of(const char *global, const char *mode,
                             const struct loopback *front)
{
    static char text[1024];

    snprintf(text, sizeof(text),
             "[global]\n%s\n[service web]\nmode = %s\nlisten = %s\n"
             "upstream = 127.0.0.1:1\n",
             global, mode, front->text);
    return text;
}

/* evproxy refuses it, with the error at that line, or at none. */
static void expect_error(const char *config, unsigned line, const char *error)
{
    struct command_result result;
    const char *path = command_check(&result, "check.ini", config);
    char wanted[512];

    if (line > 0) {
        snprintf(wanted, sizeof(wanted), "%s:%u: %s", path, line, error);
    } else {
        snprintf(wanted, sizeof(wanted), "%s: %s", path, error);
    }
    assert_int_equal(result.status, 1);
    if (strstr(result.err, wanted) == NULL) {
        fail_msg("'%s' expected, got: %s", wanted, result.err);
    }
    assert_null(strstr(result.out, "ok"));
}

static void expect_good(const char *config)
{
    const char *const arguments[] = {
        "evproxy", "-t", "--as-service", "-c", file_write("check.ini", config),
        NULL};
    struct command_result result;

    command_run(&result, arguments);
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, 0);
    command_check(&result, "check.ini", config);
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, 0);
}

static void an_unknown_user_or_group_is_an_error(void **state)
{
    struct loopback front = loopback_new();

    (void)state;
    expect_error(config_of("user = no_such_user", "tcp", &front), 2,
                 "there is no user 'no_such_user'");
    expect_error(config_of("group = no_such_group", "tcp", &front), 2,
                 "there is no group 'no_such_group'");
}

static unsigned long descriptors_of_machine(void)
{
    FILE *file = fopen("/proc/sys/fs/nr_open", "re");
    unsigned long most = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &most), 1);
    fclose(file);
    return most;
}

/* Two descriptors each: one connection more than they suffice for. */
static void a_limit_above_that_of_the_machine_is_an_error(void **state)
{
    struct loopback front = loopback_new();
    unsigned long most = descriptors_of_machine();
    char key[64], error[128];

    (void)state;
    if (most / 2 >= 134217728) {
        skip_because("fs.nr_open is above every max_connections");
    }
    snprintf(key, sizeof(key), "max_connections = %lu", most / 2);
    snprintf(error, sizeof(error), "%s is more than fs.nr_open = %lu holds, ",
             key, most);
    expect_error(config_of(key, "tcp", &front), 2, error);
}

static void a_limit_above_that_of_the_process_is_an_error(void **state)
{
    static char path[160];
    static const char *const check[] = {"evproxy", "-t", "-c", path, NULL};
    static const char *const start[] = {"evproxy", "-c", path, NULL};
    struct loopback front = loopback_new();

    (void)state;
    snprintf(path, sizeof(path), "%s",
             file_write("limit.ini",
                        config_of("max_connections = 500", "tcp", &front)));
    for (unsigned i = 0; i < 2; i++) {
        const struct proxy_options options = {.arguments =
                                                  i == 0 ? check : start,
                                              .descriptors = 1000,
                                              .no_ready = true};
        struct proxy *proxy = proxy_launch(&options, "%s", "");

        assert_int_equal(proxy_wait(proxy), 1);
        proxy_line(proxy, "limit.ini:2: max_connections = 500 is more than "
                          "RLIMIT_NOFILE = 1000 holds, which is 4");
    }
}

static void expect_in_use(const char *mode, const struct loopback *front,
                          const struct loopback *held, int type)
{
    char error[256];
    int fd = loopback_bind(held, type);

    assert_true(fd >= 0);
    socket_adopt(fd);
    if (type == SOCK_STREAM) {
        assert_int_equal(listen(fd, 1), 0);
    }
    snprintf(error, sizeof(error),
             "cannot listen on %s: Address already in use by test_check (pid "
             "%d)",
             front->text, (int)getpid());
    expect_error(config_of("", mode, front), 5, error);
    socket_close(fd);
}

static void an_address_that_others_use_is_an_error(void **state)
{
    struct loopback one = loopback_new(), six = loopback_on("[::1]");
    struct loopback path = loopback_unix("held.sock");
    struct loopback all = loopback_at("", &one);
    struct loopback foreign = {"192.0.2.1:7"};

    (void)state;
    expect_in_use("tcp", &one, &one, SOCK_STREAM);
    expect_in_use("udp", &one, &one, SOCK_DGRAM);
    expect_in_use("tcp", &six, &six, SOCK_STREAM);
    expect_in_use("tcp", &path, &path, SOCK_STREAM);
    expect_in_use("udp", &all, &one, SOCK_DGRAM);
    expect_good(config_of("", "tcp", &one));
    expect_error(config_of("", "tcp", &foreign), 5,
                 "cannot listen on 192.0.2.1:7: Cannot assign requested "
                 "address");
}

static void a_file_in_the_place_of_a_socket_is_an_error(void **state)
{
    struct loopback path = loopback_unix("plain");
    char error[256];

    (void)state;
    file_write("plain", "not a socket");
    snprintf(error, sizeof(error), "cannot listen on %s: File exists",
             path.text);
    expect_error(config_of("", "tcp", &path), 5, error);
}

/* Nor is anything taken from it. */
static void an_address_that_evproxy_uses_is_none(void **state)
{
    struct loopback addresses[] = {loopback_new(), loopback_on(""),
                                   loopback_unix("ours.sock")};
    static const char *const users[] = {"", "user = nobody"};

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        const struct loopback *front = &addresses[i / 2];
        const char *user = is_root() && i / 2 < 2 ? users[i % 2] : "";
        struct proxy *proxy = proxy_start("%s", config_of(user, "tcp", front));

        expect_good(config_of(user, "tcp", front));
        if (user[0] != '\0') {
            expect_good(config_of("", "tcp", front));
        }
        assert_int_equal(stats_get(proxy, "web", NULL, "accepted"), 0);
        proxy_stop(proxy);
        if (i / 2 == 2) {
            continue;
        }
        proxy = proxy_start("%s", config_of(user, "udp", front));
        expect_good(config_of(user, "udp", front));
        proxy_stop(proxy);
    }
}

static void become_nobody(void)
{
    const struct passwd *nobody = getpwnam("nobody");

    if (setgid(nobody->pw_gid) < 0 || setuid(nobody->pw_uid) < 0) {
        _exit(99);
    }
}

/* -t by a user who may not open the port; the exit status. */
static int check_as_nobody(const char *option)
{
    static char path[160];
    const char *const arguments[] = {"evproxy", "-t", "-c", path, option, NULL};
    const struct proxy_options options = {
        .arguments = arguments, .prepare = become_nobody, .no_ready = true};
    struct loopback low = {"127.77.0.1:3"};

    snprintf(path, sizeof(path), "/tmp/evproxy-check-%d.ini", (int)getpid());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(config_of("", "tcp", &low), file);
    fclose(file);
    int status = proxy_wait(proxy_launch(&options, "%s", ""));
    unlink(path);
    return status;
}

static void a_right_that_the_caller_lacks_counts_as_the_service(void **state)
{
    (void)state;
    if (!is_root()) {
        skip_because("root and a user nobody are needed");
    }
    assert_int_equal(check_as_nobody(NULL), 0);
    assert_int_equal(check_as_nobody("--as-service"), 1);
}

/* Refuses a configuration with that rule in line 6 while nobody may read the
 * hidden file. */
static void expect_unreadable(const char *rule, const char *hidden,
                              unsigned line, const char *error)
{
    char global[256];
    struct loopback front = loopback_new();

    snprintf(global, sizeof(global),
             "user = nobody\n[service other]\nlisten = %s\n"
             "upstream = 127.0.0.1:1\n%s",
             loopback_new().text, rule);
    file_write("check.ini", config_of(global, "tcp", &front));
    assert_int_equal(chmod(file_path(hidden), 0600), 0);
    expect_error(config_of(global, "tcp", &front), line, error);
    assert_int_equal(chmod(file_path(hidden), 0644), 0);
    expect_good(config_of(global, "tcp", &front));
}

static void a_file_that_no_reload_could_read_is_an_error(void **state)
{
    char rule[192], error[320];
    const char *path = file_write("rules", "10.0.0.0/8\n");

    (void)state;
    if (!is_root()) {
        skip_because("root and a user nobody are needed");
    }
    snprintf(rule, sizeof(rule), "deny = file:%s", path);
    expect_unreadable("", "check.ini", 0, "cannot be read: Permission denied");
    snprintf(error, sizeof(error), "%s: cannot be read: Permission denied",
             file_path("rules"));
    expect_unreadable(rule, "rules", 6, error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(an_unknown_user_or_group_is_an_error),
        E2E(a_limit_above_that_of_the_machine_is_an_error),
        E2E(a_limit_above_that_of_the_process_is_an_error),
        E2E(an_address_that_others_use_is_an_error),
        E2E(a_file_in_the_place_of_a_socket_is_an_error),
        E2E(an_address_that_evproxy_uses_is_none),
        E2E(a_right_that_the_caller_lacks_counts_as_the_service),
        E2E(a_file_that_no_reload_could_read_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
