/*
 * header_bytes: PROXY headers for tests, legal ones and parts of any.
 */
#ifndef EVPROXY_TESTS_HEADER_BYTES_H
#define EVPROXY_TESTS_HEADER_BYTES_H

#include "wire/proxy_header.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first 12 bytes of version 2. */
#define HEADER_V2_HEAD "\r\n\r\n\0\r\nQUIT\n"

/* ---- parts ---- */

/* A header under construction, or any other bytes. The functions below append
 * to it. */
struct header_bytes {
    size_t count;
    uint8_t data[PROXY_HEADER_MAX + 16];
};
extern struct header_bytes header_made;

void header_add(const void *data, size_t count);
void header_add_u16(unsigned number);

/* Begins with the 16 bytes that every header of version 2 has, with the length
 * of the rest. */
void header_start(unsigned command, unsigned family, unsigned length);

/* Corrects the length of the rest. */
void header_set_length(void);
void header_add_tlv(unsigned type, const void *value, unsigned count);

/* TCP over IPv4, 1.2.3.4:258 to 5.6.7.8:443. */
void header_start_ipv4(void);

/* ---- what is read ---- */

/* Parses a copy of just this size, so that ASan sees a read beyond it. */
int parse_copy(const void *data, size_t count, struct proxy_header *out);
int parse_text(const char *text, struct proxy_header *out);

/* text NULL: no address. */
struct addr ip_port(const char *text, uint16_t port);
bool same_addr(const struct addr *a, const struct addr *b);
bool same_header(const struct proxy_header *a, const struct proxy_header *b);

/* source NULL: none. */
void check_header(const struct proxy_header *header, const char *source,
                  uint16_t source_port, const char *destination,
                  uint16_t destination_port);

/* ---- legal headers, which tests cut, corrupt and extend ---- */

#define LONGEST_IPV6 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

/* Of version 1, with what is read from it; source NULL: nothing. */
struct header_line {
    const char *text;
    const char *source;
    const char *destination;
    uint16_t ports[2];
};
extern const struct header_line header_lines[9];

/* Address blocks of version 2. */
struct header_block {
    unsigned family; /* of the table in section 2.2 */
    unsigned length;
};
extern const struct header_block header_blocks[11];

/* As HAProxy 2.6 sent them: a checksum and a unique id; a checksum. */
extern const uint8_t header_recorded_ipv4[74];
extern const uint8_t header_recorded_ipv6[59];

#define HEADERS_LEGAL                                                          \
    (ARRAY_LEN(header_lines) + 2 * ARRAY_LEN(header_blocks) + 3)

/* An address block whose addresses and ports are 0, 1, 2 ... */
void header_make_block(unsigned command, size_t index);

/* Builds the header of that number. */
void header_make_legal(size_t number);

#endif
