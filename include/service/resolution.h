/*
 * resolution: the upstream lines of a service with its names looked up: one
 * entry for each address. Pure except for the callback that knows the names.
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

/* Where the addresses of a name are known. It does not wait. */
struct resolution_names {
    /* Sets *found to the addresses of the host, without a port, which stay
     * until resolution_init returns; answers how many. 0: none is known. */
    size_t (*find)(const struct resolution_names *names, const char *host,
                   const struct endpoint **found);
};

/* In the order of the lines. -1 with errno = ENOMEM; resolution_fini in either
 * case. */
int resolution_init(struct resolution *resolution,
                    const struct config_service *config,
                    const struct resolution_names *names) WARN_UNUSED;
void resolution_fini(struct resolution *resolution);

/* The text of the upstream: the endpoint's, or "name:port" without one. */
void resolution_format(const struct resolved *resolved,
                       char text[UPSTREAM_TEXT_MAX]);

#endif
