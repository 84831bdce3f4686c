/*
 * relay: moves bytes in one direction, from one socket to another, until it
 * must stop, and says why. A session has two that are alike.
 *
 * It is the only room that knows ring, slab and rate together. A block is
 * borrowed just before a read and returned when the ring is empty again, and
 * tokens are taken before the block. So neither an idle direction nor one that
 * waits for tokens holds memory. Bytes that wait to be written are written
 * before more are read, and nothing is read for a peer that takes nothing.
 *
 *                    tokens?   block?                   all written?
 *      from ─ readable ──▶ ──▶ recv ──▶ ring ──▶ send ──▶ to
 *               │      │      │                   │
 *      waits: SOURCE TOKENS MEMORY               SINK
 *
 * A source that fills block after block is in bulk: its bytes go through a
 * pipe, by splice(2), for as long as it does. The block is borrowed all the
 * same and stands for the pipe, so that the ceiling and the queue for memory
 * hold for both. Without a free pipe, or when the bytes get few again, the
 * block is used. A slow peer costs one block or, in bulk, one pipe; in the
 * kernel the source's receive buffer grows only as receive_growth allows.
 *
 * Where splice cannot be used, as with TLS, a full block in bulk is written as
 * one that more bytes follow: TCP then makes large segments of several blocks.
 * The end of a pump pushes what TCP still holds.
 *
 * A pump that is not at the end always leaves a relay_wait that pumps it again.
 * Events are edge-triggered, so an edge that comes while the relay waits for
 * nothing would be lost. Belongs to the thread of its session.
 */
#ifndef EVPROXY_PROXY_RELAY_H
#define EVPROXY_PROXY_RELAY_H

#include "base/direction.h"
#include "base/list.h"
#include "base/ring.h"
#include "net/pipe.h"
#include "net/sock.h"
#include "proxy/plane.h"
#include "proxy/receive_growth.h"
#include "proxy/throttle.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes moved in one visit before others have their turn. */
#define RELAY_BUDGET_BYTES (256u * 1024)

/* A relay is in bulk from this balance of full blocks over others on, and the
 * highest balance that is kept. Requests of a few blocks do not get there. */
#define RELAY_BULK_FROM 16u
#define RELAY_BULK_MOST 32u

/* What a relay waits for. Only that pumps it again, so that its place in a
 * queue is kept. */
enum relay_wait {
    RELAY_SOURCE, /* an event: the source is readable. Zero: as at the start */
    RELAY_SINK,   /* an event: the sink is writable */
    RELAY_MEMORY, /* a block: it is on the memory queue */
    RELAY_TOKENS, /* the session's timer, at the throttle's resume_ns */
    RELAY_RETRY,  /* the end of a shortage: it is on the retry queue */
    RELAY_TURN,   /* its next turn: it is on the loop's runnable queue */
    RELAY_ENDED,  /* nothing: the source has ended and all is written */
    RELAY_BROKEN, /* nothing: a side failed */
};

struct relay {
    struct ring ring;
    uint64_t bytes; /* taken from the source so far */
    uint64_t
        moved_ns; /* when a byte last moved in or out, or the source ended */
    struct list link;      /* in a memory, retry or runnable queue */
    uint8_t wait;          /* enum relay_wait */
    uint8_t direction : 1; /* enum direction: its place in the session */
    bool more : 1; /* more bytes follow those that are written; in a pump */
    uint8_t bulk;  /* full blocks less others, lately; see RELAY_BULK_MOST */
    uint8_t pipe;  /* the number of the pipe that holds bytes; 0: none */
    struct receive_growth growth; /* of the source's buffer in the kernel */
};

_Static_assert(PIPE_POOL_MAX <= UINT8_MAX && RELAY_BULK_MOST <= UINT8_MAX,
               "a byte holds them");

/* What a relay works with; made for the visit. */
struct relay_context {
    struct plane *plane;
    struct service *service;
    struct sock *from;
    struct sock *to;
    struct plane_memory *memory;   /* of the direction */
    struct service_blocks *blocks; /* that the service has of it */
    struct throttle *throttle;     /* NULL: no byte rate */
    counter *service_bytes;
    counter *upstream_bytes;
};

enum pump {
    PUMP_WAITS, /* and is queued where it will be woken */
    PUMP_ENDED, /* the source ended its stream; every byte of it is written */
    PUMP_NO_SOURCE, /* the source was reset; the bytes before it are written */
    PUMP_NO_SINK,   /* the sink was reset; what was waiting for it is dropped */
    PUMP_GOES_ON,   /* never answered: used between the steps of a pump */
};

/*
 * Moves what can be moved, at most one read beyond budget bytes. Not to be
 * called once it has ended or broken. A relay in the memory queue stays there,
 * unless its source has ended and no byte is left. The caller that grants it
 * a block takes it off the queue first.
 */
enum pump relay_pump(struct relay *relay, const struct relay_context *context,
                     size_t budget) WARN_UNUSED;

/* Gives up: drops the bytes, returns block, pipe and tokens, leaves queues. */
void relay_drop(struct relay *relay, const struct relay_context *context);

/* Takes it off the queue that it is on. */
void relay_leave_queue(struct relay *relay,
                       const struct relay_context *context);

/* Whether it has no block and stands in no queue. */
static inline bool relay_is_idle(const struct relay *relay)
{
    return relay->ring.block == NULL && !list_linked(&relay->link);
}

/* Whether bytes that were read are still to be written. */
bool relay_holds_bytes(const struct relay *relay, struct plane *plane);

#endif
