#include "base/wait_queue.h"
#include "base/base.h"

#include <assert.h>

static void remove_waiter(struct wait_queue *queue, struct waiter *waiter)
{
    list_remove(&waiter->link);
    atomic_fetch_sub_explicit(&queue->length, 1, memory_order_relaxed);
}

void wait_queue_join(struct wait_queue *queue, struct waiter *waiter)
{
    assert(!waiter->granted);
    if (!list_linked(&waiter->link)) {
        list_append(&queue->waiters, &waiter->link);
        atomic_fetch_add_explicit(&queue->length, 1, memory_order_relaxed);
    }
}

struct waiter *wait_queue_grant(struct wait_queue *queue, uint32_t free)
{
    struct list *first = list_first(&queue->waiters);
    struct waiter *waiter;

    if (first == NULL || free == queue->granted) {
        return NULL;
    }
    waiter = container_of(first, struct waiter, link);
    remove_waiter(queue, waiter);
    waiter->granted = true;
    queue->granted++;
    return waiter;
}

void wait_queue_cancel(struct wait_queue *queue, struct waiter *waiter)
{
    if (list_linked(&waiter->link)) {
        remove_waiter(queue, waiter);
    } else {
        (void)wait_queue_redeem(queue, waiter);
    }
}

void wait_queue_check(const struct wait_queue *queue, uint32_t free)
{
    const struct list *head = &queue->waiters;
    uint32_t length = 0;

    for (const struct list *link = list_first(head);
         link != NULL && link != head; link = link->next) {
        assert(!container_of(link, const struct waiter, link)->granted);
        length++;
    }
    assert(length ==
           atomic_load_explicit(&queue->length, memory_order_relaxed));
    assert(queue->granted <= free);
    assert(length == 0 || queue->granted == free);
}
