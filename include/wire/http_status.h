/*
 * http_status: the status of an HTTP/1 answer, read as its bytes come. Pure;
 * any thread. Keeps no bytes.
 *
 * Source: RFC 9112, sections 2.2 (a line may end in LF alone) and 4 (the status
 * line; the reason may be missing). An interim answer (RFC 9110, section 15.2)
 * may come before the final one: the caller decides which status is the one,
 * and reads on where it is not.
 */
#ifndef EVPROXY_WIRE_HTTP_STATUS_H
#define EVPROXY_WIRE_HTTP_STATUS_H

#include "base/base.h"

#include <stddef.h>
#include <stdint.h>

/* The most bytes up to a final status: heads of interim answers are that
 * short. */
#define HTTP_STATUS_BYTES_MAX 16384

/* All-zero: at the beginning. */
struct http_status {
    uint8_t place;   /* in "HTTP/1.x 200", then beyond */
    uint16_t status; /* 100 to 999, once it is known */
    uint32_t seen;   /* bytes */
};

/*
 * Reads on. Above 0: so many bytes were taken, and status is that of an answer;
 * the next call takes what follows and finds the answer after it. 0: all bytes
 * were taken, and more are needed. -1: these are no HTTP/1 answers, or too
 * long.
 */
int http_status_read(struct http_status *reader, const uint8_t *bytes,
                     size_t count) WARN_UNUSED;

#endif
