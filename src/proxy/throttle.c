#include "proxy/throttle.h"

#include <sys/param.h>

/* A bucket and its limit. */
struct bucket {
    struct rate *rate;
    const struct rate_limit *limit;
};

static struct bucket bucket_own(struct rate *own, const struct service *service,
                                enum direction direction)
{
    return (struct bucket){own, &service->rate[direction]};
}

static struct bucket bucket_shared(struct service *service,
                                   enum direction direction)
{
    return (struct bucket){&service->state->rate[direction],
                           &service->service_rate[direction]};
}

/* Takes tokens for up to *want bytes. False: they may be spent from *until_ns
 * on. */
static bool reserve(struct bucket bucket, uint64_t now_ns, uint64_t *want,
                    uint64_t *until_ns)
{
    uint64_t granted;
    uint64_t when_ns;

    if (bucket.limit->per_s == 0) {
        return true;
    }
    when_ns = rate_reserve(bucket.rate, bucket.limit, now_ns, *want, &granted);
    *want = granted;
    *until_ns = MAX(*until_ns, when_ns);
    return when_ns == 0;
}

static void refund(struct bucket bucket, uint64_t bytes)
{
    if (bucket.limit->per_s != 0 && bytes > 0) {
        rate_refund(bucket.rate, bucket.limit, bytes);
    }
}

uint64_t throttle_take(struct throttle *throttle, struct service *service,
                       enum direction direction, uint64_t now_ns, uint64_t want)
{
    struct bucket own = bucket_own(&throttle->own, service, direction);
    uint64_t granted = throttle->reserved;
    uint64_t both;
    uint64_t until_ns = 0;
    bool now;

    if (granted > 0) {
        if (now_ns < throttle->resume_ns) {
            return 0;
        }
        throttle->reserved = 0;
        return granted;
    }
    granted = want;
    now = reserve(own, now_ns, &granted, &until_ns);
    both = granted;
    now &= reserve(bucket_shared(service, direction), now_ns, &both, &until_ns);
    refund(own, granted - both);
    if (now) {
        return both;
    }
    throttle->reserved = both;
    throttle->resume_ns = until_ns;
    return 0;
}

void throttle_refund(struct throttle *throttle, struct service *service,
                     enum direction direction, uint64_t bytes)
{
    refund(bucket_own(&throttle->own, service, direction), bytes);
    refund(bucket_shared(service, direction), bytes);
}

void throttle_cancel(struct throttle *throttle, struct service *service,
                     enum direction direction)
{
    throttle_refund(throttle, service, direction, throttle->reserved);
    throttle->reserved = 0;
}

bool throttle_take_whole(struct rate *own, struct service *service,
                         enum direction direction, uint64_t now_ns,
                         uint64_t bytes)
{
    struct bucket shared = bucket_shared(service, direction);

    if (!rate_take(own, &service->rate[direction], now_ns, bytes)) {
        return false;
    }
    if (rate_take(shared.rate, shared.limit, now_ns, bytes)) {
        return true;
    }
    rate_refund(own, &service->rate[direction], bytes);
    return false;
}
