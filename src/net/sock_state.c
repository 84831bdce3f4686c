#include "net/sock_state.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Events that a connection has at most once, and most have never. */
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
