#include "base/pool.h"
#include "base/poison.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNKS_FIRST 16u

static size_t records_bytes(const struct pool *pool)
{
    return (size_t)pool->chunk_records * pool->record_bytes;
}

static uint32_t lent_words(const struct pool *pool)
{
    return (pool->chunk_records + 63) / 64;
}

static struct pool_chunk *chunk_of_link(struct list *link)
{
    return link == NULL ? NULL : container_of(link, struct pool_chunk, link);
}

/* Makes room for one more chunk in the array. */
static int pool_grow(struct pool *pool)
{
    uint32_t size =
        pool->chunks_size > 0 ? pool->chunks_size * 2 : CHUNKS_FIRST;
    struct pool_chunk **chunks;

    if (pool->chunks_count < pool->chunks_size) {
        return 0;
    }
    if (pool->chunks_count >= POOL_RECORDS_MAX / pool->chunk_records) {
        errno = ENOMEM;
        return -1;
    }
    chunks = realloc(pool->chunks, size * sizeof(chunks[0]));
    if (chunks == NULL) {
        return -1;
    }
    pool->chunks = chunks;
    pool->chunks_size = size;
    return 0;
}

/* A new chunk without pages, on the list of unmapped ones. */
static struct pool_chunk *chunk_create(struct pool *pool)
{
    struct pool_chunk *chunk;

    if (pool_grow(pool) != 0) {
        return NULL;
    }
    chunk = calloc(1, sizeof(*chunk) +
                          lent_words(pool) * sizeof(chunk->lent_bits[0]));
    if (chunk == NULL) {
        return NULL;
    }
    chunk->number = pool->chunks_count;
    pool->chunks[pool->chunks_count++] = chunk;
    list_append(&pool->unmapped, &chunk->link);
    return chunk;
}

/* A chunk with pages and nothing lent, on no list. */
static struct pool_chunk *chunk_map(struct pool *pool)
{
    struct pool_chunk *chunk = chunk_of_link(list_first(&pool->unmapped));
    void *records;

    if (chunk == NULL && (chunk = chunk_create(pool)) == NULL) {
        return NULL;
    }
    records = mmap(NULL, records_bytes(pool), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (records == MAP_FAILED) {
        return NULL;
    }
    poison_set(records, records_bytes(pool));
    chunk->records = records;
    list_remove(&chunk->link);
    pool->chunks_mapped++;
    return chunk;
}

/* The chunk is on no list; the caller then appends it to the unmapped ones. */
static int chunk_unmap(struct pool *pool, struct pool_chunk *chunk)
{
    if (munmap(chunk->records, records_bytes(pool)) != 0) {
        return -1;
    }
    poison_lift(chunk->records, records_bytes(pool));
    chunk->records = NULL;
    pool->chunks_mapped--;
    return 0;
}

/* The chunk to borrow from, on the list of partial ones. */
static struct pool_chunk *chunk_to_lend(struct pool *pool)
{
    struct pool_chunk *chunk = chunk_of_link(list_first(&pool->partial));

