/*
 * source_table: a table of sources, networks that clients come from, with what
 * each has: connections and buckets. service/limits.h says what they may have.
 *
 * The table has at most twice as many entries as the process can hold
 * connections, and at most SOURCE_TABLE_MAX. An entry is idle when its source
 * has no connection and its buckets are full; then another source may take it.
 * A full shard is swept for idle entries at most ten times a second, then it
 * grows; at its bound there is no place for a new source. A table without
 * sources takes a few KB. The hash has a secret seed.
 *
 * Threads: any, concurrently. Each shard of the table has a lock, which a place
 * holds.
 */
#ifndef EVPROXY_SERVICE_SOURCE_TABLE_H
#define EVPROXY_SERVICE_SOURCE_TABLE_H

#include "base/base.h"
#include "base/direction.h"
#include "base/network.h"
#include "base/rate.h"

#include <stdbool.h>
#include <stdint.h>

#define SOURCE_TABLE_MAX (UINT32_C(1) << 21)

/* IPv4 as ::ffff:a.b.c.d; unix clients as ::1/0, which no IP client has. */
struct source_id {
    uint64_t high;
    uint64_t low;
    uint8_t prefix; /* of two networks with one base each is a source */
};

struct source_id source_id_of(const struct network *network);

/* The lock of the source's shard guards it, except for the rate's own word. */
struct source_entry {
    uint64_t high; /* of its source */
    uint64_t low;
    struct rate rate; /* new connections */
    uint32_t active;  /* connections */
    uint16_t next;    /* the table's */
    uint8_t prefix;
};

struct source_table;
struct source_shard;

/* NULL with errno. connections: what the process can hold. */
struct source_table *source_table_create(uint32_t connections) WARN_UNUSED;
void source_table_destroy(struct source_table *table); /* or NULL */

/* Where a source is. It holds a lock, from source_table_lock to
 * source_table_unlock. */
struct source_place {
    struct source_id id;
    struct source_shard *shard;
    struct source_entry *entry; /* NULL: the table has none of it */
    uint16_t *link;             /* the table's */
    uint32_t hash;              /* likewise */
};

/* Entries that are idle at now_ns may be freed on the way. */
void source_table_lock(struct source_table *table, const struct source_id *id,
                       uint64_t now_ns, struct source_place *place);
void source_table_unlock(const struct source_place *place);

enum source_table_answer {
    SOURCE_ADDED,
    SOURCE_FULL,      /* there is no place for another source */
    SOURCE_NO_MEMORY, /* the table cannot grow */
};

/* Adds an all-zero entry, if the place has none. */
enum source_table_answer source_table_add(struct source_table *table,
                                          struct source_place *place,
                                          uint64_t now_ns) WARN_UNUSED;

/* The entry goes if it is idle and has used no bucket. */
void source_table_tidy(const struct source_place *place);

/* The entry's buckets of bytes, one for each direction: they stay where they
 * are as long as the entry is not idle. NULL: no memory. */
struct rate *
source_table_byte_rates(const struct source_place *place) WARN_UNUSED;

/* Times as rate.full_ns. */
struct source_state {
    struct source_id id;
    uint64_t accept_full_ns;
    uint64_t byte_full_ns[DIRECTIONS];
};

/* The next entry that is not idle at now_ns. *at is 0 at first, and moves
 * behind it. False: there is none. */
bool source_table_next(struct source_table *table, uint64_t *at,
                       uint64_t now_ns, struct source_state *state) WARN_UNUSED;

/* How many are not idle at now_ns. */
uint32_t source_table_used(struct source_table *table, uint64_t now_ns);

#endif
