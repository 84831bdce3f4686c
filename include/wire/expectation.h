/*
 * expectation: whether the first bytes of an answer contain a text, wherever
 * the answer is cut into reads. Pure; any thread.
 *
 * It keeps no bytes of the answer: Knuth, Morris and Pratt, "Fast pattern
 * matching in strings", SIAM Journal on Computing 6 (1977).
 */
#ifndef EVPROXY_WIRE_EXPECTATION_H
#define EVPROXY_WIRE_EXPECTATION_H

#include "base/base.h"

#include <stddef.h>
#include <stdint.h>

#define EXPECTATION_BYTES_MAX 16384 /* of an answer that are looked at */

struct expectation {
    const uint8_t *text; /* not owned */
    uint16_t bytes;      /* of the text: 1 to EXPECTATION_BYTES_MAX */
    uint16_t matched;    /* bytes of the text that the answer ends with */
    uint16_t seen;       /* bytes of the answer */
    uint16_t borders[];  /* of the first n bytes of the text, at n - 1: the
                            longest beginning, less than all, that they end
                            with */
};

/* To be freed by free(); NULL with errno = ENOMEM. */
struct expectation *expectation_create(const void *text,
                                       size_t bytes) WARN_UNUSED;

/*
 * The next bytes of the answer. Above 0: so many of them were taken, and the
 * text ends with the last. 0: all were taken, and more are needed. -1: its
 * first EXPECTATION_BYTES_MAX bytes lack the text.
 */
int expectation_read(struct expectation *expectation, const uint8_t *bytes,
                     size_t count) WARN_UNUSED;

#endif
