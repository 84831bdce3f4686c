/*
 * sock: one connected stream socket: its descriptor, what it is ready for, and
 * the system calls that move bytes, with TLS or without. It belongs to one
 * thread. net/listen and net/connect open it.
 *
 * Readiness follows edge-triggered epoll: an event sets a bit, EAGAIN clears
 * it. A short read clears SOCK_READABLE too, unless a hang-up or an urgent mark
 * was reported: a FIN may already be behind the bytes, and a read stops at the
 * mark, and in neither case another edge follows.
 *
 * A reset is remembered, because the kernel reports it once, to whichever call
 * comes first; a read after that call looks like a clean end. The same is true
 * of a reset that follows a FIN. sock_recv reports IO_ERROR for both.
 *
 * Urgent data is ordinary data here (SO_OOBINLINE): no byte is lost.
 *
 * A short connection makes no system call that it does not need. TCP_NODELAY of
 * an upstream's socket is set before the second write, as the first is never
 * delayed; its other options are set by sock_set_options, once the connection
 * turns out to last. After a FIN was reported, a short read shows the end, and
 * no other read asks for it.
 *
 * After sock_start_tls and an IO_OK of sock_handshake, the bytes read and
 * written here are plain text. A stream then ends with a close_notify, which
 * sock_finish sends; one that ends without is reset.
 */
#ifndef EVPROXY_NET_SOCK_H
#define EVPROXY_NET_SOCK_H

#include "base/addr.h"
#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

/* ready: what epoll and the system calls have reported. */
enum {
    SOCK_READABLE = 1 << 0,
    SOCK_WRITABLE = 1 << 1,
    SOCK_HANGUP = 1 << 2, /* the peer has ended its stream, or both are over */
    SOCK_URGENT = 1 << 3, /* an urgent mark was reported */
    SOCK_ERROR = 1 << 4,  /* an error was reported; it may be unread yet */
    SOCK_RESET = 1 << 5,  /* an error was read; after the bytes, IO_ERROR */
    SOCK_ENDED = 1 << 6,  /* all bytes were read, and a FIN is behind them */
};

/* options: which socket options are set, and what decides that. */
enum {
    SOCK_OPTION_NODELAY = 1 << 0, /* TCP_NODELAY is set */
    SOCK_OPTION_ALL = 1 << 1,     /* and all of struct sock_options */
    SOCK_OPTION_WRITTEN = 1 << 2, /* the first write is done */
    SOCK_OPTION_UNIX = 1 << 3,    /* a unix socket: there are none to set. A
                                     short read from it before a hang-up does
                                     not prove that the queue is empty. */
};

/* tls: who reads and writes the records; see tls.h. */
enum {
    SOCK_TLS_ON = 1 << 0,          /* the connection speaks TLS */
    SOCK_TLS_READ = 1 << 1,        /* OpenSSL reads */
    SOCK_TLS_KERNEL_READ = 1 << 2, /* the kernel reads; not all is data */
    SOCK_TLS_WRITE = 1 << 3,       /* OpenSSL writes */
    SOCK_TLS_INPUT = 1 << 4,    /* the kernel may have bytes for OpenSSL; also
                                   kept before TLS starts */
    SOCK_TLS_CROSSED = 1 << 5,  /* reading waits until it is writable */
    SOCK_TLS_FINISHED = 1 << 6, /* our close_notify is sent */
};

/*
 * Each session has two of them, and there may be a million sessions:
 *
 *      | fd                        | ready | options | tls  | 0    |
 *      |<-------- 4 bytes -------->|<-- 1 byte each -------------->|
 *
 * An all-zero one is not valid: the absent descriptor is -1.
 */
struct sock {
    int fd;
    uint8_t ready;   /* SOCK_... */
    uint8_t options; /* SOCK_OPTION_... */
    uint8_t tls;     /* SOCK_TLS_... */
};

_Static_assert(sizeof(struct sock) == 8, "a session has two");

/* The upstream of a TLS connection. */
struct sock_peer {
    const char *name; /* the host name or IP address that its certificate must
                         have; NULL: it is not checked */
    size_t place;     /* its index in the service; its sessions are resumed */
    const struct sock *other; /* the client's socket: if it speaks TLS, its
                                 protocol (ALPN) is offered */
};

struct tls_context;

/* Options of a service's sockets; 0 is the kernel's default. */
struct sock_options {
    uint32_t keepalive_s;
    uint32_t user_timeout_ms;
    uint32_t notsent_lowat_bytes;
    uint32_t backlog;
    bool fastopen;
};

/* ---- readiness ---- */

/* Adds a mask of epoll events to the bits. */
void sock_event(struct sock *sock, uint32_t events);

/* Records that the connection broke: after the bytes that are queued, reads
 * answer IO_ERROR. */
void sock_set_broken(struct sock *sock);

/* Reads and clears the pending error of the socket; 0 if there is none. An
 * error is remembered as a reset. */
int sock_error(struct sock *sock);

/* ---- bytes ---- */