    if (chunk != NULL) {
        return chunk;
    }
    chunk = pool->spare != NULL ? pool->spare : chunk_map(pool);
    if (chunk != NULL) {
        pool->spare = NULL;
        list_append(&pool->partial, &chunk->link);
    }
    return chunk;
}

/* Marks the chunk's lowest free record as lent. */
static uint32_t chunk_lend(struct pool_chunk *chunk)
{
    uint32_t word = 0;
    uint32_t bit;

    while (chunk->lent_bits[word] == UINT64_MAX) {
        word++;
    }
    bit = (uint32_t)__builtin_ctzll(~chunk->lent_bits[word]);
    chunk->lent_bits[word] |= UINT64_C(1) << bit;
    chunk->lent++;
    return word * 64 + bit;
}

static void *record_at(const struct pool *pool, const struct pool_chunk *chunk,
                       uint32_t n)
{
    return chunk->records + (size_t)n * pool->record_bytes;
}

void pool_init(struct pool *pool, uint32_t record_bytes)
{
    assert(record_bytes >= 8 && record_bytes <= POOL_CHUNK_BYTES / 8);
    memset(pool, 0, sizeof(*pool));
    pool->record_bytes = (record_bytes + 7) / 8 * 8;
    pool->chunk_records = POOL_CHUNK_BYTES / pool->record_bytes;
    pool->reciprocal =
        ((UINT64_C(1) << 40) + pool->chunk_records - 1) / pool->chunk_records;
}

void pool_fini(struct pool *pool)
{
    for (uint32_t i = 0; i < pool->chunks_count; i++) {
        if (pool->chunks[i]->records != NULL) {
            (void)chunk_unmap(pool, pool->chunks[i]);
        }
        free(pool->chunks[i]);
    }
    free(pool->chunks);
    memset(pool, 0, sizeof(*pool));
}

void *pool_borrow(struct pool *pool, uint32_t *index)
{
    struct pool_chunk *chunk = chunk_to_lend(pool);
    void *record;
    uint32_t n;

    if (chunk == NULL) {
        return NULL;
    }
    n = chunk_lend(chunk);
    if (chunk->lent == pool->chunk_records) {
        list_remove(&chunk->link);
    }
    pool->lent++;
    *index = chunk->number * pool->chunk_records + n;
    record = record_at(pool, chunk, n);
    poison_lift(record, pool->record_bytes);
    return memset(record, 0, pool->record_bytes);
}

/* Called when the last record was returned. */
static void chunk_drained(struct pool *pool, struct pool_chunk *chunk)
{
    list_remove(&chunk->link);
    if (pool->spare == NULL) {
        pool->spare = chunk;
    } else if (chunk_unmap(pool, chunk) == 0) {
        list_append(&pool->unmapped, &chunk->link);
    } else {
        /* Unmapping splits a mapping, and the system limits their number. Then
         * only the pages go, and the chunk is the last to borrow from. */
        (void)madvise(chunk->records, records_bytes(pool), MADV_DONTNEED);
        list_append(&pool->partial, &chunk->link);
    }
}

void pool_return(struct pool *pool, uint32_t index)
{
    void *record = pool_at(pool, index);
    uint32_t number = pool_chunk_of(pool, index);
    uint32_t n = index - number * pool->chunk_records;
    struct pool_chunk *chunk;

    assert(record != NULL);
    chunk = pool->chunks[number];
    poison_set(record, pool->record_bytes);
    /* Last on the list: the partial chunk that is being filled stays first. */
    if (chunk->lent == pool->chunk_records) {
        list_append(&pool->partial, &chunk->link);
    }
    chunk->lent_bits[n / 64] &= ~(UINT64_C(1) << n % 64);
    chunk->lent--;
    pool->lent--;
    if (chunk->lent == 0) {
        chunk_drained(pool, chunk);
    }
}

/* Sets *n to the chunk's first lent record from *n on; false: none. */
static bool chunk_next(const struct pool *pool, const struct pool_chunk *chunk,
                       uint32_t *n)
{
    uint32_t word = *n / 64;
    uint64_t mask = UINT64_MAX << *n % 64;

    for (; chunk->lent > 0 && word < lent_words(pool); word++) {
        uint64_t lent = chunk->lent_bits[word] & mask;

        if (lent != 0) {
            *n = word * 64 + (uint32_t)__builtin_ctzll(lent);
            return true;
        }
        mask = UINT64_MAX;
    }
    return false;
}

void *pool_next(const struct pool *pool, uint32_t *index)
{
    uint32_t number;
    uint32_t n;

    if (*index >= POOL_RECORDS_MAX) {
        return NULL;
    }
    number = pool_chunk_of(pool, *index);
    n = *index - number * pool->chunk_records;
    for (; number < pool->chunks_count; number++) {
        const struct pool_chunk *chunk = pool->chunks[number];

        if (chunk_next(pool, chunk, &n)) {
            *index = number * pool->chunk_records + n;
            return record_at(pool, chunk, n);
        }
        n = 0;
    }
    return NULL;
}

static void check_chunk(const struct pool *pool, const struct pool_chunk *chunk)
{
    bool mapped = chunk->records != NULL;
    bool spare = chunk == pool->spare;
    bool full = chunk->lent == pool->chunk_records;
    uint32_t lent = 0;

    for (uint32_t i = 0; i < lent_words(pool); i++) {
        lent += (uint32_t)__builtin_popcountll(chunk->lent_bits[i]);
    }
    assert(lent == chunk->lent && lent <= pool->chunk_records);
    assert(mapped || lent == 0);
    assert(!spare || (mapped && lent == 0));
    assert(pool->chunks[chunk->number] == chunk);
    assert(list_linked(&chunk->link) == !(spare || full));
}

void pool_check(const struct pool *pool)
{
    uint32_t mapped = 0;
    uint32_t lent = 0;

    for (uint32_t i = 0; i < pool->chunks_count; i++) {
        check_chunk(pool, pool->chunks[i]);
        mapped += pool->chunks[i]->records != NULL;
        lent += pool->chunks[i]->lent;
    }
    assert(mapped == pool->chunks_mapped && lent == pool->lent);
    assert(pool->chunks_count <= pool->chunks_size);
}
