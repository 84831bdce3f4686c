/*
 * session: one proxied connection. It alone knows in which phase the connection
 * is, changes the phase, keeps the one timer, and ends with exactly one cause.
 * What happens within a phase is another room's; it answers, and the session
 * decides.
 *
 *      accept ─▶ PREFACE ─▶ HANDSHAKE ─▶ CONNECT ─▶ RELAY ─▶ LINGER
 *                   │           │           │         │        │
 *                   ▼           ▼           ▼         ▼        ▼
 *                 CLOSED, by session_close(cause) from every phase
 *
 * PREFACE    a PROXY header or a server name must come first (preface.h)
 * HANDSHAKE  TLS with the client, where it ends here (handshake.h)
 * CONNECT    an upstream is being connected (attempt.h)
 * RELAY      bytes move in both directions (tunnel.h)
 * LINGER     one side was reset; the other is reset too as soon as its kernel
 *            has delivered the bytes that came before
 * FROZEN     the session is about to move elsewhere (session_image.h)
 *
 * The record is small, as there may be a million: four cache lines. An event
 * of an idle session touches the first of them and its relay's.
 */
#ifndef EVPROXY_PROXY_SESSION_H
#define EVPROXY_PROXY_SESSION_H

#include "proxy/attempt.h"
#include "proxy/preface.h"
#include "proxy/tunnel.h"

/* The most that a session may take, in bytes. */
#define SESSION_BYTES_MAX 256

enum session_phase {
    SESSION_PREFACE,
    SESSION_HANDSHAKE,
    SESSION_CONNECT,
    SESSION_RELAY,
    SESSION_LINGER,
    SESSION_FROZEN,
    SESSION_CLOSED,
};

/* Until a session is established, its relays have nothing to hold. */
struct session_opening {
    struct list link; /* in the queue of handshakes, or waits for a retry */
    struct preface preface;
    union {
        struct waiting_place waiting; /* PREFACE, HANDSHAKE */
        struct attempt attempt;       /* CONNECT */
    };
};

struct session {
    struct sock sock[2];       /* of both sides */
    struct service *service;   /* the address's default until it is known */
    struct upstream *upstream; /* from RELAY on */
    struct throttle *throttle; /* one a direction; NULL: no byte rates */
    uint32_t index;            /* in the pool */
    uint32_t instance[2];      /* of the tokens of both sides */
    uint8_t phase;             /* enum session_phase */
    uint8_t cause;             /* of the end that LINGER leads to */
    uint8_t lingering;         /* enum direction: the side that is left then */
    bool accepted : 1;         /* counted as such by its service */
    bool nameless : 1;         /* until then, counted by the process */
    bool in_service : 1;       /* admission_leave_service is due */
    bool in_source : 1;        /* its source counts it too */
    bool finished : 1;         /* upstream_leave_finished is due */

    union {
        struct session_opening opening; /* PREFACE, HANDSHAKE, CONNECT */
        struct relay relay[DIRECTIONS]; /* RELAY and after */
        struct list deferred;           /* CLOSED */
    };

    struct wheel_timer timer;
    uint64_t born_ns;
    uint64_t entered_ns; /* when the phase began */
    uint32_t connect_us; /* how long the successful connect took */
    struct addr client;
    uint16_t note;          /* number in shared->loops; 0: none */
    uint16_t owed_steps[2]; /* what each peer had not acknowledged when
                               session_relay looked last */
};

_Static_assert(sizeof(struct session) <= SESSION_BYTES_MAX,
               "an idle connection costs no more than its record");

/* The client of the session. While the preface is read, session->client is the
 * peer, and a PROXY header may already have named another client. */
static inline const struct addr *session_client(const struct session *session)
{
    const struct preface *preface = &session->opening.preface;

    return session->phase == SESSION_PREFACE && preface->has_header &&
                   !preface->header.local
               ? &preface->header.source
               : &session->client;
}

/* ---- a record ---- */

/* All-zero except its service, its client and the time; this plane holds the
 * service's generation for it. NULL with errno. */
struct session *session_create(struct plane *plane, struct service *service,
                               const struct addr *client) WARN_UNUSED;

/* Ends the hold, and frees the record when nothing of this turn of the loop
 * names it any more. Whatever the session held or counted is gone already. */
void session_release(struct plane *plane, struct session *session);

/* The loop's handler of deferred PLANE_RELAYS. */
void session_free_deferred(struct loop *loop, struct list *link);

/* Adds the side's socket to the poller. -1 with errno. */
int session_watch(struct plane *plane, struct session *session,
                  enum direction side) WARN_UNUSED;

/* Allocates what the service's byte rates need, once the client is admitted.
 * False: no memory. */
bool session_make_throttle(struct session *session) WARN_UNUSED;

/* In phase RELAY: what the tunnel works with. */
static inline struct tunnel session_tunnel(struct plane *plane,
                                           struct session *session)
{
    return (struct tunnel){
        .plane = plane,
        .service = session->service,
        .upstream = session->upstream,
        .sock = session->sock,
        .relay = session->relay,
        .throttle = session->throttle,
        .begun_ns = session->entered_ns,
    };
}

/* ---- its phases ---- */

/* The only function that changes the phase. */
void session_enter(struct plane *plane, struct session *session,
                   enum session_phase phase);

/* Gives up what the phase holds. True if bytes are lost by it: the end must not
 * look like the end of a stream then. */
bool session_leave_phase(struct plane *plane, struct session *session);

/* The earliest deadline of the present phase. */
struct deadline session_deadline(struct plane *plane, struct session *session);

/* Arms the timer for no later than that. */
void session_arm(struct plane *plane, struct session *session);

/* Neither a header nor a handshake is due any more. Harmless where none was. */
void session_stop_waiting(struct plane *plane, struct session *session);

/* In phase LINGER: when patience ends. */
uint64_t session_linger_end_ns(const struct session *session);

/* ---- its end ---- */

/* The service is known for good: the connection counts as accepted there. One
 * that was not known until then is counted by the process alone. */
void session_count_accepted(struct plane *plane, struct session *session);
void session_count_nameless(struct plane *plane, struct session *session);

/* The access log's line. The client's socket is still open. */
void session_log_end(const struct plane *plane, const struct session *session,
                     enum cause cause);

/* Closes the socket of one side, with a FIN or a reset. If another process may
 * have the open file, it is no longer watched for us either. */
void session_close_side(struct plane *plane, struct session *session,
                        enum direction side, bool fin);

/* Ends the session with its one cause. Every end leads here. */
void session_close(struct plane *plane, struct session *session,
                   enum cause cause);

/* Ends at most count sessions with cause drain, except frozen ones, in the
 * order of their numbers from *next on, which it moves behind them. Returns how
 * many. */
uint32_t session_reset_some(struct plane *plane, uint32_t *next,
                            uint32_t count);

#endif
