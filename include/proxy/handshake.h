/*
 * handshake: one step of a TLS handshake, with a client or with an upstream.
 * The plane's thread.
 *
 * A step may take a millisecond, longer than everything else in a turn of the
 * loop. So a handshake that has an event waits in a queue of the loop, and a
 * turn runs few of them. Those with upstreams have a queue that goes first:
 * their sessions have come further, and an upstream that waits for us would
 * seem slow.
 *
 * A client comes into the queue when its ClientHello is whole in the kernel's
 * queue. Until then it costs no more than its session.
 */
#ifndef EVPROXY_PROXY_HANDSHAKE_H
#define EVPROXY_PROXY_HANDSHAKE_H

#include "net/sock.h"
#include "proxy/plane.h"
#include "wire/client_hello.h"

#include <stdbool.h>

/* In a turn: steps at most, and how long after the first another one begins. */
#define HANDSHAKE_STEPS_MAX 4u
#define HANDSHAKE_TURN_NS   NS_PER_MS

/* So many bytes are looked at in the kernel's queue. A ClientHello that is not
 * whole in them is refused. */
#define HANDSHAKE_HELLO_BYTES (CLIENT_HELLO_MAX + 1024)

/* What a phase of a session that is not established yet answers. */
enum step {
    STEP_WAITS,    /* for an event or for its deadline */
    STEP_RUNNABLE, /* a step of a handshake is due */
    STEP_RETRY,    /* the same, when a shortage may be over */
    STEP_DONE,     /* the next phase begins */
    STEP_FAILED,   /* with a cause */
};

/* Whether this turn of the loop has a step left, which is then taken. */
bool handshake_may_step(struct loop *loop) WARN_UNUSED;

/* Whether clients wait for a step that this turn has not run. */
static inline bool handshake_clients_wait(const struct plane *plane)
{
    return !list_empty(&plane->loop.runnable[PLANE_CLIENT_HANDSHAKES]);
}

/*
 * Looks at what a client has sent before TLS is started. STEP_RUNNABLE: its
 * ClientHello is whole, or it has sent something else, which TLS refuses.
 * STEP_WAITS: more must come. STEP_FAILED: the client has left, or its
 * ClientHello is too long; errno as from handshake_step, and *reason says why,
 * or is NULL if it has left without a byte.
 */
enum step handshake_await_hello(struct sock *client,
                                const char **reason) WARN_UNUSED;

/* One step. STEP_FAILED: errno says why; EPROTO is TLS's own failure, and
 * sock_tls_error has the reason. */
enum step handshake_step(struct sock *sock) WARN_UNUSED;

/* Reports that a handshake failed, in one line a second for all. side: "client"
 * or "upstream"; address: the peer's. Keeps errno. */
void handshake_report_failure(struct plane *plane,
                              const struct service *service, const char *side,
                              const char *address, const char *reason);

#endif
