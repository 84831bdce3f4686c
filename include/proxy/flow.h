/*
 * flow: which record belongs to the datagrams between two addresses. A hash
 * table for one thread. Pure, except that it allocates.
 *
 * Records are linked into it (struct flow is a part of them), so a record costs
 * a bucket of 8 to 16 bytes besides. It grows and shrinks by one bucket at a
 * time (linear hashing: Litwin, VLDB 1980), so that no datagram waits until a
 * hundred thousand others have been moved.
 *
 *      buckets  0 1 2 ... base-1 | base ... count-1
 *               split in two ────────▶ with these;  the rest not yet
 *
 * Strangers choose the keys, so the hash has a secret seed.
 */
#ifndef EVPROXY_PROXY_FLOW_H
#define EVPROXY_PROXY_FLOW_H

#include "base/addr.h"

#include <stddef.h>
#include <stdint.h>

/* Compared byte by byte: no padding. */
struct flow_key {
    struct addr client;
    struct addr local; /* where it was sent to; zero where that is fixed */
    uint32_t scope;    /* interface of a link-local client, else 0 */
    uint32_t listener; /* which socket; not closed while it has sessions */
};

_Static_assert(sizeof(struct flow_key) == 48, "a key has no padding");

struct flow {
    struct flow *next;
    struct flow_key key;
    uint32_t hash;
};

/* All-zero except for the seed: valid and empty. */
struct flow_table {
    struct flow **buckets;
    uint32_t size; /* places there is memory for */
    uint32_t used; /* buckets */
    uint32_t count;
    uint64_t seed;
};

void flow_table_init(struct flow_table *table, uint64_t seed);
void flow_table_fini(struct flow_table *table);

/* NULL if there is none. */
struct flow *flow_find(const struct flow_table *table,
                       const struct flow_key *key);

/* Adds one whose key is set and not in the table. -1 with errno = ENOMEM. */
int flow_insert(struct flow_table *table, struct flow *flow) WARN_UNUSED;

/* Takes out one that is in the table. */
void flow_remove(struct flow_table *table, struct flow *flow);

/* Aborts unless the invariants hold. For tests and debug builds. */
void flow_table_check(const struct flow_table *table);

#endif
