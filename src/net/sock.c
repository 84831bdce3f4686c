#include "net/sock.h"

#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* One urgent byte can stand for many; the rest of the list of accept(2)'s
 * passing errors is endless only if the peers are. */
#define ACCEPT_PASS_MAX 64

/* Sets an option that the socket can do without. */
static void set_int(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void set_nodelay(struct sock *sock)
{
    if (!(sock->options & SOCK_OPTION_NODELAY)) {
        sock->options |= SOCK_OPTION_NODELAY;
        set_int(sock->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    }
}

/* The events that few connections ever have, and at most once. */
static void rare_event(struct sock *sock, uint32_t events)
{
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        sock->ready |= SOCK_HANGUP;
    }
    if (events & EPOLLPRI) {
        sock->ready |= SOCK_URGENT;
    }
    if (events & EPOLLERR) {
        sock->ready |= SOCK_ERROR;
    }
}

void sock_event(struct sock *sock, uint32_t events)
{
    const uint32_t rare = EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

    if (events & (EPOLLIN | rare)) {
        sock->ready |= SOCK_READABLE;
        sock->tls |= SOCK_TLS_INPUT;
    }
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        sock->ready |= SOCK_WRITABLE;
    }
    if (events & rare) {
        rare_event(sock, events);
    }
    if (sock->tls & SOCK_TLS_CROSSED && sock->ready & SOCK_WRITABLE) {
        sock->tls &= ~SOCK_TLS_CROSSED;
        sock->ready |= SOCK_READABLE;
    }
}

void sock_set_broken(struct sock *sock)
{
    sock->ready |= SOCK_RESET | SOCK_HANGUP | SOCK_READABLE;
}

/* The answer to a failed call; ready_bit is what EAGAIN takes away. */
static enum io failure(struct sock *sock, uint8_t ready_bit)
{
    switch (errno) {
    case EAGAIN:
        sock->ready &= ~ready_bit;
        return IO_AGAIN;
    case ENOBUFS:
    case ENOMEM:
        return IO_BUSY;
    default:
        sock_set_broken(sock);
        return IO_ERROR;
    }
}

int sock_error(struct sock *sock)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) {
        error = errno;
    }
    if (error != 0) {
        sock_set_broken(sock);
    }
    return error;
}

enum io sock_end(struct sock *sock)
{
    sock->ready &= ~SOCK_READABLE;
    if (sock->ready & SOCK_RESET ||
        (sock->ready & SOCK_ERROR && sock_error(sock) != 0)) {
        errno = ECONNRESET;
        return IO_ERROR;
    }
    sock->ready |= SOCK_ENDED;
    return IO_EOF;
}

/* What a call that reads answered: got bytes, the end, or a failure. */
static enum io read_answer(struct sock *sock, ssize_t got, size_t *count)
{
    if (got < 0) {
        return failure(sock, SOCK_READABLE);
    }
    if (got == 0) {
        return sock_end(sock);
    }
    *count = (size_t)got;
    return IO_OK;
}

static enum io receive(struct sock *sock, void *buffer, size_t size, int flags,
                       size_t *count)
{
    ssize_t got;

    do {
        got = recv(sock->fd, buffer, size, flags);
    } while (got < 0 && errno == EINTR);
    return read_answer(sock, got, count);
}

/* A read came back short: there is nothing more now, and perhaps never. */
static void fell_short(struct sock *sock)
{
    const uint8_t doubts = SOCK_URGENT | SOCK_ERROR | SOCK_RESET;

    if (!(sock->ready & (SOCK_HANGUP | SOCK_URGENT))) {
        sock->ready &= ~SOCK_READABLE;
    } else if (!(sock->ready & doubts) && !(sock->options & SOCK_OPTION_UNIX)) {
        sock->ready |= SOCK_ENDED;
    }
}

enum io sock_recv(struct sock *sock, void *buffer, size_t size, size_t *count)
{
    enum io io;

    if (sock->tls & (SOCK_TLS_READ | SOCK_TLS_KERNEL_READ)) {
        return tls_recv(sock, buffer, size, count);
    }
    io = receive(sock, buffer, size, 0, count);
    if (io == IO_OK && *count < size) {
        fell_short(sock);
    }
    return io;
}

