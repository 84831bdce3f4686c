/*
 * stats: why connections end, and counters.
 *
 * Each worker alone writes its block of counters; the control thread reads all
 * blocks and adds them up. So a counter is an atomic without contention, and an
 * addition is a load, an add and a store. The store releases and the reader
 * acquires: who sees a counter's new value also sees all that the worker
 * counted before it (plain moves on x86).
 */
#ifndef EVPROXY_SERVICE_STATS_H
#define EVPROXY_SERVICE_STATS_H

#include "base/base.h"
#include "base/direction.h"

#include <stdatomic.h>
#include <stdint.h>

/* Why a connection ended. The order is that of the stats line: add new causes
 * at the end. */
enum cause {
    CAUSE_NONE, /* not ended */
    CAUSE_CLIENT_FIN,
    CAUSE_UPSTREAM_FIN,
    CAUSE_CLIENT_RESET,
    CAUSE_UPSTREAM_RESET,
    CAUSE_CONNECT_REFUSED,
    CAUSE_CONNECT_TIMEOUT,
    CAUSE_NO_UPSTREAM,
    CAUSE_IDLE_TIMEOUT,
    CAUSE_READ_TIMEOUT,
    CAUSE_WRITE_TIMEOUT,
    CAUSE_HALF_CLOSE_TIMEOUT,
    CAUSE_HEADER_TIMEOUT,
    CAUSE_MAX_LIFETIME,
    CAUSE_DENIED,
    CAUSE_LIMIT_CONNECTIONS,
    CAUSE_LIMIT_SOURCE,
    CAUSE_LIMIT_RATE,
    CAUSE_BAD_HEADER,
    CAUSE_NO_ROUTE,
    CAUSE_TLS_ERROR,
    CAUSE_DRAIN,
    CAUSE_LOCAL_RESOURCE,
    CAUSE_INTERNAL,
    CAUSE_LOOP,
    CAUSE_UPSTREAM_DOWN,
    CAUSES
};

/* "client_fin"; CAUSE_NONE is "none". */
const char *cause_name(enum cause cause);

typedef _Atomic uint64_t counter;

/* Only by the block's worker. */
static inline void counter_add(counter *one, uint64_t n)
{
    uint64_t value = atomic_load_explicit(one, memory_order_relaxed);

    atomic_store_explicit(one, value + n, memory_order_release);
}

static inline uint64_t counter_read(const counter *one)
{
    return atomic_load_explicit(one, memory_order_acquire);
}

/* One worker's counters of one service. */
struct service_counters {
    _Alignas(CACHE_LINE_BYTES) counter bytes[DIRECTIONS];
    counter accepted;
    counter ended[CAUSES];
    counter dropped; /* datagrams that were received and not forwarded */
};

/* One worker's counters of one upstream. */
struct upstream_counters {
    _Alignas(CACHE_LINE_BYTES) counter bytes[DIRECTIONS];
    counter total;     /* connections established */
    counter failed;    /* connects that the upstream made fail */
    uint64_t noted_ns; /* only its worker: see proxy/loop_guard.h */
};

/* Sums for reading. */
struct service_sums {
    uint64_t bytes[DIRECTIONS];
    uint64_t accepted;
    uint64_t ended[CAUSES];
    uint64_t dropped;
    uint64_t active; /* accepted minus the sum of ended */
};
struct upstream_sums {
    uint64_t bytes[DIRECTIONS];
    uint64_t total;
    uint64_t failed;
};

/*
 * Adds up count blocks, one for each worker. Reads `ended` of all blocks before
 * `accepted` of any, so that active is never negative, not even when a session
 * ends on another worker than the one it began on.
 */
void service_counters_sum(const struct service_counters *blocks, unsigned count,
                          struct service_sums *sums);
void upstream_counters_sum(const struct upstream_counters *blocks,
                           unsigned count, struct upstream_sums *sums);

/*
 * Writes " ended_client_fin=0 ended_upstream_fin=0 ..." with every cause in
 * order and a final zero; answers the length. STATS_ENDED_MAX bytes are enough;
 * a smaller buffer gets as many whole causes as fit.
 */
#define STATS_ENDED_MAX 1536
size_t stats_format_ended(const struct service_sums *sums, char *buffer,
                          size_t size);

#endif
