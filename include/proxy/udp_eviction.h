/*
 * udp_eviction: which UDP session goes when there are too many of a service, or
 * of the process: the longest idle one of all workers, to within 100 ms. Keeps
 * a plane's sessions in the order in which they are idle. Ends none itself. The
 * plane's thread.
 *
 * A worker ends sessions of its own only. The census (service/census.h) tells
 * which worker has the longest idle one: that worker is asked by a message,
 * which comes back when it has ended what is too much. The new client is served
 * meanwhile, so a limit may be passed for a moment.
 *
 *      plane over a limit ── PLANE_UDP_EVICT ──▶ plane with the longest idle
 * one looks again ◀── PLANE_UDP_EVICTED ──        ends its sessions
 *
 * The message keeps its generation from being retired, and with it the census,
 * and is part of the group that sends it: one at a time.
 */
#ifndef EVPROXY_PROXY_UDP_EVICTION_H
#define EVPROXY_PROXY_UDP_EVICTION_H

#include "proxy/udp.h"

/* The plane has its struct udp now. */
void udp_eviction_init(struct plane *plane);

/* A new session: it is counted, and idle since now. -1 with errno. */
int udp_eviction_enter(struct plane *plane,
                       struct udp_session *session) WARN_UNUSED;

/* A session ends. Harmless if it never entered. */
void udp_eviction_leave(struct plane *plane, struct udp_session *session);

/* A datagram of the session has come. */
void udp_eviction_touch(struct plane *plane, struct udp_session *session);

/*
 * The session that ends because the census counts more than max. NULL: none, or
 * it is another worker's, which is asked. spared: is not chosen; or NULL. To be
 * called until it answers NULL, a few times.
 */
struct udp_session *udp_eviction_pick(struct plane *plane,
                                      struct census *census, uint32_t max,
                                      const struct udp_session *spared);

/* The session that ends so that the other may have its port or descriptor: the
 * longest idle one here of its service, else of any. NULL: there is none. */
struct udp_session *
udp_eviction_pick_instead(struct plane *plane,
                          const struct udp_session *session);

/* What another plane's message asked for is done: it goes back. */
void udp_eviction_answer(struct udp_request *request);

/* The message has come back. Returns a copy, whose generation the caller
 * releases: the group may be freed. */
struct udp_request udp_eviction_take_back(struct plane *plane,
                                          struct udp_request *request);

#endif
