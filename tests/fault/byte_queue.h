/*
 * byte_queue: the bytes that wait at one end of a simulated connection: sent
 * and not acknowledged, or received and not read.
 */
#ifndef EVPROXY_FAULT_BYTE_QUEUE_H
#define EVPROXY_FAULT_BYTE_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/param.h>

#define QUEUE_BYTES_MAX   32768u /* a power of two */
#define QUEUE_BYTES_USUAL 16384u

struct byte_queue {
    uint64_t read;    /* bytes taken out, since the connection began */
    uint64_t written; /* bytes put in */
    uint32_t limit;   /* bytes it holds at most */
    unsigned char bytes[QUEUE_BYTES_MAX];
};

static inline uint32_t byte_queue_used(const struct byte_queue *queue)
{
    return (uint32_t)(queue->written - queue->read);
}

static inline uint32_t byte_queue_space(const struct byte_queue *queue)
{
    return queue->limit - byte_queue_used(queue);
}

static inline void byte_queue_write(struct byte_queue *queue,
                                    const unsigned char *bytes, size_t count)
{
    size_t at = queue->written & (QUEUE_BYTES_MAX - 1);
    size_t first = MIN(count, QUEUE_BYTES_MAX - at);

    memcpy(queue->bytes + at, bytes, first);
    memcpy(queue->bytes, bytes + first, count - first);
    queue->written += count;
}

/* The first bytes; they stay in the queue. */
static inline void byte_queue_copy(const struct byte_queue *queue,
                                   unsigned char *bytes, size_t count)
{
    size_t at = queue->read & (QUEUE_BYTES_MAX - 1);
    size_t first = MIN(count, QUEUE_BYTES_MAX - at);

    memcpy(bytes, queue->bytes + at, first);
    memcpy(bytes + first, queue->bytes, count - first);
}

#endif
