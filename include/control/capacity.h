/*
 * capacity: how many connections a configuration can hold on a machine, by each
 * limit, and the report of it that -t prints. Pure except for callbacks that
 * know the names. UDP sessions are connections.
 *
 * The first limits are of connections that are held, idle ones too; the least
 * is what can be held. The others are of those that have bytes in flight at one
 * time: above, connections wait and are kept.
 */
#ifndef EVPROXY_CONTROL_CAPACITY_H
#define EVPROXY_CONTROL_CAPACITY_H

#include "base/text.h"
#include "config/config.h"
#include "control/local_ports.h"
#include "control/machine.h"
#include "service/resolution.h"

#include <stdbool.h>
#include <stdint.h>

enum capacity_limit {
    CAPACITY_MAX_CONNECTIONS, /* of [global] */
    CAPACITY_SERVICES,        /* if each service has a limit: their sum */
    CAPACITY_DESCRIPTORS,
    CAPACITY_LOCAL_PORTS,
    CAPACITY_TCP_MEMORY, /* of the kernel */
    CAPACITY_LIMITS
};

enum capacity_flight {
    CAPACITY_FLIGHT_TCP_MEMORY,
    CAPACITY_FLIGHT_BUFFER_MEMORY,
    CAPACITY_FLIGHTS
};

/* What is not in the configuration, or not as it holds. */
struct capacity_facts {
    struct machine machine;
    unsigned workers;
    uint64_t buffer_bytes; /* buffer_memory */
    uint32_t block_bytes;  /* buffer_size */
};

#define CAPACITY_NONE UINT64_MAX /* no limit, or not known */

struct capacity {
    uint64_t held[CAPACITY_LIMITS];
    uint64_t in_flight[CAPACITY_FLIGHTS];
    uint64_t tcp_bytes; /* counted for a connection with bytes in flight */
    struct local_ports local_ports;
    struct capacity_facts facts;
};

/* No limit is known. */
void capacity_clear(struct capacity *capacity);

/* -1 with errno = ENOMEM. */
int capacity_count(struct capacity *capacity, const struct config *config,
                   const struct resolution_names *names,
                   const struct capacity_facts *facts) WARN_UNUSED;

/* The limit that is reached first. */
enum capacity_limit capacity_first(const struct capacity *capacity);

/* Whether the limit is of all connections: that of ports is not if some need
 * none. */
bool capacity_is_total(const struct capacity *capacity,
                       enum capacity_limit limit);

/* "descriptors" */
const char *capacity_name(enum capacity_limit limit);
const char *capacity_flight_name(enum capacity_flight limit);

/* Adds the report: lines of key=value, the first of which is connections=N. */
void capacity_write(const struct capacity *capacity, struct text *text);

#endif
