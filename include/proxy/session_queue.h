/*
 * session_queue: the plane's sessions that wait for places at upstreams
 * (service/queue.h). The plane's thread.
 */
#ifndef EVPROXY_PROXY_SESSION_QUEUE_H
#define EVPROXY_PROXY_SESSION_QUEUE_H

#include "proxy/plane.h"

/* The message PLANE_PLACE has come: the session that has waited longest tries,
 * then the next ones, while there are places. */
void session_queue_called(struct plane *plane);

/* The plane has a new generation. Sessions that wait go on by it, if it has
 * their service: they have begun nothing yet, and it may have more places. */
void session_queue_adopt(struct plane *plane);

#endif
