/*
 * udp: the common part of a plane's UDP: its sessions, their table, and the two
 * batches through which datagrams pass. Made with the first UDP listener that
 * the plane gets; without one it costs nothing.
 *
 *      clients ──▶ listener ──▶ batch up ──▶ session ──▶ its own socket
 *                  the same ◀── batch down ◀── recv ◀───── connected
 *
 * One system call receives the datagrams of many sessions, and one sends the
 * replies of many sessions: the batch down is sent when it is full, at the end
 * of the loop's turn, or before one of its sessions ends. Between datagrams no
 * buffer is held. A datagram that cannot be sent now is dropped and counted.
 */
#ifndef EVPROXY_PROXY_UDP_H
#define EVPROXY_PROXY_UDP_H

#include "base/pool.h"
#include "net/datagram.h"
#include "proxy/flow.h"
#include "proxy/listener.h"
#include "proxy/plane.h"

/* The most that a session may take, in bytes, besides its bucket of 16. */
#define UDP_SESSION_BYTES_MAX 256

/* Whose sessions are too many. */
enum udp_scope { UDP_OF_SERVICE, UDP_OF_PROCESS, UDP_SCOPES };

/* A message to the plane that has the longest idle session. */
struct udp_request {
    struct message message;
    struct mailbox *asker;
    struct udp_group *group; /* the asker's, which the request is part of */
    struct census *census;
    struct generation *generation; /* that the asker holds meanwhile */
    uint32_t max;                  /* sessions that may stay */
    bool under_way;
};

/* One plane's sessions of one service, over all reloads, or all of them. */
struct udp_group {
    enum udp_scope scope;
    struct census *census;
    struct list idle; /* by udp_session.age: the longest idle one first */
    struct udp_request request;
};

struct udp_session {
    struct flow flow; /* its place in the table; has the client's address */
    struct list link; /* runnable, finished or deferred */
    struct list age[UDP_SCOPES]; /* in the groups */
    struct wheel_timer timer;
    struct service *service;
    struct upstream *upstream; /* NULL: none was picked */
    struct listener *listener;
    struct udp_group *group; /* of its service; NULL: not in one yet */
    struct rate rate[DIRECTIONS];
    struct rate *source_rate; /* of each direction; NULL: none by source */
    uint64_t born_ns;
    uint64_t moved_ns;   /* when a datagram last came, from either side */
    uint64_t ordered_ns; /* its place in the order of the process */
    uint64_t bytes[DIRECTIONS];
    uint32_t index;       /* in the pool */
    uint32_t instance;    /* of its token */
    uint32_t replies_due; /* with udp_responses: to what was sent up */
    int fd;               /* connected to the upstream; -1: not yet */
    uint8_t counted;      /* bits by udp_scope: that census counts it */
    bool in_source : 1;   /* its source counts it */
    bool in_upstream : 1; /* its upstream counts it */
    bool in_table : 1;    /* it is in the table of flows */
    bool header_due : 1;  /* the next datagram up carries a PROXY header */
    bool header_each : 1; /* and so does each that follows */
    bool takes_gro : 1;   /* its socket takes GRO batches */
    bool no_gso : 1;      /* what it sends cannot go as a GSO batch */
    bool finished : 1;    /* in udp->finished: its last reply leaves */
    bool closed : 1;      /* deferred */
};

_Static_assert(sizeof(struct udp_session) <= UDP_SESSION_BYTES_MAX,
               "a session costs no more than its record");

struct udp {
    struct pool sessions;
    struct flow_table flows;
    struct udp_group everyone;
    bool alone;           /* no service is TCP: see admission.h */
    struct list finished; /* sessions that end when their last reply has left */
    bool listener_unused; /* one that is not kept has lost its last session */
    struct datagram_batch up;
    struct datagram_batch down;
    struct udp_session *owner[DATAGRAM_BATCH]; /* of each of down; NULL: it is
                                                  not sent */
};

/* NULL with errno. seed: used if the kernel has no random bytes yet. Any
 * thread. */
struct udp *udp_create(uint64_t seed) WARN_UNUSED;

/* Harmless for NULL. No session is left. */
void udp_destroy(struct udp *udp);

/* Gives idle memory back. True: there may be more later. */
bool udp_trim(struct udp *udp);

#endif
