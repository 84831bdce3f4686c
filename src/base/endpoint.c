#include "base/endpoint.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

void endpoint_from_addr(struct endpoint *endpoint, const struct addr *addr)
{
    memset(endpoint, 0, sizeof(*endpoint));
    if (addr->family == AF_INET) {
        endpoint->length = sizeof(endpoint->u.in);
        endpoint->u.in.sin_family = AF_INET;
        endpoint->u.in.sin_port = htons(addr->port);
        memcpy(&endpoint->u.in.sin_addr, addr->ip, 4);
    } else if (addr->family == AF_INET6) {
        endpoint->length = sizeof(endpoint->u.in6);
        endpoint->u.in6.sin6_family = AF_INET6;
        endpoint->u.in6.sin6_port = htons(addr->port);
        memcpy(&endpoint->u.in6.sin6_addr, addr->ip, 16);
    }
}

static sa_family_t family_of(const struct endpoint *endpoint)
{
    return endpoint->length == 0 ? AF_UNSPEC : endpoint->u.any.sa_family;
}

static uint32_t zone_of(const struct endpoint *endpoint)
{
    return family_of(endpoint) == AF_INET6 ? endpoint->u.in6.sin6_scope_id : 0;
}

void endpoint_from_sockaddr(struct endpoint *endpoint,
                            const struct sockaddr *any)
{
    struct addr addr;

    addr_from_sockaddr(&addr, any);
    endpoint_from_addr(endpoint, &addr);
    if (family_of(endpoint) == AF_INET6) {
        endpoint->u.in6.sin6_scope_id =
            ((const struct sockaddr_in6 *)(const void *)any)->sin6_scope_id;
    }
}

bool endpoint_lacks_zone(const struct endpoint *endpoint)
{
    return family_of(endpoint) == AF_INET6 &&
           IN6_IS_ADDR_LINKLOCAL(&endpoint->u.in6.sin6_addr) &&
           zone_of(endpoint) == 0;
}

uint16_t endpoint_port(const struct endpoint *endpoint)
{
    switch (family_of(endpoint)) {
    case AF_INET:
        return ntohs(endpoint->u.in.sin_port);
    case AF_INET6:
        return ntohs(endpoint->u.in6.sin6_port);
    default:
        return 0;
    }
}

void endpoint_set_port(struct endpoint *endpoint, uint16_t port)
{
    if (family_of(endpoint) == AF_INET6) {
        endpoint->u.in6.sin6_port = htons(port);
    } else {
        endpoint->u.in.sin_port = htons(port);
    }
}

int endpoint_compare_ip(const struct endpoint *a, const struct endpoint *b)
{
    struct addr left, right;
    int order;

    addr_from_sockaddr(&left, &a->u.any);
    addr_from_sockaddr(&right, &b->u.any);
    order = addr_compare_ip(&left, &right);
    if (order != 0) {
        return order;
    }
    return (zone_of(a) > zone_of(b)) - (zone_of(a) < zone_of(b));
}

/* Bytes of a unix socket's name: a path without its final zero, or an abstract
 * name, which begins with a zero and may contain others; 0 if unnamed. */
static size_t name_length(const struct endpoint *endpoint)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    const char *name = endpoint->u.un.sun_path;
    size_t length = endpoint->length > head ? endpoint->length - head : 0;

    if (length > sizeof(endpoint->u.un.sun_path)) {
        length = sizeof(endpoint->u.un.sun_path);
    }
    return length == 0 || name[0] == '\0' ? length : strnlen(name, length);
}

static bool equal_name(const struct endpoint *a, const struct endpoint *b)
{
    size_t length = name_length(a);

    return length == name_length(b) &&
           memcmp(a->u.un.sun_path, b->u.un.sun_path, length) == 0;
}

static bool equal_ip(const struct endpoint *a, const struct endpoint *b)
{
    struct addr x;
    struct addr y;

    addr_from_sockaddr(&x, &a->u.any);
    addr_from_sockaddr(&y, &b->u.any);
    return x.family == y.family && x.port == y.port &&
           memcmp(x.ip, y.ip, sizeof(x.ip)) == 0 && zone_of(a) == zone_of(b);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    if (a->length == 0 || b->length == 0) {
        return a->length == b->length;
    }
    if (family_of(a) == AF_UNIX && family_of(b) == AF_UNIX) {
        return equal_name(a, b);
    }
    return equal_ip(a, b);
}

bool endpoint_covers(const struct endpoint *any, const struct endpoint *one)
{
    bool all = family_of(any) == AF_INET6
                   ? IN6_IS_ADDR_UNSPECIFIED(&any->u.in6.sin6_addr)
                   : family_of(any) == AF_INET && family_of(one) == AF_INET &&
                         any->u.in.sin_addr.s_addr == INADDR_ANY;

    /* The port is at the same place in both families. */
    return all && (family_of(one) == AF_INET || family_of(one) == AF_INET6) &&
           any->u.in.sin_port == one->u.in.sin_port;
}

const char *endpoint_format(const struct endpoint *endpoint,
                            char text[ADDR_TEXT_MAX])
{
    uint32_t zone = zone_of(endpoint);
    struct addr addr = {0};
    char ip[ADDR_TEXT_MAX];

    if (family_of(endpoint) == AF_UNIX) {
        (void)snprintf(text, ADDR_TEXT_MAX, "unix:%.*s",
                       (int)name_length(endpoint), endpoint->u.un.sun_path);
        return text;
    }
    if (endpoint->length > 0) {
        addr_from_sockaddr(&addr, &endpoint->u.any);
    }
    if (zone != 0 && addr.family == AF_INET6) {
        (void)snprintf(text, ADDR_TEXT_MAX, "[%.64s%%%u]:%u",
                       addr_format_ip(&addr, ip), zone, addr.port);
    } else {
        addr_format(&addr, text);
    }
    if (addr_is_ip(&addr) && addr.port == 0) {
        text[strlen(text) - 1] = '*';
    }
    return text;
}
