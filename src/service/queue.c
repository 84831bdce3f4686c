#include "service/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int queue_init(struct queue *queue, unsigned workers)
{
    struct queue_part *parts;

    if (queue->parts != NULL) {
        return 0;
    }
    parts =
        aligned_alloc(_Alignof(struct queue_part), workers * sizeof(*parts));
    if (parts == NULL) {
        errno = ENOMEM;
        return -1;
    }
    memset(parts, 0, workers * sizeof(*parts));
    for (unsigned i = 0; i < workers; i++) {
        atomic_init(&parts[i].oldest_ns, UINT64_MAX);
    }
    queue->workers = workers;
    queue->parts = parts;
    return 0;
}

void queue_fini(struct queue *queue)
{
    free(queue->parts);
    queue->parts = NULL;
}

struct queue_place *queue_next(const struct queue_part *part,
                               const struct queue_place *place)
{
    struct list *link =
        place == NULL ? list_first(&part->places) : place->link.next;

    return link == NULL || link == &part->places
               ? NULL
               : container_of(link, struct queue_place, link);
}

/* Its release shows the worker's wake function too. */
static void publish_oldest(struct queue_part *part)
{
    const struct queue_place *first = queue_next(part, NULL);

    atomic_store(&part->oldest_ns,
                 first == NULL ? UINT64_MAX : first->since_ns);
}

void queue_enter(struct queue *queue, struct queue_part *part,
                 struct queue_place *place, uint64_t now_ns)
{
    place->since_ns = now_ns;
    list_append(&part->places, &place->link);
    publish_oldest(part);
    atomic_fetch_add(&queue->count, 1);
}

void queue_leave(struct queue *queue, struct queue_part *part,
                 struct queue_place *place)
{
    if (list_linked(&place->link)) {
        list_remove(&place->link);
        publish_oldest(part);
        atomic_fetch_sub(&queue->count, 1);
        /* The worker has no connection left to answer a call on its way. */
        if (list_empty(&part->places) && queue_called(part)) {
            queue_call(queue);
        }
    }
}

/* NULL: no connection waits. */
static struct queue_part *oldest_part(struct queue *queue)
{
    uint64_t oldest_ns = UINT64_MAX;
    struct queue_part *found = NULL;

    for (unsigned i = 0; i < queue->workers; i++) {
        struct queue_part *part = &queue->parts[i];
        uint64_t first_ns = atomic_load(&part->oldest_ns);

        if (first_ns < oldest_ns) {
            oldest_ns = first_ns;
            found = part;
        }
    }
    return found;
}

/* False: the worker's last place has left meanwhile, and the call is free. */
static bool call(struct queue_part *part)
{
    if (atomic_exchange(&part->called, true)) {
        return true;
    }
    if (atomic_load(&part->oldest_ns) == UINT64_MAX && queue_called(part)) {
        return false;
    }
    part->wake(part->arg);
    return true;
}

void queue_call(struct queue *queue)
{
    struct queue_part *oldest;

    do {
        oldest = oldest_part(queue);
    } while (oldest != NULL && !call(oldest));
}

bool queue_called(struct queue_part *part)
{
    return atomic_exchange(&part->called, false);
}

struct queue_place *queue_choose(struct queue *queue, struct queue_part *part)
{
    struct queue_part *oldest = oldest_part(queue);

    if (oldest == part) {
        return queue_next(part, NULL);
    }
    queue_call(queue);
    return NULL;
}
