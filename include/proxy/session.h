/*
 * session: one proxied connection: two sides that are alike and two relays that
 * are alike. It turns an event on a descriptor into "this side", keeps the
 * state and the deadlines, and ends with exactly one cause.
 *
 *      accept ─▶ PREFACE ─▶ CONNECT ─▶ RELAY ─▶ LINGER ─▶ CLOSED
 *                   │         │  ▲        │        │         ▲
 *                   │         └──┘ next   │        │         │
 *                   │         upstream    │        │         │
 *                   └──────────┴──────────┴────────┴─────────┘
 *                                          session_close(cause)
 *
 * PREFACE: something must come first: a header that names the client, a name
 * that says which service it is for, a TLS handshake (see preface.h).
 *
 * LINGER: one side was reset; the other is reset too as soon as its kernel has
 * delivered the bytes that came before.
 *
 * The record is small, for there may be a million: four cache lines, the first
 * of which is all that an event of an idle session touches besides its relay.
 */
#ifndef EVPROXY_PROXY_SESSION_H
#define EVPROXY_PROXY_SESSION_H

#include "base/direction.h"
#include "proxy/plane.h"
#include "proxy/relay.h"
#include "wire/proxy_header.h"

/* A connection older than this is no short one: its socket gets its options. */
#define SESSION_SETTLE_NS (250 * NS_PER_MS)

/* The most that a session may take, in bytes. */
#define SESSION_BYTES_MAX 256

enum session_state {
    SESSION_PREFACE,
    SESSION_CONNECT,
    SESSION_RELAY,
    SESSION_LINGER,
    SESSION_CLOSED,
};

/* The sides, as indices: relay[i] reads from side i and writes to the other, so
 * that the directions UP and DOWN are the sides they come from. */
#define CLIENT   UP
#define UPSTREAM DOWN

/* What few sessions need, and only until they are established. */
struct notes {
    const struct listen_socket *listen; /* where it came in; NULL: no matter */
    struct proxy_header header;         /* as it came from the client's side */
    bool has_header;
    unsigned char *long_header; /* being gathered; NULL: none is */
    uint32_t long_size;         /* bytes it will have */
    uint32_t long_count;        /* bytes it has */
    uint64_t tried[];           /* bit n: upstream n failed us */
};

struct session {
    struct sock sock[2];
    struct service *service;
    struct upstream *upstream; /* NULL: none was picked yet */
    struct throttle *throttle; /* one a direction; NULL: no byte rates */
    struct notes *notes;  /* until it is established; NULL: nothing to note */
    uint32_t index;       /* in the pool */
    uint32_t instance;    /* in the tokens; plus attempts for upstream's */
    uint16_t attempts;    /* connects begun */
    uint8_t state;        /* enum session_state */
    uint8_t cause;        /* enum cause: of the last failed attempt */
    bool accepted : 1;    /* counted as such */
    bool in_service : 1;  /* counted in by admission_enter_service */
    bool in_source : 1;   /* counted in by limits_enter */
    bool in_upstream : 1; /* counted in by upstream_enter */
    bool abandoned : 1;   /* the client was reset, and bytes of it are left */
    bool pausing : 1;     /* no connect is under way; the timer begins one */
    bool securing : 1;    /* the upstream has taken it; now the handshake */

    struct relay relay[DIRECTIONS];

    struct wheel_timer timer;
    uint64_t born_ns;
    uint64_t stage_ns;   /* when the last attempt, or LINGER, began */
    uint32_t connect_us; /* how long the successful one took */
    struct addr client;
};

_Static_assert(sizeof(struct session) <= SESSION_BYTES_MAX,
               "an idle connection costs no more than its record");

/*
 * Begins a session for an accepted connection that was counted in by
 * admission_enter_process; takes its descriptor. Either it was also counted in
 * by admission_enter_service (and in_source by its source); or a preface is
 * due, which says who it is and whose, and that is done then.
 */
void session_begin(struct plane *plane, const struct listen_socket *listen,
                   const struct sock *sock, const struct addr *client,
                   bool preface, bool in_source);

/* The session's service is known for good: it counts as accepted there. */
void session_accepted(struct plane *plane, struct session *session);

/* Frees the notes, if there are any. */
void session_forget(struct session *session);

/* The notes of the session, made if need be; NULL: no memory. */
struct notes *session_notes(struct session *session);

/* Counts, logs and resets an accepted connection that gets no session. */
void session_refuse(struct plane *plane, struct service *service,
                    struct sock *sock, const struct addr *client,
                    enum cause cause);

/* It was let in, and its service is known: on to an upstream. */
void session_proceed(struct plane *plane, struct session *session);

/*
 * A step of a TLS handshake may be due: it has its turn when those have had
 * theirs who came before, and only a few in each turn of the loop, for it takes
 * longer than what all others do together. _later: when the machine may have
 * again what it was short of.
 */
void session_handshake_due(struct plane *plane, struct session *session);
void session_handshake_later(struct plane *plane, struct session *session);

/* One line a second in all, of how many handshakes have failed since the last,
 * and why this one did. side: "client" or "upstream", and its address. */
void session_complain(struct plane *plane, const struct session *session,
                      const char *side, const char *address);

/* The upstream has taken the connection: bytes may move. */
void session_established(struct plane *plane, struct session *session);

/* Sees to it that the timer rings no later than the next deadline. */
void session_arm(struct plane *plane, struct session *session);

/* Ends it, with its one cause. Every way out leads here. */
void session_close(struct plane *plane, struct session *session,
                   enum cause cause);

/* An event comes soon: fetches what it will touch into the cache. */
void session_fetch(struct plane *plane, uint32_t index);

/* The loop's handlers. */
void session_event(struct plane *plane, uint32_t index, uint32_t instance,
                   uint32_t events);
void session_timer(struct plane *plane, struct wheel_timer *timer);
void session_run(struct plane *plane, struct list *link);
void session_free_deferred(struct plane *plane, struct list *link);

/* A block was granted to this direction: the waiting relays go on, in order. */
void session_memory_granted(struct plane *plane, enum direction direction);

#endif
