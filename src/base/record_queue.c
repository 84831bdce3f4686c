#include "base/record_queue.h"

#include <assert.h>
#include <string.h>

#define HEADER_BYTES sizeof(uint64_t)

/* Of the count: even the smallest record is not zero. */
#define KIND_SHIFT 32

static uint64_t room_of(uint32_t count)
{
    return HEADER_BYTES +
           (count + HEADER_BYTES - 1) / HEADER_BYTES * HEADER_BYTES;
}

static unsigned char *place(struct record_queue *queue, uint64_t position)
{
    return queue->bytes + position % RECORD_QUEUE_BYTES;
}

/* Records begin at multiples of its size, so a header never wraps. */
static _Atomic uint64_t *header_at(struct record_queue *queue,
                                   uint64_t position)
{
    return (_Atomic uint64_t *)(void *)place(queue, position);
}

/* How many bytes from the position on stand before the ring wraps. */
static size_t before_wrap(uint64_t position, size_t count)
{
    size_t room = RECORD_QUEUE_BYTES - position % RECORD_QUEUE_BYTES;

    return count < room ? count : room;
}

bool record_queue_push(struct record_queue *queue, uint32_t kind,
                       const void *bytes, uint32_t count, uint64_t spare)
{
    uint64_t room = room_of(count);
    uint64_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    uint64_t at;
    size_t first;

    assert(count > 0);
    do {
        uint64_t tail =
            atomic_load_explicit(&queue->tail, memory_order_acquire);

        /* Signed: the tail may have passed the head that we know. */
        if ((int64_t)(head + room + spare - tail) >
            (int64_t)RECORD_QUEUE_BYTES) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &queue->head, &head, head + room, memory_order_relaxed,
        memory_order_relaxed));
    at = head + HEADER_BYTES;
    first = before_wrap(at, count);
    memcpy(place(queue, at), bytes, first);
    memcpy(queue->bytes, (const char *)bytes + first, count - first);
    atomic_store(header_at(queue, head), (uint64_t)kind << KIND_SHIFT | count);
    return true;
}

bool record_queue_first(struct record_queue *queue, uint32_t *kind,
                        uint32_t *count)
{
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    uint64_t header = atomic_load(header_at(queue, tail));

    *kind = (uint32_t)(header >> KIND_SHIFT);
    *count = (uint32_t)header;
    return header != 0;
}

static void clear(struct record_queue *queue, uint64_t from, size_t count)
{
    size_t first = before_wrap(from, count);

    memset(place(queue, from), 0, first);
    memset(queue->bytes, 0, count - first);
}

void record_queue_take(struct record_queue *queue, void *bytes)
{
    uint64_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    uint64_t at = tail + HEADER_BYTES;
    uint32_t kind, count;
    size_t first;

    if (!record_queue_first(queue, &kind, &count)) {
        return;
    }
    first = before_wrap(at, count);
    memcpy(bytes, place(queue, at), first);
    memcpy((char *)bytes + first, queue->bytes, count - first);
    clear(queue, tail, room_of(count));
    atomic_store_explicit(&queue->tail, tail + room_of(count),
                          memory_order_release);
}
