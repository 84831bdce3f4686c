/*
 * census: the UDP sessions of all workers, of one service or of the process:
 * how many there are, and since when the longest idle one of each worker is
 * idle. It tells workers which of them has the session that goes when there are
 * too many, so that none looks at another's sessions.
 *
 * Each worker writes its own entry, and all read all of them.
 */
#ifndef EVPROXY_SERVICE_CENSUS_H
#define EVPROXY_SERVICE_CENSUS_H

#include "base/base.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CENSUS_NONE UINT64_MAX /* no session */

struct census_entry {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t oldest_ns; /* when the longest
                                     idle session last moved, or CENSUS_NONE */
    void *own; /* the worker's: no other reads it */
};

struct census {
    _Atomic uint32_t count; /* sessions; any worker adds and subtracts */
    unsigned workers;
    struct census_entry entries[]; /* one for each worker */
};

/* NULL with errno = ENOMEM. Any thread. */
struct census *census_create(unsigned workers) WARN_UNUSED;
void census_destroy(struct census *census);

static inline uint32_t census_count(const struct census *census)
{
    return atomic_load_explicit(&census->count, memory_order_relaxed);
}

/* One session more, or less. */
void census_add(struct census *census);
void census_subtract(struct census *census);

/* One less, if there are more than max: the caller then ends one session.
 * False: there are not, or others have begun to end them. */
bool census_claim(struct census *census, uint32_t max) WARN_UNUSED;

/* Release: a thread that reads it also sees the claim that the worker made
 * before. */
static inline void census_publish(struct census *census, unsigned worker,
                                  uint64_t oldest_ns)
{
    atomic_store_explicit(&census->entries[worker].oldest_ns, oldest_ns,
                          memory_order_release);
}

/* The longest idle session of the others. Returns whose it is, and *oldest_ns;
 * CENSUS_NONE: they have none. */
unsigned census_oldest_other(const struct census *census, unsigned worker,
                             uint64_t *oldest_ns);

#endif
