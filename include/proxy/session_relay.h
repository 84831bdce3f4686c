/*
 * session_relay: the phases RELAY and LINGER of a session: runs its tunnel and
 * follows the answers. The plane's thread.
 */
#ifndef EVPROXY_PROXY_SESSION_RELAY_H
#define EVPROXY_PROXY_SESSION_RELAY_H

#include "proxy/session.h"

#include <stdint.h>

/* CONNECT is done: enters RELAY. */
void session_relay_begin(struct plane *plane, struct session *session);

/* In RELAY: the side's socket has the epoll events. */
void session_relay_event(struct plane *plane, struct session *session,
                         enum direction side, uint32_t events);

/* In RELAY, when a timer has fired: a peer that takes what the kernel has for
 * it has moved bytes, though no write of ours shows it. */
void session_relay_look(struct plane *plane, struct session *session);

/* In RELAY: a deadline that ends nothing has passed. */
void session_relay_timer(struct plane *plane, struct session *session);

/* In RELAY: pumps both relays, whatever they waited for. */
void session_relay_resume(struct plane *plane, struct session *session);

/* In LINGER: looks again at what the kernel has still to deliver. */
void session_relay_linger(struct plane *plane, struct session *session);

/* The loop's handler of both queues of relays: the relay has its turn. */
void session_relay_run(struct loop *loop, struct list *link);

/* Whether this turn of the loop still runs relays of PLANE_TLS_RELAYS. */
bool session_relay_may_run(struct loop *loop);

/* Blocks of this direction were granted to services: the relays of each that
 * wait go on, in order. */
void session_relay_granted(struct plane *plane, enum direction direction);

#endif
