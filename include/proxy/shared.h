/*
 * shared: what all workers of the process share, and what they report to the
 * control thread. Lies below everything else of the data plane.
 *
 * The control thread initialises it before the first worker starts and frees it
 * after the last one has ended.
 */
#ifndef EVPROXY_PROXY_SHARED_H
#define EVPROXY_PROXY_SHARED_H

#include "base/direction.h"
#include "base/slab.h"
#include "net/mailbox.h"
#include "proxy/loop_guard.h"
#include "proxy/spread.h"
#include "proxy/waiting.h"
#include "service/generation.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A kind of event that any client can cause, so the log tells it at most once a
 * second, with the number of them. Any worker adds; the worker that moves
 * logged_ns by compare-and-swap writes the line.
 */
struct limited_log {
    _Atomic uint64_t logged_ns; /* when the last line was written; 0: never */
    _Atomic uint32_t count;     /* events since that line */
};

struct shared {
    struct slab slab[DIRECTIONS]; /* half of buffer_memory each */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t active; /* connections of the
                              process, and in the upper half those that are UDP
                              sessions; every worker adds and subtracts */
    _Atomic uint32_t max_connections; /* the control thread writes, every
                                         accept reads */
    _Atomic uint64_t accept_paused;   /* pauses so far; any worker adds */
    _Atomic uint64_t longest_turn_ns; /* of all workers' loops */
    struct waiting waiting;  /* connections that owe a header or a handshake */
    _Atomic uint32_t queued; /* connections that wait for a place at an
                                upstream; every worker adds and subtracts */
    struct limited_log long_turns;   /* of at least LOOP_LONG_TURN_NS */
    struct limited_log shortages;    /* of descriptors or memory */
    struct limited_log bad_headers;  /* PROXY headers that were refused */
    struct limited_log full;         /* accepts that wait: max_connections is
                                        reached */
    struct limited_log sources_full; /* clients refused for it */
    struct limited_log tls_errors;   /* handshakes that failed */
    struct loop_guard loops;
    /* From here on all is read often, and written once or rarely. tcp_short:
     * the kernel saves memory for TCP; the control thread writes it when it
     * changes, workers read it, both relaxed. */
    _Alignas(CACHE_LINE_BYTES) _Atomic bool tcp_short;
    struct mailbox *control;    /* where reports go */
    struct mailbox **mailboxes; /* one for each worker; the control thread sets
                                   them before the first generation */
    struct census *census;      /* of the UDP sessions of all services */
    struct spread *spread;      /* of TCP sessions over the workers */
};

/* -1 with errno. */
int shared_init(struct shared *shared, uint32_t block_bytes,
                uint64_t memory_bytes, unsigned workers,
                struct mailbox *control) WARN_UNUSED;
void shared_fini(struct shared *shared);

/* Connections of the process, UDP sessions among them. */
static inline uint32_t shared_active(const struct shared *shared)
{
    return (uint32_t)atomic_load_explicit(&shared->active,
                                          memory_order_relaxed);
}

/* Counts one event. Returns 0, or how many events the caller reports in one
 * line now. */
uint32_t limited_log_add(struct limited_log *log, uint64_t now_ns) WARN_UNUSED;

enum report_type {
    REPORT_GENERATION_DONE, /* the generation's last session here has ended */
    REPORT_UPSTREAM_FAILED, /* fail_threshold took the upstream out */
    REPORT_DRAINED,         /* no session is left, and none is accepted */
    REPORT_BEAT,            /* the answer to worker_beat */
    REPORT_ANNOUNCED,       /* to worker_announce */
    REPORT_FROZEN,          /* to worker_freeze */
    REPORT_THAWED,          /* to worker_thaw */
    REPORT_TAKEN,           /* to worker_take */
    REPORT_TYPES,
};

/* Sent to the control mailbox; the control thread frees it. */
struct handover_batch;
struct report {
    struct message message; /* type: enum report_type */
    unsigned worker;
    struct generation *generation; /* of REPORT_GENERATION_DONE */
    struct upstream *upstream;     /* of REPORT_UPSTREAM_FAILED */
    struct handover_batch *batch;  /* of REPORT_TAKEN; the receiver's */
    bool failed;                   /* of _ANNOUNCED and _FROZEN: no memory */
    uint64_t frozen_ns;            /* of REPORT_FROZEN: when it began */
};

/* NULL with errno = ENOMEM. */
struct report *report_create(enum report_type type,
                             unsigned worker) WARN_UNUSED;

/* Hands the report to the control thread. */
void shared_report(struct shared *shared, struct report *report);

#endif
