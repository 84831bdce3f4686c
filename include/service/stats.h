/*
 * stats: why connections end, and counters. Each worker alone writes its block
 * of counters (service/counter.h); the control thread reads all blocks and adds
 * them up.
 */
#ifndef EVPROXY_SERVICE_STATS_H
#define EVPROXY_SERVICE_STATS_H

#include "base/base.h"
#include "base/direction.h"
#include "service/counter.h"
#include "service/histogram.h"

#include <stdbool.h>
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
    CAUSE_QUEUE_TIMEOUT,
    CAUSES
};

/* "client_fin"; CAUSE_NONE is "none". */
const char *cause_name(enum cause cause);

/* Whether an operator should look into it. An end by FIN, by the client's reset
 * (browsers and the checks of balancers reset), by a limit of time that both
 * sides know, by a rule of access or by a drain is as it should be. */
bool cause_is_bad(enum cause cause);

/* Why a connect fails by the upstream's fault. */
enum failure {
    FAILURE_REFUSED,
    FAILURE_TIMEOUT,
    FAILURE_RESET,
    FAILURE_TLS,
    FAILURES
};

/* From one of CAUSE_CONNECT_REFUSED, CAUSE_CONNECT_TIMEOUT,
 * CAUSE_UPSTREAM_RESET and CAUSE_TLS_ERROR, and back. */
enum failure failure_of(enum cause cause);
enum cause failure_cause(enum failure failure);

/* Why a datagram that came was not passed on. */
enum drop {
    DROP_RATE,    /* it is over a rate of bytes */
    DROP_SEND,    /* the socket took it not at once */
    DROP_GONE,    /* no socket receives at the upstream */
    DROP_REFUSED, /* its client has no session and was given none */
    DROP_QUEUE,   /* the kernel's queue at the listener was full */
    DROPS
};

/* "rate" */
const char *drop_name(enum drop drop);

/* One worker's counters of one service. */
struct service_counters {
    _Alignas(CACHE_LINE_BYTES) counter bytes[DIRECTIONS];
    counter accepted;
    counter ended[CAUSES];
    counter dropped[DROPS];     /* datagrams */
    counter multipath;          /* accepted ones with Multipath TCP */
    counter sources_refused;    /* the table of sources was full */
    struct histogram connect;   /* times to connect to an upstream */
    struct histogram durations; /* of connections that ended */
};

/* One worker's counters of one upstream. */
struct upstream_counters {
    _Alignas(CACHE_LINE_BYTES) counter bytes[DIRECTIONS];
    counter total;            /* connections established */
    counter failed[FAILURES]; /* connects that the upstream made fail */
    uint64_t noted_ns;        /* only its worker: see proxy/loop_guard.h */
};

/* Sums for reading. */
struct service_sums {
    uint64_t bytes[DIRECTIONS];
    uint64_t accepted;
    uint64_t ended[CAUSES];
    uint64_t dropped[DROPS];
    uint64_t multipath;
    uint64_t sources_refused;
    uint64_t active; /* accepted minus the sum of ended */
};
struct upstream_sums {
    uint64_t bytes[DIRECTIONS];
    uint64_t total;
    uint64_t failed[FAILURES];
};
struct service_times {
    struct histogram_sums connect;
    struct histogram_sums durations;
};

/*
 * Adds up count blocks, one for each worker and that of the control thread.
 * Reads `ended` of all blocks before `accepted` of any, so that active is never
 * negative, not even when a session ends on another worker than the one it
 * began on.
 */
void service_counters_sum(const struct service_counters *blocks, unsigned count,
                          struct service_sums *sums);
void upstream_counters_sum(const struct upstream_counters *blocks,
                           unsigned count, struct upstream_sums *sums);
void service_counters_times(const struct service_counters *blocks,
                            unsigned count, struct service_times *times);

/* The sums over all reasons. */
uint64_t service_sums_dropped(const struct service_sums *sums);
uint64_t upstream_sums_failed(const struct upstream_sums *sums);
uint64_t service_sums_ended_bad(const struct service_sums *sums);

/* Counts a connection that has ended. By the worker. */
static inline void service_counters_end(struct service_counters *counters,
                                        enum cause cause, uint64_t duration_ns)
{
    counter_add(&counters->ended[cause], 1);
    histogram_add(&counters->durations, &histogram_duration, duration_ns);
}

/*
 * Writes " ended_client_fin=0 ended_upstream_fin=0 ..." with every cause in
 * order and a final zero; answers the length. STATS_ENDED_MAX bytes are enough;
 * a smaller buffer gets as many whole causes as fit.
 */
#define STATS_ENDED_MAX 1536
size_t stats_format_ended(const struct service_sums *sums, char *buffer,
                          size_t size);

#endif
