#include "control/loops.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/array.h"
#include "config/routes.h"

#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- this machine ---- */

static int add_local(const struct sockaddr *address, struct endpoint **list,
                     size_t *count)
{
    struct endpoint *endpoint;
    struct addr addr;

    addr_from_sockaddr(&addr, address);
    if (!addr_is_ip(&addr)) {
        return 0;
    }
    endpoint = array_push(list, count, sizeof(*endpoint));
    if (endpoint == NULL) {
        return -1;
    }
    endpoint_from_addr(endpoint, &addr);
    if (addr.family == AF_INET6) {
        endpoint->u.in6.sin6_scope_id =
            ((const struct sockaddr_in6 *)address)->sin6_scope_id;
    }
    return 0;
}

/* A graph that knows the addresses of this machine. NULL: no memory. */
static struct routes *create_routes(const struct config *config)
{
    struct ifaddrs *interfaces = NULL;
    struct endpoint *local = NULL;
    struct routes *routes = NULL;
    size_t count = 0;
    int result = 0;

    if (getifaddrs(&interfaces) < 0) {
        interfaces = NULL;
    }
    for (const struct ifaddrs *at = interfaces; at != NULL && result == 0;
         at = at->ifa_next) {
        if (at->ifa_addr != NULL) {
            result = add_local(at->ifa_addr, &local, &count);
        }
    }
    if (interfaces != NULL) {
        freeifaddrs(interfaces);
    }
    if (result == 0) {
        routes = routes_create(config, local, count);
    }
    free(local);
    return routes;
}

/* ---- before anything changes ---- */

struct check {
    const struct config *config;
    struct routes *routes;
    struct config_errors *errors;
    const struct resolution_names *names;
};

/* False: an error was added. */
static bool check_endpoint(const struct check *check, size_t service,
                           const struct config_upstream *upstream,
                           const struct endpoint *endpoint)
{
    char text[ADDR_TEXT_MAX], name[ADDRESS_NAME_MAX];
    char why[ROUTES_TEXT_MAX];

    switch (routes_add(check->routes, service, endpoint, upstream->line, why)) {
    case ROUTES_ADDED:
        return true;
    case ROUTES_LOOP:
        break;
    default:
        config_errors_add(check->errors, 0, "out of memory");
        return false;
    }
    endpoint_format(endpoint, text);
    if (routes_known(upstream)) {
        config_errors_add(check->errors, upstream->line, "upstream %s %s", text,
                          why);
    } else {
        config_errors_add(check->errors, upstream->line,
                          "upstream %s resolves to %s, which %s",
                          address_format_name(&upstream->address, name), text,
                          why);
    }
    return false;
}

static void check_known(const struct check *check)
{
    for (size_t i = 0; i < check->config->service_count; i++) {
        const struct config_service *service = &check->config->services[i];

        for (size_t j = 0; j < service->upstream_count; j++) {
            const struct config_upstream *upstream = &service->upstreams[j];

            if (routes_known(upstream)) {
                (void)check_endpoint(check, i, upstream,
                                     &upstream->address.endpoint);
            }
        }
    }
}

/* Of a name the first address that leads back is an error. */
static void check_names(const struct check *check, size_t service)
{
    const struct config_upstream *bad = NULL;
    struct resolution resolution;

    if (resolution_init(&resolution, &check->config->services[service],
                        check->names) < 0) {
        config_errors_add(check->errors, 0, "out of memory");
    }
    for (size_t i = 0; i < resolution.count; i++) {
        const struct resolved *resolved = &resolution.list[i];

        if (!routes_known(resolved->line) && resolved->line != bad &&
            resolved->endpoint.length > 0 &&
            !check_endpoint(check, service, resolved->line,
                            &resolved->endpoint)) {
            bad = resolved->line;
        }
    }
    resolution_fini(&resolution);
}

int loops_check(const struct config *config,
                const struct resolution_names *names,
                struct config_errors *errors)
{
    size_t before = errors->count;
    struct check check = {
        .config = config,
        .routes = create_routes(config),
        .errors = errors,
        .names = names,
    };

    if (check.routes == NULL) {
        config_errors_add(errors, 0, "out of memory");
        return -1;
    }
    check_known(&check);
    for (size_t i = 0; names != NULL && i < config->service_count; i++) {
        check_names(&check, i);
    }
    routes_destroy(check.routes);
    return errors->count == before ? 0 : -1;
}

/* ---- at run time ---- */

static void take_out(const struct service *service, struct upstream *upstream,
                     const struct config_upstream *line, const char *why)
{
    char service_name[LOG_QUOTED_MAX(CONFIG_NAME_MAX)];
    char text[LOG_QUOTED_MAX(UPSTREAM_TEXT_MAX)], name[ADDRESS_NAME_MAX];

    if (atomic_load_explicit(&upstream->down, memory_order_relaxed) &
        UPSTREAM_LOOP) {
        return;
    }
    (void)upstream_set_down(upstream, UPSTREAM_LOOP, clock_now_ns());
    log_write(
        LOG_WARN,
        "upstream service=%s address=%s state=down cause=%s "
        "reason=\"%s %s\"",
        log_quote(service->config->name, service_name, sizeof(service_name)),
        log_quote(upstream->text, text, sizeof(text)), cause_name(CAUSE_LOOP),
        address_format_name(&line->address, name), why);
}

static void put_back(const struct service *service, struct upstream *upstream)
{
    char service_name[LOG_QUOTED_MAX(CONFIG_NAME_MAX)];
    char name[LOG_QUOTED_MAX(UPSTREAM_TEXT_MAX)];

    if (service_clear_down(service, upstream, UPSTREAM_LOOP, clock_now_ns())) {
        log_write(LOG_INFO, "upstream service=%s address=%s state=up",
                  log_quote(service->config->name, service_name,
                            sizeof(service_name)),
                  log_quote(upstream->text, name, sizeof(name)));
    }
}

static void route_upstreams(struct routes *routes,
                            const struct generation *generation, bool known)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        const struct service *service = &generation->services[i];

        for (uint32_t j = 0; j < service->upstream_count; j++) {
            struct upstream *upstream = service->upstreams[j];
            const struct config_upstream *line = service->lines[j];
            char why[ROUTES_TEXT_MAX];
            int result;

            if (routes_known(line) != known || upstream->endpoint.length == 0) {
                continue;
            }
            result =
                routes_add(routes, i, &upstream->endpoint, line->line, why);
            if (!known && result == ROUTES_LOOP) {
                take_out(service, upstream, line, why);
            } else {
                put_back(service, upstream);
            }
        }
    }
}

void loops_take_out(const struct generation *generation)
{
    struct routes *routes = create_routes(generation->config);

    if (routes == NULL) {
        return; /* no memory: a loop ends at run time */
    }
    route_upstreams(routes, generation, true);
    route_upstreams(routes, generation, false);
    routes_destroy(routes);
}
