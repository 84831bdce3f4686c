/*
 * udp: a plane's share of UDP: its sockets for clients, its table of sessions,
 * and the two batches through which datagrams pass. Made with the first UDP
 * listener that the plane gets; without one it costs nothing.
 *
 *      clients ──▶ listener ──▶ batch up ──▶ session ──▶ its own socket
 *                  the same ◀── batch down ◀── recv ◀───── connected
 *
 * What comes for many sessions at once is taken by one call, and so are the
 * answers of many sessions given back: the batch down leaves when it is full,
 * at the end of the loop's turn, or before one of its sessions ends. Between
 * datagrams no buffer is held. What cannot go now is dropped and counted.
 *
 * A socket is bound once and for all: datagrams of one client reach the same
 * worker only while the set of sockets stays as it is. When its address is no
 * longer configured, a socket lives on until its last session has ended.
 */
#ifndef EVPROXY_PROXY_UDP_H
#define EVPROXY_PROXY_UDP_H

#include "base/pool.h"
#include "net/datagram.h"
#include "proxy/flow.h"
#include "proxy/plane.h"

struct udp_session;

struct udp_listener {
    struct datagram_socket socket;
    struct endpoint endpoint; /* as configured */
    struct service *service;  /* of new sessions; NULL: none are let in */
    uint32_t index;           /* in the pool */
    uint32_t instance;        /* events of a former tenant are not ours */
    uint32_t sessions;
    bool kept; /* the generation has its socket */
};

struct udp {
    struct pool listeners;
    struct pool sessions;
    struct flow_table flows;
    struct list groups; /* see udp_session.h */
    struct list more;   /* sessions that had their turn and have more to read */
    struct list turn;   /* on the loop's runnable list while there are such */
    struct list finished; /* had their last reply: end when it has left */
    struct list dead;     /* to be freed at the end of the turn */
    uint32_t instance;    /* instance number: makes tokens unlike */
    struct datagram_batch up;
    struct datagram_batch down;
    struct udp_session *owner[DATAGRAM_BATCH]; /* of each of down; NULL: it is
                                                  not to be sent */
};

/* Takes the generation's UDP sockets, and lets those go that it has not. */
void udp_apply(struct plane *plane, const struct generation *generation);

/* Lets no new session in; sockets without any are closed, and sessions that are
 * quiet end soon. */
void udp_drain(struct plane *plane);

/* Ends all sessions with cause drain. */
void udp_reset_all(struct plane *plane);

/* After udp_reset_all: closes the sockets and frees all. */
void udp_close(struct plane *plane);

/* The loop's handlers. udp_run: plane->udp->turn was on the runnable list. */
void udp_listener_event(struct plane *plane, uint32_t index, uint32_t instance);
void udp_run(struct plane *plane);
void udp_batch_end(struct plane *plane);

/* Gives idle memory back. True: there may be more later. */
bool udp_trim(struct plane *plane);

#endif
