/*
 * attempt: connects a session to an upstream: asks choice for one, waits for
 * the connect, sends the PROXY header that the upstream's line asks for, and
 * does the TLS handshake where the service speaks TLS to its upstreams. When a
 * step fails it goes on to the next upstream. Knows nothing of sessions; the
 * plane's thread.
 *
 *      choice ──▶ connected ──▶ PROXY header ──▶ handshake ──▶ STEP_DONE
 *        ▲            │               │              │
 *        └─── next ───┴───────────────┴──────────────┘ fails
 *
 * While all upstreams are full it waits in the queue of the service, if
 * queue_timeout lets it. It waits before its first connect only: what has been
 * tried and failed does not come back for another place.
 *
 * No byte of the client is read before STEP_DONE, so none can be sent twice.
 */
#ifndef EVPROXY_PROXY_ATTEMPT_H
#define EVPROXY_PROXY_ATTEMPT_H

#include "net/sock.h"
#include "proxy/choice.h"
#include "proxy/deadline.h"
#include "proxy/handshake.h"
#include "proxy/upstream_header.h"

#include <stdbool.h>

struct attempt {
    struct choice choice;
    union {
        uint64_t
            begun_ns; /* the connect, the pause, or the client's leaving;
                         if queued, how long the connect has taken so far */
        struct queue_place
            *place; /* waiting: owned; its owner is the attempt */
    };
    uint8_t cause;      /* enum cause: of STEP_FAILED */
    bool waiting : 1;   /* for a place at an upstream; not one is tried yet */
    bool pausing : 1;   /* no connect is under way until the pause is over */
    bool securing : 1;  /* connected; the TLS handshake is under way */
    bool queued : 1;    /* a step of the handshake waits for its turn here,
                           which is not the upstream's time */
    bool abandoned : 1; /* the client was reset and has left bytes */
    bool sending : 1;   /* connected; a part of the PROXY header is sent */
    uint32_t sent;      /* sending: so many bytes of it */
};

/* What an attempt works with; made for the visit. */
struct attempt_context {
    struct plane *plane;
    struct sock *client;
    struct sock *upstream; /* opened and closed here */
    uint32_t *instance;    /* of the upstream's token; set at each connect */
    uint32_t index;        /* of the upstream's token */
    const struct addr *client_addr;
    uint16_t port;                     /* that the client came to */
    uint16_t *note;                    /* number in shared->loops; 0: no note */
    const struct proxy_header *header; /* as the client's side sent it; NULL:
                                          none came */
    const struct preface_bytes *tlvs;  /* for the upstream's; NULL: none */
};

/* Begins the first attempt. All of these answer any step; STEP_DONE: the
 * upstream is attempt->choice's, and choice_keep is due. */
enum step attempt_begin(struct attempt *attempt, struct service *service,
                        const struct attempt_context *context) WARN_UNUSED;

/* The upstream's socket has an event. */
enum step attempt_event(struct attempt *attempt,
                        const struct attempt_context *context) WARN_UNUSED;

/* The client's socket was reset. The attempt goes on for a moment if the client
 * sent bytes before: they are delivered if the connect is as good as done. */
enum step
attempt_client_left(struct attempt *attempt,
                    const struct attempt_context *context) WARN_UNUSED;

/* It waits in the service's queue and has waited longest: a place may be free.
 */
enum step attempt_called(struct attempt *attempt,
                         const struct attempt_context *context) WARN_UNUSED;

/* It waits, and goes on by that service, of a newer generation. */
void attempt_move(struct attempt *attempt, struct service *service);

/* A step of the handshake with the upstream. */
enum step attempt_handshake(struct attempt *attempt,
                            const struct attempt_context *context) WARN_UNUSED;

/* The deadline of attempt_deadline has passed. */
enum step attempt_timeout(struct attempt *attempt,
                          const struct attempt_context *context) WARN_UNUSED;

void attempt_deadline(const struct attempt *attempt, struct deadline *earliest);

/* Gives up, whatever is under way. Leaves the socket open. */
void attempt_end(struct attempt *attempt, struct plane *plane);

#endif
