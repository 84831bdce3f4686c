/*
 * limits: who may connect: access rules, and counts and rates by source.
 *
 * The table of sources is bounded: so many entries are made at the start and
 * never more. An entry whose source has no connection and a full bucket says
 * nothing and may be taken by another source; the table is made large enough
 * that entries with connections always fit (twice the connections the process
 * can hold, at most LIMITS_ENTRIES_MAX), and if it is ever full of such all the
 * same, the new source is refused. A full part is searched for entries to take
 * at most ten times a second. The hash is seeded by a secret. Memory of
 * untouched parts is not resident.
 *
 * Threads: any, concurrently; the table is cut into parts with a lock each.
 */
#ifndef EVPROXY_SERVICE_LIMITS_H
#define EVPROXY_SERVICE_LIMITS_H

#include "base/addr.h"
#include "config/config.h"
#include "service/stats.h"

#include <stdbool.h>
#include <stdint.h>

#define LIMITS_ENTRIES_MAX (UINT32_C(1) << 21)

/* The first rule that matches decides; with any allow, the rest is denied. A
 * client without an IP address (unix) is allowed. */
bool limits_allowed(const struct config_rule *rules, size_t count,
                    const struct addr *client);

struct limits; /* the table of one service, over all reloads */

/* NULL with errno. connections: what the process can hold. */
struct limits *limits_create(uint32_t connections) WARN_UNUSED;
void limits_destroy(struct limits *limits);

/*
 * One more connection of this source (its IP address; a unix client counts as
 * one source): CAUSE_NONE if it may come in, and then limits_leave ends it;
 * CAUSE_LIMIT_SOURCE above max_connections or when the table is full,
 * CAUSE_LIMIT_RATE above rate_per_s (a bucket one second deep); 0 is no limit.
 */
enum cause limits_enter(struct limits *limits, const struct addr *client,
                        uint32_t max_connections, uint64_t rate_per_s,
                        uint64_t now_ns) WARN_UNUSED;
void limits_leave(struct limits *limits, const struct addr *client);

/* Entries in use that cannot be taken by another at now_ns. For tests. */
uint32_t limits_used(struct limits *limits, uint64_t now_ns);

#endif
