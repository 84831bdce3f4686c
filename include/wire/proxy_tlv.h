/*
 * proxy_tlv: the extensions of a version 2 PROXY header: type, length and
 * value, one behind the other, after the addresses. Pure; any thread.
 *
 * Source: W. Tarreau, "The PROXY protocol, versions 1 and 2", section 2.2 and
 * its subsections.
 */
#ifndef EVPROXY_WIRE_PROXY_TLV_H
#define EVPROXY_WIRE_PROXY_TLV_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a checksum takes. */
#define PROXY_TLV_CRC_BYTES 7

/* Longer names are left out, never cut: the rest could be the name of somebody
 * else. So are names with control characters. A common name has at most 64
 * characters (X.520). */
#define PROXY_TLV_NAME_MAX 256

/* The most that proxy_tlv_of_tls writes. */
#define PROXY_TLV_TLS_MAX (3 * (3 + PROXY_TLV_NAME_MAX) + 3 + 5 + 3 + 16)

/* How a client's connection was encrypted. What has 0 bytes is not there; no
 * text needs a final zero. */
struct proxy_tls {
    const char *version;  /* "TLSv1.3"; at most 16 bytes are taken */
    const void *protocol; /* agreed on by ALPN */
    size_t protocol_bytes;
    const void *name; /* of the server, as the client asked for it */
    size_t name_bytes;
    const void *common_name; /* of the client's certificate, in UTF-8 */
    size_t common_name_bytes;
    bool shown;    /* the client has a certificate */
    bool resumed;  /* it was shown in the connection that this one resumes */
    bool verified; /* an authority that is trusted here signs it */
};

/*
 * Whether the TLVs from at on fill the header, of count bytes, exactly. Then
 * *crc_at is where the value of the checksum is, or 0. At most one is allowed,
 * since the check of each reads the whole header.
 */
bool proxy_tlv_scan(const uint8_t *header, size_t count, size_t at,
                    size_t *crc_at);

/* Whether the checksum there is right: 2.2.3, over the whole header with zeros
 * in its place. */
bool proxy_tlv_crc_is_valid(const uint8_t *header, size_t count, size_t crc_at);

/*
 * Copies the TLVs that another receiver is told too: in order, all but padding
 * and the checksum, which is the old header's. The TLVs are well formed. to has
 * as many bytes, and may be the same. Answers how many it has got.
 */
size_t proxy_tlv_pass(const uint8_t *tlvs, size_t count, uint8_t *to);

/* The same without those that proxy_tlv_of_tls writes. */
size_t proxy_tlv_without_tls(const uint8_t *tlvs, size_t count, uint8_t *to);

/* Writes PP2_TYPE_ALPN, PP2_TYPE_AUTHORITY and PP2_TYPE_SSL with version and
 * common name, as far as they are known. Answers how many bytes. */
size_t proxy_tlv_of_tls(const struct proxy_tls *tls,
                        uint8_t to[PROXY_TLV_TLS_MAX]);

/*
 * Appends TLVs and a checksum to a header of version 2 without any, and answers
 * its new length. The buffer has room for all. 0: the header would be longer
 * than a length of 16 bits can tell, and is as before.
 */
size_t proxy_tlv_append(uint8_t *header, size_t count, const uint8_t *tlvs,
                        size_t tlv_bytes) WARN_UNUSED;

#endif
