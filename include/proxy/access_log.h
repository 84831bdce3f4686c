/*
 * access_log: the line of a connection that ended. Any thread.
 */
#ifndef EVPROXY_PROXY_ACCESS_LOG_H
#define EVPROXY_PROXY_ACCESS_LOG_H

#include "base/direction.h"
#include "net/sock.h"
#include "service/generation.h"

#include <stdbool.h>
#include <stdint.h>

struct access_log_entry {
    const struct service *service;
    const struct upstream *upstream; /* NULL: none was picked */
    const struct addr *client;
    const struct sock *sock; /* the client's, still open: the kernel is asked
                                for its view; NULL: a UDP session */
    enum cause cause;
    uint64_t bytes[DIRECTIONS];
    uint32_t connect_us;
    uint64_t duration_ns;
};

/* Whether the service wants the line. */
static inline bool access_log_wanted(const struct service *service)
{
    return service->config->access_log;
}

void access_log_write(const struct access_log_entry *entry);

#endif
