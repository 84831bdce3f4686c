/*
 * report: the stats lines. Control thread.
 *
 * There is a line for the process, one for each service and one for each of its
 * upstreams. Counters go on over reloads. A service or an upstream that is no
 * longer configured is listed until its last connection has ended.
 */
#ifndef EVPROXY_CONTROL_REPORT_H
#define EVPROXY_CONTROL_REPORT_H

#include "control/generations.h"
#include "control/workers.h"
#include "net/loop.h"

#include <stdint.h>

struct reporter {
    struct loop *loop;
    const struct generations *generations;
    const struct workers *workers;
    uint64_t started_ns;
    uint64_t interval_ns; /* 0: only when asked */
    struct wheel_timer timer;
};

/* Writes all of them to the log, as one burst: no other line comes between. */
void report_write(const struct reporter *reporter);

/* From now on they are written so often as well. */
void report_configure(struct reporter *reporter, uint64_t interval_ns);

/* The loop's handler. */
void report_timer(struct reporter *reporter);

#endif
