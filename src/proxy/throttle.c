#include "proxy/throttle.h"

#include <sys/param.h>

/* A bucket and its limit. */
struct bucket {
    struct rate *rate;
    const struct rate_limit *limit;
};

#define BUCKETS 3

/* Lists the buckets that hold for a direction. Answers how many. */
static unsigned list_buckets(struct bucket list[BUCKETS], struct rate *own,
                             struct rate *source, struct service *service,
                             enum direction direction)
{
    unsigned count = 0;

    list[count++] = (struct bucket){own, &service->rate[direction]};
    if (source != NULL) {
        list[count++] =
            (struct bucket){source, &service->source_rate[direction]};
    }
    list[count++] = (struct bucket){&service->state->rate[direction],
                                    &service->service_rate[direction]};
    return count;
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

static void refund(const struct bucket *list, unsigned count, uint64_t bytes)
{
    for (unsigned i = 0; i < count && bytes > 0; i++) {
        if (list[i].limit->per_s != 0) {
            rate_refund(list[i].rate, list[i].limit, bytes);
        }
    }
}

uint64_t throttle_take(struct throttle *throttle, struct service *service,
                       enum direction direction, uint64_t now_ns, uint64_t want)
{
    struct bucket list[BUCKETS];
    unsigned count = list_buckets(list, &throttle->own, throttle->source,
                                  service, direction);
    uint64_t granted = throttle->reserved;
    uint64_t until_ns = 0;
    bool now = true;

    if (granted > 0) {
        if (now_ns < throttle->resume_ns) {
            return 0;
        }
        throttle->reserved = 0;
        return granted;
    }
    granted = want;
    for (unsigned i = 0; i < count; i++) {
        uint64_t before = granted;

        now &= reserve(list[i], now_ns, &granted, &until_ns);
        refund(list, i, before - granted);
    }
    if (now) {
        return granted;
    }
    throttle->reserved = granted;
    throttle->resume_ns = until_ns;
    return 0;
}

void throttle_refund(struct throttle *throttle, struct service *service,
                     enum direction direction, uint64_t bytes)
{
    struct bucket list[BUCKETS];
    unsigned count = list_buckets(list, &throttle->own, throttle->source,
                                  service, direction);

    refund(list, count, bytes);
}

void throttle_cancel(struct throttle *throttle, struct service *service,
                     enum direction direction)
{
    throttle_refund(throttle, service, direction, throttle->reserved);
    throttle->reserved = 0;
}

bool throttle_find_source(const struct service *service,
                          const struct addr *client, bool in_source,
                          struct rate **source)
{
    struct network network;

    *source = NULL;
    if (!in_source || (service->source_rate[UP].per_s == 0 &&
                       service->source_rate[DOWN].per_s == 0)) {
        return true;
    }
    network = service_source(service, client);
    *source = limits_byte_rates(service->state->sources, &network);
    return *source != NULL;
}

bool throttle_take_whole(struct rate *own, struct rate *source,
                         struct service *service, enum direction direction,
                         uint64_t now_ns, uint64_t bytes)
{
    struct bucket list[BUCKETS];
    unsigned count = list_buckets(list, own, source, service, direction);

    for (unsigned i = 0; i < count; i++) {
        if (!rate_take(list[i].rate, list[i].limit, now_ns, bytes)) {
            refund(list, i, bytes);
            return false;
        }
    }
    return true;
}
