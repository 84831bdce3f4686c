/*
 * clock: the only place that asks the time. Called by the loop once for each
 * batch of events and by the control plane; everything below takes `now`.
 */
#ifndef EVPROXY_BASE_CLOCK_H
#define EVPROXY_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#endif
