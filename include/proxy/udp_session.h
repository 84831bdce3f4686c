/*
 * udp_session: what a client's address and port exchange with one upstream,
 * through a connected socket. It counts as a connection everywhere.
 *
 * It is established at once, since there is nothing to wait for. It ends
 *
 *   - when it was idle, or too old; while the process stops, when it was quiet
 *     for UDP_DRAIN_QUIET_NS;
 *   - with udp_responses: with the last reply that is due to the datagrams of
 *     its client, as upstream_fin;
 *   - as the longest idle one above max_sessions, as limit_connections;
 *   - when the network says that nobody takes datagrams there: a failed
 *     connect, since it is the first sign of a dead upstream. The client's next
 *     datagram begins a new session.
 *
 * An upstream that wants a PROXY header gets it at the head of the first
 * datagram that can be sent.
 *
 * The record is small and holds no buffer: there may be a hundred thousand. See
 * udp.h for it.
 */
#ifndef EVPROXY_PROXY_UDP_SESSION_H
#define EVPROXY_PROXY_UDP_SESSION_H

#include "proxy/udp.h"

/* While the process stops, a session that has been quiet so long is over. */
#define UDP_DRAIN_QUIET_NS (2 * NS_PER_S)

/* The one that the datagram belongs to, or NULL. */
struct udp_session *udp_session_find(struct plane *plane,
                                     const struct flow_key *key);

/* A new one; NULL if it was not let in, or ended at once. */
struct udp_session *udp_session_begin(struct plane *plane,
                                      struct listener *listener,
                                      const struct flow_key *key) WARN_UNUSED;

/* Sends to the upstream; the session may have ended afterwards. */
void udp_session_send(struct plane *plane, struct udp_session *session,
                      struct datagram *const *list, unsigned count);

/* Ends it with its one cause, after its replies have left. */
void udp_session_close(struct plane *plane, struct udp_session *session,
                       enum cause cause);

/* Sends the batch down, and ends the sessions whose last reply was in it. */
void udp_session_flush(struct plane *plane);

/* The plane drains from now on. */
void udp_session_drain_all(struct plane *plane);

/* As session_reset_some. */
uint32_t udp_session_reset_some(struct plane *plane, uint32_t *next,
                                uint32_t count);

/* PLANE_UDP_EVICT: another plane asks for the end of sessions of ours.
 * PLANE_UDP_EVICTED: it has done what this one asked for. */
void udp_session_asked(struct plane *plane, struct message *message);
void udp_session_answered(struct plane *plane, struct message *message);

/* The loop's handlers of PLANE_UDP_SESSION and of the queue PLANE_UDP. */
void udp_session_event(struct loop *loop, uint32_t index, uint32_t instance,
                       uint32_t events);
void udp_session_timer(struct loop *loop, struct wheel_timer *timer);
void udp_session_run(struct loop *loop, struct list *link);
void udp_session_free_deferred(struct loop *loop, struct list *link);

#endif
