/*
 * throttle: how many bytes of one direction may move now, by three buckets: the
 * connection's own, its source's and the service's, which all threads share.
 * Exists only where a service has a byte rate. Belongs to the thread of its
 * session.
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
    uint64_t resume_ns;  /* when the reserved tokens may be spent */
    uint64_t reserved;   /* tokens that are taken already, for resume_ns */
    struct rate *source; /* NULL: the service has no rate by source */
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

/*
 * Both directions' buckets of the client's source, if the service has a rate by
 * source and the source counts a connection of the caller (in_source), else
 * NULL. The caller may use them until it no longer does. A connection that a
 * reload has moved is in no source if the table had no place. False: no memory.
 */
bool throttle_find_source(const struct service *service,
                          const struct addr *client, bool in_source,
                          struct rate **source) WARN_UNUSED;

/* For datagrams, which pass whole or not at all: takes exactly so many bytes
 * from all buckets, or answers false. own, source: the session's buckets of the
 * direction. */
bool throttle_take_whole(struct rate *own, struct rate *source,
                         struct service *service, enum direction direction,
                         uint64_t now_ns, uint64_t bytes) WARN_UNUSED;

#endif
