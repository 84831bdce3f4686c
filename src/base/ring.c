#include "base/ring.h"

#include <assert.h>
#include <string.h>

void ring_attach(struct ring *ring, void *block, uint32_t size)
{
    assert(ring->block == NULL && ring->used == 0);
    assert(block != NULL && size > 0);
    *ring = (struct ring){.block = block, .size = size};
}

void *ring_detach(struct ring *ring)
{
    void *block = ring->block;

    assert(block != NULL && ring->used == 0);
    memset(ring, 0, sizeof(*ring));
    return block;
}

struct span ring_space(const struct ring *ring)
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

void ring_produced(struct ring *ring, size_t count)
{
    assert(count <= ring_space(ring).count);
    ring->used += (uint32_t)count;
}

struct span ring_bytes(const struct ring *ring)
{
    size_t to_end = ring->size - ring->head;
    struct span bytes = {NULL, 0};

    if (ring->used > 0) {
        bytes.bytes = ring->block + ring->head;
        bytes.count = ring->used < to_end ? ring->used : to_end;
    }
    return bytes;
}

void ring_consumed(struct ring *ring, size_t count)
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

void ring_check(const struct ring *ring)
{
    if (ring->block == NULL) {
        assert(ring->size == 0 && ring->head == 0 && ring->used == 0);
        return;
    }
    assert(ring->head < ring->size);
    assert(ring->used <= ring->size);
    assert(ring->used > 0 || ring->head == 0);
}
