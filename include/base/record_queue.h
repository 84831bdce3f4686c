/*
 * record_queue: a bounded queue of records of bytes, from many threads to one.
 *
 * A thread that pushes never waits: neither for the reader nor for another
 * thread that stands still in the middle of a push. A record that has no room
 * is refused. The records of one thread keep their order.
 *
 *     tail                                      head
 *      │                                         │
 *      ▼                                         ▼
 *   ┌──┬────────┬───────────────┬────────┬───────┬─────────────┐
 *   │  │ header │ bytes, padded │ header │ bytes │ all zero    │ a ring
 *   └──┴────────┴───────────────┴────────┴───────┴─────────────┘
 *
 * A push reserves room by moving head, writes the bytes, and then the header,
 * which makes the record complete. The reader stops at a header that is zero
 * and leaves zeros behind.
 */
#ifndef EVPROXY_BASE_RECORD_QUEUE_H
#define EVPROXY_BASE_RECORD_QUEUE_H

#include "base/base.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RECORD_QUEUE_BYTES (UINT64_C(1) << 20)

/* All-zero: empty. Positions grow for ever; a place is one modulo the size. */
struct record_queue {
    /* Moved by all that push, read by them; relaxed: it guards no memory. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t head;
    /* Moved by the reader, read by all; release: what is before it is zero. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t tail;
    _Alignas(CACHE_LINE_BYTES) unsigned char bytes[RECORD_QUEUE_BYTES];
};

/* Copies the record of count (at least 1) bytes; kind is the caller's. False if
 * less than `spare` bytes would stay free after it. Any thread. */
WARN_UNUSED bool record_queue_push(struct record_queue *queue, uint32_t kind,
                                   const void *bytes, uint32_t count,
                                   uint64_t spare);

/* The kind and the size of the first record; false if there is none, or if it
 * is not complete yet. A push that completes it is ordered against this call:
 * a thread that pushes and then looks at a flag (seq_cst), and a reader that
 * sets the flag and then calls this, never miss each other. The reader. */
WARN_UNUSED bool record_queue_first(struct record_queue *queue, uint32_t *kind,
                                    uint32_t *count);

/* Removes the first record and copies its bytes. The reader, after
 * record_queue_first. */
void record_queue_take(struct record_queue *queue, void *bytes);

#endif
