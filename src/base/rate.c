#include "base/rate.h"

#include <assert.h>

__extension__ typedef unsigned __int128 wide;

/*
 *      now                  now + depth            full
 *       |---- tokens left ----|                     |     full before the mark:
 *       |=========== debt ====|======= line ========|     tokens; behind: a
 * line
 *
 * debt is how long the bucket takes to be full again. Up to its depth there are
 * tokens; what is beyond is the line of those who reserved and wait.
 */

/*
 * The longest line. The quantum shrinks as the line grows towards it, so that
 * thousands that share a trickle wait seconds, not minutes; and a longer one,
 * which only an older and slower limit can have left, is cut.
 */
#define LINE_NS (5 * NS_PER_S)

/* A bucket that takes longer to fill (146 years) holds less than it might:
 * times to come then stay within 64 bits. */
#define DEPTH_NS_MAX (UINT64_C(1) << 62)

#define QUANTUM_PART   128u
#define QUANTUM_TOKENS 1024u

static uint64_t lesser(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* At the end of time it stays there. */
static uint64_t narrow(wide value)
{
    return value < UINT64_MAX ? (uint64_t)value : UINT64_MAX;
}

/* How long tokens take to come: rounded up where they are taken and down where
 * they are put back, so that rounding gives nothing away. */
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
    return lesser(time_to_take(limit, limit->burst), DEPTH_NS_MAX);
}

/* What full_ns says at that time. */
static uint64_t rate_debt_ns(uint64_t full_ns, uint64_t now_ns,
                             uint64_t depth_ns)
{
    uint64_t debt = full_ns > now_ns ? full_ns - now_ns : 0;

    return lesser(debt, depth_ns + LINE_NS);
}

/* Tokens that may be spent at once. */
static uint64_t rate_left(const struct rate_limit *limit, uint64_t debt_ns,
                          uint64_t depth_ns)
{
    uint64_t left_ns = depth_ns > debt_ns ? depth_ns - debt_ns : 0;

    return lesser(tokens_in(limit, left_ns), limit->burst);
}

/* What one reserves at a time: never more than the depth, which holds for
 * waiters too, nor than comes in a second. */
static uint64_t rate_quantum(const struct rate_limit *limit, uint64_t debt_ns,
                             uint64_t depth_ns)
{
    uint64_t line_ns = debt_ns > depth_ns ? debt_ns - depth_ns : 0;
    uint64_t quantum = greater(limit->per_s / QUANTUM_PART, QUANTUM_TOKENS);

    quantum = lesser(quantum, lesser(limit->per_s, limit->burst));
    quantum = (uint64_t)((wide)quantum * (LINE_NS - line_ns) / LINE_NS);
    return greater(quantum, 1);
}

/* When it will be full if so many more are taken. */
static uint64_t rate_full_ns(const struct rate_limit *limit, uint64_t now_ns,
                             uint64_t debt_ns, uint64_t tokens)
{
    return narrow((wide)now_ns + debt_ns + time_to_take(limit, tokens));
}

/* Moves the bucket from old to full, if it is still at old; sets old if not. */
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
        /* Fewer than a quantum are not worth a system call: better wait. */
        least = lesser(want, rate_quantum(limit, debt, depth));
        *granted = greater(lesser(want, left), least);
        full = rate_full_ns(limit, now_ns, debt, *granted);
    } while (!rate_move(rate, &old, full));
    return left >= least ? 0 : full - depth;
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
    while (!rate_move(rate, &old, old - lesser(old, time))) {
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
        if (rate_left(limit, debt, depth) < lesser(tokens, limit->burst)) {
            return false;
        }
    } while (!rate_move(rate, &old, rate_full_ns(limit, now_ns, debt, tokens)));
    return true;
}
