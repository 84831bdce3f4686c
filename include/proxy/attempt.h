/*
 * attempt: finds a session its upstream: picks one, begins to connect, sends it
 * the PROXY header that its line asks for, shakes hands where TLS is spoken to
 * it, and when that fails picks another.
 *
 * No byte of the client is read before a connect has succeeded, so none can be
 * sent twice. A shortage of this machine (ports, descriptors, memory) ends an
 * attempt without a word against the upstream.
 */
#ifndef EVPROXY_PROXY_ATTEMPT_H
#define EVPROXY_PROXY_ATTEMPT_H

#include "proxy/session.h"

/* Begins the next attempt; the session is closed if there is none left. */
void attempt_begin(struct plane *plane, struct session *session);

/* The place in its service of the upstream that the session has. */
size_t attempt_place(const struct session *session);

/* The upstream's socket has an event while connecting. */
void attempt_event(struct plane *plane, struct session *session);

/* The handshake has its turn. */
void attempt_run(struct plane *plane, struct session *session);

/* connect_timeout has passed. */
void attempt_timeout(struct plane *plane, struct session *session);

#endif
