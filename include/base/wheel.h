/*
 * wheel: timers of one thread, armed and disarmed in O(1). Pure: the time is a
 * parameter.
 *
 * A hierarchical timing wheel (Varghese and Lauck, "Hashed and Hierarchical
 * Timing Wheels", SOSP 1987, scheme 7): WHEEL_LEVELS wheels of 64 slots, a tick
 * of 1 ms at the lowest, each level 64 times coarser. A timer sits in the level
 * that its distance asks for and moves down a level when its slot's time comes,
 * so at most WHEEL_LEVELS times in its life. Bitmaps of the slots in use answer
 * "when next?" without a scan, so that a sleeping thread is woken for timers
 * only.
 *
 * A timer never fires early, and fires at most one tick after its time when
 * wheel_expire is called often enough. An all-zero timer is valid and not
 * armed.
 */
#ifndef EVPROXY_BASE_WHEEL_H
#define EVPROXY_BASE_WHEEL_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_LEVELS 6 /* 64^6 ms: two years; farther timers are re-sorted */
#define WHEEL_SLOTS  64

struct wheel_timer {
    struct list link;
    uint64_t due_tick : 56; /* ms since the clock's zero, rounded up */
    uint64_t kind : 8;      /* the owner's: who is to be told */
};

struct wheel {
    uint64_t tick; /* all timers due before or at it were put to expired */
    uint64_t used[WHEEL_LEVELS]; /* bit n: slot n is not empty */
    struct list slot[WHEEL_LEVELS][WHEEL_SLOTS];
    struct list expired; /* due, in order, not yet handed out */
};

void wheel_init(struct wheel *wheel, uint64_t now_ns);

/* Arms the timer for due_ns, moving it if it is armed already. */
void wheel_arm(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ns);

/* Harmless if it is not armed; also takes back one that expired. */
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
 * The next time, in ns, at which wheel_expire has something to do (to hand out
 * or to move down); UINT64_MAX if no timer is armed.
 */
uint64_t wheel_next_ns(const struct wheel *wheel);

/*
 * Takes one timer that is due at now_ns off the wheel, or answers NULL. Call it
 * until it does; timers may be armed and disarmed between the calls. One armed
 * with a time that is past comes out in the same run of calls only after those
 * that were due before it.
 */
struct wheel_timer *wheel_expire(struct wheel *wheel, uint64_t now_ns);

/* Aborts unless the invariants hold. For tests and debug builds. */
void wheel_check(const struct wheel *wheel);

#endif
