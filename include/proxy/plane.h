/*
 * plane: what everything in one data-plane thread uses: its loop, its share of
 * the memory, the generations it holds, and its shortages. It knows neither
 * listeners nor sessions; reactor.h puts them on top.
 *
 * Everything in it belongs to the thread that turns its loop. It has no thread
 * of its own: a worker runs one, and so does a test.
 */
#ifndef EVPROXY_PROXY_PLANE_H
#define EVPROXY_PROXY_PLANE_H

#include "base/direction.h"
#include "base/pool.h"
#include "base/slab.h"
#include "net/loop.h"
#include "net/pipe.h"
#include "proxy/shared.h"
#include "service/generation.h"

#include <stdbool.h>
#include <stdint.h>

/* Kinds of events and timers in the plane's loop. */
enum plane_kind {
    PLANE_LISTENER = LOOP_KIND_MAILBOX + 1,
    PLANE_SESSION,
    PLANE_UDP_LISTENER,
    PLANE_UDP_SESSION,
    PLANE_TRIM,   /* timer: idle memory goes back to the system */
    PLANE_RETRY,  /* timer: what met a shortage runs again */
    PLANE_ACCEPT, /* timer: accepting was paused */
    PLANE_RESET,  /* timer: some of the sessions left in a drain end */
};

/* The loop's queues of what has more to do, and, of the same numbers, of the
 * records that are freed at the end of the turn. */
enum plane_queue {
    PLANE_RELAYS,     /* of struct relay; deferred: of struct session */
    PLANE_TLS_RELAYS, /* of struct relay whose source OpenSSL reads */
    PLANE_UPSTREAM_HANDSHAKES, /* of struct session; before those of clients */
    PLANE_CLIENT_HANDSHAKES,   /* of struct session */
    PLANE_UDP,                 /* of struct udp_session; deferred too */
    PLANE_SWEEPS,              /* of struct plane_sweep */
    PLANE_QUEUES,
};

/* Messages of planes to themselves and to one another; a worker's commands come
 * after. */
enum plane_message_type {
    PLANE_MEMORY_UP, /* services were granted blocks of this direction */
    PLANE_MEMORY_DOWN,
    PLANE_WAITING,     /* from any plane: some of the line must go */
    PLANE_PLACE,       /* from any thread: a place that sessions here wait for
                          may be free; see session_queue.h */
    PLANE_UDP_EVICT,   /* from another plane; see udp_eviction.h */
    PLANE_UDP_EVICTED, /* the same message comes back */
    PLANE_TRANSFER,    /* from another plane; see transfer.h */
    PLANE_MESSAGE_TYPES,
};

/* One direction's blocks. Relays that wait for one are in the service_blocks of
 * their service. */
struct plane_memory {
    struct slab_cache cache;
    struct message granted; /* posted by the cache's wake function */
    struct plane *plane;
};

/* A generation that sessions here may hold. Allocated before the generation is
 * handed over, so that neither taking it nor giving it back can fail. */
struct generation_hold {
    struct list link; /* in plane->holds */
    struct generation *generation;
    struct report *done; /* sent when the hold ends */
};

/* The way through all sessions of proxy/sweep.h. */
struct plane_sweep {
    struct list link; /* runnable while it is under way */
    uint32_t at;      /* the number of the next record */
    bool udp;         /* it is among UDP sessions already */
    bool again;       /* and begins again at the end */
};

/* The work of TLS relays in a turn of the loop, about 2 ms: once for those that
 * have an event, and once more for their queue. */
#define PLANE_TLS_WORK ((size_t)2 << 20)

struct listener;
struct udp;

/* Hash tables of the listeners, whose size is a power of two, or 0. */
struct listener_index {
    struct listener **by_id;
    struct listener **by_fd;
    struct listener **by_port; /* UDP */
    uint32_t size;
};

