/*
 * ring: a queue of bytes in one borrowed block. Pure.
 *
 * It neither borrows nor returns the block: the relay attaches one before the
 * first byte and detaches it after the last. An all-zero ring is valid: empty,
 * with no block. Called by the owner's thread only.
 *
 *      block                            block + size
 *        |......[ head ... bytes ... )......|        used = bytes in it
 *        |bytes )..............[ head ... by|        the same, wrapped
 */
#ifndef EVPROXY_BASE_RING_H
#define EVPROXY_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    unsigned char *block; /* NULL: none attached */
    uint32_t size;        /* bytes of the block */
    uint32_t head;        /* where the oldest byte is; < size */
    uint32_t used;        /* bytes in the queue; <= size */
};

/* A run of bytes inside the block. */
struct span {
    unsigned char *bytes;
    size_t count;
};

static inline bool ring_empty(const struct ring *ring)
{
    return ring->used == 0;
}

/* Gives a ring without a block a block of size bytes. */
void ring_attach(struct ring *ring, void *block, uint32_t size);

/* Takes the block from an empty ring, which is all-zero afterwards. */
void *ring_detach(struct ring *ring);

/* The longest contiguous run that is free; 0 bytes when full. */
struct span ring_space(const struct ring *ring);

/* count bytes (at most ring_space().count) were written there. */
void ring_produced(struct ring *ring, size_t count);

/* The longest contiguous run of the oldest bytes; 0 bytes when empty. */
struct span ring_bytes(const struct ring *ring);

/* count bytes (at most ring_bytes().count) were taken from there. */
void ring_consumed(struct ring *ring, size_t count);

/* Aborts unless the invariants hold. For tests and debug builds. */
void ring_check(const struct ring *ring);

#endif
