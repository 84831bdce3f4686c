/*
 * resolution: the upstream lines of a service with its names looked up: one
 * entry for each address. Pure except for the callbacks that know the names.
 *
 * An SRV name stands for the targets of its records, and each target for all
 * its addresses. Records with a priority above the lowest are backups. Each
 * address has the weight of its record. Where a weight above 256 occurs, those
 * of the primaries, or of the backups, are divided by their greatest common
 * divisor, and if that is not enough scaled so that the greatest is 256: ratios
 * up to 256 then hold within half a unit of the smaller weight.
 */
#ifndef EVPROXY_SERVICE_RESOLUTION_H
#define EVPROXY_SERVICE_RESOLUTION_H

#include "base/base.h"
#include "base/endpoint.h"
#include "base/srv_record.h"
#include "config/config.h"
#include "service/upstream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resolved {
    const struct config_upstream *line;
    const struct srv_record *record; /* NULL: the line has an address or a host
                                        name, or its SRV name no record */
    struct endpoint endpoint; /* length 0: the name or target has no address */
    uint32_t weight;          /* 1 to 256 */
    bool backup;
};

/* All-zero: empty. */
struct resolution {
    struct resolved *list;
    size_t count;
};

/* Where the addresses of a name are known. It does not wait. */
struct resolution_names {
    /* Sets *found to the addresses of the host, without a port, which stay
     * until resolution_fini; answers how many. 0: none is known. */
    size_t (*find)(const struct resolution_names *names, const char *host,
                   const struct endpoint **found);

    /* The same for the records of an SRV name. Not called without one. */
    size_t (*find_records)(const struct resolution_names *names,
                           const char *name, const struct srv_record **found);
};

/* In the order of the lines. -1 with errno = ENOMEM; resolution_fini in either
 * case. */
int resolution_init(struct resolution *resolution,
                    const struct config_service *config,
                    const struct resolution_names *names) WARN_UNUSED;
void resolution_fini(struct resolution *resolution);

/* The text of the upstream: the endpoint's, or "name:port" without one, which
 * is the record's if there is one, or "srv:name". */
void resolution_format(const struct resolved *resolved,
                       char text[UPSTREAM_TEXT_MAX]);

#endif
