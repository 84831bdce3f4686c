#include "proxy/relay_image.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A block for bytes that were read elsewhere: they have no turn to wait for. */
static bool borrow_spare(struct relay *relay,
                         const struct relay_context *context)
{
    struct slab_cache *cache = &context->memory->cache;
    void *block = slab_borrow_spare(cache, &context->blocks->account);

    if (block != NULL) {
        ring_attach(&relay->ring, block, cache->slab->block_bytes);
    }
    return block != NULL;
}

void relay_save(struct relay *relay, const struct relay_context *context,
                struct relay_image *image)
{
    struct span bytes = ring_bytes(&relay->ring);

    /* A relay writes all it has before it reads again: the ring never wraps. */
    assert(bytes.count == relay->ring.used);
    relay_leave_queue(relay, context);
    if (relay->wait != RELAY_ENDED && relay->wait != RELAY_BROKEN) {
        relay->wait = RELAY_SOURCE; /* it finds out anew */
    }
    *image = (struct relay_image){
        .bytes = relay->bytes,
        .moved_ns = relay->moved_ns,
        .wait = relay->wait,
        .bulk = relay->bulk,
        .growth = relay->growth,
        .held = (uint32_t)bytes.count,
        .block = bytes.bytes,
        .pipe = {.read_fd = -1, .write_fd = -1},
    };
    if (relay->pipe != 0) {
        image->pipe = *pipe_at(&context->plane->pipes, relay->pipe);
    }
    if (context->throttle != NULL) {
        struct throttle *throttle = context->throttle;

        throttle_cancel(throttle, context->service,
                        (enum direction)relay->direction);
        image->rate_full_ns =
            atomic_load_explicit(&throttle->own.full_ns, memory_order_relaxed);
        if (throttle->source != NULL) {
            image->source_full_ns = atomic_load_explicit(
                &throttle->source->full_ns, memory_order_relaxed);
        }
    }
}

int relay_restore(struct relay *relay, const struct relay_context *context,
                  const struct relay_image *image)
{
    struct pipe_pool *pipes = &context->plane->pipes;

    if (image->pipe.read_fd >= 0) {
        relay->pipe = (uint8_t)pipe_adopt(pipes, &image->pipe);
        if (relay->pipe == 0) {
            goto fail;
        }
    }
    if (image->held > context->memory->cache.slab->block_bytes ||
        ((image->held > 0 || relay->pipe != 0) &&
         !borrow_spare(relay, context))) {
        goto fail;
    }
    if (image->held > 0) {
        memcpy(ring_space(&relay->ring).bytes, image->block, image->held);
        ring_produced(&relay->ring, image->held);
    }
    relay->bytes = image->bytes;
    relay->moved_ns = image->moved_ns;
    relay->wait = image->wait;
    relay->bulk = image->bulk;
    relay->growth = image->growth;
    if (context->throttle != NULL) {
        atomic_store_explicit(&context->throttle->own.full_ns,
                              image->rate_full_ns, memory_order_relaxed);
        if (context->throttle->source != NULL) {
            rate_owe(context->throttle->source, image->source_full_ns);
        }
    }
    return 0;

fail:
    if (relay->pipe != 0) {
        pipe_return(pipes, relay->pipe);
        relay->pipe = 0;
    }
    errno = ENOBUFS;
    return -1;
}
