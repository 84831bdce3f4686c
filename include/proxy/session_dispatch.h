/*
 * session_dispatch: hands what the loop has for a session to the room of its
 * phase. The handlers of PLANE_SESSION.
 */
#ifndef EVPROXY_PROXY_SESSION_DISPATCH_H
#define EVPROXY_PROXY_SESSION_DISPATCH_H

#include "net/loop.h"

#include <stdint.h>

/* An event comes soon: fetches what it will touch into the cache. */
void session_dispatch_fetch(struct loop *loop, uint32_t index);

void session_dispatch_event(struct loop *loop, uint32_t index,
                            uint32_t instance, uint32_t events);
void session_dispatch_timer(struct loop *loop, struct wheel_timer *timer);

#endif
