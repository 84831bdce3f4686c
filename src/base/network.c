#include "base/network.h"

#include "base/value.h"

#include <string.h>

#define MAPPED_BITS 96 /* of ::ffff:0:0/96, the IPv4-mapped addresses */

struct network network_of(const struct addr *addr,
                          struct network_prefixes prefixes)
{
    struct network network = {.base.family = addr->family};

    if (addr_is_ip(addr)) {
        network.prefix = addr->family == AF_INET ? prefixes.v4 : prefixes.v6;
        memcpy(network.base.ip, addr->ip, sizeof(network.base.ip));
        addr_mask(&network.base, network.prefix);
    }
    return network;
}

/* The prefix of an address whose text has so many bits; text NULL: all. */
static const char *parse_prefix(const char *text, unsigned bits,
                                struct network *network)
{
    bool mapped = bits == 128 && network->base.family == AF_INET;
    uint64_t min = mapped ? MAPPED_BITS : 0;
    uint64_t prefix = bits;

    if (text != NULL && value_plain_number(text, min, bits, &prefix) != NULL) {
        return value_sentence("prefix " VALUE_QUOTE
                              " is not a number between %u and %u",
                              text, (unsigned)min, bits);
    }
    network->prefix = (uint8_t)(prefix - min);
    return NULL;
}

static const char *check_host_bits(const char *text,
                                   const struct network *network)
{
    struct addr masked = network->base;
    char ip[ADDR_TEXT_MAX];

    addr_mask(&masked, network->prefix);
    if (memcmp(masked.ip, network->base.ip, sizeof(masked.ip)) == 0) {
        return NULL;
    }
    return value_sentence("'%.60s' has bits set beyond the prefix"
                          " (the network is %s/%u)",
                          text, addr_format_ip(&masked, ip), network->prefix);
}

const char *network_parse(const char *text, struct network *network)
{
    size_t length = strcspn(text, "/");
    const char *prefix = text[length] == '/' ? text + length + 1 : NULL;
    char ip[INET6_ADDRSTRLEN];
    const char *sentence;

    if (length >= sizeof(ip)) {
        return value_sentence(VALUE_QUOTE " is not an IP address", text);
    }
    memcpy(ip, text, length);
    ip[length] = '\0';
    sentence = addr_parse_ip(ip, &network->base);
    if (sentence == NULL) {
        unsigned bits = strchr(ip, ':') == NULL ? 32 : 128;

        sentence = parse_prefix(prefix, bits, network);
    }
    return sentence == NULL ? check_host_bits(text, network) : sentence;
}

bool network_contains(const struct network *network, const struct addr *addr)
{
    const uint8_t *base = network->base.ip;
    unsigned bytes = network->prefix / 8;
    unsigned bits = network->prefix % 8;

    return addr->family == network->base.family &&
           memcmp(addr->ip, base, bytes) == 0 &&
           (bits == 0 || (addr->ip[bytes] ^ base[bytes]) >> (8 - bits) == 0);
}
