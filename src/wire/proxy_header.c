#include "wire/proxy_header.h"

#include "wire/proxy_tlv.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES (PROXY_HEADER_V1_MAX - 1) /* with CRLF */
#define PORT_TEXT_MAX  sizeof("65535")

#define HEAD_BYTES  16 /* version 2 without addresses and TLVs */
#define MAPPED_HEAD 12 /* the bytes of ::ffff:1.2.3.4 before IPv4's */

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                      0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 }; /* with the version, 2 */
enum { FAMILY_UNSPEC, FAMILY_INET, FAMILY_INET6, FAMILY_UNIX, FAMILIES };
enum { TRANSPORT_UNSPEC, TRANSPORT_STREAM, TRANSPORT_DGRAM, TRANSPORTS };

static const size_t address_bytes[FAMILIES] = {
    [FAMILY_INET] = 2 * 4 + 2 * 2,
    [FAMILY_INET6] = 2 * 16 + 2 * 2,
    [FAMILY_UNIX] = 2 * 108,
};

/* IPv6 goes through a sockaddr, since that converts IPv4-mapped addresses. */
static struct addr addr_of(int family, const uint8_t *ip, uint16_t port)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                               .sin6_port = htons(port)};
    struct addr addr = {.family = AF_INET, .port = port};

    if (family == AF_INET) {
        memcpy(addr.ip, ip, 4);
    } else {
        memcpy(&in6.sin6_addr, ip, sizeof(in6.sin6_addr));
        addr_from_sockaddr(&addr, (const struct sockaddr *)&in6);
    }
    return addr;
}

/* ---- version 1: section 2.1 ---------------------------------------------- */

struct line {
    const char *at;
    const char *end; /* of the received bytes */
};

static size_t line_left(const struct line *line)
{
    return (size_t)(line->end - line->at);
}

/* These functions answer as a parser: 1 read, 0 more is needed, -1 wrong. */
static int line_word(struct line *line, const char *word)
{
    size_t length = strlen(word);
    size_t left = line_left(line);

    if (memcmp(line->at, word, left < length ? left : length) != 0) {
        return -1;
    }
    if (left < length) {
        return 0;
    }
    line->at += length;
    return 1;
}

/* A field of the allowed characters, of fewer than size bytes, and the byte
 * after it. */
static int line_field(struct line *line, const char *allowed, char stop,
                      char *field, size_t size)
{
    size_t length = 0;

    while (length < line_left(line) && line->at[length] != stop) {
        if (length + 1 == size || line->at[length] == '\0' ||
            strchr(allowed, line->at[length]) == NULL) {
            return -1;
        }
        length++;
    }
    if (length == line_left(line)) {
        return 0;
    }
    memcpy(field, line->at, length);
    field[length] = '\0';
    line->at += length + 1;
    return length > 0 ? 1 : -1;
}

/* What may follow UNKNOWN: anything without a single CR or LF. */
static int line_rest(struct line *line)
{
    while (line_left(line) > 0 && *line->at != '\r' && *line->at != '\n') {
        line->at++;
    }
    return line_word(line, "\r\n");
}

static int line_ip(struct line *line, int family, struct addr *addr)
{
    const char *allowed =
        family == AF_INET ? "0123456789." : "0123456789abcdefABCDEF:.";
    char text[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    int answer = line_field(line, allowed, ' ', text, sizeof(text));

    if (answer <= 0) {
        return answer;
    }
    if (inet_pton(family, text, ip) != 1) {
        return -1;
    }
    *addr = addr_of(family, ip, 0);
    return 1;
}

static int line_port(struct line *line, char stop, uint16_t *port)
{
    char text[PORT_TEXT_MAX];
    int answer = line_field(line, "0123456789", stop, text, sizeof(text));
    unsigned long number;

    if (answer <= 0) {
        return answer;
    }
    number = strtoul(text, NULL, 10);
    if (number > UINT16_MAX || (text[0] == '0' && text[1] != '\0')) {
        return -1;
    }
    *port = (uint16_t)number;
    return 1;
}

static int line_addresses(struct line *line, int family,
                          struct proxy_header *out)
{
    struct addr source;
    struct addr destination;
    int answer = line_ip(line, family, &source);

    if (answer > 0) {
        answer = line_ip(line, family, &destination);
    }
    if (answer > 0) {
        answer = line_port(line, ' ', &source.port);
    }
    if (answer > 0) {
        answer = line_port(line, '\r', &destination.port);
    }
    if (answer > 0) {
        answer = line_word(line, "\n");
    }
    if (answer > 0) {
        *out = (struct proxy_header){
            .source = source,
            .destination = destination,
        };
    }
    return answer;
}

static int line_unknown(struct line *line, struct proxy_header *out)
{
    int answer = line_left(line) == 0 || *line->at == ' ' || *line->at == '\r'
                     ? line_rest(line)
                     : -1;

    if (answer > 0) {
        *out = (struct proxy_header){.local = true};
    }
    return answer;
}

static int line_protocol(struct line *line, struct proxy_header *out)
{
    static const struct {
        const char *word;
        int family;
    } protocols[] = {
        {"TCP4 ", AF_INET},
        {"TCP6 ", AF_INET6},
        {"UNKNOWN", AF_UNSPEC},
    };

    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        int family = protocols[i].family;
        int answer = line_word(line, protocols[i].word);

        if (answer == 0) {
            return 0;
        }
        if (answer > 0) {
            return family == AF_UNSPEC ? line_unknown(line, out)
                                       : line_addresses(line, family, out);
        }
    }
    return -1;
}

