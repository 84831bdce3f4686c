/*
 * history: how something went over the last minutes: rates and levels, one of
 * each for every interval. Pure.
 *
 * It is fed with counters, and keeps their differences by the time between
 * them. After a gap it begins anew.
 */
#ifndef EVPROXY_SERVICE_HISTORY_H
#define EVPROXY_SERVICE_HISTORY_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_INTERVAL_NS (5 * NS_PER_S)
#define HISTORY_MAX         120 /* intervals that are kept: 10 minutes */

enum history_series {
    HISTORY_ACCEPTED, /* connections a second */
    HISTORY_ACTIVE,   /* connections, at the end of the interval */
    HISTORY_BYTES_UP, /* bytes a second */
    HISTORY_BYTES_DOWN,
    HISTORY_ENDED_BAD, /* connections a second that ended by a bad cause */
    HISTORY_SERIES,
};

/* "accepted", "active", ... */
extern const char *const history_names[HISTORY_SERIES];

/* The counters at one time; in the place of the level, the level. */
struct history_point {
    uint64_t at_ns;
    uint64_t values[HISTORY_SERIES];
};

/* All-zero: empty. */
struct history {
    float values[HISTORY_SERIES][HISTORY_MAX]; /* a ring */
    unsigned next;
    unsigned count;
    struct history_point last; /* at_ns 0: none */
};

/* The counters are these now. The first call, and the first after more than
 * three intervals, only remembers them. */
void history_add(struct history *history, const struct history_point *point);

/* Value i of history->count, from the oldest. */
float history_get(const struct history *history, enum history_series series,
                  unsigned i);

#endif
