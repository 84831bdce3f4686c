/*
 * rate: a token bucket in one word, for one owner or shared by all threads.
 * Pure: the time is a parameter.
 *
 * The generic cell rate algorithm (ITU-T I.371, "virtual scheduling"): instead
 * of a count of tokens the bucket keeps the time at which it will be full
 * again. Taking n tokens moves that time n / rate later. An all-zero bucket is
 * valid and full.
 *
 * Shared buckets are fair without a list of waiters. A caller that finds too
 * few tokens reserves a small quantum at the end of the virtual schedule and
 * waits for its turn. Later callers queue behind it, whatever their thread.
 * Reserved tokens that are not used are refunded.
 *
 * The queue is at most five seconds long, and the quantum shrinks as it grows.
 * A longer queue is cut; a slower limit can leave one at a reload, and so can
 * more waiters than there are tokens in five seconds. So a limit may be
 * replaced by another between any two calls.
 */
#ifndef EVPROXY_BASE_RATE_H
#define EVPROXY_BASE_RATE_H

#include "base/base.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Immutable; per_s == 0 means no limit. */
struct rate_limit {
    uint64_t per_s; /* tokens (bytes, connections) per second */
    uint64_t burst; /* depth of the bucket in tokens; at least 1 */
};

struct rate {
    _Atomic uint64_t full_ns; /* when it will be full; any thread, by
                                 compare-and-swap, relaxed: this word is the
                                 whole state */
};

/*
 * Takes up to want tokens, want > 0. Answers 0 when *granted (1 to want) may be
 * spent now. Otherwise answers the time in ns from which *granted (1 to want)
 * may be spent: they are taken already, and the caller waits for that time. It
 * is then at most a quantum: 1/128 s or 1024 tokens, whichever is more, and
 * never more than the burst. If fewer than a quantum are left, the caller waits
 * for the rest of it: many small reads would cost more.
 */
uint64_t rate_reserve(struct rate *rate, const struct rate_limit *limit,
                      uint64_t now_ns, uint64_t want, uint64_t *granted);

/* Takes over a debt from another process: the bucket is not full before that
 * time. */
void rate_owe(struct rate *rate, uint64_t full_ns);

/* Puts tokens back that were granted and not spent. */
void rate_refund(struct rate *rate, const struct rate_limit *limit,
                 uint64_t tokens);

/*
 * Takes exactly so many tokens, or answers false and takes none. More than the
 * burst are taken from a full bucket, which is then in debt for the rest.
 */
bool rate_take(struct rate *rate, const struct rate_limit *limit,
               uint64_t now_ns, uint64_t tokens) WARN_UNUSED;

static inline bool rate_take_one(struct rate *rate,
                                 const struct rate_limit *limit,
                                 uint64_t now_ns)
{
    return rate_take(rate, limit, now_ns, 1);
}

#endif
