/*
 * relay_image: the state of a relay written down, so that the relay can go on
 * elsewhere: in another thread, or in another process. The plane's thread.
 */
#ifndef EVPROXY_PROXY_RELAY_IMAGE_H
#define EVPROXY_PROXY_RELAY_IMAGE_H

#include "proxy/relay.h"

struct relay_image {
    uint64_t bytes;
    uint64_t moved_ns;
    uint64_t rate_full_ns;   /* of the throttle's own bucket; 0 without one */
    uint64_t source_full_ns; /* likewise of its source's */
    uint8_t wait; /* RELAY_ENDED, RELAY_BROKEN, or RELAY_SOURCE for all else */
    uint8_t bulk;
    struct receive_growth growth;
    uint32_t held;     /* bytes at block that are not written yet */
    const void *block; /* the relay's own, or a copy */
    struct pipe pipe;  /* holds bytes instead of block; read_fd -1: none does */
};

/* Takes the relay off its queues, cancels its reserved tokens and describes it.
 * The relay keeps what it holds: it goes on if it is pumped, or is given up by
 * relay_drop. */
void relay_save(struct relay *relay, const struct relay_context *context,
                struct relay_image *image);

/*
 * Takes an image up in a relay that is all-zero except its direction. Copies
 * the bytes of the block, and owns the pipe, also when it fails. -1 with errno
 * = ENOBUFS: there is no block for the bytes, or it is too small, or there is
 * no place for the pipe. The service gets the block even if others wait for
 * one.
 */
int relay_restore(struct relay *relay, const struct relay_context *context,
                  const struct relay_image *image) WARN_UNUSED;

#endif