static int parse_v1(const uint8_t *bytes, size_t count,
                    struct proxy_header *out)
{
    const char *text = (const char *)bytes;
    size_t length = count < LINE_MAX_BYTES ? count : LINE_MAX_BYTES;
    struct line line = {.at = text, .end = text + length};
    int answer = line_word(&line, "PROXY ");

    if (answer > 0) {
        answer = line_protocol(&line, out);
    }
    if (answer > 0) {
        return (int)(line.at - text);
    }
    return length == LINE_MAX_BYTES ? -1 : answer;
}

/* ---- version 2: section 2.2 ---------------------------------------------- */

static size_t read_u16(const uint8_t *bytes)
{
    return (size_t)bytes[0] << 8 | bytes[1];
}

static void decode_ip(const uint8_t *at, int family, size_t ip_bytes,
                      struct proxy_header *out)
{
    const uint8_t *ports = at + 2 * ip_bytes;

    *out = (struct proxy_header){
        .source = addr_of(family, at, (uint16_t)read_u16(ports)),
        .destination =
            addr_of(family, at + ip_bytes, (uint16_t)read_u16(ports + 2)),
    };
}

static void decode_addresses(const uint8_t *at, unsigned family,
                             struct proxy_header *out)
{
    if (family == FAMILY_UNIX) {
        *out = (struct proxy_header){
            .source.family = AF_UNIX,
            .destination.family = AF_UNIX,
        };
    } else if (family == FAMILY_INET) {
        decode_ip(at, AF_INET, 4, out);
    } else {
        decode_ip(at, AF_INET6, 16, out);
    }
}

/* Version, command and family, as far as they were received. */
static bool head_is_valid(const uint8_t *bytes, size_t count)
{
    if (count > 12 && bytes[12] == COMMAND_LOCAL) {
        return true;
    }
    return (count <= 12 || bytes[12] == COMMAND_PROXY) &&
           (count <= 13 ||
            (bytes[13] >> 4 < FAMILIES && (bytes[13] & 0xf) < TRANSPORTS));
}

/* LOCAL, or an unspecified family or transport. */
static bool head_is_local(const uint8_t *bytes)
{
    return bytes[12] == COMMAND_LOCAL || bytes[13] >> 4 == FAMILY_UNSPEC ||
           (bytes[13] & 0xf) == TRANSPORT_UNSPEC;
}

/* Where the TLVs begin. What a sender of LOCAL puts there need not fit the
 * family that it names. */
static size_t tlvs_at(const uint8_t *bytes, size_t length)
{
    unsigned family = bytes[13] >> 4;
    size_t at = HEAD_BYTES + (family < FAMILIES ? address_bytes[family] : 0);

    return at < length ? at : length;
}

/* The whole header, of length bytes, was received. Behind LOCAL and UNSPEC
 * anything may follow, but a checksum counts there too. */
static int decode_block(const uint8_t *bytes, size_t length,
                        struct proxy_header *out)
{
    bool local = head_is_local(bytes);
    size_t crc_at;

    if ((!proxy_tlv_scan(bytes, length, tlvs_at(bytes, length), &crc_at) &&
         !local) ||
        (crc_at != 0 && !proxy_tlv_crc_is_valid(bytes, length, crc_at))) {
        return -1;
    }
    if (local) {
        *out = (struct proxy_header){.local = true};
    } else {
        decode_addresses(bytes + HEAD_BYTES, bytes[13] >> 4, out);
    }
    return (int)length;
}

static int parse_v2(const uint8_t *bytes, size_t count,
                    struct proxy_header *out)
{
    size_t known = count < sizeof(signature) ? count : sizeof(signature);
    size_t length;

