#include "histogram.h"

static unsigned index_of(uint64_t us)
{
    unsigned shift = 0;

    us = us > UINT32_MAX ? UINT32_MAX : us;
    while ((us >> shift) >= 2 * HISTOGRAM_SUB) {
        shift++;
    }
    return shift * HISTOGRAM_SUB + (unsigned)(us >> shift);
}

static uint64_t top_of(unsigned index)
{
    unsigned shift = index < 2 * HISTOGRAM_SUB ? 0 : index / HISTOGRAM_SUB - 1;
    return ((uint64_t)(index - shift * HISTOGRAM_SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t us)
{
    histogram->buckets[index_of(us)]++;
    histogram->count++;
    if (us > histogram->max) {
        histogram->max = us;
    }
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
    uint64_t want = (uint64_t)(share * (double)histogram->count + 0.5);
    uint64_t seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && seen >= want) {
            uint64_t top = top_of(i);
            return top < histogram->max ? top : histogram->max;
        }
    }
    return histogram->max;
}
