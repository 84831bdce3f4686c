/*
 * throttle: how many bytes of one direction may move now, by two buckets: the
 * connection's own and the service's, which all threads share. Exists only
 * where a service has a byte rate. Belongs to the thread of its session.
 */
#ifndef EVPROXY_PROXY_THROTTLE_H
#define EVPROXY_PROXY_THROTTLE_H

#include "base/direction.h"
#include "base/rate.h"
#include "service/generation.h"

#include <stdbool.h>
#include <stdint.h>

/* All-zero: a full bucket, nothing reserved. */
struct throttle {
    struct rate own;
    uint64_t resume_ns; /* when the reserved tokens may be spent */
    uint64_t reserved;  /* tokens that are taken already, for resume_ns */
};

/*
 * How many of at most want bytes may be read now, taken from the buckets; 0:
 * not before resume_ns, and what will be allowed then is reserved.
 */
uint64_t throttle_take(struct throttle *throttle, struct service *service,
                       enum direction direction, uint64_t now_ns,
                       uint64_t want);

/* Puts back what was taken and not read. */
void throttle_refund(struct throttle *throttle, struct service *service,
                     enum direction direction, uint64_t bytes);

/* Puts back what is reserved. */
void throttle_cancel(struct throttle *throttle, struct service *service,
                     enum direction direction);

/* For datagrams, which pass whole or not at all: takes exactly so many bytes
 * from both buckets, or answers false. own: the session's bucket. */
bool throttle_take_whole(struct rate *own, struct service *service,
                         enum direction direction, uint64_t now_ns,
                         uint64_t bytes) WARN_UNUSED;

#endif
