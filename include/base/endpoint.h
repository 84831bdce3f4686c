/*
 * endpoint: where a socket binds or connects: a sockaddr and its length. Pure.
 */
#ifndef EVPROXY_BASE_ENDPOINT_H
#define EVPROXY_BASE_ENDPOINT_H

#include "base/addr.h"

#include <stdbool.h>
#include <sys/un.h>

struct endpoint {
    socklen_t length; /* of the part that is used; 0: none */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

/* For AF_INET and AF_INET6; from other families: none. */
void endpoint_from_addr(struct endpoint *endpoint, const struct addr *addr);

/* The same, with the zone of a link-local address. IPv4-mapped becomes IPv4. */
void endpoint_from_sockaddr(struct endpoint *endpoint,
                            const struct sockaddr *any);

/* A link-local address without a zone: no socket can bind or connect there. */
bool endpoint_lacks_zone(const struct endpoint *endpoint);

/* AF_INET and AF_INET6; of other families 0. */
uint16_t endpoint_port(const struct endpoint *endpoint);

/* AF_INET and AF_INET6 only. */
void endpoint_set_port(struct endpoint *endpoint, uint16_t port);

/* Compares IP addresses as addr_compare_ip, then zones, without the port: <0,
 * 0, >0. */
int endpoint_compare_ip(const struct endpoint *a, const struct endpoint *b);

/* The same address, port, zone or path; IPv4-mapped addresses equal IPv4. */
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/* Whether it has the IP endpoint's port on every address that the other one
 * has: ":80" covers "127.0.0.1:80" and "[::1]:80". */
bool endpoint_covers(const struct endpoint *any, const struct endpoint *one);

/*
 * As addr_format, with the zone if there is one ("[fe80::1%2]:80") and the path
 * of a unix socket ("unix:/path"); none: "-". Port 0 is written "*".
 */
const char *endpoint_format(const struct endpoint *endpoint,
                            char text[ADDR_TEXT_MAX]);

#endif
