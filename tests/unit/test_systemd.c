/* The service manager's protocol, against a socket that plays the manager. */
#include "control/systemd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/test_systemd.XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

/* A manager listening on the name, which NOTIFY_SOCKET then holds. */
static int open_manager(const char *name)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    socklen_t length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));

    assert_true(fd >= 0);
    memcpy(un.sun_path, name, strlen(name));
    if (name[0] == '@') {
        un.sun_path[0] = '\0';
    }
    assert_int_equal(bind(fd, (struct sockaddr *)&un, length), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

/* On a unix socket a datagram has arrived when send returns. */
static void assert_told(int manager, const char *message)
{
    char buffer[1024];
    ssize_t count = recv(manager, buffer, sizeof(buffer) - 1, 0);

    assert_true(count > 0);
    buffer[count] = '\0';
    assert_string_equal(buffer, message);
}

static void a_path_gets_each_message_in_one_datagram(void **state)
{
    struct systemd systemd;
    char path[80];
    int manager;

    (void)state;
    snprintf(path, sizeof(path), "%s/notify", directory);
    manager = open_manager(path);
    systemd_open(&systemd);
    systemd_ready(&systemd, "running");
    assert_told(manager, "READY=1\nSTATUS=running\n");
    systemd_status(&systemd, "upgrading", NULL);
    assert_told(manager, "STATUS=upgrading\n");
    systemd_status(&systemd, "upgrade failed", "a line\nand more");
    assert_told(manager, "STATUS=upgrade failed: a line?and more\n");
    systemd_reloading(&systemd, UINT64_C(1234567999));
    assert_told(manager, "RELOADING=1\nMONOTONIC_USEC=1234567\n");
    systemd_watchdog(&systemd);
    assert_told(manager, "WATCHDOG=1\n");
    systemd_stopping(&systemd);
    assert_told(manager, "STOPPING=1\nSTATUS=stopping\n");
    systemd_close(&systemd);
    close(manager);
    unlink(path);
}

static void an_at_sign_is_the_abstract_namespace(void **state)
{
    struct systemd systemd;
    char name[64];
    int manager;

    (void)state;
    snprintf(name, sizeof(name), "@test_systemd.%d", (int)getpid());
    manager = open_manager(name);
    systemd_open(&systemd);
    systemd_watchdog(&systemd);
    assert_told(manager, "WATCHDOG=1\n");
    systemd_close(&systemd);
    close(manager);
}

static void a_status_cannot_forge_an_assignment(void **state)
{
    struct systemd systemd;
    char name[64], longest[2000];
    ssize_t length;
    int manager;

    (void)state;
    snprintf(name, sizeof(name), "@test_systemd.%d", (int)getpid());
    manager = open_manager(name);
    systemd_open(&systemd);
    systemd_ready(&systemd, "a\nMAINPID=1\x7f");
    assert_told(manager, "READY=1\nSTATUS=a?MAINPID=1?\n");

    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    systemd_ready(&systemd, longest);
    assert_int_equal(recv(manager, longest, 15, MSG_TRUNC) < 512, 1);
    assert_memory_equal(longest, "READY=1\nSTATUS=", 15);

    /* The manager refuses what is not UTF-8: a character is not cut in two. */
    for (size_t i = 0; i + 2 < sizeof(longest); i += 2) {
        memcpy(longest + i, "\xc3\xbc", 3);
    }
    systemd_ready(&systemd, longest);
    length = recv(manager, longest, sizeof(longest), 0);
    assert_true(length > 100);
    assert_memory_equal(longest + length - 4, "\xc3\xbc?\n", 4);
    systemd_close(&systemd);
    close(manager);
}

static void a_manager_that_went_away_is_no_trouble(void **state)
{
    struct systemd systemd;
    char name[64];

    (void)state;
    snprintf(name, sizeof(name), "@test_systemd.%d", (int)getpid());
    close(open_manager(name));
    systemd_open(&systemd);
    systemd_watchdog(&systemd);
    systemd_close(&systemd);
}

static void without_a_good_socket_all_is_silent(void **state)
{
    static const char *const bad[] = {"", "/", "relative", "@"};
    char too_long[200];
    struct systemd systemd;

    (void)state;
    memset(too_long, '/', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    for (size_t i = 0; i <= ARRAY_LEN(bad); i++) {
        setenv("NOTIFY_SOCKET", i < ARRAY_LEN(bad) ? bad[i] : too_long, 1);
        setenv("WATCHDOG_USEC", "1000", 1);
        systemd_open(&systemd);
        assert_int_equal(systemd.fd, -1);
        assert_int_equal(systemd.watchdog_ns, 0);
        systemd_ready(&systemd, "running");
        systemd_close(&systemd);
    }
}

static uint64_t watchdog_of(const char *period, const char *pid)
{
    struct systemd systemd;

    setenv("NOTIFY_SOCKET", "/nowhere", 1);
    setenv("WATCHDOG_USEC", period, 1);
    if (pid != NULL) {
        setenv("WATCHDOG_PID", pid, 1);
    }
    systemd_open(&systemd);
    systemd_close(&systemd);
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
    assert_null(getenv("WATCHDOG_PID"));
    return systemd.watchdog_ns;
}

static void the_watchdog_is_for_this_process_only(void **state)
{
    char own[32], other[32];

    (void)state;
    snprintf(own, sizeof(own), "%d", (int)getpid());
    snprintf(other, sizeof(other), "%d", (int)getpid() + 1);
    assert_int_equal(watchdog_of("2000000", NULL), 2 * NS_PER_S);
    assert_int_equal(watchdog_of("2000000", own), 2 * NS_PER_S);
    assert_int_equal(watchdog_of("2000000", other), 0);
    assert_int_equal(watchdog_of("2000000", "me"), 0);
}

static void a_malformed_watchdog_is_as_none(void **state)
{
    static const char *const bad[] = {"", "0", "-1", "1s",
                                      "18446744073709551615"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(watchdog_of(bad[i], NULL), 0);
    }
}

static bool is_journal(int fd, const char *format, unsigned long long device,
                       unsigned long long inode)
{
    char stream[64];

    snprintf(stream, sizeof(stream), format, device, inode);
    setenv("JOURNAL_STREAM", stream, 1);
    return systemd_journal_is(fd);
}

static void the_journal_is_known_by_device_and_inode(void **state)
{
    struct stat status;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fstat(fds[1], &status), 0);
    unsetenv("JOURNAL_STREAM");
    assert_false(systemd_journal_is(fds[1]));
    assert_true(is_journal(fds[1], "%llu:%llu", status.st_dev, status.st_ino));
    assert_false(
        is_journal(fds[1], "%llu:%llu", status.st_dev, status.st_ino + 1));
    assert_false(
        is_journal(fds[1], "%llu:%llu", status.st_dev + 1, status.st_ino));
    assert_false(
        is_journal(fds[1], "%llu:%llu;", status.st_dev, status.st_ino));
    close(fds[0]);
    close(fds[1]);
    assert_false(is_journal(fds[1], "%llu:%llu", status.st_dev, status.st_ino));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_gets_each_message_in_one_datagram),
        cmocka_unit_test(an_at_sign_is_the_abstract_namespace),
        cmocka_unit_test(a_status_cannot_forge_an_assignment),
        cmocka_unit_test(a_manager_that_went_away_is_no_trouble),
        cmocka_unit_test(without_a_good_socket_all_is_silent),
        cmocka_unit_test(the_watchdog_is_for_this_process_only),
        cmocka_unit_test(a_malformed_watchdog_is_as_none),
        cmocka_unit_test(the_journal_is_known_by_device_and_inode),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
