#include "base/addr.h"

#include "base/hash.h"
#include "base/value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

/* ::ffff:0:0/96, the network of IPv4-mapped addresses. */
#define MAPPED_BYTES 12

#define NOT_AN_IP VALUE_QUOTE " is not an IP address"

static unsigned ip_bytes(const struct addr *addr)
{
    switch (addr->family) {
    case AF_INET:
        return 4;
    case AF_INET6:
        return 16;
    default:
        return 0;
    }
}

static void addr_from_in(struct addr *addr, const struct in_addr *in,
                         uint16_t port)
{
    *addr = (struct addr){.family = AF_INET, .port = port};
    memcpy(addr->ip, in, sizeof(*in));
}

static void addr_from_in6(struct addr *addr, const struct in6_addr *in6,
                          uint16_t port)
{
    *addr = (struct addr){.port = port};
    if (IN6_IS_ADDR_V4MAPPED(in6)) {
        addr->family = AF_INET;
        memcpy(addr->ip, &in6->s6_addr[MAPPED_BYTES], 4);
    } else {
        addr->family = AF_INET6;
        memcpy(addr->ip, in6, sizeof(*in6));
    }
}

void addr_from_sockaddr(struct addr *addr, const struct sockaddr *any)
{
    const struct sockaddr_in *in = (const void *)any;
    const struct sockaddr_in6 *in6 = (const void *)any;

    switch (any->sa_family) {
    case AF_INET:
        addr_from_in(addr, &in->sin_addr, ntohs(in->sin_port));
        break;
    case AF_INET6:
        addr_from_in6(addr, &in6->sin6_addr, ntohs(in6->sin6_port));
        break;
    default:
        *addr = (struct addr){
            .family = any->sa_family == AF_UNIX ? AF_UNIX : 0,
        };
    }
}

const char *addr_parse_ip(const char *text, struct addr *addr)
{
    struct in6_addr in6;
    struct in_addr in;

    if (inet_pton(AF_INET, text, &in) == 1) {
        addr_from_in(addr, &in, 0);
        return NULL;
    }
    if (inet_pton(AF_INET6, text, &in6) == 1) {
        addr_from_in6(addr, &in6, 0);
        return NULL;
    }
    return value_sentence(strchr(text, '%') == NULL ? NOT_AN_IP
                                                    : NOT_AN_IP
                              " (a zone cannot be used here)",
                          text);
}

const char *addr_format_ip(const struct addr *addr, char text[ADDR_TEXT_MAX])
{
    text[0] = '\0';
    if (addr_is_ip(addr)) {
        (void)inet_ntop(addr->family, addr->ip, text, ADDR_TEXT_MAX);
    }
    return text;
}

const char *addr_format(const struct addr *addr, char text[ADDR_TEXT_MAX])
{
    static const uint8_t any[16];
    char ip[ADDR_TEXT_MAX];

    addr_format_ip(addr, ip);
    if (addr->family == AF_INET) {
        (void)snprintf(text, ADDR_TEXT_MAX, "%.64s:%u", ip, addr->port);
    } else if (addr->family != AF_INET6) {
        (void)snprintf(text, ADDR_TEXT_MAX, "%s",
                       addr->family == AF_UNIX ? "unix:" : "-");
    } else if (memcmp(addr->ip, any, sizeof(any)) == 0) {
        (void)snprintf(text, ADDR_TEXT_MAX, ":%u", addr->port);
    } else {
        (void)snprintf(text, ADDR_TEXT_MAX, "[%.64s]:%u", ip, addr->port);
    }
    return text;
}

void addr_mask(struct addr *addr, unsigned bits)
{
    for (unsigned i = 0; i < sizeof(addr->ip); i++) {
        unsigned leading = MIN(bits, 8);

        addr->ip[i] &= (uint8_t)(0xff00u >> leading);
        bits -= leading;
    }
}

uint64_t addr_hash(const struct addr *addr, unsigned prefix_v4,
                   unsigned prefix_v6)
{
    struct addr masked = *addr;

    addr_mask(&masked, addr->family == AF_INET ? prefix_v4 : prefix_v6);
    return hash_bytes(masked.ip, ip_bytes(addr), 0);
}

static int family_rank(uint16_t family)
{
    switch (family) {
    case AF_INET:
        return 0;
    case AF_INET6:
        return 1;
    default:
        return 2;
    }
}

int addr_compare_ip(const struct addr *a, const struct addr *b)
{
    int rank = family_rank(a->family) - family_rank(b->family);

    return rank != 0 ? rank : memcmp(a->ip, b->ip, sizeof(a->ip));
}

struct addr addr_plus(const struct addr *addr, uint64_t offset)
{
    struct addr sum = *addr;
    uint64_t carry = offset;

    for (unsigned i = ip_bytes(addr); i-- > 0;) {
        unsigned byte = sum.ip[i] + (unsigned)(carry & 0xff);

        sum.ip[i] = (uint8_t)byte;
        carry = (carry >> 8) + (byte >> 8);
    }
    return sum;
}

uint64_t addr_range_size(const struct addr *first, const struct addr *last)
{
    uint64_t distance = 0;

    for (unsigned i = 0; i < ip_bytes(first); i++) {
        distance = distance * 256 + last->ip[i] - first->ip[i];
        if (distance >= UINT32_MAX) {
            return UINT32_MAX;
        }
    }
    return distance + 1;
}