    if (memcmp(bytes, signature, known) != 0 || !head_is_valid(bytes, count)) {
        return -1;
    }
    if (count < HEAD_BYTES) {
        return 0;
    }
    length = read_u16(bytes + 14);
    if (!head_is_local(bytes) && length < address_bytes[bytes[13] >> 4]) {
        return -1;
    }
    length += HEAD_BYTES;
    return count < length ? 0 : decode_block(bytes, length, out);
}

int proxy_header_parse(const uint8_t *bytes, size_t count,
                       struct proxy_header *out)
{
    if (count == 0) {
        return 0;
    }
    return bytes[0] == signature[0] ? parse_v2(bytes, count, out)
                                    : parse_v1(bytes, count, out);
}

size_t proxy_header_tlvs(const uint8_t *bytes, size_t length)
{
    return bytes[0] != signature[0] || head_is_local(bytes)
               ? length
               : tlvs_at(bytes, length);
}

/* ---- writing ------------------------------------------------------------- */

/* The family in which both can be written, or AF_UNSPEC. */
static int common_family(const struct proxy_header *header)
{
    const struct addr *source = &header->source;
    const struct addr *destination = &header->destination;

    if (header->local || !addr_is_ip(source) || !addr_is_ip(destination)) {
        return AF_UNSPEC;
    }
    return source->family == destination->family ? source->family : AF_INET6;
}

static void ip_in_family(const struct addr *addr, int family, uint8_t ip[16])
{
    static const uint8_t mapped[MAPPED_HEAD] = {[10] = 0xff, [11] = 0xff};

    if (addr->family == family) {
        memcpy(ip, addr->ip, sizeof(addr->ip));
    } else {
        memcpy(ip, mapped, sizeof(mapped));
        memcpy(ip + sizeof(mapped), addr->ip, 4);
    }
}

static void format_ip(const struct addr *addr, int family,
                      char text[INET6_ADDRSTRLEN])
{
    uint8_t ip[16];

    ip_in_family(addr, family, ip);
    (void)inet_ntop(family, ip, text, INET6_ADDRSTRLEN);
    if (family == AF_INET6 && strchr(text, '.') != NULL) {
        /* The line allows hexadecimal groups only: no "::ffff:1.2.3.4". */
        char *last = strrchr(text, ':') + 1;

        (void)snprintf(last, (size_t)(text + INET6_ADDRSTRLEN - last),
                       "%zx:%zx", read_u16(ip + 12), read_u16(ip + 14));
    }
}

size_t proxy_header_format_v1(const struct proxy_header *header,
                              char buffer[PROXY_HEADER_V1_MAX])
{
    int family = common_family(header);
    char source[INET6_ADDRSTRLEN];
    char destination[INET6_ADDRSTRLEN];

    if (family == AF_UNSPEC) {
        return (size_t)snprintf(buffer, PROXY_HEADER_V1_MAX,
                                "PROXY UNKNOWN\r\n");
    }
    format_ip(&header->source, family, source);
    format_ip(&header->destination, family, destination);
    return (size_t)snprintf(buffer, PROXY_HEADER_V1_MAX,
                            "PROXY TCP%c %s %s %u %u\r\n",
                            family == AF_INET ? '4' : '6', source, destination,
                            header->source.port, header->destination.port);
}

static uint8_t *write_u16(uint8_t *at, size_t number)
{
    *at++ = (uint8_t)(number >> 8);
    *at++ = (uint8_t)number;
    return at;
}

static uint8_t *write_ip(uint8_t *at, const struct addr *addr, int family)
{
    size_t count = family == AF_INET ? 4 : 16;
    uint8_t ip[16];

    ip_in_family(addr, family, ip);
    memcpy(at, ip, count);
    return at + count;
}

size_t proxy_header_format_v2(const struct proxy_header *header,
                              uint8_t buffer[PROXY_HEADER_V2_MAX],
                              bool datagram)
{
    int family = common_family(header);
    unsigned code = family == AF_INET ? FAMILY_INET : FAMILY_INET6;
    unsigned transport = datagram ? TRANSPORT_DGRAM : TRANSPORT_STREAM;
    uint8_t *at = buffer + sizeof(signature);

    memcpy(buffer, signature, sizeof(signature));
    if (family == AF_UNSPEC) {
        *at++ = COMMAND_LOCAL;
        *at++ = FAMILY_UNSPEC << 4 | TRANSPORT_UNSPEC;
        at = write_u16(at, 0);
        return (size_t)(at - buffer);
    }
    *at++ = COMMAND_PROXY;
    *at++ = (uint8_t)(code << 4 | transport);
    at = write_u16(at, address_bytes[code]);
    at = write_ip(at, &header->source, family);
    at = write_ip(at, &header->destination, family);
    at = write_u16(at, header->source.port);
    at = write_u16(at, header->destination.port);
    return (size_t)(at - buffer);
}
