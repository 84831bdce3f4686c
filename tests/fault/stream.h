/*
 * stream: simulated TCP sockets, as Linux has them.
 *
 * Both ends of a connection are streams. One that the code under test holds has
 * a descriptor (wrap.c answers its system calls with these functions); one that
 * a scripted peer holds has a wake function instead. Each end has a queue of
 * bytes that were sent and not acknowledged, and one of bytes that were
 * received and not read, both finite.
 *
 *      stream_send --> out ---- segments, later ----> in --> stream_recv
 *                      |                              |
 *                 SIOCOUTQ                        FIONREAD
 *
 * The rules are those of tcp_poll, tcp_recvmsg, tcp_sendmsg, tcp_reset and
 * tcp_close in Linux; test_kernel compares them with the real ones.
 */
#ifndef EVPROXY_FAULT_STREAM_H
#define EVPROXY_FAULT_STREAM_H

#include "file.h"

#include "base/endpoint.h"
#include "byte_queue.h"

enum stream_state {
    STREAM_FREE,
    STREAM_FRESH, /* never connected */
    STREAM_LISTENING,
    STREAM_DATAGRAM, /* bytes neither come nor go */
    STREAM_CONNECTING,
    STREAM_OPEN,
    STREAM_CLOSED, /* over: reset, or both FINs acknowledged */
};

struct stream {
    enum stream_state state;
    uint64_t number; /* of its making: tells it from later ones in its place */
    struct file *file;       /* NULL: no descriptor */
    unsigned holders;        /* descriptors that it has */
    void (*wake)(void *arg); /* of a scripted peer */
    void *wake_arg;
    struct stream *other; /* the other end; NULL when it is gone */
    struct endpoint local;
    struct endpoint remote;
    int error;          /* pending; told once */
    bool orphan;        /* nobody holds it any more */
    bool fin_wanted;    /* shut down for writing: a FIN follows the bytes */
    bool fin_sent;      /* and the other end has it */
    bool fin_got;       /* from the other end */
    bool recv_shut;     /* nothing more will be received */
    bool send_shut;     /* nothing more can be sent */
    bool no_space;      /* somebody waits for space in out */
    bool urgent_inline; /* SO_OOBINLINE */
    bool linger_reset;  /* SO_LINGER 0 */
    bool moving;        /* a segment is under way from here */
    uint32_t lost;      /* by a reset: never acknowledged */
    bool urgent;        /* an urgent byte is in `in` */
    uint64_t urgent_at; /* its position */
    bool urgent_sent;   /* one is in `out` */
    uint64_t urgent_sent_at;
    uint64_t peeked;   /* position in `in` up to which MSG_PEEK has shown it */
    uint32_t backlog;  /* STREAM_LISTENING */
    uint32_t queued;   /* in its accept queue */
    uint64_t empty_ns; /* when accept last found that queue empty */
    struct list accepts; /* of accept_link */
    struct list accept_link;
    bool refused_by_fault; /* its accept was answered with ECONNABORTED */
    struct byte_queue in;
    struct byte_queue out;
};

/* What an address does that has no listening stream. */
enum verdict { VERDICT_ACCEPT, VERDICT_REFUSE, VERDICT_SILENCE };

/* The rest of the network. */
struct world {
    enum verdict (*route)(void *arg, const struct endpoint *to);
    void (*accepted)(void *arg, struct stream *stream);
    void *arg;
};

void stream_set_world(const struct world *network);
/* How many bytes the queues of streams hold that are made from now on. */
void stream_set_queues(uint32_t least, uint32_t most);
/* The least that waits at a connection that comes to a listener. */
void stream_set_accept_queue(uint32_t least);

void stream_forget_all(void);
struct stream *stream_open(void);
/* The end of its holder's interest: FIN, or a reset where Linux sends one. */
void stream_close(struct stream *stream);
/* With a reset, and what was not delivered is lost. */
void stream_abort(struct stream *stream);

/* As tcp_disconnect: resets the other end, however many descriptors this one
 * has. */
void stream_dissolve(struct stream *stream);

uint32_t stream_poll(struct stream *stream);

/* Results and errno as of the system calls. */
int stream_listen(struct stream *stream, int backlog);
int stream_connect(struct stream *stream, const struct endpoint *to);
struct stream *stream_accept(struct stream *listener);
ssize_t stream_recv(struct stream *stream, void *buffer, size_t size, int flags,
                    size_t most);
/* As splice reads: up to the urgent mark, and nothing when it is next. */
ssize_t stream_recv_before_mark(struct stream *stream, void *buffer,
                                size_t size, size_t most);
ssize_t stream_send(struct stream *stream, const void *bytes, size_t size,
                    int flags, size_t most);
int stream_shutdown(struct stream *stream);
int stream_take_error(struct stream *stream);
uint32_t stream_unread(const struct stream *stream);         /* FIONREAD */
uint32_t stream_unacknowledged(const struct stream *stream); /* SIOCOUTQ */

/* Wakes the pollers of all descriptors of the stream; key as in file_wake. */
void stream_wake(struct stream *stream, uint32_t key);
/* The same, in a while. */
void stream_wake_later(struct stream *stream, uint32_t key);

/* What is under way from here arrives now. */
void stream_hurry(struct stream *stream);

#endif
