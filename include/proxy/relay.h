/*
 * relay: moves bytes in one direction, from one socket to another, until it
 * must stop, and says why. A session has two that are alike.
 *
 * The only file that knows ring, slab and rate together: a block is borrowed
 * just before a read and returned when the ring is empty again, and tokens are
 * taken before the block, so that neither an idle direction nor one that waits
 * for tokens holds memory. What is waiting to be written is written before more
 * is read, and nothing is read for a peer that takes nothing: a slow peer costs
 * one block.
 *
 *                    tokens?   block?                   all written?
 *      from ─ readable ──▶ ──▶ recv ──▶ ring ──▶ send ──▶ to
 *               │      │      │                   │
 *      waits: SOURCE TOKENS MEMORY               SINK
 *
 * A pump has four answers and no fifth: an edge that nobody waits for is lost.
 * Belongs to the thread of its session.
 */
#ifndef EVPROXY_PROXY_RELAY_H
#define EVPROXY_PROXY_RELAY_H

#include "base/list.h"
#include "base/rate.h"
#include "base/ring.h"
#include "base/slab.h"
#include "net/loop.h"
#include "net/sock.h"
#include "service/stats.h"

#include <stdint.h>

/* Bytes moved in one visit before others have their turn. */
#define RELAY_BUDGET_BYTES (256u * 1024)

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

/* One direction's rates; exists only where a service has any. */
struct throttle {
    struct rate own;
    struct rate *shared; /* of the service, all threads */
    const struct rate_limit *own_limit;
    const struct rate_limit *shared_limit;
    uint64_t resume_ns; /* when the reserved tokens may be spent */
    uint32_t reserved;  /* tokens that are ours from resume_ns on */
};

struct relay {
    struct ring ring;
    uint64_t bytes; /* taken from the source so far */
    uint64_t
        moved_ns; /* when a byte last moved in or out; or the source ended */
    struct list link;  /* runnable, a memory queue or the retry queue */
    uint8_t wait;      /* enum relay_wait */
    uint8_t direction; /* enum direction: its place in the session */
};

/* What a relay works with; made for the visit. */
struct relay_context {
    struct loop *loop;
    struct sock *from;
    struct sock *to;
    struct slab_cache *blocks;
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

#endif