enum io sock_peek(struct sock *sock, void *buffer, size_t size, size_t *count)
{
    if (sock->tls & (SOCK_TLS_READ | SOCK_TLS_KERNEL_READ)) {
        return tls_peek(sock, buffer, size, count);
    }
    return receive(sock, buffer, size, MSG_PEEK, count);
}

enum io sock_peek_end(struct sock *sock)
{
    size_t count;
    char byte;

    return sock_peek(sock, &byte, 1, &count);
}

/* splice, with the flags that it wants everywhere: never MORE, which would hold
 * the last segment back. */
static ssize_t move(int from_fd, int to_fd, size_t size)
{
    ssize_t moved;

    do {
        moved = splice(from_fd, NULL, to_fd, NULL, size,
                       SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    } while (moved < 0 && errno == EINTR);
    return moved;
}

enum io sock_splice_in(struct sock *sock, int pipe_fd, size_t size,
                       size_t *count)
{
    ssize_t got = move(sock->fd, pipe_fd, size);

    if (got == 0 || (got < 0 && errno == EINVAL)) {
        return IO_BUSY;
    }
    return read_answer(sock, got, count);
}

static enum io write_answer(struct sock *sock, ssize_t put, size_t *count)
{
    if (put < 0) {
        return failure(sock, SOCK_WRITABLE);
    }
    sock->options |= SOCK_OPTION_WRITTEN;
    *count = (size_t)put;
    return IO_OK;
}

enum io sock_send(struct sock *sock, const void *bytes, size_t size, bool last,
                  size_t *count)
{
    int flags = MSG_NOSIGNAL | (last ? MSG_MORE : 0);
    ssize_t put;

    if (sock->tls & SOCK_TLS_WRITE) {
        return tls_send(sock, bytes, size, last, count);
    }
    if (sock->options & SOCK_OPTION_WRITTEN) {
        set_nodelay(sock);
    }
    do {
        put = send(sock->fd, bytes, size, flags);
    } while (put < 0 && errno == EINTR);
    return write_answer(sock, put, count);
}

enum io sock_splice_out(struct sock *sock, int pipe_fd, size_t size,
                        size_t *count)
{
    set_nodelay(sock);
    return write_answer(sock, move(pipe_fd, sock->fd, size), count);
}

uint32_t sock_unacknowledged(const struct sock *sock)
{
    int bytes = 0;

    if (ioctl(sock->fd, SIOCOUTQ, &bytes) < 0 || bytes < 0) {
        return 0;
    }
    return (uint32_t)bytes;
}

int sock_start_tls(struct sock *sock, const struct tls_context *context,
                   const struct sock_peer *peer)
{
    set_nodelay(sock); /* a handshake is many small writes */
    return tls_begin(sock, context, peer);
}

enum io sock_handshake(struct sock *sock)
{
    return tls_handshake(sock);
}

const char *sock_tls_error(void)
{
    return tls_reason();
}

enum io sock_finish(struct sock *sock)
{
    return sock_is_tls(sock) ? tls_finish(sock) : IO_OK;
}

bool sock_trim(void)
{
    return tls_trim();
}

bool sock_has_bytes(const struct sock *sock)
{
    int bytes = 0;

    if (sock_is_tls(sock) && tls_holds_bytes(sock)) {
        return true;
    }
    return ioctl(sock->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

void sock_shutdown(struct sock *sock)
{
    shutdown(sock->fd, SHUT_WR);
}

static void close_descriptor(struct sock *sock)
{
    if (sock_is_tls(sock)) {
        tls_end(sock);
    }
    if (sock->fd >= 0) {
        close(sock->fd);
    }
    *sock = (struct sock){.fd = -1};
}

void sock_close(struct sock *sock)
{
    if (!(sock->ready & SOCK_RESET)) {
        (void)sock_finish(sock);
    }
    close_descriptor(sock);
}

void sock_reset(struct sock *sock)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    if (sock->fd >= 0) {
        setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    close_descriptor(sock);
}

void sock_set_options(struct sock *sock, const struct sock_options *options)
{
    if (sock_has_options(sock)) {
        return;
    }
    sock->options |= SOCK_OPTION_ALL;
    set_nodelay(sock);
    if (options->keepalive_s > 0) {
        set_int(sock->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_int(sock->fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)options->keepalive_s);
    }
    if (options->user_timeout_ms > 0) {
        set_int(sock->fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                (int)options->user_timeout_ms);
    }
    if (options->notsent_lowat_bytes > 0) {
        set_int(sock->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT,
                (int)options->notsent_lowat_bytes);
    }
}

/* A socket of that type; IPv4 where a machine without IPv6 is to listen on all
 * addresses of both. */
static int open_listener(struct endpoint *endpoint, int type)
{
    int family = endpoint->u.any.sa_family;
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 && errno == EAFNOSUPPORT && family == AF_INET6 &&
        IN6_IS_ADDR_UNSPECIFIED(&endpoint->u.in6.sin6_addr)) {
        in_port_t port = endpoint->u.in6.sin6_port;

        endpoint->u.in =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        endpoint->length = sizeof(endpoint->u.in);
        fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    return fd;
}

/* Removes the file of a unix socket that nobody answers on any more. */
static bool remove_stale(const struct endpoint *endpoint)
{
    const char *path = endpoint->u.un.sun_path;
    struct stat file;
    bool stale;
    int fd;

    if (lstat(path, &file) < 0 || !S_ISSOCK(file.st_mode)) {
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    stale = connect(fd, &endpoint->u.any, endpoint->length) < 0 &&
            errno == ECONNREFUSED;
    close(fd);
    return stale && unlink(path) == 0;
}

/* Before it is bound: a datagram that came earlier would not say where to. */
static void tell_local_address(int fd, int family)
{
    if (family == AF_INET6) {
        set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    } else {
        set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
    }
}

static int bind_listener(int fd, const struct endpoint *endpoint, int type)
{
    if (endpoint->u.any.sa_family != AF_UNIX) {
        /* For datagrams it would let others take the port over. */
        set_int(fd, SOL_SOCKET, SO_REUSEADDR, type == SOCK_STREAM);
        set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (endpoint->u.any.sa_family == AF_INET6) {
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY,
                !IN6_IS_ADDR_UNSPECIFIED(&endpoint->u.in6.sin6_addr));
    }
    if (type == SOCK_DGRAM) {
        tell_local_address(fd, endpoint->u.any.sa_family);
    }
    if (bind(fd, &endpoint->u.any, endpoint->length) == 0) {
        return 0;
    }
    if (errno != EADDRINUSE || endpoint->u.any.sa_family != AF_UNIX) {
        return -1;
    }
    if (!remove_stale(endpoint)) {
        errno = EADDRINUSE;
        return -1;
    }
    return bind(fd, &endpoint->u.any, endpoint->length);
}

static int bind_type(const struct endpoint *endpoint, int type)
{
    struct endpoint local = *endpoint;
    int fd = open_listener(&local, type);
    int error;

    if (fd < 0) {
        return -1;
    }
    if (bind_listener(fd, &local, type) < 0) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int sock_bind(const struct endpoint *endpoint)
{
    return bind_type(endpoint, SOCK_STREAM);
}

int sock_bind_datagram(const struct endpoint *endpoint)
{
    return bind_type(endpoint, SOCK_DGRAM);
}

int sock_listen(int fd, const struct sock_options *options)
{
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
    /* Also those that are off: it may be that they no longer are on. */
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, options->keepalive_s > 0);
    if (options->keepalive_s > 0) {
        set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)options->keepalive_s);
    }
    set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)options->user_timeout_ms);
    set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT,
            (int)options->notsent_lowat_bytes);
    set_int(fd, IPPROTO_TCP, TCP_FASTOPEN,
            options->fastopen ? (int)options->backlog : 0);
    return listen(fd, (int)options->backlog);
}

