/*
 * histogram: counts of durations in microseconds. It is exact below 64; above,
 * each power of two has 32 buckets, which are 3 % wide.
 */
#ifndef EVPROXY_BENCH_HISTOGRAM_H
#define EVPROXY_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_SUB = 32, HISTOGRAM_BUCKETS = 34 * HISTOGRAM_SUB };

struct histogram {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t us);

/* The quantile of that share: the upper end of the bucket that holds it. */
uint64_t histogram_at(const struct histogram *histogram, double share);

#endif
