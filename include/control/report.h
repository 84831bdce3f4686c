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

#include <stdint.h>

/* Writes all of them to the log, as one burst: no other line comes between. */
void report_write(const struct generations *generations,
                  const struct workers *workers, uint64_t uptime_ns);

#endif
