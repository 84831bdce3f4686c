#include "proxy/admission.h"

#include "base/clock.h"
#include "base/log.h"
#include "proxy/udp.h"

#include <inttypes.h>
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

static enum cause cause_of(enum limits_answer answer)
{
    switch (answer) {
    case LIMITS_ENTERED:
        return CAUSE_NONE;
    case LIMITS_RATE:
        return CAUSE_LIMIT_RATE;
    case LIMITS_NO_MEMORY:
        return CAUSE_LOCAL_RESOURCE;
    default:
        return CAUSE_LIMIT_SOURCE;
    }
}

/* The client is of a source that the table has no place for. */
static void report_full(struct plane *plane, const struct service *service)
{
    char quoted[LOG_QUOTED_MAX(CONFIG_NAME_MAX)];
    uint32_t count =
        limited_log_add(&plane->shared->sources_full, plane->loop.now_ns);

    counter_add(&plane_counters(plane, service)->sources_refused, 1);
    if (count > 0) {
        log_write(
            LOG_WARN,
            "sources full service=%s refused=%" PRIu32 " cause=limit_source",
            log_quote(service->config->name, quoted, sizeof(quoted)), count);
    }
}

static enum cause enter_source(struct plane *plane, struct service *service,
                               const struct addr *client, bool *in_source)
{
    const struct config_service *config = service->config;
    struct limits_most most = {
        .connections = config->max_connections_per_source,
        .rate_per_s = config->accept_rate_per_source,
    };
    struct network source;
    enum limits_answer answer;

    *in_source = false;
    if (!service->by_source) {
        return CAUSE_NONE;
    }
    source = service_source(service, client);
    answer = limits_enter(service->state->sources, &source, &most,
                          shared_now_ns(plane, config));
    *in_source = answer == LIMITS_ENTERED;
    if (answer == LIMITS_FULL) {
        report_full(plane, service);
    }
    return cause_of(answer);
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
    static const struct limits_most any = {0};
    struct source_table *table = service->state->sources;
    struct network source = service_source(service, client);

    *in_source = table != NULL;
    if (table != NULL && limits_enter(table, &source, &any,
                                      plane->loop.now_ns) != LIMITS_ENTERED) {
        return false;
    }
    atomic_fetch_add_explicit(&service->state->active, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&plane->shared->active, 1, memory_order_relaxed);
    return true;
}

void admission_move(struct plane *plane, const struct service *before,
                    struct service *service, const struct addr *client,
                    bool *in_source)
{
    static const struct limits_most any = {0};
    struct network source;

    if (*in_source) {
        source = service_source(before, client);
        limits_leave(before->state->sources, &source);
        *in_source = false;
    }
    if (service->by_source) {
        source = service_source(service, client);
        *in_source = limits_enter(service->state->sources, &source, &any,
                                  plane->loop.now_ns) == LIMITS_ENTERED;
    }
}

void admission_leave_source(struct service *service, const struct addr *client)
{
    struct network source = service_source(service, client);

    limits_leave(service->state->sources, &source);
}
