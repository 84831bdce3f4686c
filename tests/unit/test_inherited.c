/* Sockets that the service manager passes on, as this process gets them. */
#include "control/inherited.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIRST = 3 };

static int next_fd;

static int no_sockets(void **state)
{
    (void)state;
    next_fd = FIRST;
    return 0;
}

/* The next descriptor becomes this one. */
static void pass(int fd)
{
    assert_true(fd >= 0);
    if (fd != next_fd) {
        assert_int_equal(dup2(fd, next_fd), next_fd);
        close(fd);
    }
    next_fd++;
}

static struct endpoint loopback_any(int family)
{
    struct endpoint endpoint = {.length = sizeof(endpoint.u.in)};

    if (family == AF_INET) {
        endpoint.u.in = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    } else {
        endpoint.u.in6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        endpoint.length = sizeof(endpoint.u.in6);
    }
    return endpoint;
}

/* Binds a socket, listens if it is of a stream, passes it on, and answers where
 * it is. */
static struct endpoint pass_bound(int family, int type, bool listens)
{
    struct endpoint endpoint = loopback_any(family);
    int fd = socket(family, type, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &endpoint.u.any, endpoint.length), 0);
    assert_int_equal(getsockname(fd, &endpoint.u.any, &endpoint.length), 0);
    if (listens) {
        assert_int_equal(listen(fd, 1), 0);
    }
    pass(fd);
    return endpoint;
}

static void set(const char *name, long value)
{
    char text[32];

    snprintf(text, sizeof(text), "%ld", value);
    setenv(name, text, 1);
}

static struct inherited take_all(void)
{
    struct inherited inherited;

    set("LISTEN_PID", getpid());
    set("LISTEN_FDS", next_fd - FIRST);
    setenv("LISTEN_FDNAMES", "a:b", 1);
    assert_int_equal(inherited_open(&inherited), 0);
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
    return inherited;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void sockets_are_found_by_type_and_address(void **state)
{
    struct endpoint tcp, udp, tcp6;
    struct inherited inherited;
    int fd;

    (void)state;
    tcp = pass_bound(AF_INET, SOCK_STREAM, true);
    udp = pass_bound(AF_INET, SOCK_DGRAM, false);
    tcp6 = pass_bound(AF_INET6, SOCK_STREAM, true);
    inherited = take_all();
    assert_int_equal(inherited_count(&inherited, SOCK_STREAM, &tcp), 1);
    assert_int_equal(inherited_count(&inherited, SOCK_DGRAM, &tcp), 0);
    assert_int_equal(inherited_count(&inherited, SOCK_DGRAM, &udp), 1);
    assert_int_equal(inherited_count(&inherited, SOCK_STREAM, &tcp6), 1);
    fd = inherited_take(&inherited, SOCK_STREAM, &tcp6, 0);
    assert_true(fd > 5);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    close(fd);
    assert_int_equal(fcntl(FIRST, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    inherited_fini(&inherited);
    assert_false(is_open(FIRST) || is_open(4) || is_open(5));
}

static void several_sockets_of_one_address_are_told_apart(void **state)
{
    struct endpoint endpoint = pass_bound(AF_INET, SOCK_STREAM, true);
    struct inherited inherited;

    (void)state;
    pass(fcntl(FIRST, F_DUPFD, 10));
    inherited = take_all();
    assert_int_equal(inherited_count(&inherited, SOCK_STREAM, &endpoint), 2);
    close(inherited_take(&inherited, SOCK_STREAM, &endpoint, 1));
    assert_int_equal(inherited_take(&inherited, SOCK_STREAM, &endpoint, 2), -1);
    assert_int_equal(errno, ENOENT);
    inherited_close_unused(&inherited);
    assert_false(is_open(FIRST));
    assert_true(is_open(FIRST + 1));
    inherited_fini(&inherited);
}

static void what_fits_nothing_is_closed(void **state)
{
    struct endpoint silent, used;
    struct inherited inherited;
    int pipes[2];

    (void)state;
    silent = pass_bound(AF_INET, SOCK_STREAM, false);
    used = pass_bound(AF_INET, SOCK_STREAM, true);
    assert_int_equal(pipe(pipes), 0);
    close(pipes[1]);
    pass(pipes[0]);
    inherited = take_all();
    assert_int_equal(inherited_count(&inherited, SOCK_STREAM, &silent), 0);
    close(inherited_take(&inherited, SOCK_STREAM, &used, 0));
    inherited_close_unused(&inherited);
    assert_false(is_open(FIRST) || is_open(5));
    assert_true(is_open(4));
    inherited_fini(&inherited);
}

static void sockets_of_another_process_are_left_alone(void **state)
{
    struct inherited inherited;

    (void)state;
    (void)pass_bound(AF_INET, SOCK_STREAM, true);
    set("LISTEN_PID", getppid());
    set("LISTEN_FDS", 1);
    assert_int_equal(inherited_open(&inherited), 0);
    assert_int_equal(inherited.count, 0);
    assert_null(getenv("LISTEN_FDS"));
    assert_true(is_open(FIRST));
    close(FIRST);
}

static void a_count_that_is_none_passes_nothing(void **state)
{
    static const char *const counts[] = {"", "0", "-1", "x", "99999999999"};
    struct inherited inherited;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        set("LISTEN_PID", getpid());
        setenv("LISTEN_FDS", counts[i], 1);
        assert_int_equal(inherited_open(&inherited), 0);
        assert_int_equal(inherited.count, 0);
    }
    set("LISTEN_FDS", 1);
    assert_int_equal(inherited_open(&inherited), 0);
    assert_int_equal(inherited.count, 0);
}

static void a_number_that_is_not_open_is_passed_over(void **state)
{
    struct endpoint endpoint = pass_bound(AF_INET, SOCK_STREAM, true);
    struct inherited inherited;

    (void)state;
    next_fd++;
    inherited = take_all();
    assert_int_equal(inherited.count, 1);
    assert_int_equal(inherited_count(&inherited, SOCK_STREAM, &endpoint), 1);
    inherited_fini(&inherited);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(sockets_are_found_by_type_and_address,
                               no_sockets),
        cmocka_unit_test_setup(several_sockets_of_one_address_are_told_apart,
                               no_sockets),
        cmocka_unit_test_setup(what_fits_nothing_is_closed, no_sockets),
        cmocka_unit_test_setup(sockets_of_another_process_are_left_alone,
                               no_sockets),
        cmocka_unit_test_setup(a_count_that_is_none_passes_nothing, no_sockets),
        cmocka_unit_test_setup(a_number_that_is_not_open_is_passed_over,
                               no_sockets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
