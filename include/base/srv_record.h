/*
 * srv_record: a DNS record that says where a service is offered (RFC 2782).
 */
#ifndef EVPROXY_BASE_SRV_RECORD_H
#define EVPROXY_BASE_SRV_RECORD_H

#include "base/addr.h"

#include <stdint.h>

struct srv_record {
    uint16_t priority;          /* the lowest goes first */
    uint16_t weight;            /* among those of one priority */
    uint16_t port;              /* not 0 */
    char target[ADDR_HOST_MAX]; /* a host name in lower case, without a final
                                   dot */
};

#endif
