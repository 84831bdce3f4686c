/*
 * stats: causes of an end, and counters.
 *
 * A counter block belongs to one worker, which alone writes it; the control
 * thread reads all blocks and adds them up. So a counter is an atomic that is
 * never contended, and an addition is a plain load, add and store. The store
 * releases and the reader acquires: who sees one counter moved also sees what
 * the worker had counted before (plain moves on x86).
 */
#ifndef EVPROXY_SERVICE_STATS_H
#define EVPROXY_SERVICE_STATS_H

#include "base/base.h"
#include "base/direction.h"

#include <stdatomic.h>
#include <stdint.h>

/* Why a connection ended; the names are cause_name()'s. The order is that
 * of the stats line: new ones go to the end. */
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
    CAUSES
};

/* "client_fin"; CAUSE_NONE is "none". */
const char *cause_name(enum cause cause);

typedef _Atomic uint64_t counter;

/* By the one writer only. */
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
    counter dropped; /* datagrams that came and were not passed on */
};

/* One worker's counters of one upstream. */
struct upstream_counters {
    _Alignas(CACHE_LINE_BYTES) counter bytes[DIRECTIONS];
    counter total;  /* connections established */
    counter failed; /* connects that failed by the upstream's fault */
};

/* Sums for reading. */
struct service_sums {
    uint64_t bytes[DIRECTIONS];
    uint64_t accepted;
    uint64_t ended[CAUSES];
    uint64_t dropped;
    uint64_t active; /* accepted less the sum of ended */
};
struct upstream_sums {
    uint64_t bytes[DIRECTIONS];
    uint64_t total;
    uint64_t failed;
};

/*
 * Adds up count blocks (one a worker). `ended` is read before `accepted` of the
 * same block, so that active is never negative.
 */
void service_counters_sum(const struct service_counters *blocks, unsigned count,
                          struct service_sums *sums);
void upstream_counters_sum(const struct upstream_counters *blocks,
                           unsigned count, struct upstream_sums *sums);

/*
 * " ended_client_fin=0 ended_upstream_fin=0 ...", every cause in order, into
 * the buffer of that size, with a final zero; answers the length written. A
 * buffer that is too small (STATS_ENDED_MAX is enough) gets the causes that fit
 * whole.
 */
#define STATS_ENDED_MAX 1536
size_t stats_format_ended(const struct service_sums *sums, char *buffer,
                          size_t size);

#endif
