/*
 * acceptor: takes TCP connections from the plane's listeners and hands them to
 * sessions, or to a plane that has far fewer.
 *
 * Level-triggered, after the turn's events and with a budget for each listener:
 * sessions that exist come first. At the process's limit, or when the machine
 * has no descriptor or memory left, accepting pauses: no listener is watched.
 * It is tried again by a timer and whenever a session of the plane has ended.
 */
#ifndef EVPROXY_PROXY_ACCEPTOR_H
#define EVPROXY_PROXY_ACCEPTOR_H

#include "proxy/plane.h"

#include <stdint.h>

/* After listener_apply: watches new listeners; empties and closes those that
 * are not kept. */
void acceptor_apply(struct plane *plane);

/* At the end of a turn in which plane->accept_due was set: accepts from the
 * listeners that are ready, or pauses. */
void acceptor_turn(struct plane *plane);

/* The message PLANE_TRANSFER has come: another plane has accepted for this
 * one. */
void acceptor_take(struct plane *plane, struct message *message);

/* The loop's handlers of PLANE_LISTENER and PLANE_ACCEPT. */
void acceptor_event(struct loop *loop, uint32_t id, uint32_t instance,
                    uint32_t events);
void acceptor_timer(struct loop *loop, struct wheel_timer *timer);

#endif
