#include "proxy/admission.h"

#include "base/clock.h"
#include "proxy/udp.h"

#include <sys/param.h>

/* One connection that is a UDP session, in both halves of shared->active. */
#define UDP_ONE ((UINT64_C(1) << 32) + 1)

static uint32_t max_connections(const struct plane *plane)
{
    return atomic_load_explicit(&plane->shared->max_connections,
                                memory_order_relaxed);
}

bool admission_enter_process(struct plane *plane)
{
    if ((uint32_t)atomic_fetch_add_explicit(&plane->shared->active, 1,
                                            memory_order_relaxed) <
        max_connections(plane)) {
        return true;
    }
    admission_leave_process(plane);
    return false;
}

void admission_leave_process(struct plane *plane)
{
    atomic_fetch_sub_explicit(&plane->shared->active, 1, memory_order_relaxed);
}

uint32_t admission_udp_max(const struct plane *plane)
{
    uint64_t active =
        atomic_load_explicit(&plane->shared->active, memory_order_relaxed);
    uint32_t tcp = (uint32_t)active - (uint32_t)(active >> 32);
    uint32_t max = max_connections(plane);
    uint32_t share = plane->udp->alone ? max : MAX(max / 2, 1u);

    return MIN(share, max > tcp ? max - tcp : 0);
}

bool admission_enter_udp(struct plane *plane)
{
    if (admission_udp_max(plane) == 0) {
        return false;
    }
    atomic_fetch_add_explicit(&plane->shared->active, UDP_ONE,
                              memory_order_relaxed);
    return true;
}

void admission_leave_udp(struct plane *plane)
{
    atomic_fetch_sub_explicit(&plane->shared->active, UDP_ONE,
                              memory_order_relaxed);
}

/* A service's connections are counted without a limit too: a reload may bring
 * one. */
static bool enter_count(struct service *service)
{
    _Atomic uint32_t *active = &service->state->active;
    uint32_t max = service->config->max_connections;

    if (atomic_fetch_add_explicit(active, 1, memory_order_relaxed) < max ||
        max == 0) {
        return true;
    }
    atomic_fetch_sub_explicit(active, 1, memory_order_relaxed);
    return false;
}

/* Now, for a bucket of all workers if there is one. The loop's time may be
 * older than a token that another worker has taken since. */
static uint64_t shared_now_ns(const struct plane *plane,
                              const struct config_service *config)
{
    return config->accept_rate != 0 || config->accept_rate_per_source != 0
               ? clock_now_ns()
               : plane->loop.now_ns;
}

static enum cause enter_source(struct plane *plane, struct service *service,
                               const struct addr *client, bool *in_source)
{
    const struct config_service *config = service->config;
    enum cause cause;

    *in_source = false;
    if (config->max_connections_per_source == 0 &&
        config->accept_rate_per_source == 0) {
        return CAUSE_NONE;
    }
    cause = limits_enter(
        service->state->limits, client, config->max_connections_per_source,
        config->accept_rate_per_source, shared_now_ns(plane, config));
    *in_source = cause == CAUSE_NONE;
    return cause;
}

enum cause admission_enter_service(struct plane *plane, struct service *service,
                                   const struct addr *client, bool *in_source)
{
    const struct config_service *config = service->config;
    enum cause cause;

    *in_source = false;
    if (!access_allows(&config->access, client)) {
        return CAUSE_DENIED;
    }
    if (service->accept_rate.per_s != 0 &&
        !rate_take_one(&service->state->accept_rate, &service->accept_rate,
                       shared_now_ns(plane, config))) {
        return CAUSE_LIMIT_RATE;
    }
    if (!enter_count(service)) {
        return CAUSE_LIMIT_CONNECTIONS;
    }
    cause = enter_source(plane, service, client, in_source);
    if (cause != CAUSE_NONE) {
        admission_leave_service(service, client, false);
    }
    return cause;
}

bool admission_restore(struct plane *plane, struct service *service,
                       const struct addr *client, bool *in_source)
{
    struct limits *limits = service->state->limits;

    *in_source = limits != NULL;
    if (limits != NULL &&
        limits_enter(limits, client, 0, 0, plane->loop.now_ns) != CAUSE_NONE) {
        return false;
    }
    atomic_fetch_add_explicit(&service->state->active, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&plane->shared->active, 1, memory_order_relaxed);
    return true;
}

void admission_leave_service(struct service *service, const struct addr *client,
                             bool in_source)
{
    atomic_fetch_sub_explicit(&service->state->active, 1, memory_order_relaxed);
    if (in_source) {
        limits_leave(service->state->limits, client);
    }
}
