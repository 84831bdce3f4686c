/*
 * session_open: a session's phases before it is established: PREFACE,
 * HANDSHAKE and CONNECT. Runs preface, handshake and attempt, admits the client
 * in between, and follows the answers. The plane's thread.
 */
#ifndef EVPROXY_PROXY_SESSION_OPEN_H
#define EVPROXY_PROXY_SESSION_OPEN_H

#include "proxy/session.h"

#include <stdint.h>

/* Takes an accepted connection that admission_enter_process has counted in: it
 * becomes a session, or it is counted, logged and reset. */
void session_open_begin(struct plane *plane, const struct listen_socket *listen,
                        const struct sock *sock, const struct addr *client);

/* The side's socket has the epoll events. */
void session_open_event(struct plane *plane, struct session *session,
                        enum direction side, uint32_t events);

/* In CONNECT: the attempt's deadline has passed. */
void session_open_timeout(struct plane *plane, struct session *session);

/* In CONNECT: it waits for a place, and one may be free. False: it waits on. */
bool session_open_called(struct plane *plane, struct session *session);

/* The message PLANE_WAITING has come: sessions of this plane have waited
 * longest of all that owe a header or a handshake, which are too many. */
void session_open_evict(struct plane *plane);

/* The loop's handler of both queues of handshakes: a step of one is due. */
void session_open_run(struct loop *loop, struct list *link);

#endif
