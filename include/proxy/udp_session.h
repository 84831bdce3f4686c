/*
 * udp_session: what a client's address and port exchange with one upstream,
 * through a connected socket of its own. It counts as a connection everywhere.
 *
 * It is established at once, since there is nothing to wait for. It ends when
 * it was idle (for a shorter time while the process stops), when it is too old,
 * with the last of udp_responses (as upstream_fin), as the longest idle one
 * above max_sessions (as limit_connections), or when the network says that
 * nobody takes datagrams there: that is a failed connect, as the first sign of
 * a dead upstream, and the client's next datagram begins a new session.
 *
 * An upstream that wants a PROXY header gets it at the head of the first
 * datagram: of the first that can be sent, that is, for one that is dropped
 * leaves it to the next.
 *
 * The record is small and holds no buffer, for there may be a hundred thousand.
 */
#ifndef EVPROXY_PROXY_UDP_SESSION_H
#define EVPROXY_PROXY_UDP_SESSION_H

#include "base/direction.h"
#include "proxy/udp.h"

/* While the process stops, a session that was quiet for so long has ended. */
#define UDP_DRAIN_QUIET_NS (2 * NS_PER_S)

/* The most that a session may take, in bytes, besides its bucket of 16. */
#define UDP_SESSION_BYTES_MAX 256

/* One plane's sessions of one service, over all reloads. */
struct udp_group {
    struct list link; /* in udp->groups */
    struct service_state *state;
    struct list idle; /* by udp_session.age: the longest idle one first */
    uint32_t sessions;
};

struct udp_session {
    struct flow flow; /* its place in the table; has the client's address */
    struct list link; /* in udp->more, finished or dead */
    struct list age;  /* in its group */
    struct wheel_timer timer;
    struct service *service;
    struct upstream *upstream; /* NULL: none was picked */
    struct udp_listener *listener;
    struct udp_group *group; /* NULL: not in one yet */
    struct rate rate[DIRECTIONS];
    uint64_t born_ns;
    uint64_t moved_ns; /* when a datagram last came, from either side */
    uint64_t bytes[DIRECTIONS];
    uint32_t index;    /* in the pool */
    uint32_t instance; /* in the token */
    uint32_t replies;
    int fd;               /* connected to the upstream; -1: not yet */
    bool in_source : 1;   /* counted in by limits_enter */
    bool in_upstream : 1; /* counted in by upstream_enter */
    bool in_table : 1;
    bool header_due : 1; /* the next datagram up carries a PROXY header */
    bool in_trains : 1;  /* its socket takes them */
    bool singly : 1;     /* what it sends cannot be joined */
    bool finished : 1;   /* in udp->finished */
    bool closed : 1;     /* in udp->dead */
};

_Static_assert(sizeof(struct udp_session) <= UDP_SESSION_BYTES_MAX,
               "a session costs no more than its record");

/* The one that the datagram belongs to, or NULL. */
struct udp_session *udp_session_find(struct plane *plane,
                                     const struct flow_key *key);

/* A new one for it; NULL if it was not let in, or ended at once. */
struct udp_session *udp_session_begin(struct plane *plane,
                                      struct udp_listener *listener,
                                      const struct flow_key *key) WARN_UNUSED;

/* One has come, or a train. False: it is over a rate, and counted as dropped;
 * of a train what is over is taken off. */
bool udp_session_admit(struct plane *plane, struct udp_session *session,
                       enum direction direction,
                       struct datagram *datagram) WARN_UNUSED;

/* Sends to the upstream; the session may have ended afterwards. */
void udp_session_send(struct plane *plane, struct udp_session *session,
                      struct datagram *const *list, unsigned count);

/* Takes what the upstream has sent, as much as is one session's turn. */
void udp_session_receive(struct plane *plane, struct udp_session *session);

/* Sends the batch down. */
void udp_session_flush(struct plane *plane);

/* Ends it, with its one cause, after its replies have left. */
void udp_session_close(struct plane *plane, struct udp_session *session,
                       enum cause cause);

/* The plane drains from now on. */
void udp_session_drain(struct plane *plane, struct udp_session *session);

/* The loop's handlers. */
void udp_session_event(struct plane *plane, uint32_t index, uint32_t instance,
                       uint32_t events);
void udp_session_timer(struct plane *plane, struct wheel_timer *timer);

/* At the end of a turn: frees the dead. */
void udp_session_free_deferred(struct plane *plane);

#endif
