/*
 * record: the line of a connection that ended, in the log. Any thread.
 */
#ifndef EVPROXY_PROXY_RECORD_H
#define EVPROXY_PROXY_RECORD_H

#include "base/direction.h"
#include "service/generation.h"

#include <stdint.h>

struct record {
    const struct service *service;
    const struct upstream *upstream; /* NULL: none was picked */
    const struct addr *client;
    enum cause cause;
    uint64_t bytes[DIRECTIONS];
    uint32_t connect_us;
    uint64_t duration_ns;
    uint32_t rtt_us;
    uint32_t retransmits;
};

/* Whether the service wants it. */
static inline bool record_wanted(const struct service *service)
{
    return service->config->access_log;
}

void record_write(const struct record *record);

#endif
