#include "base/wait_queue.h"
#include "base/base.h"

#include <assert.h>
#include <sys/param.h>

static uint32_t spare(const struct wait_queue *queue, uint32_t free)
{
    return free - queue->granted;
}

/* The most that a user has that may have one more. */
static uint32_t most_held(uint32_t left)
{
    return (uint32_t)MIN(UINT32_MAX - 1, (uint64_t)WAIT_QUEUE_SHARE * left);
}

/* Whether the waiter's user has fewer than *held; if so, *held is how many. */
static bool has_fewer(const struct waiter *waiter, uint32_t *held)
{
    const struct waiter *one = waiter;
    uint32_t sum = 0;

    do {
        sum += atomic_load_explicit(&one->held, memory_order_relaxed);
        sum += one->granted;
        one = one->next;
    } while (one != NULL && one != waiter && sum < *held);
    if (sum >= *held) {
        return false;
    }
    *held = sum;
    return true;
}

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

/* Of the first waiters that may have one more. */
static struct waiter *find_poorest(const struct wait_queue *queue,
                                   uint32_t left)
{
    const struct list *head = &queue->waiters;
    struct list *link = list_first(head);
    struct waiter *found = NULL;
    uint32_t held = most_held(left) + 1;

    for (uint32_t seen = 0; link != NULL && link != head; seen++) {
        struct waiter *waiter = container_of(link, struct waiter, link);

        if (has_fewer(waiter, &held)) {
            found = waiter;
        }
        if (found != NULL && (held == 0 || seen + 1 >= WAIT_QUEUE_LOOK)) {
            break;
        }
        link = link->next;
    }
    return found;
}

bool wait_queue_admits(const struct wait_queue *queue,
                       const struct waiter *waiter, uint32_t free, uint32_t all)
{
    uint32_t left = spare(queue, free);
    uint32_t held = most_held(left) + 1;

    /* If nobody can have too much, no ring is read. */
    return left > 0 && (all - left < held || has_fewer(waiter, &held));
}

struct waiter *wait_queue_grant(struct wait_queue *queue, uint32_t free)
{
    uint32_t left = spare(queue, free);
    struct waiter *waiter = left > 0 ? find_poorest(queue, left) : NULL;

    if (waiter != NULL) {
        remove_waiter(queue, waiter);
        waiter->granted = true;
        queue->granted++;
    }
    return waiter;
}

void wait_queue_cancel(struct wait_queue *queue, struct waiter *waiter)
{
    if (!wait_queue_redeem(queue, waiter) && list_linked(&waiter->link)) {
        remove_waiter(queue, waiter);
    }
}

void wait_queue_check(const struct wait_queue *queue, uint32_t free,
                      uint32_t all)
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
    assert(queue->granted <= free && free <= all);
    /* A refused user has more than so many times the spare ones. */
    assert(length == 0 ||
           (WAIT_QUEUE_SHARE + 1) * (uint64_t)spare(queue, free) < all);
}
