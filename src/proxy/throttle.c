#include "proxy/throttle.h"

#include <stdbool.h>
#include <sys/param.h>

/* Takes tokens of one bucket for up to *want bytes; false: wait until *until.
 */
static bool take(struct rate *rate, const struct rate_limit *limit,
                 uint64_t now_ns, uint64_t *want, uint64_t *until)
{
    uint64_t granted;
    uint64_t when_ns;

    if (limit->per_s == 0) {
        return true;
    }
    when_ns = rate_reserve(rate, limit, now_ns, *want, &granted);
    *want = granted;
    *until = MAX(*until, when_ns);
    return when_ns == 0;
}

static void refund(struct rate *rate, const struct rate_limit *limit,
                   uint64_t bytes)
{
    if (limit->per_s != 0 && bytes > 0) {
        rate_refund(rate, limit, bytes);
    }
}

uint64_t throttle_take(struct throttle *throttle, uint64_t now_ns,
                       uint64_t want)
{
    uint64_t own = throttle->reserved;
    uint64_t both;
    uint64_t until = 0;
    bool now;

    if (own > 0) {
        throttle->reserved = now_ns < throttle->resume_ns ? own : 0;
        return own - throttle->reserved;
    }
    own = want;
    now = take(&throttle->own, throttle->own_limit, now_ns, &own, &until);
    both = own;
    now &=
        take(throttle->shared, throttle->shared_limit, now_ns, &both, &until);
    refund(&throttle->own, throttle->own_limit, own - both);
    if (now) {
        return both;
    }
    throttle->reserved = both;
    throttle->resume_ns = until;
    return 0;
}

void throttle_refund(struct throttle *throttle, uint64_t bytes)
{
    refund(&throttle->own, throttle->own_limit, bytes);
    refund(throttle->shared, throttle->shared_limit, bytes);
}

void throttle_give_up(struct throttle *throttle)
{
    throttle_refund(throttle, throttle->reserved);
    throttle->reserved = 0;
}
