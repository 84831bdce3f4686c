#include "service/histogram.h"

#define US UINT64_C(1000)
#define MS NS_PER_MS
#define S  NS_PER_S

const struct histogram_scale histogram_connect = {
    .count = 11,
    .bounds_ns = {100 * US, 300 * US, MS, 3 * MS, 10 * MS, 30 * MS, 100 * MS,
                  300 * MS, S, 3 * S, 10 * S},
    .texts = {"0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1",
              "0.3", "1", "3", "10"},
};

const struct histogram_scale histogram_duration = {
    .count = 17,
    .bounds_ns = {MS, 3 * MS, 10 * MS, 30 * MS, 100 * MS, 300 * MS, S, 3 * S,
                  10 * S, 30 * S, 100 * S, 300 * S, 1000 * S, 3000 * S,
                  10000 * S, 30000 * S, 100000 * S},
    .texts = {"0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1", "3", "10",
              "30", "100", "300", "1000", "3000", "10000", "30000", "100000"},
};

void histogram_add(struct histogram *histogram,
                   const struct histogram_scale *scale, uint64_t ns)
{
    unsigned i = 0;

    while (i < scale->count && ns > scale->bounds_ns[i]) {
        i++;
    }
    counter_add(&histogram->sum_ns, ns);
    counter_add(&histogram->buckets[i], 1);
}

void histogram_sum(const struct histogram *histogram,
                   struct histogram_sums *sums)
{
    for (unsigned i = 0; i <= HISTOGRAM_BOUNDS_MAX; i++) {
        uint64_t count = counter_read(&histogram->buckets[i]);

        sums->buckets[i] += count;
        sums->count += count;
    }
    sums->sum_ns += counter_read(&histogram->sum_ns);
}
