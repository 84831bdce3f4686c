/*
 * pool: records of one size, addressed by a number, for one thread.
 *
 * Records come in chunks that are mapped when they are needed and unmapped when
 * their last record is returned (one empty chunk is kept, so that a border is
 * not crossed to and fro). Borrowing prefers chunks that are in use, so that
 * the others drain. A record does not move while it is lent. Up to 2^27.
 *
 * Not thread-safe: a worker has a pool of its own.
 */
#ifndef EVPROXY_BASE_POOL_H
#define EVPROXY_BASE_POOL_H

#include "base/base.h"

#include <stdint.h>

#define POOL_CHUNK_BYTES 65536u
#define POOL_RECORDS_MAX (UINT32_C(1) << 27)

struct pool_chunk;

struct pool {
    uint32_t record_bytes;      /* rounded up to a multiple of 8 */
    uint32_t chunk_records;     /* records in a chunk */
    struct pool_chunk **chunks; /* NULL where none is mapped */
    uint32_t chunks_size;       /* of the array */
    uint32_t chunks_mapped;
    uint32_t partial; /* first chunk with a free record, or none */
    uint32_t lent;    /* records */
};

/* record_bytes: at least 8, at most POOL_CHUNK_BYTES / 8. Takes no memory. */
void pool_init(struct pool *pool, uint32_t record_bytes);

/* Unmaps everything, lent or not. */
void pool_fini(struct pool *pool);

/* A record of zeros and, in *index, its number; NULL with errno = ENOMEM. */
void *pool_borrow(struct pool *pool, uint32_t *index) WARN_UNUSED;

void pool_return(struct pool *pool, uint32_t index);

/*
 * The lent record of that number; NULL if the number is beyond the pool or not
 * lent. O(1), a few instructions: every event passes here.
 */
void *pool_at(const struct pool *pool, uint32_t index);

/*
 * The first lent record whose number is at least *index, which is set to it;
 * NULL when there is none. To visit all: begin with 0 and add 1 each time.
 */
void *pool_next(const struct pool *pool, uint32_t *index);

/* Aborts unless the invariants hold. For tests and debug builds. */
void pool_check(const struct pool *pool);

#endif
