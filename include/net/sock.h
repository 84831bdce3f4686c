/*
 * sock: the system calls of one connected stream socket, with TLS or without.
 * It belongs to one thread. net/listen and net/connect open it; net/sock_state
 * has its readiness.
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
#include "base/endpoint.h"
#include "net/sock_state.h"

#include <stdbool.h>
#include <stdint.h>

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
    uint32_t fastopen_queue; /* of TCP Fast Open */
};

/* ---- bytes ---- */

/* Reads at most size bytes, size > 0. With IO_OK *count is how many. */
enum io sock_recv(struct sock *sock, void *buffer, size_t size,
                  size_t *count) WARN_UNUSED;

/* The work of OpenSSL's reads in this thread since the last call, counted in
 * bytes as in tls_bio.h. 0 if OpenSSL does not read this socket: then its bytes
 * are all the work. */
size_t sock_take_work(const struct sock *sock);

/* As sock_recv, but leaves the bytes, and SOCK_READABLE while there are any. */
enum io sock_peek(struct sock *sock, void *buffer, size_t size,
                  size_t *count) WARN_UNUSED;

/* Whether the stream has ended, without reading: IO_EOF or IO_ERROR as
 * sock_recv would answer; IO_OK if bytes are left; else as sock_recv. */
enum io sock_peek_end(struct sock *sock) WARN_UNUSED;

/* Whether there are bytes to read, without reading them. */
bool sock_has_bytes(const struct sock *sock);

/* Writes at most size bytes, size > 0. more: another sock_send, sock_push,
 * sock_shutdown or sock_close follows at once, so the kernel may wait for it to
 * fill a segment, or to send the FIN with the bytes. */
enum io sock_send(struct sock *sock, const void *bytes, size_t size, bool more,
                  size_t *count) WARN_UNUSED;

/* Sends what the kernel holds because more was to follow. */
void sock_push(struct sock *sock);

/* Whether sock_push works. Not on a socket of the kernel's TLS: that holds the
 * bytes in a record that is open until it is full. */
static inline bool sock_can_push(const struct sock *sock)
{
    return !(sock->options & SOCK_OPTION_UNIX) &&
           (!(sock->tls & SOCK_TLS_ON) || sock->tls & SOCK_TLS_WRITE);
}

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

/* Of a client's connection, whose handshake is complete. The pointers are valid
 * until sock_release_tls. */
void sock_ask_tls(const struct sock *sock, struct sock_tls *tls);

/* A client's connection, whose handshake is complete, is asked nothing more:
 * frees what the kernel's TLS does not need. */
void sock_release_tls(struct sock *sock);

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

/* Sets all options unless they are set. */
void sock_set_options(struct sock *sock, const struct sock_options *options);

/* Sets all of them, those that are off too, on a connection or a listener that
 * may have others. Not backlog and fastopen. */
void sock_replace_options(int fd, const struct sock_options *options);

/* Sets one option of a descriptor that works without it: errors are ignored. */
void sock_set_int(int fd, int level, int name, int value);

/* The address of our end; family 0 if it is not known. */
void sock_local(const struct sock *sock, struct addr *local);

/* The address of the peer's end; family 0 if it is not known, as after a reset.
 */
void sock_remote(const struct sock *sock, struct addr *remote);

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

/* Closes the descriptor alone: the connection goes on elsewhere. */
void sock_disown(struct sock *sock);

#endif
