#include "transport.h"

#include "wait.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t plain_send(int fd, const void *bytes, size_t count)
{
    return send(fd, bytes, count, MSG_NOSIGNAL);
}

static ssize_t plain_recv(int fd, void *buffer, size_t size)
{
    return recv(fd, buffer, size, 0);
}

static int plain_finish(int fd)
{
    return shutdown(fd, SHUT_WR);
}

static void plain_drop(int fd)
{
    (void)fd;
}

static const struct transport plain = {plain_send, plain_recv, plain_finish,
                                       plain_drop};

/* By descriptor; NULL is plain. Written and read by the threads that hold the
 * descriptor: the next one to get that number may be another thread. */
static _Atomic(const struct transport *) transports[TRANSPORT_DESCRIPTORS_MAX];

void transport_set(int fd, const struct transport *transport)
{
    transports[fd] = transport;
}

bool transport_is_plain(int fd)
{
    return transports[fd] == NULL;
}

static const struct transport *transport_of(int fd)
{
    const struct transport *transport = transports[fd];

    return transport != NULL ? transport : &plain;
}

ssize_t transport_send(int fd, const void *bytes, size_t count)
{
    return transport_of(fd)->send(fd, bytes, count);
}

ssize_t transport_recv(int fd, void *buffer, size_t size)
{
    return transport_of(fd)->recv(fd, buffer, size);
}

int transport_finish(int fd)
{
    return transport_of(fd)->finish(fd);
}

int transport_send_all(int fd, const void *bytes, size_t count)
{
    const char *next = bytes;

    while (count > 0) {
        ssize_t sent = transport_send(fd, next, count);

        if (sent > 0) {
            next += sent;
            count -= (size_t)sent;
        } else if (errno != EAGAIN && errno != EINTR) {
            return -1;
        } else if (!wait_events(fd, POLLOUT, wait_limit_ms())) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
    return 0;
}

ssize_t transport_recv_wait(int fd, void *buffer, size_t size)
{
    /* A plain socket may be a blocking one, and then recv has no deadline. What
     * TLS has read already makes no event. */
    bool wait = transport_is_plain(fd);

    for (;; wait = true) {
        ssize_t count;

        if (wait && !wait_events(fd, POLLIN, wait_limit_ms())) {
            errno = ETIMEDOUT;
            return -1;
        }
        count = transport_recv(fd, buffer, size);
        if (count >= 0 || (errno != EAGAIN && errno != EINTR)) {
            return count;
        }
    }
}

static void drop(int fd)
{
    transport_of(fd)->drop(fd);
    transports[fd] = NULL;
}

void transport_close(int fd)
{
    if (!transport_is_plain(fd)) {
        transport_finish(fd);
        drop(fd);
    }
    close(fd);
}

void transport_abort(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    drop(fd);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}
