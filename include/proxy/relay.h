/*
 * relay: moves bytes in one direction, from one socket to another, until it
 * must stop, and says why. A session has two that are alike.
 *
 * The only file that knows ring, slab and rate together: a block is borrowed
 * just before a read and returned when the ring is empty again, and tokens are
 * taken before the block, so that neither an idle direction nor one that waits
 * for tokens holds memory. What is waiting to be written is written before more
 * is read, and nothing is read for a peer that takes nothing.
 *
 *                    tokens?   block?                   all written?
 *      from ─ readable ──▶ ──▶ recv ──▶ ring ──▶ send ──▶ to
 *               │      │      │                   │
 *      waits: SOURCE TOKENS MEMORY               SINK
 *
 * A source that fills block after block is in bulk: its bytes go through a
 * pipe, by splice(2), for as long as it does. The block is borrowed all the
 * same and stands for the pipe, so that the ceiling and the line for memory
 * hold for both; where no pipe is to be had, or the bytes get few again, the
 * block is used. A slow peer costs one block or, in bulk, one pipe.
 *
 * A pump has four answers and no fifth: an edge that nobody waits for is lost.
 * Belongs to the thread of its session.
 */
#ifndef EVPROXY_PROXY_RELAY_H
#define EVPROXY_PROXY_RELAY_H

#include "base/direction.h"
#include "base/list.h"
#include "base/ring.h"
#include "base/slab.h"
#include "net/loop.h"
#include "net/pipe.h"
#include "net/sock.h"
#include "proxy/throttle.h"
#include "service/stats.h"

#include <stdint.h>

/* Bytes moved in one visit before others have their turn. */
#define RELAY_BUDGET_BYTES (256u * 1024)

/* Full blocks, less those that were not, from which on a relay is in bulk, and
 * the most that are remembered. Requests of a few blocks do not get there. */
#define RELAY_BULK_FROM 16u
#define RELAY_BULK_MOST 32u

/* What a relay waits for. It is pumped again by whoever that is, and by no one
 * else, so that a place in a queue is not lost. */
enum relay_wait {
    RELAY_SOURCE, /* the source is readable: its event. All-zero: as at birth */
    RELAY_SINK,   /* the sink is writable: its event */
    RELAY_MEMORY, /* on the memory queue */
    RELAY_TOKENS, /* the throttle's resume_ns: the session's timer */
    RELAY_RETRY,  /* on the retry queue: the machine was short of something */
    RELAY_TURN,   /* on the loop's runnable list */
    RELAY_ENDED,  /* the source has ended and all is flushed; for ever */
    RELAY_BROKEN, /* a side failed; for ever */
};

struct relay {
    struct ring ring;
    uint64_t bytes; /* taken from the source so far */
    uint64_t
        moved_ns; /* when a byte last moved in or out; or the source ended */
    struct list link;  /* runnable, a memory queue or the retry queue */
    uint8_t wait;      /* enum relay_wait */
    uint8_t direction; /* enum direction: its place in the session */
    uint16_t bulk;     /* full blocks of late, less those that were not */
    uint32_t pipe;     /* the number of the one that holds bytes; 0: none */
};

/* What a relay works with; made for the visit. */
struct relay_context {
    struct loop *loop;
    struct sock *from;
    struct sock *to;
    struct slab_cache *blocks;
    struct pipe_pool *pipes;
    struct list *memory_queue; /* of this direction, of this thread */
    struct list *retry_queue;
    struct throttle *throttle; /* NULL: no limit */
    counter *service_bytes;
    counter *upstream_bytes;
};

enum pump {
    PUMP_WAITS, /* and is queued where it will be woken */
    PUMP_ENDED, /* the source ended its stream; every byte of it is written */
    PUMP_NO_SOURCE, /* the source was reset; the bytes before it are written */
    PUMP_NO_SINK,   /* the sink was reset; what was waiting for it is dropped */
};

/*
 * Moves what can be moved. Not to be called once it has ended or broken. One
 * that stands in the memory queue stays there, unless its source has ended and
 * no byte is left; who is granted a block takes it off the queue first.
 */
enum pump relay_pump(struct relay *relay, const struct relay_context *context);

/* Gives up: drops the bytes, returns the block and the tokens, leaves queues.
 */
void relay_drop(struct relay *relay, const struct relay_context *context);

/* Whether bytes that were read are still to be written. */
bool relay_holds_bytes(const struct relay *relay,
                       const struct relay_context *context);

#endif
