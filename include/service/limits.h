/*
 * limits: what a source may have: connections, new ones per second, and the
 * buckets of the bytes per second that its connections share. A source is a
 * network: the client's address, or the leading bits of it that count. The
 * table of a service's sources lasts over all reloads.
 *
 * Threads: any, concurrently.
 */
#ifndef EVPROXY_SERVICE_LIMITS_H
#define EVPROXY_SERVICE_LIMITS_H

#include "base/base.h"
#include "base/network.h"
#include "base/rate.h"
#include "service/source_table.h"

#include <stdbool.h>
#include <stdint.h>

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
enum limits_answer limits_enter(struct source_table *table,
                                const struct network *network,
                                const struct limits_most *most,
                                uint64_t now_ns) WARN_UNUSED;
void limits_leave(struct source_table *table, const struct network *network);

/*
 * The buckets of bytes that the source's connections share, one for each
 * direction. The caller has a connection in it, and may use them until
 * limits_leave; what they owe is kept. NULL: no memory.
 */
struct rate *limits_byte_rates(struct source_table *table,
                               const struct network *network) WARN_UNUSED;

/*
 * What the sources owe, for a process that takes over. limits_next_debt answers
 * the next source with a bucket that is not full; *at is 0 at first. False:
 * there is none. limits_owe: its buckets are not full before those times; one
 * that there is no place or memory for owes nothing.
 */
bool limits_next_debt(struct source_table *table, uint64_t *at, uint64_t now_ns,
                      struct source_state *debt) WARN_UNUSED;
void limits_owe(struct source_table *table, const struct source_state *debt,
                uint64_t now_ns);

#endif
