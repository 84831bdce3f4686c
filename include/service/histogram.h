/*
 * histogram: how many durations fell between which bounds, as Prometheus counts
 * them. One worker adds, others read: see service/counter.h.
 *
 * The bounds are half decades (1, 3, 10, 30, ...): wide enough that there are
 * few of them, and fine enough to tell a network from a disk.
 */
#ifndef EVPROXY_SERVICE_HISTOGRAM_H
#define EVPROXY_SERVICE_HISTOGRAM_H

#include "base/base.h"
#include "service/counter.h"

#include <stdint.h>

#define HISTOGRAM_BOUNDS_MAX 17

/* The bounds of a kind of durations, from the least to the greatest. */
struct histogram_scale {
    unsigned count;
    uint64_t bounds_ns[HISTOGRAM_BOUNDS_MAX];
    const char *texts[HISTOGRAM_BOUNDS_MAX]; /* in seconds: "0.003" */
};

extern const struct histogram_scale histogram_connect;  /* 100 us to 10 s */
extern const struct histogram_scale histogram_duration; /* 1 ms to 100,000 s */

struct histogram {
    counter sum_ns;
    counter buckets[HISTOGRAM_BOUNDS_MAX + 1]; /* by the least bound that is not
                                                  less; the last of the scale
                                                  has the others */
};

/* For reading. */
struct histogram_sums {
    uint64_t sum_ns;
    uint64_t count;
    uint64_t buckets[HISTOGRAM_BOUNDS_MAX + 1];
};

/* By the worker. */
void histogram_add(struct histogram *histogram,
                   const struct histogram_scale *scale, uint64_t ns);

/* Adds what the histogram has to the sums. Any thread. */
void histogram_sum(const struct histogram *histogram,
                   struct histogram_sums *sums);

#endif
