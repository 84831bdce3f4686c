/*
 * report: the stats lines. Control thread.
 *
 * A line for the process, one for each service, one for each of its upstreams.
 * Counters go on over reloads; a service or an upstream that the current
 * configuration does not have is listed until its last connection has ended.
 */
#ifndef EVPROXY_CONTROL_REPORT_H
#define EVPROXY_CONTROL_REPORT_H

#include "control/generations.h"
#include "control/workers.h"

#include <stdint.h>

void report_write(const struct generations *generations,
                  const struct workers *workers, uint64_t uptime_ns);

#endif