struct plane {
    struct loop loop;
    unsigned number; /* of the worker */
    struct shared *shared;
    struct spread_worker *load;    /* of this plane, in shared->spread */
    struct generation *generation; /* of new connections; NULL before any */
    struct list holds;             /* of generation_hold; the current one too */
    struct pool sessions;          /* see session.h */
    struct waiting_line waiting;   /* sessions in PREFACE and HANDSHAKE */
    struct list queues; /* of queue_part: those in which sessions here wait */
    struct message place_free; /* PLANE_PLACE */
    struct plane_memory memory[DIRECTIONS];
    struct pipe_pool pipes;
    struct list retry[PLANE_QUEUES]; /* what met a shortage */
    struct plane_sweep sweep;
    struct wheel_timer trim_timer;
    struct wheel_timer retry_timer;
    uint32_t last_instance;
    uint64_t random;

    struct list listeners; /* of struct listener, TCP and UDP */
    struct listener_index listener_index;
    struct list accept_ready;   /* TCP listeners that have connections */
    struct list accept_waiting; /* those that are not watched during a pause,
                                   and UDP ones that could not be watched */
    struct wheel_timer accept_timer;
    bool accept_due;    /* one of these needs acceptor_turn: */
    bool accept_paused; /* TCP listeners with connections wait */
    bool accept_resume; /* the pause may be over: try again */
    int shortage;       /* errno of one that was met; 0: none */

    bool frozen; /* nothing is accepted; see handover.h */
    bool draining;
    unsigned handshakes;    /* steps of handshakes in this turn of the loop */
    uint64_t handshakes_ns; /* when the first of them began */
    size_t tls_work; /* of relays: what this turn still may do, see sock.h */
    bool tls_queue;  /* this turn runs the queue of TLS relays */
    uint32_t active; /* sessions that have not ended */
    struct udp *udp; /* NULL before the first UDP listener; see udp.h */
};

/* -1 with errno. */
int plane_open(struct plane *plane, const struct loop_owner *owner,
               unsigned number, struct shared *shared) WARN_UNUSED;

/* Everything above it is gone already. */
void plane_close(struct plane *plane);

/* The hold's generation is the current one from now on. */
void plane_adopt(struct plane *plane, struct generation_hold *hold);

/* Whether sessions here may hold the generation. */
bool plane_knows(const struct plane *plane,
                 const struct generation *generation);

/* One session holds the generation, or no longer does. The last one to release
 * a generation that is not the current one ends the plane's hold. */
void plane_hold(struct plane *plane, struct generation *generation);
void plane_release(struct plane *plane, struct generation *generation);

/* From now on REPORT_DRAINED is sent, once, when no session is left. A second
 * call changes nothing. */
void plane_drain(struct plane *plane);

/* Puts the link on that queue again in a while, when the machine may have what
 * it was short of. */
void plane_retry_later(struct plane *plane, enum plane_queue queue,
                       struct list *link);

/* A call failed with that error. If it says that descriptors or memory are
 * short, accepting pauses at the end of the turn. */
void plane_report_shortage(struct plane *plane, int error);

void plane_arm_trim(struct plane *plane);

/* Memory is in use: it is trimmed a while later. */
static inline void plane_trim_later(struct plane *plane)
{
    if (!wheel_armed(&plane->trim_timer)) {
        plane_arm_trim(plane);
    }
}

/* The instance number of the next token: not used again soon. */
static inline uint32_t plane_next_instance(struct plane *plane)
{
    return ++plane->last_instance;
}

static inline struct service_counters *
plane_counters(const struct plane *plane, const struct service *service)
{
    return &service->state->counters[plane->number];
}

static inline struct service_blocks *plane_blocks(const struct plane *plane,
                                                  const struct service *service,
                                                  enum direction direction)
{
    return &service->state->memory[plane->number].blocks[direction];
}

static inline struct upstream_counters *
plane_upstream_counters(const struct plane *plane,
                        const struct upstream *upstream)
{
    return &upstream->counters[plane->number];
}

static inline struct plane *plane_of(struct loop *loop)
{
    return container_of(loop, struct plane, loop);
}

#endif