/* The connection died while it was in the queue, or the network hiccuped. */
static bool accept_error_passes(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM: /* a firewall's word */
        return true;
    default:
        return false;
    }
}

enum sock_accept sock_accept(int listen_fd, struct sock *sock,
                             struct addr *client)
{
    struct endpoint peer = {0};

    for (int passed = 0; passed < ACCEPT_PASS_MAX; passed++) {
        peer.length = sizeof(peer.u);
        sock->fd = accept4(listen_fd, &peer.u.any, &peer.length,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (sock->fd >= 0) {
            sock->ready = SOCK_WRITABLE;
            /* They are the listener's. */
            sock->options = SOCK_OPTION_NODELAY | SOCK_OPTION_ALL;
            sock->tls = 0;
            addr_from_sockaddr(client, &peer.u.any);
            if (client->family == AF_UNIX) {
                sock->options |= SOCK_OPTION_UNIX;
            }
            return SOCK_ACCEPTED;
        }
        if (errno == EAGAIN) {
            return SOCK_ACCEPT_EMPTY;
        }
        if (!accept_error_passes(errno)) {
            return SOCK_ACCEPT_EXHAUSTED;
        }
    }
    return SOCK_ACCEPT_EMPTY;
}

bool sock_error_is_local(int error)
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
    /* The port is chosen by connect, for this destination alone: ip(7). */
    set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    return bind(fd, &local.u.any, local.length);
}

