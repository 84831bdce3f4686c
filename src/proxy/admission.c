#include "proxy/admission.h"

bool admission_enter_process(struct plane *plane)
{
    struct shared *shared = plane->shared;
    uint32_t max =
        atomic_load_explicit(&shared->max_connections, memory_order_relaxed);

    if (atomic_fetch_add_explicit(&shared->active, 1, memory_order_relaxed) <
        max) {
        return true;
    }
    admission_leave_process(plane);
    return false;
}

void admission_leave_process(struct plane *plane)
{
    atomic_fetch_sub_explicit(&plane->shared->active, 1, memory_order_relaxed);
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
    cause = limits_enter(service->state->limits, client,
                         config->max_connections_per_source,
                         config->accept_rate_per_source, plane->loop.now_ns);
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
                       plane->loop.now_ns)) {
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

void admission_leave_service(struct service *service, const struct addr *client,
                             bool in_source)
{
    atomic_fetch_sub_explicit(&service->state->active, 1, memory_order_relaxed);
    if (in_source) {
        limits_leave(service->state->limits, client);
    }
}
