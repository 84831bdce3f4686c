/*
 * srv_record: a DNS record that says where a service is offered (RFC 2782).
 */
#ifndef EVPROXY_BASE_SRV_RECORD_H
#define EVPROXY_BASE_SRV_RECORD_H

#include "base/addr.h"

#include <stdint.h>
#include <string.h>

struct srv_record {
    uint16_t priority;          /* the lowest goes first */
    uint16_t weight;            /* among those of one priority */
    uint16_t port;              /* not 0 */
    char target[ADDR_HOST_MAX]; /* a host name in lower case, without a final
                                   dot */
};

/* Compares where they lead to, target and port: <0, 0, >0. */
static inline int srv_record_compare(const struct srv_record *a,
                                     const struct srv_record *b)
{
    int order = strcmp(a->target, b->target);

    return order != 0 ? order : (a->port > b->port) - (a->port < b->port);
}

#endif
