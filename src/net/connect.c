#include "net/connect.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool connect_error_is_shortage(int error)
{
    switch (error) {
    case EADDRNOTAVAIL:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        return true;
    default:
        return false;
    }
}

const char *connect_format_reason(int error, char text[CONNECT_REASON_MAX])
{
    if (error == ECONNREFUSED || error == ETIMEDOUT) {
        return "";
    }
    snprintf(text, CONNECT_REASON_MAX, " reason=\"%s\"", strerror(error));
    return text;
}

/*
 * Whether this machine has an address to reach the endpoint from. connect
 * answers EADDRNOTAVAIL both when it has none (a family that is turned off) and
 * when all local ports are used up. A UDP socket that is connected sends
 * nothing and needs none of TCP's ports.
 */
static bool has_local_address(const struct endpoint *endpoint)
{
    int fd = socket(endpoint->u.any.sa_family,
                    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool has = fd < 0 || connect(fd, &endpoint->u.any, endpoint->length) == 0 ||
               errno != EADDRNOTAVAIL;

    if (fd >= 0) {
        close(fd);
    }
    return has;
}

static enum connect_result failure(int error)
{
    errno = error;
    return connect_error_is_shortage(error) ? CONNECT_SHORTAGE : CONNECT_FAILED;
}

static int bind_source(int fd, const struct addr *source)
{
    struct endpoint local;

    endpoint_from_addr(&local, source);
    /* connect chooses the port, for this destination alone: ip(7). */
    sock_set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return bind(fd, &local.u.any, local.length);
}

static enum connect_result begin(int fd, const struct endpoint *endpoint,
                                 const struct addr *source)
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
    if (errno == EADDRNOTAVAIL && source == NULL) {
        return failure(has_local_address(endpoint) ? EADDRNOTAVAIL
                                                   : ENETUNREACH);
    }
    return failure(errno);
}

static int open_socket(struct sock *sock, int type, int family)
{
    *sock = (struct sock){
        .fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    };
    if (family == AF_UNIX) {
        sock->options =
            SOCK_OPTION_UNIX | SOCK_OPTION_NODELAY | SOCK_OPTION_ALL;
    } else if (sock->fd >= 0 && type == SOCK_STREAM) {
        /* Now: an urgent mark may come with the first byte. */
        sock_set_int(sock->fd, SOL_SOCKET, SO_OOBINLINE, 1);
    }
    return sock->fd;
}

static enum connect_result begin_from(struct sock *sock,
                                      const struct endpoint *endpoint,
                                      const struct addr *source)
{
    enum connect_result result;
    int error;

    if (source == NULL || bind_source(sock->fd, source) == 0) {
        result = begin(sock->fd, endpoint, source);
    } else {
        result = failure(errno);
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
    return open_socket(sock, SOCK_STREAM, endpoint->u.any.sa_family) < 0
               ? failure(errno)
               : begin_from(sock, endpoint, source);
}

enum connect_result connect_to_ask(struct sock *sock,
                                   const struct endpoint *endpoint,
                                   const struct addr *source)
{
    int family = endpoint->u.any.sa_family;

    if (open_socket(sock, SOCK_STREAM, family) < 0) {
        return failure(errno);
    }
    if (family != AF_UNIX) {
        sock_set_int(sock->fd, IPPROTO_TCP, TCP_QUICKACK, 0);
    }
    return begin_from(sock, endpoint, source);
}

enum connect_result connect_datagram(struct sock *sock,
                                     const struct endpoint *endpoint,
                                     const struct addr *source)
{
    return open_socket(sock, SOCK_DGRAM, endpoint->u.any.sa_family) < 0
               ? failure(errno)
               : begin_from(sock, endpoint, source);
}

/* All of 127.0.0.0/8 is the machine's, and the kernel sends from 127.0.0.1. */
static bool is_loopback_in(const struct addr *ip)
{
    return ip->family == AF_INET && ip->ip[0] == IN_LOOPBACKNET;
}

bool connect_is_own(const struct addr *ip, uint32_t scope)
{
    struct endpoint there, here = {.length = sizeof(here.u)};
    struct addr local = {.family = 0};
    int fd;

    if (is_loopback_in(ip)) {
        return true;
    }
    fd = socket(ip->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    endpoint_from_addr(&there, ip);
    if (ip->family == AF_INET6) {
        there.u.in6.sin6_scope_id = scope;
    }
    /* Nothing is sent. To an own address the source is the same one. */
    if (connect(fd, &there.u.any, there.length) == 0 &&
        getsockname(fd, &here.u.any, &here.length) == 0) {
        addr_from_sockaddr(&local, &here.u.any);
    }
    close(fd);
    return addr_compare_ip(&local, ip) == 0;
}
