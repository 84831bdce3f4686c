#include "base/ring.h"

#include <assert.h>

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