static enum sock_connect begin_connect(int fd, const struct endpoint *endpoint)
{
    int result;

    do {
        result = connect(fd, &endpoint->u.any, endpoint->length);
    } while (result < 0 && errno == EINTR);
    if (result == 0) {
        return SOCK_CONNECTED;
    }
    if (errno == EINPROGRESS) {
        return SOCK_CONNECTING;
    }
    if (errno == EAGAIN && endpoint->u.any.sa_family == AF_UNIX) {
        return SOCK_CONNECT_BUSY;
    }
    return sock_error_is_local(errno) ? SOCK_CONNECT_LOCAL
                                      : SOCK_CONNECT_FAILED;
}

static enum sock_connect connect_type(struct sock *sock, int type,
                                      const struct endpoint *endpoint,
                                      const struct addr *source)
{
    int family = endpoint->u.any.sa_family;
    enum sock_connect result = SOCK_CONNECT_LOCAL;
    int error;

    *sock = (struct sock){
        .fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
    };
    if (sock->fd < 0) {
        return SOCK_CONNECT_LOCAL;
    }
    if (family == AF_UNIX) {
        sock->options =
            SOCK_OPTION_UNIX | SOCK_OPTION_NODELAY | SOCK_OPTION_ALL;
    } else if (type == SOCK_STREAM) {
        /* At once: a mark may come with the first byte. */
        set_int(sock->fd, SOL_SOCKET, SO_OOBINLINE, 1);
    }
    if (source == NULL || bind_source(sock->fd, source) == 0) {
        result = begin_connect(sock->fd, endpoint);
    }
    if (result != SOCK_CONNECTING && result != SOCK_CONNECTED) {
        error = errno;
        sock_close(sock);
        errno = error;
    }
    return result;
}

void sock_local(const struct sock *sock, struct addr *local)
{
    struct endpoint here = {.length = sizeof(here.u)};

    *local = (struct addr){0};
    if (getsockname(sock->fd, &here.u.any, &here.length) == 0) {
        addr_from_sockaddr(local, &here.u.any);
    }
}

enum sock_connect sock_connect(struct sock *sock,
                               const struct endpoint *endpoint,
                               const struct addr *source)
{
    return connect_type(sock, SOCK_STREAM, endpoint, source);
}

enum sock_connect sock_connect_datagram(struct sock *sock,
                                        const struct endpoint *endpoint,
                                        const struct addr *source)
{
    return connect_type(sock, SOCK_DGRAM, endpoint, source);
}

void sock_quality(const struct sock *sock, uint32_t *rtt_us,
                  uint32_t *retransmits)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);

    (void)getsockopt(sock->fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    *rtt_us = info.tcpi_rtt;
    *retransmits = info.tcpi_total_retrans;
}
