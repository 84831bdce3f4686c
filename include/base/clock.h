/*
 * clock: the only place that reads the time. The loop calls it once for each
 * batch of events, and so do the control plane and the rates of connections
 * that all workers share; all other code takes `now` as a parameter.
 */
#ifndef EVPROXY_BASE_CLOCK_H
#define EVPROXY_BASE_CLOCK_H

#include "base/base.h"

#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Nanoseconds since 1970 by the system's clock, which may jump: for display,
 * not for intervals. */
static inline uint64_t clock_unix_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
