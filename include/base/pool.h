/*
 * pool: records of one size, addressed by a number, for one thread.
 *
 * Records come in chunks that are mapped when they are needed and unmapped when
 * their last record is returned. One empty chunk stays mapped as a spare, so
 * that a count that hovers around a chunk's edge does not map and unmap it.
 * Borrowing prefers chunks that are in use, so that the others drain. A record
 * does not move while it is lent. Up to 2^27 records.
 *
 *      chunks[] --> chunk: bit n of lent_bits      records: mapped pages
 *         0          | 1 1 0 1 0 ... |             | 0 | 1 | . | 3 | . |
 *         1          | 0 0 0 0 0 ... |             not mapped
 *
 * A chunk's bookkeeping is outside its pages: a record is aligned to 64 bytes
 * if its size is a multiple of 64, and pages become resident only as records
 * are used, the lowest first. Under ASan records that are not lent are
 * poisoned.
 *
 * Not thread-safe: each worker has a pool.
 */
#ifndef EVPROXY_BASE_POOL_H
#define EVPROXY_BASE_POOL_H

#include "base/base.h"
#include "base/list.h"

#include <stdint.h>

#define POOL_CHUNK_BYTES 65536u
#define POOL_RECORDS_MAX (UINT32_C(1) << 27)

/* Created once and kept until pool_fini; only its pages come and go. */
struct pool_chunk {
    unsigned char *records; /* NULL: not mapped */
    struct list link;       /* in partial or unmapped; unlinked when full or
                               the spare */
    uint32_t number;        /* in pool->chunks */
    uint32_t lent;          /* records */
    uint64_t lent_bits[];   /* bit n: record n is lent */
};

struct pool {
    uint32_t record_bytes;      /* rounded up to a multiple of 8 */
    uint32_t chunk_records;     /* records in a chunk */
    uint64_t reciprocal;        /* of chunk_records, times 2^40, rounded up */
    struct pool_chunk **chunks; /* all that were created */
    uint32_t chunks_count;
    uint32_t chunks_size;     /* of the array */
    uint32_t chunks_mapped;   /* with pages */
    uint32_t lent;            /* records */
    struct list partial;      /* chunks with lent and with free records */
    struct list unmapped;     /* chunks without pages */
    struct pool_chunk *spare; /* mapped, no record lent; or NULL */
};

/* record_bytes: at least 8, at most POOL_CHUNK_BYTES / 8. Takes no memory. */
void pool_init(struct pool *pool, uint32_t record_bytes);

/* Unmaps all records, lent or not. */
void pool_fini(struct pool *pool);

/* A record of zeros and, in *index, its number; NULL with errno = ENOMEM. */
void *pool_borrow(struct pool *pool, uint32_t *index) WARN_UNUSED;

void pool_return(struct pool *pool, uint32_t index);

/*
 * index / chunk_records without a division: exact for index < 2^27 and a
 * divisor <= 2^13, since the error of the reciprocal, less than 2^13, times the
 * index is then less than 2^40 (Granlund and Montgomery, PLDI 1994).
 */
static inline uint32_t pool_chunk_of(const struct pool *pool, uint32_t index)
{
    return (uint32_t)(index * pool->reciprocal >> 40);
}

/*
 * The lent record of that number; NULL if the number is beyond the pool or not
 * lent. O(1) and a few instructions, since every event calls it.
 */
static inline void *pool_at(const struct pool *pool, uint32_t index)
{
    const struct pool_chunk *chunk;
    uint32_t number;
    uint32_t n;

    if (index >= POOL_RECORDS_MAX) {
        return NULL;
    }
    number = pool_chunk_of(pool, index);
    if (number >= pool->chunks_count) {
        return NULL;
    }
    chunk = pool->chunks[number];
    n = index - number * pool->chunk_records;
    if ((chunk->lent_bits[n / 64] >> n % 64 & 1) == 0) {
        return NULL;
    }
    return chunk->records + (size_t)n * pool->record_bytes;
}

/*
 * The first lent record whose number is at least *index; sets *index to its
 * number. NULL if there is none. To visit all, start at 0 and add 1 each time.
 */
void *pool_next(const struct pool *pool, uint32_t *index);

/* Aborts unless the invariants hold. For tests and debug builds. */
void pool_check(const struct pool *pool);

#endif
