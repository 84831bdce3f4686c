/*
 * proxy_header: the PROXY protocol, version 1 (a line) and 2 (binary): the
 * addresses that a proxy in front tells about a connection, before its first
 * byte. Pure; any thread. Whom to believe is decided elsewhere.
 *
 * Source: W. Tarreau, "The PROXY protocol, versions 1 and 2", HAProxy's
 * doc/proxy-protocol.txt, whose sections are named in the source.
 */
#ifndef EVPROXY_WIRE_PROXY_HEADER_H
#define EVPROXY_WIRE_PROXY_HEADER_H

#include "base/addr.h"
#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest header that can be legal: version 2 with all of its TLVs. What is
 * met in practice is below 1 KiB; a caller may stop earlier. */
#define PROXY_HEADER_MAX (16 + UINT16_MAX)

/* The longest that are written: a line and its final zero; IPv6, no TLVs. */
#define PROXY_HEADER_V1_MAX 108
#define PROXY_HEADER_V2_MAX (16 + 36)

/*
 * Families may differ, since IPv4-mapped addresses are IPv4 here as everywhere.
 * A relayed unix socket has both families AF_UNIX; its paths are passed over.
 */
struct proxy_header {
    bool local; /* LOCAL, UNKNOWN or UNSPEC: no addresses, the connection's own
                   are the ones to use */
    struct addr source;      /* the client; family 0 if local */
    struct addr destination; /* what the client had connected to; the same */
};

/*
 * Reads a header of either version from the first bytes of a connection. The
 * bytes it takes, at most PROXY_HEADER_MAX: *out is set, payload follows. 0: so
 * far so good, ask again with more bytes, the earlier ones included. -1: no
 * further byte can make it a legal header. *out is set only with a header.
 *
 * A byte that is wrong is refused when it comes, a field when it ends, and the
 * TLVs of version 2 when all of them are here, so that asking after each byte
 * stays cheap. TLVs must fill the header exactly; of them only a CRC32c is
 * looked at, which must be right and the only one. What follows LOCAL or UNSPEC
 * in version 2, and UNKNOWN on a line, is skipped unread, as is specified.
 */
int proxy_header_parse(const uint8_t *bytes, size_t count,
                       struct proxy_header *out) WARN_UNUSED;

/*
 * Write a header; answer its bytes, which version 1 follows with a zero. Two
 * families become IPv6 with the IPv4 address mapped. Without two IP addresses
 * (local, unix, none) it is "PROXY UNKNOWN\r\n", or LOCAL and UNSPEC with
 * length 0. Version 1 has no word for datagrams.
 */
size_t proxy_header_format_v1(const struct proxy_header *header,
                              char buffer[PROXY_HEADER_V1_MAX]);
size_t proxy_header_format_v2(const struct proxy_header *header,
                              uint8_t buffer[PROXY_HEADER_V2_MAX],
                              bool datagram);

#endif
