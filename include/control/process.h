/*
 * process: what the kernel knows of this process. Control thread.
 */
#ifndef EVPROXY_CONTROL_PROCESS_H
#define EVPROXY_CONTROL_PROCESS_H

#include "base/base.h"

#include <stdint.h>

struct process_figures {
    uint64_t cpu_ns;
    uint64_t resident_bytes;
    uint64_t virtual_bytes;
    uint64_t threads;
    uint64_t open_descriptors; /* 0: not known */
    uint64_t max_descriptors;
};

/*
 * Reads /proc/self, in some microseconds. Linux tells the number of open
 * descriptors since 6.2; before, they are counted if there are likely to be few
 * (fewer than PROCESS_COUNTED_MAX), because that takes a microsecond for each.
 */
#define PROCESS_COUNTED_MAX 2048

void process_read(struct process_figures *figures, uint64_t likely_descriptors);

#endif
