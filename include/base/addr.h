/*
 * addr: a client's IP address and port in 20 bytes; each session keeps one.
 * Pure.
 *
 * IPv4-mapped IPv6 addresses (::ffff:1.2.3.4) are IPv4 addresses everywhere
 * above the socket calls: addr_from_sockaddr and addr_parse_ip convert them.
 */
#ifndef EVPROXY_BASE_ADDR_H
#define EVPROXY_BASE_ADDR_H

#include "base/base.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
    uint16_t family; /* AF_INET, AF_INET6, AF_UNIX (no more is known), or 0 */
    uint16_t port;   /* host byte order */
    uint8_t ip[16];  /* network byte order; IPv4 in the first 4, the rest 0 */
};

#define ADDR_HOST_MAX 254 /* a DNS name of 253 bytes and the final zero */
#define ADDR_TEXT_MAX                                                          \
    128 /* any addr or endpoint as text, and the final zero                    \
         */

/* From what accept or getpeername gave. */
void addr_from_sockaddr(struct addr *addr, const struct sockaddr *any);

/*
 * Parses "10.1.2.3" or "::1", without a port. NULL, or a sentence that says
 * what is wrong, as base/value.h describes it.
 */
const char *addr_parse_ip(const char *text, struct addr *addr) WARN_UNUSED;

/* "1.2.3.4:5" or "[::1]:5"; AF_UNIX: "unix:"; no family: "-". [::]:80 is
 * written ":80". Always terminated; answers text. */
const char *addr_format(const struct addr *addr, char text[ADDR_TEXT_MAX]);

/* "1.2.3.4" or "::1", without the port; other families: "". */
const char *addr_format_ip(const struct addr *addr, char text[ADDR_TEXT_MAX]);

static inline bool addr_is_ip(const struct addr *addr)
{
    return addr->family == AF_INET || addr->family == AF_INET6;
}

/* Clears all but the leading bits of the IP address. */
void addr_mask(struct addr *addr, unsigned bits);

/*
 * A hash of the leading bits of the address (prefix_v4 for IPv4, prefix_v6 for
 * IPv6), without the port; the same on every machine.
 */
uint64_t addr_hash(const struct addr *addr, unsigned prefix_v4,
                   unsigned prefix_v6);

/* Compares addresses as numbers, without the port: <0, 0, >0. IPv4 first, then
 * IPv6, then the rest. */
int addr_compare_ip(const struct addr *a, const struct addr *b);

/* The address that is offset after addr, e.g. in a range; the port stays. The
 * first address of the family follows the last. */
struct addr addr_plus(const struct addr *addr, uint64_t offset);

/* How many addresses there are from first to last, both included, which are of
 * one family and in order; at most UINT32_MAX. */
uint64_t addr_range_size(const struct addr *first, const struct addr *last);

#endif
