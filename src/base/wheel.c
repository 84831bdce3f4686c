#include "base/wheel.h"
#include "base/base.h"

#include <assert.h>
#include <string.h>

/*
 * A timer's level is the highest group of six bits in which its time differs
 * from the wheel's. So below the top all timers of a level are due before the
 * level wraps, and every slot of a lower level comes before any of a higher:
 *
 *      bits    35..30   29..24   ...   11..6    5..0
 *      level      5        4              1       0
 *
 * Only the top level wraps: its slots are the next 63 of its ticks.
 */
#define SLOT_BITS   6
#define SLOT_MASK   (WHEEL_SLOTS - 1u)
#define LEVEL_TOP   (WHEEL_LEVELS - 1u)
#define TICK_LATEST (UINT64_MAX / NS_PER_MS)

/* A slot and the tick at which it is emptied. */
struct due_slot {
    unsigned level;
    unsigned slot;
    uint64_t tick;
};

static unsigned level_shift(unsigned level)
{
    return level * SLOT_BITS;
}

/* The level of a tick that is later than the wheel's. */
static unsigned level_of(const struct wheel *wheel, uint64_t tick)
{
    unsigned bit = 63u - (unsigned)__builtin_clzll(wheel->tick ^ tick);
    unsigned level = bit / SLOT_BITS;

    return level < LEVEL_TOP ? level : LEVEL_TOP;
}

/* The slot in that level; ticks beyond its horizon share the last slot. */
static unsigned slot_of(const struct wheel *wheel, unsigned level,
                        uint64_t tick)
{
    uint64_t now = wheel->tick >> level_shift(level);
    uint64_t then = tick >> level_shift(level);

    if (then - now > SLOT_MASK) {
        then = now + SLOT_MASK;
    }
    return (unsigned)(then & SLOT_MASK);
}

/* Links an unlinked timer to the list for its time. */
static void wheel_insert(struct wheel *wheel, struct wheel_timer *timer)
{
    uint64_t due = timer->due_tick;
    unsigned level;
    unsigned slot;

    if (due <= wheel->tick) {
        list_append(&wheel->expired, &timer->link);
        return;
    }
    level = level_of(wheel, due);
    slot = slot_of(wheel, level, due);
    wheel->used[level] |= UINT64_C(1) << slot;
    list_append(&wheel->slot[level][slot], &timer->link);
}

/* The slot that is due first; false if all are empty. */
static bool wheel_first(const struct wheel *wheel, struct due_slot *first)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t used = wheel->used[level];
        uint64_t now = wheel->tick >> level_shift(level);
        unsigned next = (unsigned)((now + 1) & SLOT_MASK);
        unsigned ahead;

        if (used == 0) {
            continue;
        }
        if (next != 0) {
            used = used >> next | used << (WHEEL_SLOTS - next);
        }
        ahead = (unsigned)__builtin_ctzll(used) + 1;
        first->level = level;
        first->slot = (unsigned)((now + ahead) & SLOT_MASK);
        first->tick = (now + ahead) << level_shift(level);
        return true;
    }
    return false;
}

/* Advances to the time of a slot and moves its timers to lower levels or to
 * expired. */
static void wheel_cascade(struct wheel *wheel, const struct due_slot *due)
{
    struct list moved = {NULL, NULL};
    struct list *link;

    wheel->tick = due->tick;
    wheel->used[due->level] &= ~(UINT64_C(1) << due->slot);
    list_splice(&moved, &wheel->slot[due->level][due->slot]);
    while ((link = list_pop(&moved)) != NULL) {
        wheel_insert(wheel, container_of(link, struct wheel_timer, link));
    }
}

void wheel_init(struct wheel *wheel, uint64_t now_ns)
{
    memset(wheel, 0, sizeof(*wheel));
    wheel->tick = now_ns / NS_PER_MS;
}

void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ns)
{
    uint64_t due = due_ns / NS_PER_MS + (due_ns % NS_PER_MS != 0);

    wheel_disarm(wheel, timer);
    timer->due_tick = due < TICK_LATEST ? due : TICK_LATEST;
    wheel_insert(wheel, timer);
}

void wheel_disarm(struct wheel *wheel, struct wheel_timer *timer)
{
    struct list *head = timer->link.next;
    bool last = head != NULL && head == timer->link.prev;

    /* A timer that is alone on its list has the head on both sides. */
    if (last && head != &wheel->expired) {
        size_t slot = (size_t)(head - &wheel->slot[0][0]);

        wheel->used[slot / WHEEL_SLOTS] &= ~(UINT64_C(1) << slot % WHEEL_SLOTS);
    }
    list_remove(&timer->link);
}

uint64_t wheel_next_ns(const struct wheel *wheel)
{
    struct due_slot first;

    if (!list_empty(&wheel->expired)) {
        return wheel->tick * NS_PER_MS;
    }
    return wheel_first(wheel, &first) ? first.tick * NS_PER_MS : UINT64_MAX;
}

struct wheel_timer *wheel_expire(struct wheel *wheel, uint64_t now_ns)
{
    uint64_t now = now_ns / NS_PER_MS;
    struct due_slot first;
    struct list *link;

    while (list_empty(&wheel->expired)) {
        if (!wheel_first(wheel, &first) || first.tick > now) {
            wheel->tick = now > wheel->tick ? now : wheel->tick;
            return NULL;
        }
        wheel_cascade(wheel, &first);
    }
    link = list_pop(&wheel->expired);
    return container_of(link, struct wheel_timer, link);
}

static void check_slot(const struct wheel *wheel, unsigned level, unsigned slot)
{
    const struct list *head = &wheel->slot[level][slot];
    uint64_t now = wheel->tick >> level_shift(level);
    uint64_t wait = (slot - now) & SLOT_MASK; /* ticks until it is emptied */
    bool used = wheel->used[level] >> slot & 1;

    assert(used == !list_empty(head));
    assert(!used || wait > 0);
    for (struct list *l = head->next; used && l != head; l = l->next) {
        uint64_t due = container_of(l, struct wheel_timer, link)->due_tick;
        uint64_t ahead = (due >> level_shift(level)) - now;

        assert(l->next->prev == l && due > wheel->tick);
        assert(level_of(wheel, due) == level);
        assert(wait == ahead || (level == LEVEL_TOP && wait < ahead));
    }
}

void wheel_check(const struct wheel *wheel)
{
    const struct list *head = &wheel->expired;

    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
            check_slot(wheel, level, slot);
        }
    }
    if (list_empty(head)) {
        return;
    }
    for (struct list *l = head->next; l != head; l = l->next) {
        assert(container_of(l, struct wheel_timer, link)->due_tick <=
               wheel->tick);
    }
}
