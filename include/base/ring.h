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

#include <assert.h>
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
static inline void ring_attach(struct ring *ring, void *block, uint32_t size)
{
    assert(ring->block == NULL && ring->used == 0);
    assert(block != NULL && size > 0);
    *ring = (struct ring){.block = block, .size = size};
}

/* Takes the block from an empty ring, which is all-zero afterwards. */
static inline void *ring_detach(struct ring *ring)
{
    void *block = ring->block;

    assert(block != NULL && ring->used == 0);
    *ring = (struct ring){NULL, 0, 0, 0};
    return block;
}

/* The longest contiguous run that is free; 0 bytes when full. */
static inline struct span ring_space(const struct ring *ring)
{
    size_t tail = (size_t)ring->head + ring->used;
    struct span space = {NULL, 0};

    if (ring->used == ring->size) {
        return space;
    }
    if (tail < ring->size) {
        space.count = ring->size - tail;
    } else {
        tail -= ring->size;
        space.count = ring->head - tail;
    }
    space.bytes = ring->block + tail;
    return space;
}

/* count bytes (at most ring_space().count) were written there. */
static inline void ring_produced(struct ring *ring, size_t count)
{
    assert(count <= ring_space(ring).count);
    ring->used += (uint32_t)count;
}

/* The longest contiguous run of the oldest bytes; 0 bytes when empty. */
static inline struct span ring_bytes(const struct ring *ring)
{
    size_t to_end = ring->size - ring->head;
    struct span bytes = {NULL, 0};

    if (ring->used > 0) {
        bytes.bytes = ring->block + ring->head;
        bytes.count = ring->used < to_end ? ring->used : to_end;
    }
    return bytes;
}

/* count bytes (at most ring_bytes().count) were taken from there. */
static inline void ring_consumed(struct ring *ring, size_t count)
{
    assert(count <= ring_bytes(ring).count);
    ring->used -= (uint32_t)count;
    ring->head += (uint32_t)count;
    /* An empty ring starts over, so that the next run is as long as possible.
     */
    if (ring->head == ring->size || ring->used == 0) {
        ring->head = 0;
    }
}

/* Aborts unless the invariants hold. For tests and debug builds. */
void ring_check(const struct ring *ring);

#endif
