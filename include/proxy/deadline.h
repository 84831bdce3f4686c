/*
 * deadline: when a session must be looked at next, and why. Pure.
 *
 * Nothing is stored for each timeout. A phase computes its earliest deadline
 * from when bytes last moved and from what it waits for. The session's one
 * timer is armed no later than that; when it fires, the deadline is computed
 * again. So moving bytes cost no timer, and an idle session costs one timer in
 * a whole timeout.
 */
#ifndef EVPROXY_PROXY_DEADLINE_H
#define EVPROXY_PROXY_DEADLINE_H

#include "config/config.h"
#include "service/stats.h"

#include <stdint.h>

struct deadline {
    uint64_t at_ns;   /* UINT64_MAX: none */
    enum cause cause; /* of the end; CAUSE_NONE: something else is due */
};

static inline struct deadline deadline_none(void)
{
    return (struct deadline){UINT64_MAX, CAUSE_NONE};
}

/* Brings the deadline forward to since_ns + timeout_ns if that is earlier.
 * timeout_ns 0: off. */
static inline void deadline_consider(struct deadline *earliest,
                                     uint64_t since_ns, uint64_t timeout_ns,
                                     enum cause cause)
{
    if (timeout_ns != 0 && since_ns + timeout_ns < earliest->at_ns) {
        *earliest = (struct deadline){since_ns + timeout_ns, cause};
    }
}

/* The same for max_lifetime: it ends at a moment within its last tenth that
 * differs from connection to connection. instance: of the connection. */
void deadline_consider_lifetime(struct deadline *earliest,
                                const struct config_service *config,
                                uint64_t born_ns, uint32_t instance);

#endif
