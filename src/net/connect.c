#include "net/connect.h"

#include <errno.h>
#include <unistd.h>

bool connect_error_is_local(int error)
{
    switch (error) {
    case EADDRNOTAVAIL:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EACCES:
    case EPERM:
    case EAFNOSUPPORT:
        return true;
    default:
        return false;
    }
}

static int bind_source(int fd, const struct addr *source)
{
    struct endpoint local;

    endpoint_from_addr(&local, source);
    /* connect chooses the port, for this destination alone: ip(7). */
    sock_set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return bind(fd, &local.u.any, local.length);
}

static enum connect_result begin(int fd, const struct endpoint *endpoint)
{
    int result;

    do {
        result = connect(fd, &endpoint->u.any, endpoint->length);
    } while (result < 0 && errno == EINTR);
    if (result == 0) {
        return CONNECT_DONE;
    }
    if (errno == EINPROGRESS) {
        return CONNECT_PENDING;
    }
    if (errno == EAGAIN && endpoint->u.any.sa_family == AF_UNIX) {
        return CONNECT_BUSY;
    }
    return connect_error_is_local(errno) ? CONNECT_LOCAL : CONNECT_FAILED;
}

static enum connect_result open_and_begin(struct sock *sock, int type,
                                          const struct endpoint *endpoint,
                                          const struct addr *source)
{
    int family = endpoint->u.any.sa_family;
    enum connect_result result = CONNECT_LOCAL;
    int error;

    *sock = (struct sock){
        .fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    };
    if (sock->fd < 0) {
        return CONNECT_LOCAL;
    }
    if (family == AF_UNIX) {
        sock->options =
            SOCK_OPTION_UNIX | SOCK_OPTION_NODELAY | SOCK_OPTION_ALL;
    } else if (type == SOCK_STREAM) {
        /* Now: an urgent mark may come with the first byte. */
        sock_set_int(sock->fd, SOL_SOCKET, SO_OOBINLINE, 1);
    }
    if (source == NULL || bind_source(sock->fd, source) == 0) {
        result = begin(sock->fd, endpoint);
    }
    if (result == CONNECT_DONE) {
        sock->ready = SOCK_WRITABLE;
    } else if (result != CONNECT_PENDING) {
        error = errno;
        sock_close(sock);
        errno = error;
    }
    return result;
}

enum connect_result connect_stream(struct sock *sock,
                                   const struct endpoint *endpoint,
                                   const struct addr *source)
{
    return open_and_begin(sock, SOCK_STREAM, endpoint, source);
}

enum connect_result connect_datagram(struct sock *sock,
                                     const struct endpoint *endpoint,
                                     const struct addr *source)
{
    return open_and_begin(sock, SOCK_DGRAM, endpoint, source);
}
