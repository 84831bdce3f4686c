/*
 * sock: one socket: its descriptor, what it is ready for, and the system calls;
 * with TLS or without.
 *
 * Readiness bits follow edge-triggered epoll: an event sets them, EAGAIN clears
 * them, and nothing else may. A short read clears SOCK_READABLE too, but not
 * once a hang-up or an urgent mark was reported: a FIN may already stand behind
 * the bytes, and a read stops short at the mark, without another edge.
 *
 * A reset is remembered: the kernel reports it once, to whichever call comes
 * first, and reads after it look like a clean end; so they do when it came
 * behind a FIN. sock_recv tells.
 *
 * Urgent data is ordinary data here (SO_OOBINLINE): no byte is lost.
 *
 * A short connection is worth no system call that it does not need. A socket to
 * an upstream gets its options when they begin to matter: TCP_NODELAY before
 * the second write, as the first is never held back; the others by
 * sock_set_options, when the connection turns out to last. And where a FIN was
 * reported and a read came back short, the end is known without another read.
 *
 * TLS begins with sock_start_tls, and from sock_handshake's IO_OK on what is
 * read and written here is what is inside. The end of a stream is a
 * close_notify then, to be sent by sock_finish; bytes that end without one are
 * a reset.
 */
#ifndef EVPROXY_NET_SOCK_H
#define EVPROXY_NET_SOCK_H

#include "base/addr.h"
#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

/* ready: what epoll and the system calls have told about the descriptor. */
enum {
    SOCK_READABLE = 1 << 0,
    SOCK_WRITABLE = 1 << 1,
    SOCK_HANGUP = 1 << 2, /* the peer has ended its stream, or both are over */
    SOCK_URGENT = 1 << 3, /* an urgent mark was reported */
    SOCK_ERROR = 1 << 4,  /* an error was reported; it may be unread yet */
    SOCK_RESET = 1 << 5,  /* one was read; after the bytes comes IO_ERROR */
    SOCK_ENDED = 1 << 6,  /* all bytes were read, and a FIN is behind them */
};

/* options: which socket options are set, and what they depend on. */
enum {
    SOCK_OPTION_NODELAY = 1 << 0, /* TCP_NODELAY is set */
    SOCK_OPTION_ALL = 1 << 1,     /* and so is all of struct sock_options */
    SOCK_OPTION_WRITTEN = 1 << 2, /* one write is done: the next one sets
                                     TCP_NODELAY first */
    SOCK_OPTION_UNIX = 1 << 3,    /* a unix socket: there are none to set, and
                                     a short read before a hang-up does not
                                     prove that the queue is empty */
};

