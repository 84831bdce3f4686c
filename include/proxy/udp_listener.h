/*
 * udp_listener: a plane's UDP sockets: takes the datagrams of clients and hands
 * them to sessions.
 *
 * A socket is bound once: datagrams of one client reach the same worker only
 * while the set of sockets stays as it is. When its address is no longer
 * configured, a socket stays until its last session has ended.
 */
#ifndef EVPROXY_PROXY_UDP_LISTENER_H
#define EVPROXY_PROXY_UDP_LISTENER_H

#include "proxy/listener.h"

/* After listener_apply: watches the UDP sockets that are new, and finds the
 * others the service of their new sessions. Needs plane->udp if there are any.
 */
void udp_listener_apply(struct plane *plane,
                        const struct generation *generation);

/* In a drain: does not read what the service manager has too, so that datagrams
 * wait for the next process. Sessions go on to send by them. */
void udp_listener_leave_inherited(struct plane *plane);

/* Empties and closes those that are not kept and have no session. */
void udp_listener_close_unused(struct plane *plane);

/* At the end of a turn. */
void udp_listener_turn(struct plane *plane);

/* The loop's handler of PLANE_UDP_LISTENER. */
void udp_listener_event(struct loop *loop, uint32_t id, uint32_t instance,
                        uint32_t events);

#endif