/* Reads at most size bytes, size > 0. With IO_OK *count is how many. */
enum io sock_recv(struct sock *sock, void *buffer, size_t size,
                  size_t *count) WARN_UNUSED;

/* How the stream ended: IO_EOF, or IO_ERROR after a reset. Needs SOCK_ENDED. */
enum io sock_end(struct sock *sock) WARN_UNUSED;

/* As sock_recv, but leaves the bytes, and SOCK_READABLE while there are any. */
enum io sock_peek(struct sock *sock, void *buffer, size_t size,
                  size_t *count) WARN_UNUSED;

/* Whether the stream has ended, without reading: IO_EOF or IO_ERROR as
 * sock_recv would answer; IO_OK if bytes are left; else as sock_recv. */
enum io sock_peek_end(struct sock *sock) WARN_UNUSED;

/* Whether there are bytes to read, without reading them. */
bool sock_has_bytes(const struct sock *sock);

/* Writes at most size bytes, size > 0. last: sock_shutdown or sock_close
 * follows at once, so the FIN may go with the bytes. */
enum io sock_send(struct sock *sock, const void *bytes, size_t size, bool last,
                  size_t *count) WARN_UNUSED;

/*
 * Whether splice may move bytes between the two: OpenSSL reads none of them,
 * and there is no urgent mark, at which splice would stop. Not to a socket of
 * the kernel's TLS: that hands all pages but the last to TCP without a push,
 * and when TCP is full then, no event follows (Linux 6.1, tls_sw_do_sendpage).
 */
static inline bool sock_can_splice(const struct sock *from,
                                   const struct sock *to)
{
    return !(from->ready & SOCK_URGENT) && !(from->tls & SOCK_TLS_READ) &&
           !(to->tls & SOCK_TLS_ON);
}

/*
 * Moves at most size bytes from the socket into an empty pipe, without copying.
 * Answers as sock_recv, except that a short count does not clear readiness:
 * only IO_AGAIN does. Needs sock_can_splice. IO_BUSY: sock_recv must be called
 * instead, because this kind of socket cannot be spliced, or the stream may be
 * at its end, which splice also reports for an urgent mark with a FIN behind
 * it.
 */
enum io sock_splice_in(struct sock *sock, int pipe_fd, size_t size,
                       size_t *count) WARN_UNUSED;

/* Moves at most size bytes, which are in the pipe, to the socket. Answers as
 * sock_send. */
enum io sock_splice_out(struct sock *sock, int pipe_fd, size_t size,
                        size_t *count) WARN_UNUSED;

/* Bytes sent that the peer has not acknowledged; 0 also when unknown. */
uint32_t sock_unacknowledged(const struct sock *sock);

/* ---- TLS ---- */

static inline bool sock_is_tls(const struct sock *sock)
{
    return sock->tls & SOCK_TLS_ON;
}

/* Starts TLS on a connected socket, as the server of a client (peer is NULL) or
 * as the client of an upstream. -1 with ENOMEM. */
int sock_start_tls(struct sock *sock, const struct tls_context *context,
                   const struct sock_peer *peer) WARN_UNUSED;

/*
 * Continues the handshake after an event. IO_OK: it is complete. IO_ERROR with
 * EPROTO: it has failed, and sock_tls_error says why. Else as sock_recv.
 */
enum io sock_handshake(struct sock *sock) WARN_UNUSED;

/* Why the last failed handshake of this thread failed. A literal. */
const char *sock_tls_error(void);

/* Sends the close_notify, which must precede sock_shutdown. IO_OK: it is sent,
 * or none is needed. Else as sock_send. */
enum io sock_finish(struct sock *sock);

/*
 * Returns memory of this thread's ended handshakes and connections to the
 * system, once fewer begin and end. True: another call later could return more.
 * To be called about once a second.
 */
bool sock_trim(void);

/* ---- options ---- */

/* Whether all options are set: by sock_set_options, or inherited from the
 * listener. A unix socket has none to set. */
static inline bool sock_has_options(const struct sock *sock)
{
    return sock->options & SOCK_OPTION_ALL;
}

/* Sets all options unless they are set. */
void sock_set_options(struct sock *sock, const struct sock_options *options);

/* Sets one option of a descriptor that works without it: errors are ignored. */
void sock_set_int(int fd, int level, int name, int value);

/* The address of our end; family 0 if it is not known. */
void sock_local(const struct sock *sock, struct addr *local);

/* Smoothed round trip time in microseconds, and segments retransmitted. */
void sock_quality(const struct sock *sock, uint32_t *rtt_us,
                  uint32_t *retransmits);

/* ---- the end ---- */

/* Sends a FIN after the bytes that were written. */
void sock_shutdown(struct sock *sock);

/* Closes with a FIN, after sock_finish if that does not block. Then fd is -1
 * and all bits are 0. Harmless if it is closed. */
void sock_close(struct sock *sock);

/* Closes with a reset: bytes that the peer has not received are lost. */
void sock_reset(struct sock *sock);

#endif
