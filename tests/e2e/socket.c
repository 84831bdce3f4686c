#include "socket.h"

#include "test.h"
#include "transport.h"
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NARROW_BYTES 2048

/* The descriptors that belong to the test. */
static bool owned[TRANSPORT_DESCRIPTORS_MAX];

int socket_adopt(int fd)
{
    assert_in_range(fd, 0, TRANSPORT_DESCRIPTORS_MAX - 1);
    owned[fd] = true;
    return fd;
}

int socket_disown(int fd)
{
    assert_true(owned[fd]);
    owned[fd] = false;
    return fd;
}

/* ---- connections ---- */

int socket_listen_backlog(const struct loopback *address, int backlog)
{
    int fd = loopback_bind(address, SOCK_STREAM);

    if (fd < 0) {
        fail_msg("cannot bind %s: %s", address->text, strerror(errno));
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    assert_int_equal(listen(fd, backlog), 0);
    return socket_adopt(fd);
}

int socket_listen(const struct loopback *address)
{
    return socket_listen_backlog(address, 4096);
}

int socket_accept(int listener)
{
    int64_t limit = wait_limit_ms();

    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            return socket_adopt(fd);
        }
        assert_int_equal(errno, EAGAIN);
        if (!wait_events(listener, POLLIN, limit)) {
            fail_msg("nobody connected to the upstream");
        }
    }
}

static int client_socket(const struct loopback *address)
{
    struct socket_address to = loopback_resolve(address);
    int fd = socket(to.storage.ss_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    return fd;
}

/* Waits for the result: 0 or an errno. */
static int connect_error(int fd, const struct loopback *address)
{
    struct socket_address to = loopback_resolve(address);
    int error = 0;
    socklen_t length = sizeof(error);

    if (connect(fd, (struct sockaddr *)&to.storage, to.length) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return errno;
    }
    if (!wait_events(fd, POLLOUT, wait_limit_ms())) {
        return ETIMEDOUT;
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
}

/* Takes fd, and closes it where it cannot be connected. */
static int try_connect(int fd, const struct loopback *address)
{
    int error = connect_error(fd, address);

    if (error != 0) {
        close(fd);
        errno = error;
        return -1;
    }
    return socket_adopt(fd);
}

int socket_try_connect(const char *source, const struct loopback *address)
{
    int fd = client_socket(address);

    if (source != NULL) {
        loopback_bind_source(fd, source);
    }
    return try_connect(fd, address);
}

int socket_connect_narrow(const struct loopback *address)
{
    int bytes = NARROW_BYTES;
    int fd = client_socket(address);

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    fd = try_connect(fd, address);
    assert_true(fd >= 0);
    return fd;
}

int socket_connect_from(const char *source, const struct loopback *address)
{
    int fd = socket_try_connect(source, address);

    if (fd < 0) {
        fail_msg("cannot connect to %s: %s", address->text, strerror(errno));
    }
    return fd;
}

int socket_connect(const struct loopback *address)
{
    return socket_connect_from(NULL, address);
}

int socket_connect_blocking(const struct loopback *address)
{
    struct socket_address to;
    int fd;

    if (loopback_parse(address, &to) != 0) {
        return -1;
    }
    fd = socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&to.storage, to.length) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- ends ---- */

void socket_close(int fd)
{
    transport_close(socket_disown(fd));
}

void socket_close_all(void)
{
    for (int fd = 0; fd < TRANSPORT_DESCRIPTORS_MAX; fd++) {
        if (owned[fd]) {
            socket_close(fd);
        }
    }
}

void socket_shutdown_all(void)
{
    for (int fd = 0; fd < TRANSPORT_DESCRIPTORS_MAX; fd++) {
        if (owned[fd]) {
            shutdown(fd, SHUT_RDWR);
        }
    }
}

void socket_reset(int fd)
{
    transport_abort(fd);
    socket_close(fd);
}

void socket_finish(int fd)
{
    assert_int_equal(transport_finish(fd), 0);
}

/* ---- bytes ---- */

void socket_send(int fd, const void *bytes, size_t count)
{
    if (transport_send_all(fd, bytes, count) != 0) {
        fail_msg("cannot send: %s", strerror(errno));
    }
}

void socket_send_text(int fd, const char *text)
{
    socket_send(fd, text, strlen(text));
}

void socket_send_urgent(int fd, char byte)
{
    assert_int_equal(send(fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL), 1);
}

void socket_send_last(int fd, const void *bytes, size_t count)
{
    if (transport_is_plain(fd)) {
        ssize_t sent = send(fd, bytes, count, MSG_MORE | MSG_NOSIGNAL);

        assert_int_equal(sent, count);
    } else {
        socket_send(fd, bytes, count);
    }
    socket_finish(fd);
}

static bool acknowledged(int fd)
{
    int queued = 0;

    assert_int_equal(ioctl(fd, TIOCOUTQ, &queued), 0);
    return queued == 0;
}

void socket_await_acknowledged(int fd)
{
    wait_until(acknowledged(fd));
}

size_t socket_fill(int fd, int quiet_ms)
{
    static const char block[65536];
    size_t total = 0;

    for (;;) {
        ssize_t sent = transport_send(fd, block, sizeof(block));

        if (sent > 0) {
            total += (size_t)sent;
            continue;
        }
        assert_int_equal(errno, EAGAIN);
        if (!wait_events(fd, POLLOUT, wait_now_ms() + quiet_ms)) {
            return total;
        }
    }
}
