/*
 * limits: how many connections a source may have: counts and rates by source.
 *
 * The table of sources has at most twice as many entries as the process can
 * hold connections, and at most LIMITS_ENTRIES_MAX. An entry is idle when its
 * source has no connection and its bucket is full; then another source may take
 * it. A full shard is swept for idle entries at most ten times a second, then
 * it grows; at its bound a new source is refused. A table without sources takes
 * a few KB. The hash has a secret seed.
 *
 * Threads: any, concurrently; each shard of the table has a lock.
 */
#ifndef EVPROXY_SERVICE_LIMITS_H
#define EVPROXY_SERVICE_LIMITS_H

#include "base/addr.h"
#include "base/base.h"
#include "service/stats.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_ENTRIES_MAX (UINT32_C(1) << 21)

struct limits; /* the table of a service, over all reloads */

/* NULL with errno. connections: what the process can hold. */
struct limits *limits_create(uint32_t connections) WARN_UNUSED;
void limits_destroy(struct limits *limits);

/*
 * Counts one more connection of the client's source, its IP address; all unix
 * clients are one source. CAUSE_NONE if it is admitted; pair it with
 * limits_leave. CAUSE_LIMIT_SOURCE above max_connections or when the table is
 * full; CAUSE_LOCAL_RESOURCE if it cannot grow for want of memory;
 * CAUSE_LIMIT_RATE above rate_per_s (a bucket one second deep). 0 is no limit.
 */
enum cause limits_enter(struct limits *limits, const struct addr *client,
                        uint32_t max_connections, uint64_t rate_per_s,
                        uint64_t now_ns) WARN_UNUSED;
void limits_leave(struct limits *limits, const struct addr *client);

/* Entries that are not idle at now_ns. For tests. */
uint32_t limits_used(struct limits *limits, uint64_t now_ns);

#endif
