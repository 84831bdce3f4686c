/*
 * addr: addresses, networks, and their text. Pure.
 *
 * Three forms, for three needs: struct addr is a client's IP address and port
 * in 20 bytes (sessions keep one each); struct endpoint is what the socket
 * calls want; struct network is an address with a prefix.
 *
 * IPv4-mapped IPv6 addresses (::ffff:1.2.3.4) are IPv4 addresses everywhere
 * above the socket calls: addr_from_sockaddr turns them.
 */
#ifndef EVPROXY_BASE_ADDR_H
#define EVPROXY_BASE_ADDR_H

#include "base/base.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct addr {
    uint16_t family; /* AF_INET, AF_INET6, AF_UNIX (no more is known), or 0 */
    uint16_t port;   /* host byte order */
    uint8_t ip[16];  /* network byte order; IPv4 in the first 4, the rest 0 */
};

struct endpoint {
    socklen_t length; /* of the part that is used; 0: none */
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

struct network {
    struct addr base; /* port 0; bits beyond the prefix are 0 */
    uint8_t prefix;   /* leading bits that count */
};

/* What an address in a configuration names. */
enum address_kind {
    ADDRESS_IP,   /* 127.0.0.1:80, [::1]:80, [fe80::1%2]:80 */
    ADDRESS_ANY,  /* :80, all addresses of both families: [::]:80 */
    ADDRESS_UNIX, /* unix:/path */
    ADDRESS_NAME, /* name:80: host and port are filled in, the endpoint is not
                   */
};

#define ADDR_HOST_MAX 254 /* a DNS name of 253 bytes and the final zero */
#define ADDR_TEXT_MAX 128 /* any endpoint as text, with the final zero */

struct address {
    enum address_kind kind;
    struct endpoint endpoint;
    char host[ADDR_HOST_MAX]; /* ADDRESS_NAME, else empty */
    uint16_t port;            /* 0: ADDRESS_UNIX */
};

/*
 * Parses the text of an address. NULL, or a sentence without a final stop that
 * says what is wrong ("port 70000 is not between 1 and 65535"). The sentence is
 * a literal or lives in a buffer of the calling thread until the next call (of
 * this room or value). *address is then undefined.
 *
 * Names are checked for the messages, digits, '-', '_' and '.' of host names,
 * and may not look like a number to a resolver ("127.1", "0x7f000001"). A path
 * must be absolute and fit sun_path. An IPv4-mapped address becomes IPv4. A
 * zone of a link-local address is an interface number, since its name would
 * have to be asked from the system.
 */
const char *address_parse(const char *text,
                          struct address *address) WARN_UNUSED;

/*
 * "10.0.0.0/8", "::1", "2001:db8::/32"; NULL or a sentence, as above. Bits set
 * beyond the prefix are an error that names the network meant. Networks of
 * IPv4-mapped addresses become IPv4.
 */
const char *network_parse(const char *text,
                          struct network *network) WARN_UNUSED;

/* Never across families: ::/0 holds no IPv4 address. */
bool network_contains(const struct network *network, const struct addr *addr);

/* "10.1.2.3" or "::1", no port; NULL or a sentence, as above. */
const char *addr_parse_ip(const char *text, struct addr *addr) WARN_UNUSED;

/* From what accept or getpeername gave; IPv4-mapped addresses become IPv4. */
void addr_from_sockaddr(struct addr *addr, const struct sockaddr *any);

/* The other way; for AF_INET and AF_INET6. */
void endpoint_from_addr(struct endpoint *endpoint, const struct addr *addr);

/* The same address, port, zone or path; IPv4-mapped addresses equal IPv4. */
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);

/*
 * "1.2.3.4:5", "[::1]:5", "unix:/path"; a client of a unix socket: "unix:";
 * none or one of another family: "-". [::]:80 is written ":80". Always
 * terminated; answers text.
 */
const char *endpoint_format(const struct endpoint *endpoint,
                            char text[ADDR_TEXT_MAX]);
const char *addr_format(const struct addr *addr, char text[ADDR_TEXT_MAX]);

/* "1.2.3.4" or "::1", without the port; other families: "". */
const char *addr_format_ip(const struct addr *addr, char text[ADDR_TEXT_MAX]);

/*
 * A hash of the leading bits of the address (prefix_v4 for IPv4, prefix_v6 for
 * IPv6), without the port; the same on every machine.
 */
uint64_t addr_hash(const struct addr *addr, unsigned prefix_v4,
                   unsigned prefix_v6);

/* Compares addresses as numbers, without the port: <0, 0, >0. IPv4 first, then
 * IPv6, then the rest. */
int addr_compare_ip(const struct addr *a, const struct addr *b);

/* The address that is offset after addr, e.g. in a range; port is kept. After
 * the last address of the family comes the first. */
struct addr addr_plus(const struct addr *addr, uint64_t offset);

/* How many addresses there are from first to last, both included, which are of
 * one family and in order; at most UINT32_MAX. */
uint64_t addr_range_size(const struct addr *first, const struct addr *last);

#endif
