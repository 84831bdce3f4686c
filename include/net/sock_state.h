/*
 * sock_state: what is known of one socket: its readiness, the options that are
 * set, and its TLS. For users it is a part of sock, hence the prefix; it is a
 * room below, because TLS uses it too. It belongs to one thread.
 *
 * Readiness follows edge-triggered epoll: an event sets a bit, EAGAIN clears
 * it. A short read clears SOCK_READABLE too, unless a hang-up or an urgent mark
 * was reported: a FIN may already be behind the bytes, and a read stops at the
 * mark, and in neither case another edge follows.
 *
 * A reset is remembered, because the kernel reports it once, to whichever call
 * comes first; a read after that call looks like a clean end. The same is true
 * of a reset that follows a FIN. sock_recv reports IO_ERROR for both.
 */
#ifndef EVPROXY_NET_SOCK_STATE_H
#define EVPROXY_NET_SOCK_STATE_H

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
    SOCK_OPTION_NODELAY = 1 << 0,   /* TCP_NODELAY is set */
    SOCK_OPTION_ALL = 1 << 1,       /* and all of struct sock_options */
    SOCK_OPTION_WRITTEN = 1 << 2,   /* the first write is done */
    SOCK_OPTION_UNIX = 1 << 3,      /* a unix socket: there are none to set. A
                                       short read from it before a hang-up does
                                       not prove that the queue is empty. */
    SOCK_OPTION_MULTIPATH = 1 << 4, /* Multipath TCP */
    SOCK_OPTION_SHARED = 1 << 5,    /* another process may have the open file
                                       too, so that closing ours ends nothing */
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
    SOCK_TLS_VIOLATED = 1 << 7, /* it broke because of what the peer sent */
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

/* A common name has at most 64 characters (X.520, ub-common-name). */
#define SOCK_COMMON_NAME_MAX 256

/* What a client's connection, whose handshake is complete, agreed on, and who
 * the client is. */
struct sock_tls {
    const char *version;           /* "TLSv1.3" */
    const unsigned char *protocol; /* by ALPN; NULL: none */
    unsigned protocol_bytes;
    const char *name; /* that the client asked for; NULL: none */
    bool shown;       /* the client has a certificate */
    bool resumed;     /* it was shown in the connection that this one resumes */
    bool verified;
    uint16_t common_name_bytes; /* of the certificate; 0: it has none, or one
                                   that is too long */
    unsigned char common_name[SOCK_COMMON_NAME_MAX]; /* in UTF-8 */
};

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

/* Adds a mask of epoll events to the bits. */
void sock_event(struct sock *sock, uint32_t events);

/* Records that the connection broke: after the bytes that are queued, reads
 * answer IO_ERROR. */
void sock_set_broken(struct sock *sock);

/* Reads and clears the pending error of the socket; 0 if there is none. An
 * error is remembered as a reset. */
int sock_error(struct sock *sock);

/* How a stream ended of which all bytes were read: IO_EOF, or IO_ERROR with
 * ECONNRESET after a reset. */
enum io sock_end(struct sock *sock) WARN_UNUSED;

#endif
