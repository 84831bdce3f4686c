/*
 * header: headers of the PROXY protocol, as a sender in front of evproxy writes
 * them and as an upstream expects them. Version 2 is binary.
 *
 * Each function that makes a header answers the same one, written anew. A test
 * that needs two copies the first. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_HEADER_H
#define EVPROXY_TESTS_E2E_HEADER_H

#include <stddef.h>
#include <stdint.h>

#define HEADER_V2_FIXED 16 /* bytes before the addresses */
#define HEADER_MAX      (HEADER_V2_FIXED + UINT16_MAX)

/* Of the version 2 header: byte 12, byte 13, and types of TLVs. */
enum header_command { HEADER_LOCAL = 0x20, HEADER_PROXY = 0x21 };
enum header_family { HEADER_UNSPEC = 0x00, HEADER_UNIX = 0x31 };
enum header_tlv {
    HEADER_ALPN = 1,
    HEADER_AUTHORITY = 2,
    HEADER_CRC32C = 3,
    HEADER_NOOP = 4,
    HEADER_UNIQUE_ID = 5,
    HEADER_SSL = 0x20,
};

/* The keys of a service that takes headers from every loopback address. */
#define HEADER_TRUSTED                                                         \
    "proxy_protocol = on\nproxy_protocol_from = 127.0.0.0/8\n"

/* A version 1 header; header_v2_from("192.0.2.7") says the same. */
#define HEADER_V1 "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n"

struct header {
    size_t size;
    unsigned char bytes[HEADER_MAX + 1]; /* one more: to be too long */
};

/* The bytes of the text: a version 1 header, or anything else. */
struct header *header_text(const char *bytes);

/* Version 2 without addresses. */
struct header *header_v2_bare(enum header_command command,
                              enum header_family family);

/* Version 2 for TCP, from that source; port 4000 to port 443 of a server of the
 * same family. */
struct header *header_v2_from(const char *source);
struct header *header_v2(const char *source, unsigned source_port,
                         const char *destination, unsigned destination_port);

/* The same from 192.0.2.7, with TLVs of every kind and a checksum. */
struct header *header_v2_with_tlvs(void);
/* As an upstream gets it. */
struct header *header_v2_passed_on(void);

struct header *header_v2_unix(void);

/* What the proxy tells its upstream of a client, whose TCP or UDP socket is
 * given; version is "v1" or "v2". */
struct header *header_of_client(int client, const char *version);

/* Appends bytes that are no part of it. */
void header_append(struct header *header, const void *bytes, size_t count);

/* Append to a version 2 header, and set its length. */
void header_add_tlv(struct header *header, int type, const void *bytes,
                    size_t count);
void header_add_checksum(struct header *header);
/* A TLV of zeros that makes it so long: of padding, or of that type. */
void header_pad(struct header *header, size_t size);
void header_fill(struct header *header, int type, size_t size);
/* After header_append: what was appended becomes a part. */
void header_set_length(struct header *header);

void header_send(int fd, const struct header *header);
void header_expect(int fd, const struct header *header);

#endif