/* tls: who reads and writes records; see tls.h. */
enum {
    SOCK_TLS_ON = 1 << 0,          /* the connection speaks TLS */
    SOCK_TLS_READ = 1 << 1,        /* OpenSSL reads */
    SOCK_TLS_KERNEL_READ = 1 << 2, /* the kernel reads, not data alone */
    SOCK_TLS_WRITE = 1 << 3,       /* OpenSSL writes */
    SOCK_TLS_INPUT = 1 << 4,    /* the kernel may have bytes for OpenSSL; kept
                                   without TLS too, which may begin later */
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

/* An upstream that TLS is to be spoken with. */
struct sock_peer {
    const char *name; /* a host name or an IP address that its certificate must
                         have; NULL: whoever it is */
    size_t place;     /* in its service: its sessions are resumed */
    const struct sock *other; /* the client's socket: what protocol (ALPN) was
                                 agreed on there is offered on */
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

/* Folds a mask of epoll events into the bits. */
void sock_event(struct sock *sock, uint32_t events);

/* Reads at most size bytes, size > 0; *count is how many, with IO_OK. */
enum io sock_recv(struct sock *sock, void *buffer, size_t size,
                  size_t *count) WARN_UNUSED;

/* The end of a stream whose bytes were all read: IO_EOF, or IO_ERROR if it was
 * no clean one. To be called once SOCK_ENDED is set. */
enum io sock_end(struct sock *sock) WARN_UNUSED;

/*
 * Writes at most size bytes, size > 0. last: these are the last bytes, and
 * sock_shutdown or sock_close follows at once, so that the FIN may go with
 * them. IO_ERROR also remembers a reset.
 */
enum io sock_send(struct sock *sock, const void *bytes, size_t size, bool last,
                  size_t *count) WARN_UNUSED;

/*
 * Moves at most size bytes from the socket into a pipe that is empty, without
 * copying them. Answers as sock_recv, but *count says nothing of what is left:
 * IO_AGAIN alone ends readiness. To be called only if sock_can_splice.
 * IO_BUSY: sock_recv is to tell, for the socket is of a kind that cannot be
 * spliced; or the stream is at its end, which splice also says of an urgent
 * mark with a FIN behind it.
 */
enum io sock_splice_in(struct sock *sock, int pipe_fd, size_t size,
                       size_t *count) WARN_UNUSED;

/* Moves at most size bytes, which are in the pipe, to the socket. Answers as
 * sock_send. */
enum io sock_splice_out(struct sock *sock, int pipe_fd, size_t size,
                        size_t *count) WARN_UNUSED;

/* The pending error of the socket, consumed; 0 if none. A reset or the like is
 * remembered. */
int sock_error(struct sock *sock);

/* Bytes that the peer has not acknowledged yet; 0 also when unknown. */
uint32_t sock_unacknowledged(const struct sock *sock);

/* As sock_recv, but the bytes stay, and so does readiness. */
enum io sock_peek(struct sock *sock, void *buffer, size_t size,
                  size_t *count) WARN_UNUSED;

/*
 * Whether the stream is at its end, without reading: IO_EOF or IO_ERROR as
 * sock_recv would answer; IO_OK if bytes are left; else as sock_recv.
 */
enum io sock_peek_end(struct sock *sock) WARN_UNUSED;

/* Whether all options are set: by sock_set_options, or inherited from the
 * listener. A unix socket has none to set. */
static inline bool sock_has_options(const struct sock *sock)
{
    return sock->options & SOCK_OPTION_ALL;
}

static inline bool sock_is_tls(const struct sock *sock)
{
    return sock->tls & SOCK_TLS_ON;
}

/* Begins TLS with a context of tls_context.h on a connected socket, to a client
 * (peer is NULL) or to an upstream. -1: no memory. */
int sock_start_tls(struct sock *sock, const struct tls_context *context,
                   const struct sock_peer *peer) WARN_UNUSED;

/*
 * Goes on with the handshake when the socket has an event. IO_OK: it is done.
 * IO_ERROR with errno EPROTO: it has failed, and sock_tls_error() says why;
 * else as sock_recv.
 */
enum io sock_handshake(struct sock *sock) WARN_UNUSED;

/* Why this thread's last handshake that failed did so. A literal. */
const char *sock_tls_error(void);

/* Sends what must follow the last byte before sock_shutdown or sock_close.
 * IO_OK: nothing is left to be sent; else as sock_send. */
enum io sock_finish(struct sock *sock);

/*
 * Gives back to the system what handshakes and connections of this thread left
 * free, once fewer come and go. Answers whether another call in a while could
 * give back more. To be called about once a second, as slab_trim.
 */
bool sock_trim(void);

/* Notes that the connection broke: IO_ERROR once the bytes are read. */
void sock_set_broken(struct sock *sock);

/*
 * Whether bytes may go from the one to the other without being looked at: none
 * are OpenSSL's, and no urgent mark is there, where splice would stop. Not to
 * the kernel's TLS either: what it makes of all pages but the last it hands to
 * TCP unpushed, and when TCP is then full, no event ever comes (Linux 6.1,
 * tls_sw_do_sendpage).
 */
static inline bool sock_can_splice(const struct sock *from,
                                   const struct sock *to)
{
    return !(from->ready & SOCK_URGENT) && !(from->tls & SOCK_TLS_READ) &&
           !sock_is_tls(to);
}

/* Whether bytes can be read right now, without reading them. */
bool sock_has_bytes(const struct sock *sock);

/* Ends our stream to the peer (FIN after the bytes that were sent, and after
 * what sock_finish sends). */
void sock_shutdown(struct sock *sock);

/* Closes, with FIN, after sock_finish if that can be done at once; harmless
 * when closed. fd is -1 and all bits are 0 afterwards. */
void sock_close(struct sock *sock);

/* Closes with a reset; what the peer has not got yet is lost. */
void sock_reset(struct sock *sock);

/*
 * A listening socket, non-blocking, bound with SO_REUSEPORT and not listening
 * yet: sock_listen opens the queue (again: changes the backlog). For a unix
 * path, a socket file that nobody answers on is removed first. -1 with errno.
 */
int sock_bind(const struct endpoint *endpoint) WARN_UNUSED;
int sock_listen(int fd, const struct sock_options *options) WARN_UNUSED;

/* A bound socket for datagrams, which come from now on. */
int sock_bind_datagram(const struct endpoint *endpoint) WARN_UNUSED;

/* What accept gave. */
enum sock_accept {
    SOCK_ACCEPTED,
    SOCK_ACCEPT_EMPTY,     /* nobody waits */
    SOCK_ACCEPT_EXHAUSTED, /* no descriptor or memory left */
};

/* The next connection, non-blocking; options are inherited from the listener.
 * Connections that died in the queue are passed over. */
enum sock_accept sock_accept(int listen_fd, struct sock *sock,
                             struct addr *client) WARN_UNUSED;

/* Why a connect could not be begun. */
enum sock_connect {
    SOCK_CONNECTING,   /* events will tell */
    SOCK_CONNECTED,    /* at once (unix sockets) */
    SOCK_CONNECT_BUSY, /* a unix socket whose backlog is full; no event comes */
    SOCK_CONNECT_FAILED, /* the other end's doing; errno */
    SOCK_CONNECT_LOCAL,  /* a shortage of ours: ports, descriptors, memory */
};

/* Sets the options that sock_connect put off; harmless if they are set. */
void sock_set_options(struct sock *sock, const struct sock_options *options);

/*
 * Opens a socket to the endpoint, from the local address source (its port is
 * not used; NULL: the system's choice), and begins to connect. Its options come
 * later, by sock_set_options.
 */
enum sock_connect sock_connect(struct sock *sock,
                               const struct endpoint *endpoint,
                               const struct addr *source) WARN_UNUSED;

/* The address of our end; family 0 if it is not known. */
void sock_local(const struct sock *sock, struct addr *local);

/* The same for datagrams: nothing is asked of the other end, so it never is
 * SOCK_CONNECTING. */
enum sock_connect sock_connect_datagram(struct sock *sock,
                                        const struct endpoint *endpoint,
                                        const struct addr *source) WARN_UNUSED;

/* True if an error number of connect is a shortage of this machine. */
bool sock_error_is_local(int error);

/* Smoothed round trip time in microseconds and segments retransmitted. */
void sock_quality(const struct sock *sock, uint32_t *rtt_us,
                  uint32_t *retransmits);

#endif
