/*
 * proxy_header: the PROXY protocol, version 1 (a line) and 2 (binary): the
 * addresses of a connection, which a proxy in front sends before its first
 * byte. Pure; any thread. The caller decides which senders it trusts.
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

/* The longest legal header: version 2 with TLVs. In practice headers are below
 * 1 KiB; a caller may refuse longer ones. */
#define PROXY_HEADER_MAX (16 + UINT16_MAX)

/* The longest that are written: a line and a final zero; IPv6 without TLVs. */
#define PROXY_HEADER_V1_MAX 108
#define PROXY_HEADER_V2_MAX (16 + 36)

/*
 * The families may differ, since IPv4-mapped addresses become IPv4. For a unix
 * socket both are AF_UNIX; its paths are ignored.
 */
struct proxy_header {
    bool local;              /* LOCAL, UNKNOWN or UNSPEC: without addresses; use
                                the connection's */
    struct addr source;      /* the client; family 0 if local */
    struct addr destination; /* what the client connected to; likewise */
};

/*
 * Reads a header of either version from the first bytes of a connection. Above
 * 0: the bytes of the header, at most PROXY_HEADER_MAX; *out is set, and data
 * follows. 0: incomplete; call again with more bytes after the same ones. -1:
 * no further bytes can make it a legal header. *out is set only with a header.
 *
 * A wrong byte is refused when it arrives, a wrong field when it ends, and
 * wrong TLVs of version 2 when all have arrived, so that a call after each byte
 * is cheap. TLVs must fill the header exactly. A CRC32c among them is checked,
 * and there may be one only; proxy_header_tlvs finds the others. What follows
 * LOCAL or UNSPEC in version 2 is skipped, as specified, except a CRC32c where
 * the family's addresses end; what follows UNKNOWN on a line is skipped.
 */
int proxy_header_parse(const uint8_t *bytes, size_t count,
                       struct proxy_header *out) WARN_UNUSED;

/* Where the TLVs of a whole header begin, which proxy_header_parse has read;
 * its length if there are none. Those of a header without addresses are not
 * told: its receiver must skip them. */
size_t proxy_header_tlvs(const uint8_t *bytes, size_t length);

/*
 * Write a header and answer its length; version 1 adds a final zero. If the
 * families differ, both become IPv6, with the IPv4 address mapped. Without two
 * IP addresses (local, unix, none) version 1 is "PROXY UNKNOWN\r\n", and
 * version 2 is LOCAL and UNSPEC with length 0. Version 1 cannot tell datagrams.
 */
size_t proxy_header_format_v1(const struct proxy_header *header,
                              char buffer[PROXY_HEADER_V1_MAX]);
size_t proxy_header_format_v2(const struct proxy_header *header,
                              uint8_t buffer[PROXY_HEADER_V2_MAX],
                              bool datagram);

#endif
