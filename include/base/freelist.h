/*
 * freelist: the numbers of free blocks, last in, first out. Pure.
 *
 * The bottom of the stack has been free longest. `low` is the least count since
 * freelist_restart: the blocks below it have not been needed since. The owner
 * takes these out, gives their memory back to the system, and puts them back
 * as clean.
 *
 *      numbers[]   0        clean         low          count
 *                  | no      | unused     | used since  |
 *                  | memory  | since the  | the restart |  <- top: push, pop
 *                  |         | restart    |             |
 *
 * Low-water trimming: as in the magazine layer of Bonwick and Adams, "Magazines
 * and Vmem", USENIX 2001.
 *
 * No lock: one thread at a time.
 */
#ifndef EVPROXY_BASE_FREELIST_H
#define EVPROXY_BASE_FREELIST_H

#include "base/base.h"

#include <stdint.h>
#include <sys/param.h>

struct freelist {
    uint32_t *numbers;
    uint32_t size;  /* numbers in all, free or not */
    uint32_t count; /* free */
    uint32_t low;   /* least count since the restart */
    uint32_t clean; /* free without memory, at the bottom */
};

/* 0 to size - 1, all free and clean, 0 on top. -1 with errno = ENOMEM. */
int freelist_init(struct freelist *list, uint32_t size) WARN_UNUSED;
void freelist_fini(struct freelist *list);

static inline void freelist_push(struct freelist *list, uint32_t number)
{
    list->numbers[list->count++] = number;
}

/* The list is not empty. */
static inline uint32_t freelist_pop(struct freelist *list)
{
    uint32_t number = list->numbers[--list->count];

    list->low = MIN(list->low, list->count);
    list->clean = MIN(list->clean, list->count);
    return number;
}

/* Begins a new interval: all that is free counts as unused so far. */
static inline void freelist_restart(struct freelist *list)
{
    list->low = list->count;
}

/* So many of the pushed ones were unused outside the list since the restart. */
static inline void freelist_add_unused(struct freelist *list, uint32_t count)
{
    list->low += count;
}

/*
 * Takes up to max unused numbers that are not clean off the list; answers how
 * many. Numbers from the top fill the gap.
 */
uint32_t freelist_take_unused(struct freelist *list, uint32_t *numbers,
                              uint32_t max);

/* Puts numbers back that freelist_take_unused took, now clean. Their order and
 * that of the numbers from the top is then as before. */
void freelist_put_clean(struct freelist *list, const uint32_t *numbers,
                        uint32_t count);

/* Aborts unless the invariants hold. For tests and debug builds. */
void freelist_check(const struct freelist *list);

#endif
