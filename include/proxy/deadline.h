/*
 * deadline: when a session must be looked at next, and why. Pure.
 *
 * Nothing is kept for each timeout: a deadline follows from when bytes last
 * moved and from what the relays wait for. The session's one timer is armed no
 * later than the earliest; when it rings, the question is asked again. So bytes
 * that move cost no timer, and an idle session one ring in a whole timeout.
 */
#ifndef EVPROXY_PROXY_DEADLINE_H
#define EVPROXY_PROXY_DEADLINE_H

#include "proxy/session.h"

struct deadline {
    uint64_t at_ns;   /* UINT64_MAX: none */
    enum cause cause; /* CAUSE_NONE: something is to be done, not to end */
};

/* The earliest in the session's present state. */
struct deadline deadline_earliest(const struct session *session,
                                  uint64_t now_ns);

/* max_lifetime, less up to a tenth that is one connection's own; 0: none. */
uint64_t deadline_lifetime_ns(const struct config_service *config,
                              uint64_t born_ns, uint32_t instance);

/* LINGER: the other side has had its time to take the last bytes. */
bool deadline_lingered_out(const struct session *session, uint64_t now_ns);

#endif
