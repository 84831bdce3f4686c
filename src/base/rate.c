#include "base/rate.h"

#include "base/raise.h"

#include <assert.h>

__extension__ typedef unsigned __int128 wide;

/*
 * The debt is how long the bucket takes to be full again.
 *
 *      now            full_ns             now + depth
 *       |==== debt =====|---- tokens left ----|
 *
 *      now                                now + depth         full_ns
 *       |=============== debt ================|===== queue =====|
 *
 * While the debt is less than the depth, tokens are left. What exceeds the
 * depth is the queue of callers that reserved tokens and wait.
 */

/*
 * The longest queue. The quantum shrinks as the queue grows towards it, so that
 * thousands that share a low rate wait seconds, not minutes.
 */
#define QUEUE_NS (5 * NS_PER_S)

/* 146 years. A bucket that takes longer to fill holds fewer tokens than it
 * could; then all times fit 64 bits. */
#define DEPTH_NS_MAX (UINT64_C(1) << 62)

#define QUANTUM_PART   128u
#define QUANTUM_TOKENS 1024u

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* To 64 bits; UINT64_MAX stands for all greater values. */
static uint64_t narrow(wide value)
{
    return value < UINT64_MAX ? (uint64_t)value : UINT64_MAX;
}

/* How long tokens take to come. Rounded up when tokens are taken and down when
 * they are put back, so that rounding adds no tokens. */
static uint64_t time_to_take(const struct rate_limit *limit, uint64_t tokens)
{
    wide units = (wide)tokens * NS_PER_S;

    return narrow((units + limit->per_s - 1) / limit->per_s);
}

static uint64_t time_to_refund(const struct rate_limit *limit, uint64_t tokens)
{
    return narrow((wide)tokens * NS_PER_S / limit->per_s);
}

static uint64_t tokens_in(const struct rate_limit *limit, uint64_t ns)
{
    return narrow((wide)ns * limit->per_s / NS_PER_S);
}

static uint64_t rate_depth_ns(const struct rate_limit *limit)
{
    return min_u64(time_to_take(limit, limit->burst), DEPTH_NS_MAX);
}

/* At most the depth and the longest queue. */
static uint64_t rate_debt_ns(uint64_t full_ns, uint64_t now_ns,
                             uint64_t depth_ns)
{
    uint64_t debt = full_ns > now_ns ? full_ns - now_ns : 0;

    return min_u64(debt, depth_ns + QUEUE_NS);
}

/* Tokens that may be spent at once. */
static uint64_t rate_left(const struct rate_limit *limit, uint64_t debt_ns,
                          uint64_t depth_ns)
{
    uint64_t left_ns = depth_ns > debt_ns ? depth_ns - debt_ns : 0;

    return min_u64(tokens_in(limit, left_ns), limit->burst);
}

/* What one caller reserves at a time: at most the depth, also for callers that
 * wait, and at most what comes in a second. */
static uint64_t rate_quantum(const struct rate_limit *limit, uint64_t debt_ns,
                             uint64_t depth_ns)
{
    uint64_t queue_ns = debt_ns > depth_ns ? debt_ns - depth_ns : 0;
    uint64_t quantum = max_u64(limit->per_s / QUANTUM_PART, QUANTUM_TOKENS);

    quantum = min_u64(quantum, min_u64(limit->per_s, limit->burst));
    quantum = (uint64_t)((wide)quantum * (QUEUE_NS - queue_ns) / QUEUE_NS);
    return max_u64(quantum, 1);
}

/* When the bucket will be full if so many more tokens are taken. */
static uint64_t rate_full_ns(const struct rate_limit *limit, uint64_t now_ns,
                             uint64_t debt_ns, uint64_t tokens)
{
    return narrow((wide)now_ns + debt_ns + time_to_take(limit, tokens));
}

/* Moves the bucket from *old to full; if another thread moved it meanwhile,
 * sets *old and answers false. */
static bool rate_move(struct rate *rate, uint64_t *old, uint64_t full)
{
    return atomic_compare_exchange_weak_explicit(
        &rate->full_ns, old, full, memory_order_relaxed, memory_order_relaxed);
}

uint64_t rate_reserve(struct rate *rate, const struct rate_limit *limit,
                      uint64_t now_ns, uint64_t want, uint64_t *granted)
{
    uint64_t old = atomic_load_explicit(&rate->full_ns, memory_order_relaxed);
    uint64_t depth;
    uint64_t least;
    uint64_t left;
    uint64_t full;

    assert(want > 0);
    *granted = want;
    if (limit->per_s == 0) {
        return 0;
    }
    assert(limit->burst > 0);
    depth = rate_depth_ns(limit);
    do {
        uint64_t debt = rate_debt_ns(old, now_ns, depth);

        left = rate_left(limit, debt, depth);
        /* Fewer tokens than a quantum are not worth a system call. */
        least = min_u64(want, rate_quantum(limit, debt, depth));
        *granted = max_u64(min_u64(want, left), least);
        full = rate_full_ns(limit, now_ns, debt, *granted);
    } while (!rate_move(rate, &old, full));
    return left >= least ? 0 : full - depth;
}

void rate_owe(struct rate *rate, uint64_t full_ns)
{
    raise_to(&rate->full_ns, full_ns);
}

void rate_refund(struct rate *rate, const struct rate_limit *limit,
                 uint64_t tokens)
{
    uint64_t old = atomic_load_explicit(&rate->full_ns, memory_order_relaxed);
    uint64_t time;

    if (limit->per_s == 0) {
        return;
    }
    time = time_to_refund(limit, tokens);
    while (!rate_move(rate, &old, old - min_u64(old, time))) {
        continue;
    }
}

bool rate_take(struct rate *rate, const struct rate_limit *limit,
               uint64_t now_ns, uint64_t tokens)
{
    uint64_t old = atomic_load_explicit(&rate->full_ns, memory_order_relaxed);
    uint64_t depth;
    uint64_t debt;

    if (limit->per_s == 0) {
        return true;
    }
    assert(limit->burst > 0);
    depth = rate_depth_ns(limit);
    do {
        debt = rate_debt_ns(old, now_ns, depth);
        if (rate_left(limit, debt, depth) < min_u64(tokens, limit->burst)) {
            return false;
        }
    } while (!rate_move(rate, &old, rate_full_ns(limit, now_ns, debt, tokens)));
    return true;
}
