/*
 * throttle: how many bytes of one direction may move now: the connection's own
 * rate and the service's, which all threads share. Exists only where a service
 * has a rate. Belongs to the thread of its session.
 */
#ifndef EVPROXY_PROXY_THROTTLE_H
#define EVPROXY_PROXY_THROTTLE_H

#include "base/rate.h"

#include <stdint.h>

/* All-zero but for the pointers: nothing reserved. */
struct throttle {
    struct rate own;
    struct rate *shared; /* of the service */
    const struct rate_limit *own_limit;
    const struct rate_limit *shared_limit;
    uint64_t resume_ns; /* when the reserved tokens may be spent */
    uint64_t reserved;  /* tokens that are ours from resume_ns on */
};

/*
 * How many of at most want bytes may be read now, taken from the buckets; 0:
 * not before resume_ns, and what will be allowed then is reserved already.
 */
uint64_t throttle_take(struct throttle *throttle, uint64_t now_ns,
                       uint64_t want);

/* Puts back what was taken and not read. */
void throttle_refund(struct throttle *throttle, uint64_t bytes);

/* Puts back what is reserved. */
void throttle_give_up(struct throttle *throttle);

#endif
