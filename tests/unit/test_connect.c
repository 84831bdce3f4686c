/*
 * Which failures of connect pass, and which last, and how a connection is
 * acknowledged: on the real kernel, in a network namespace where one is needed.
 */
#include "net/connect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../skip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct endpoint loopback(int family, uint16_t port)
{
    struct endpoint endpoint = {.length = 0};

    if (family == AF_INET6) {
        endpoint.length = sizeof(endpoint.u.in6);
        endpoint.u.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                               .sin6_port = htons(port),
                                               .sin6_addr = in6addr_loopback};
    } else {
        endpoint.length = sizeof(endpoint.u.in);
        endpoint.u.in =
            (struct sockaddr_in){.sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    }
    return endpoint;
}

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) > 0;

    if (fd >= 0) {
        close(fd);
    }
    return done;
}

static bool raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo",
                            .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return up;
}

enum { CHILD_SKIPS = 77 };

/* Runs it in a child with a network of its own. */
static void in_namespace(bool (*run)(void))
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        if (unshare(CLONE_NEWNET) < 0 || !raise_loopback()) {
            _exit(CHILD_SKIPS);
        }
        _exit(run() ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CHILD_SKIPS) {
        skip_because("no network namespace of its own");
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool fails_with(const struct endpoint *endpoint, int error)
{
    struct sock sock;

    return connect_stream(&sock, endpoint, NULL) == CONNECT_FAILED &&
           errno == error && sock.fd == -1;
}

static bool try_without_ipv6(void)
{
    struct endpoint endpoint = loopback(AF_INET6, 9);

    if (!write_file("/proc/sys/net/ipv6/conf/lo/disable_ipv6", "1")) {
        _exit(CHILD_SKIPS);
    }
    return fails_with(&endpoint, ENETUNREACH);
}

static void a_family_that_is_turned_off_is_no_shortage(void **state)
{
    (void)state;
    in_namespace(try_without_ipv6);
}

static bool try_without_ports(void)
{
    struct endpoint endpoint = loopback(AF_INET, 0);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sock sock;

    if (!write_file("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001")) {
        _exit(CHILD_SKIPS);
    }
    endpoint.u.in.sin_port = htons(1234);
    if (bind(server, &endpoint.u.any, endpoint.length) < 0 ||
        listen(server, 8) < 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (connect_stream(&sock, &endpoint, NULL) == CONNECT_SHORTAGE) {
            return false;
        }
    }
    return connect_stream(&sock, &endpoint, NULL) == CONNECT_SHORTAGE &&
           errno == EADDRNOTAVAIL;
}

static void ports_that_are_used_up_are_a_shortage(void **state)
{
    (void)state;
    in_namespace(try_without_ports);
}

static bool try_without_route(void)
{
    struct endpoint endpoint = loopback(AF_INET, 9);

    endpoint.u.in.sin_addr.s_addr = inet_addr("192.0.2.1");
    return fails_with(&endpoint, ENETUNREACH);
}

static void an_address_without_a_route_is_no_shortage(void **state)
{
    (void)state;
    in_namespace(try_without_route);
}

static void a_family_that_the_kernel_lacks_is_no_shortage(void **state)
{
    struct endpoint endpoint = loopback(AF_INET, 9);

    (void)state;
    endpoint.u.any.sa_family = AF_MAX - 1;
    assert_true(fails_with(&endpoint, EAFNOSUPPORT));
}

/* A path that this user may not write to. */
static bool try_without_permission(void)
{
    struct endpoint endpoint = {.length = sizeof(endpoint.u.un)};
    char folder[] = "/tmp/test_connect.XXXXXX";
    bool done = false;
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (mkdtemp(folder) == NULL) {
        return false;
    }
    endpoint.u.un.sun_family = AF_UNIX;
    snprintf(endpoint.u.un.sun_path, sizeof(endpoint.u.un.sun_path), "%s/s",
             folder);
    if (bind(server, &endpoint.u.any, endpoint.length) == 0 &&
        listen(server, 8) == 0 && chmod(folder, 0755) == 0 &&
        chmod(endpoint.u.un.sun_path, 0700) == 0) {
        if (seteuid(65534) < 0) {
            _exit(CHILD_SKIPS);
        }
        done = fails_with(&endpoint, EACCES);
        if (seteuid(0) < 0) {
            return false;
        }
    }
    unlink(endpoint.u.un.sun_path);
    rmdir(folder);
    return done;
}

static void a_socket_without_permission_is_no_shortage(void **state)
{
    (void)state;
    in_namespace(try_without_permission);
}

/* Whether the server has the connection as soon as connect has returned: on
 * loopback the handshake is over then, unless its last segment is delayed. */
static bool stands_at_once(int server, struct sock *sock)
{
    int peer = accept(server, NULL, NULL);

    sock_close(sock);
    if (peer >= 0) {
        close(peer);
        return true;
    }
    assert_int_equal(errno, EAGAIN);
    while ((peer = accept(server, NULL, NULL)) < 0) {
        assert_int_equal(errno, EAGAIN); /* the FIN brings it */
    }
    close(peer);
    return false;
}

static void who_asks_delays_the_end_of_the_handshake(void **state)
{
    struct endpoint endpoint = loopback(AF_INET, 0);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sock sock;
    bool delayed = false;

    (void)state;
    assert_int_equal(bind(server, &endpoint.u.any, endpoint.length), 0);
    assert_int_equal(listen(server, 8), 0);
    assert_int_equal(getsockname(server, &endpoint.u.any, &endpoint.length), 0);
    assert_int_equal(connect_stream(&sock, &endpoint, NULL), CONNECT_PENDING);
    assert_true(stands_at_once(server, &sock));
    /* Once of many times: on a slow machine the delay may be over. */
    for (int i = 0; i < 50 && !delayed; i++) {
        assert_int_equal(connect_to_ask(&sock, &endpoint, NULL),
                         CONNECT_PENDING);
        delayed = !stands_at_once(server, &sock);
    }
    assert_true(delayed);
    close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_that_is_turned_off_is_no_shortage),
        cmocka_unit_test(ports_that_are_used_up_are_a_shortage),
        cmocka_unit_test(an_address_without_a_route_is_no_shortage),
        cmocka_unit_test(a_family_that_the_kernel_lacks_is_no_shortage),
        cmocka_unit_test(a_socket_without_permission_is_no_shortage),
        cmocka_unit_test(who_asks_delays_the_end_of_the_handshake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
