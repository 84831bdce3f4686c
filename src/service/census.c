#include "service/census.h"

#include <stdlib.h>
#include <string.h>

struct census *census_create(unsigned workers)
{
    size_t bytes =
        sizeof(struct census) + workers * sizeof(struct census_entry);
    struct census *census = aligned_alloc(CACHE_LINE_BYTES, bytes);

    if (census == NULL) {
        return NULL;
    }
    memset(census, 0, bytes);
    census->workers = workers;
    for (unsigned i = 0; i < workers; i++) {
        census_publish(census, i, CENSUS_NONE);
    }
    return census;
}

void census_destroy(struct census *census)
{
    free(census);
}

void census_add(struct census *census)
{
    atomic_fetch_add_explicit(&census->count, 1, memory_order_relaxed);
}

void census_subtract(struct census *census)
{
    atomic_fetch_sub_explicit(&census->count, 1, memory_order_relaxed);
}

bool census_claim(struct census *census, uint32_t max)
{
    uint32_t count = census_count(census);

    while (count > max) {
        if (atomic_compare_exchange_weak_explicit(
                &census->count, &count, count - 1, memory_order_relaxed,
                memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

unsigned census_oldest_other(const struct census *census, unsigned worker,
                             uint64_t *oldest_ns)
{
    unsigned found = worker;

    *oldest_ns = CENSUS_NONE;
    for (unsigned i = 0; i < census->workers; i++) {
        uint64_t at_ns = atomic_load_explicit(&census->entries[i].oldest_ns,
                                              memory_order_acquire);

        if (i != worker && at_ns < *oldest_ns) {
            *oldest_ns = at_ns;
            found = i;
        }
    }
    return found;
}
