/*
 * resolution: the upstream lines of a service with its names looked up: one
 * entry for each address. Pure except for the look-up, which is a callback.
 */
#ifndef EVPROXY_SERVICE_RESOLUTION_H
#define EVPROXY_SERVICE_RESOLUTION_H

#include "base/base.h"
#include "base/endpoint.h"
#include "config/config.h"
#include "service/upstream.h"

#include <stddef.h>
#include <stdint.h>

struct resolved {
    const struct config_upstream *line;
    struct endpoint endpoint; /* length 0: the name has no address */
};

/* All-zero: empty. */
struct resolution {
    struct resolved *list;
    size_t count;
};

/*
 * Looks up a name: the addresses, with the port, in a malloc'ed array that the
 * caller frees; 0 of them if it does not resolve.
 */
typedef size_t (*resolution_lookup_fn)(const char *host, uint16_t port,
                                       struct endpoint **found);

/* In the order of the lines. -1 with errno = ENOMEM; resolution_fini in either
 * case. */
int resolution_init(struct resolution *resolution,
                    const struct config_service *config,
                    resolution_lookup_fn lookup) WARN_UNUSED;
void resolution_fini(struct resolution *resolution);

/* The text of the upstream: the endpoint's, or "name:port" without one. */
void resolution_format(const struct resolved *resolved,
                       char text[UPSTREAM_TEXT_MAX]);

#endif
