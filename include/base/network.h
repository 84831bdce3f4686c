/*
 * network: an IP address with a prefix, as access rules name it. Pure.
 */
#ifndef EVPROXY_BASE_NETWORK_H
#define EVPROXY_BASE_NETWORK_H

#include "base/addr.h"
#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

struct network {
    struct addr base; /* port 0; bits beyond the prefix are 0 */
    uint8_t prefix;   /* leading bits that count */
};

/* How many leading bits of an address count, by its family. */
struct network_prefixes {
    uint8_t v4;
    uint8_t v6;
};

/* The network of an address. One without an IP address has its family alone. */
struct network network_of(const struct addr *addr,
                          struct network_prefixes prefixes);

/*
 * "10.0.0.0/8", "::1", "2001:db8::/32". NULL, or a sentence that says what is
 * wrong, as base/value.h describes it. Bits set beyond the prefix are an error
 * that names the right network. Networks of IPv4-mapped addresses become IPv4.
 */
const char *network_parse(const char *text,
                          struct network *network) WARN_UNUSED;

/* Never across families: ::/0 contains no IPv4 address. */
bool network_contains(const struct network *network, const struct addr *addr);

#endif
