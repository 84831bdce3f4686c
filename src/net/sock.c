#include "net/sock.h"

#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

void sock_set_int(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void set_nodelay(struct sock *sock)
{
    if (!(sock->options & SOCK_OPTION_NODELAY)) {
        sock->options |= SOCK_OPTION_NODELAY;
        sock_set_int(sock->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    }
}

/* The answer to a call that failed; EAGAIN clears the bit. */
static enum io failure(struct sock *sock, uint8_t bit)
{
    switch (errno) {
    case EAGAIN:
        sock->ready &= ~bit;
        return IO_AGAIN;
    case ENOBUFS:
    case ENOMEM:
        return IO_BUSY;
    default:
        sock_set_broken(sock);
        return IO_ERROR;
    }
}

/* The answer to a call that read so many bytes, 0 at the end, -1: errno. */
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

static inline enum io receive(struct sock *sock, void *buffer, size_t size,
                              int flags, size_t *count)
{
    ssize_t got;

    do {
        got = recv(sock->fd, buffer, size, flags);
    } while (got < 0 && errno == EINTR);
    return read_answer(sock, got, count);
}

/* After a short read: no more bytes are queued now, or, behind a FIN, ever. */
static void after_short_read(struct sock *sock)
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
        after_short_read(sock);
    }
    return io;
}

size_t sock_take_work(const struct sock *sock)
{
    return sock->tls & SOCK_TLS_READ ? tls_take_work() : 0;
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

/* Without SPLICE_F_MORE, which would hold the last segment back. */
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

enum io sock_send(struct sock *sock, const void *bytes, size_t size, bool more,
                  size_t *count)
{
    int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
    ssize_t put;

    if (sock->tls & SOCK_TLS_WRITE) {
        return tls_send(sock, bytes, size, more, count);
    }
    if (sock->options & SOCK_OPTION_WRITTEN) {
        set_nodelay(sock);
    }
    do {
        put = send(sock->fd, bytes, size, flags);
    } while (put < 0 && errno == EINTR);
    return write_answer(sock, put, count);
}

/* Setting the option pushes, also when it is set (tcp(7)). */
void sock_push(struct sock *sock)
{
    sock_set_int(sock->fd, IPPROTO_TCP, TCP_NODELAY, 1);
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
    set_nodelay(sock); /* a handshake makes several small writes */
    return peer == NULL ? tls_accept(sock, context)
                        : tls_connect(sock, context, peer->name, peer->place,
                                      peer->other);
}

enum io sock_handshake(struct sock *sock)
{
    return tls_handshake(sock);
}

const char *sock_tls_error(void)
{
    return tls_error();
}

void sock_ask_tls(const struct sock *sock, struct sock_tls *tls)
{
    tls_ask(sock, tls);
}

void sock_release_tls(struct sock *sock)
{
    tls_release(sock);
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

    if (sock_is_tls(sock) && tls_has_bytes(sock)) {
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
        tls_free(sock);
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
    if (sock->options & SOCK_OPTION_SHARED) {
        sock_shutdown(sock);
    }
    close_descriptor(sock);
}

/* connect(2) to AF_UNSPEC resets a TCP connection, even if another process has
 * a descriptor of the socket too. A unix socket is shut down instead. */
static void dissolve(struct sock *sock)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    if (connect(sock->fd, &nobody, sizeof(nobody)) < 0) {
        shutdown(sock->fd, SHUT_RDWR);
    }
}

void sock_reset(struct sock *sock)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    if (sock->fd >= 0) {
        setsockopt(sock->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    if (sock->options & SOCK_OPTION_SHARED) {
        dissolve(sock);
    }
    close_descriptor(sock);
}

void sock_disown(struct sock *sock)
{
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
        sock_set_int(sock->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        sock_set_int(sock->fd, IPPROTO_TCP, TCP_KEEPIDLE,
                     (int)options->keepalive_s);
    }
    if (options->user_timeout_ms > 0) {
        sock_set_int(sock->fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                     (int)options->user_timeout_ms);
    }
    if (options->notsent_lowat_bytes > 0) {
        sock_set_int(sock->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT,
                     (int)options->notsent_lowat_bytes);
    }
}

void sock_replace_options(int fd, const struct sock_options *options)
{
    sock_set_int(fd, SOL_SOCKET, SO_KEEPALIVE, options->keepalive_s > 0);
    if (options->keepalive_s > 0) {
        sock_set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)options->keepalive_s);
    }
    sock_set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
                 (int)options->user_timeout_ms);
    sock_set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT,
                 (int)options->notsent_lowat_bytes);
}

void sock_local(const struct sock *sock, struct addr *local)
{
    struct endpoint here = {.length = sizeof(here.u)};

    *local = (struct addr){0};
    if (getsockname(sock->fd, &here.u.any, &here.length) == 0) {
        addr_from_sockaddr(local, &here.u.any);
    }
}

void sock_remote(const struct sock *sock, struct addr *remote)
{
    struct endpoint there = {.length = sizeof(there.u)};

    *remote = (struct addr){0};
    if (getpeername(sock->fd, &there.u.any, &there.length) == 0) {
        addr_from_sockaddr(remote, &there.u.any);
    }
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
