/*
 * limits: what a source may have: connections, new ones per second, and the
 * buckets of the bytes per second that its connections share. A source is a
 * network: the client's address, or the leading bits of it that count.
 *
 * The table of sources has at most twice as many entries as the process can
 * hold connections, and at most LIMITS_ENTRIES_MAX. An entry is idle when its
 * source has no connection and its buckets are full; then another source may
 * take it. A full shard is swept for idle entries at most ten times a second,
 * then it grows; at its bound a new source is refused. A table without sources
 * takes a few KB. The hash has a secret seed.
 *
 * Threads: any, concurrently; each shard of the table has a lock.
 */
#ifndef EVPROXY_SERVICE_LIMITS_H
#define EVPROXY_SERVICE_LIMITS_H

#include "base/base.h"
#include "base/direction.h"
#include "base/network.h"
#include "base/rate.h"
#include "service/stats.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_ENTRIES_MAX (UINT32_C(1) << 21)

struct limits; /* the table of a service, over all reloads */

/* NULL with errno. connections: what the process can hold. */
struct limits *limits_create(uint32_t connections) WARN_UNUSED;
void limits_destroy(struct limits *limits);

/* What a source may have; 0 is no limit. */
struct limits_most {
    uint32_t connections;
    uint64_t rate_per_s; /* new connections; a bucket one second deep */
};

enum limits_answer {
    LIMITS_ENTERED,
    LIMITS_CONNECTIONS, /* it has as many as it may */
    LIMITS_RATE,        /* it had as many new ones as it may */
    LIMITS_FULL,        /* the table has no place for another source */
    LIMITS_NO_MEMORY,   /* it cannot grow */
};

/* Counts one more connection of the source; all unix clients are one source. If
 * it has entered, pair it with limits_leave of the same network. */
enum limits_answer limits_enter(struct limits *limits,
                                const struct network *source,
                                const struct limits_most *most,
                                uint64_t now_ns) WARN_UNUSED;
void limits_leave(struct limits *limits, const struct network *source);

/*
 * The buckets of bytes that the source's connections share, one for each
 * direction. The caller has a connection in it, and may use them until
 * limits_leave; what they owe is kept. NULL: no memory.
 */
struct rate *limits_byte_rates(struct limits *limits,
                               const struct network *source) WARN_UNUSED;

/* Entries that are not idle at now_ns. For tests. */
uint32_t limits_used(struct limits *limits, uint64_t now_ns);

#endif
