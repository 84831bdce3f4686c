/*
 * wheel: timers of one thread, armed and disarmed in O(1). Pure: the time is a
 * parameter.
 *
 * A hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical
 * Timing Wheels", SOSP 1987, scheme 7): WHEEL_LEVELS wheels of 64 slots. A tick
 * is 1 ms at the lowest level, and each level is 64 times coarser. A timer's
 * level follows from its distance. When the time of its slot comes, it cascades
 * to a lower level, so at most WHEEL_LEVELS times. Bitmaps of the slots in use
 * tell the next time without a scan, so that a thread that sleeps until then
 * wakes only for timers.
 *
 * A timer never fires early. It fires at most one tick late if wheel_expire is
 * called often enough. An all-zero timer is valid and not armed.
 */
#ifndef EVPROXY_BASE_WHEEL_H
#define EVPROXY_BASE_WHEEL_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_LEVELS 6 /* 64^6 ms: two years; later timers cascade again */
#define WHEEL_SLOTS  64

struct wheel_timer {
    struct list link;
    uint64_t due_tick : 56; /* ms of the clock, rounded up */
    uint64_t kind : 8;      /* the owner's: which handler it is for */
};

struct wheel {
    uint64_t tick;               /* timers due at or before it are expired */
    uint64_t used[WHEEL_LEVELS]; /* bit n: slot n is not empty */
    struct list slot[WHEEL_LEVELS][WHEEL_SLOTS];
    struct list expired; /* due, in order, not yet answered */
};

void wheel_init(struct wheel *wheel, uint64_t now_ns);

/* Arms the timer for due_ns; moves it if it is armed. */
void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ns);

/* Harmless if it is not armed. Works on a timer that has expired but was not
 * answered yet. */
void wheel_disarm(struct wheel *wheel, struct wheel_timer *timer);

static inline bool wheel_armed(const struct wheel_timer *timer)
{
    return list_linked(&timer->link);
}

/* When the timer is due, in ns, rounded up to the tick. */
static inline uint64_t wheel_due_ns(const struct wheel_timer *timer)
{
    return timer->due_tick * UINT64_C(1000000);
}

/*
 * The next time, in ns, at which wheel_expire has a timer to answer or to
 * cascade; UINT64_MAX if no timer is armed.
 */
uint64_t wheel_next_ns(const struct wheel *wheel);

/*
 * Removes one timer that is due at now_ns and answers it, or NULL. Call it
 * until it answers NULL; timers may be armed and disarmed between the calls. A
 * timer armed for a past time comes out in the same run of calls, after those
 * that were due before it was armed.
 */
struct wheel_timer *wheel_expire(struct wheel *wheel, uint64_t now_ns);

/* Aborts unless the invariants hold. For tests and debug builds. */
void wheel_check(const struct wheel *wheel);

#endif
