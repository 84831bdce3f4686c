/*
 * handshake: one step of a TLS handshake, with a client or with an upstream.
 * The plane's thread.
 *
 * A step may take a millisecond, longer than everything else in a turn of the
 * loop. So a handshake that has an event waits in the queue PLANE_HANDSHAKES,
 * and a turn does HANDSHAKE_STEPS_MAX steps at most.
 */
#ifndef EVPROXY_PROXY_HANDSHAKE_H
#define EVPROXY_PROXY_HANDSHAKE_H

#include "net/sock.h"
#include "proxy/plane.h"

#include <stdbool.h>

#define HANDSHAKE_STEPS_MAX 4u

/* What a phase of a session that is not established yet answers. */
enum step {
    STEP_WAITS,    /* for an event or for its deadline */
    STEP_RUNNABLE, /* a step of a handshake is due */
    STEP_RETRY,    /* the same, when a shortage may be over */
    STEP_DONE,     /* the next phase begins */
    STEP_FAILED,   /* with a cause */
};

/* Whether this turn of the loop has a step left, which is then taken. */
bool handshake_may_step(struct plane *plane) WARN_UNUSED;

/* One step. STEP_FAILED: errno says why; EPROTO is TLS's own failure. */
enum step handshake_step(struct sock *sock) WARN_UNUSED;

/* Reports that a handshake failed, in one line a second for all, unless the
 * peer is a client that left without a byte. side: "client" or "upstream";
 * address: the peer's. Keeps errno. */
void handshake_report_failure(struct plane *plane,
                              const struct service *service, const char *side,
                              const char *address);

#endif
