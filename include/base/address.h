/*
 * address: the text that a configuration gives for a listener or an upstream.
 * Pure.
 */
#ifndef EVPROXY_BASE_ADDRESS_H
#define EVPROXY_BASE_ADDRESS_H

#include "base/base.h"
#include "base/endpoint.h"

#include <stdbool.h>
#include <stdint.h>

enum address_kind {
    ADDRESS_IP,   /* 127.0.0.1:80, [::1]:80, [fe80::1%2]:80 */
    ADDRESS_ANY,  /* :80, all addresses of both families: [::]:80 */
    ADDRESS_UNIX, /* unix:/path */
    ADDRESS_NAME, /* name:80: has host and port, but no endpoint */
    ADDRESS_SRV,  /* srv:_name._proto.domain: has a host only */
};

struct address {
    enum address_kind kind;
    struct endpoint endpoint;
    char host[ADDR_HOST_MAX]; /* ADDRESS_NAME, ADDRESS_SRV; else empty */
    uint16_t port;            /* ADDRESS_UNIX, ADDRESS_SRV: 0; of the others 0
                                 is "*", the port that a client came to */
};

#define ADDRESS_NAME_MAX (ADDR_HOST_MAX + 8)

/*
 * NULL, or a sentence that says what is wrong ("port 70000 is not between 1 and
 * 65535"), as base/value.h describes it; *address is then undefined.
 *
 * A host name has letters, digits, '-', '_' and '.', and may not look like a
 * number to a resolver ("127.1", "0x7f000001"). A path must be absolute and fit
 * sun_path. An IPv4-mapped address becomes IPv4. A link-local address has a
 * zone, which is an interface number: its name would have to be looked up in
 * the system.
 */
const char *address_parse(const char *text,
                          struct address *address) WARN_UNUSED;

/* The same, and "10.0.0.1:*" or "name:*". */
const char *address_parse_any_port(const char *text,
                                   struct address *address) WARN_UNUSED;

/* The same as address_parse, and "10.0.0.1:80-89": the address has the first
 * port; *last is the last one, and 0 for a path. */
const char *address_parse_ports(const char *text, struct address *address,
                                uint16_t *last) WARN_UNUSED;

static inline bool address_has_any_port(const struct address *address)
{
    return address->port == 0 && address->kind != ADDRESS_UNIX &&
           address->kind != ADDRESS_SRV;
}

/* Whether the address is a name, which stands for what it is looked up as. */
static inline bool address_is_name(const struct address *address)
{
    return address->kind == ADDRESS_NAME || address->kind == ADDRESS_SRV;
}

/* "name:80" or "srv:_name._proto.domain". Answers text. */
const char *address_format_name(const struct address *address,
                                char text[ADDRESS_NAME_MAX]);

/* Whether the text is a host name, as above. */
bool address_is_host(const char *text);

#endif
