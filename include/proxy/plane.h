/*
 * plane: one thread's share of the data plane: what its listeners and sessions
 * work with. No thread of its own: a worker runs one, and so does a test.
 *
 * Everything in it belongs to the thread that turns its loop, but for what
 * worker_shared says of itself.
 */
#ifndef EVPROXY_PROXY_PLANE_H
#define EVPROXY_PROXY_PLANE_H

#include "base/direction.h"
#include "base/pool.h"
#include "base/slab.h"
#include "net/loop.h"
#include "net/pipe.h"
#include "proxy/worker.h"
#include "service/generation.h"

#include <stdbool.h>
#include <stdint.h>

/* Kinds of events and timers in a plane's loop. */
enum plane_kind {
    PLANE_LISTENER = LOOP_KIND_MAILBOX + 1,
    PLANE_SESSION,
    PLANE_TRIM,   /* timer: blocks may go back to the system */
    PLANE_RETRY,  /* timer: relays that met a shortage */
    PLANE_ACCEPT, /* timer: accepting was paused */
    PLANE_UDP_LISTENER,
    PLANE_UDP_SESSION,
};

/* Messages that a plane sends to itself; a worker's commands are above. */
enum plane_message_type {
    PLANE_MEMORY_UP, /* a block was granted to this direction */
    PLANE_MEMORY_DOWN,
    PLANE_MESSAGE_TYPES,
};

/* One direction's blocks, and who waits for one. */
struct plane_memory {
    struct slab_cache cache;
    struct list queue;      /* of struct relay, RELAY_MEMORY */
    struct message granted; /* the cache's wake posts it */
    struct plane *plane;
};

struct listener;
struct udp;

/* A generation that sessions here may hold, and the message that says they are
 * gone: made beforehand, so that saying so cannot fail. */
struct generation_hold {
    struct list link;
    struct generation *generation;
    struct worker_report *done;
};

struct plane {
    struct loop loop;
    unsigned number;
    struct worker_shared *shared;
    loop_message_fn command;
    struct generation *generation; /* of new connections; NULL before any */
    struct list holds;             /* of the generations before it, and it */
    struct pool sessions;
    uint32_t
        instance; /* instance number: makes the tokens of a record unlike */
    uint64_t random;
    struct plane_memory memory[DIRECTIONS];
    struct pipe_pool pipes;
    struct list retry; /* of struct relay, RELAY_RETRY or before a handshake */
    struct wheel_timer trim_timer;
    struct wheel_timer retry_timer;

    struct listener *listeners; /* by slot; see listener.h */
    uint32_t listener_slots;
    struct wheel_timer accept_timer;
    bool accept_ready;  /* some listener has connections */
    bool accept_paused; /* no listener is watched */
    bool draining;
    unsigned handshakes; /* steps of TLS handshakes in this turn of the loop */
    uint32_t active;     /* sessions that have not ended */
    struct udp *udp;     /* NULL before the first UDP listener; see udp.h */
};

/* An open plane without listeners. -1 with errno. command is given the messages
 * that are not the plane's own; it may be NULL if none come. */
int plane_open(struct plane *plane, unsigned number,
               struct worker_shared *shared,
               loop_message_fn command) WARN_UNUSED;

/* Resets every session, closes the listeners, frees all. */
void plane_close(struct plane *plane);

/*
 * See worker_apply. Takes the hold (and its report), which is freed, or
 * posted, when the generation's last session here has ended.
 */
void plane_apply(struct plane *plane, struct generation_hold *hold);

/* Stops accepting; reports WORKER_DRAINED when no session is left. */
void plane_drain(struct plane *plane);

/* Ends all sessions with cause drain. */
void plane_reset_all(struct plane *plane);

/* A session was born with, or has left, the generation. */
void plane_hold(struct plane *plane, struct generation *generation);
void plane_release(struct plane *plane, struct generation *generation);

/* One line a second in all planes together, of the kind that logged_ns is for:
 * true, and the time is noted, if it is this one's turn. */
bool plane_may_log(struct plane *plane, _Atomic uint64_t *logged_ns);

/* Counts one more complaint. 0, or how many are to be told of in a line now. */
uint32_t plane_complain(struct plane *plane,
                        struct worker_complaints *complaints);

/* Blocks are moving: gives back what is idle, a while after. */
void plane_memory_used(struct plane *plane);

/* Relays are on the retry queue: runs them again in a while. */
void plane_retry_later(struct plane *plane);

static inline struct plane *plane_of(struct loop *loop)
{
    return container_of(loop, struct plane, loop);
}

#endif
