#include "proxy/session_dispatch.h"

#include "proxy/session_open.h"
#include "proxy/session_relay.h"

void session_dispatch_fetch(struct loop *loop, uint32_t index)
{
    const struct session *session =
        pool_at(&plane_of(loop)->sessions, index / 2);

    if (session != NULL) {
        __builtin_prefetch(session);
        __builtin_prefetch(&session->relay[UP]);
        __builtin_prefetch(&session->relay[DOWN]);
    }
}

void session_dispatch_event(struct loop *loop, uint32_t index,
                            uint32_t instance, uint32_t events)
{
    struct plane *plane = plane_of(loop);
    struct session *session = pool_at(&plane->sessions, index / 2);
    enum direction side = index % 2 == 0 ? CLIENT : UPSTREAM;

    if (session == NULL || session->instance[side] != instance ||
        session->sock[side].fd < 0) {
        return; /* of this batch, about a socket that is closed */
    }
    sock_event(&session->sock[side], events);
    switch ((enum session_phase)session->phase) {
    case SESSION_RELAY:
        session_relay_event(plane, session, side, events);
        break;
    case SESSION_PREFACE:
    case SESSION_HANDSHAKE:
    case SESSION_CONNECT:
        session_open_event(plane, session, side, events);
        break;
    case SESSION_LINGER:
        session_relay_linger(plane, session);
        break;
    case SESSION_FROZEN:
    case SESSION_CLOSED:
        break;
    }
}

void session_dispatch_timer(struct loop *loop, struct wheel_timer *timer)
{
    struct session *session = container_of(timer, struct session, timer);
    struct plane *plane = plane_of(loop);
    struct deadline deadline;

    if (session->phase == SESSION_RELAY) {
        session_relay_look(plane, session);
    }
    deadline = session_deadline(plane, session);
    if (session->phase == SESSION_LINGER) {
        session_relay_linger(plane, session);
    } else if (deadline.at_ns > plane->loop.now_ns) {
        session_arm(plane, session);
    } else if (deadline.cause != CAUSE_NONE) {
        session_close(plane, session, deadline.cause);
    } else if (session->phase == SESSION_CONNECT) {
        session_open_timeout(plane, session);
    } else {
        session_relay_timer(plane, session);
    }
}
