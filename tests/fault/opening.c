#include "opening.h"

#include "kernel.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* Bytes that are being written. */
struct writer {
    uint8_t *bytes;
    uint32_t count;
};

static void put_bytes(struct writer *writer, const void *bytes, size_t count)
{
    memcpy(writer->bytes + writer->count, bytes, count);
    writer->count += (uint32_t)count;
}

/* A number of so many bytes. */
static void put(struct writer *writer, unsigned bytes, uint32_t number)
{
    while (bytes-- > 0) {
        writer->bytes[writer->count++] = (uint8_t)(number >> (8 * bytes));
    }
}

static void put_random(struct writer *writer, uint32_t count)
{
    while (count-- > 0) {
        put(writer, 1, (uint32_t)kernel_below(256));
    }
}

/* Writes the size of what follows that place, which is a number of so many
 * bytes there. */
static void close_vector(struct writer *writer, uint32_t at, unsigned bytes)
{
    struct writer place = {writer->bytes, at};

    put(&place, bytes, writer->count - at - bytes);
}

static uint32_t open_vector(struct writer *writer, unsigned bytes)
{
    uint32_t at = writer->count;

    put(writer, bytes, 0);
    return at;
}

/* ---- PROXY headers ----------------------------------------------------- */

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };
enum { TLV_CRC32C = 3, TLV_NOOP = 4, TLV_PRIVATE = 0xe0 };

static uint32_t write_v1(const struct opening_ends *ends, uint8_t *bytes)
{
    char source[INET6_ADDRSTRLEN];
    char destination[INET6_ADDRSTRLEN];
    int family;

    if (ends == NULL) {
        return (uint32_t)sprintf((char *)bytes, "PROXY UNKNOWN\r\n");
    }
    family = ends->source.family;
    inet_ntop(family, ends->source.ip, source, sizeof(source));
    inet_ntop(family, ends->destination.ip, destination, sizeof(destination));
    return (uint32_t)sprintf((char *)bytes, "PROXY TCP%c %s %s %u %u\r\n",
                             family == AF_INET ? '4' : '6', source, destination,
                             ends->source.port, ends->destination.port);
}

/* Up to the length, which is to be closed; answers its place. */
static uint32_t begin_v2(struct writer *writer, uint8_t command, uint8_t family)
{
    put_bytes(writer, SIGNATURE, 12);
    put(writer, 1, command);
    put(writer, 1, family);
    return open_vector(writer, 2);
}

static void put_ends(struct writer *writer, const struct opening_ends *ends)
{
    size_t size = ends->source.family == AF_INET ? 4 : 16;

    put_bytes(writer, ends->source.ip, size);
    put_bytes(writer, ends->destination.ip, size);
    put(writer, 2, ends->source.port);
    put(writer, 2, ends->destination.port);
}

static uint32_t begin_v2_of(struct writer *writer,
                            const struct opening_ends *ends)
{
    uint32_t length = begin_v2(
        writer, V2_PROXY, ends->source.family == AF_INET ? V2_TCP4 : V2_TCP6);

    put_ends(writer, ends);
    return length;
}

static void put_tlv(struct writer *writer, uint8_t type, uint32_t size)
{
    put(writer, 1, type);
    put(writer, 2, size);
    put_random(writer, size);
}

/* CRC-32C bit by bit (RFC 3720, 12.1). */
static uint32_t crc32c(const uint8_t *bytes, uint32_t count)
{
    uint32_t crc = UINT32_MAX;

    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
        }
    }
    return ~crc;
}

/* The sum over the header, which ends with it. */
static void put_crc(struct writer *writer, uint32_t length, uint32_t error)
{
    uint32_t at;

    put(writer, 1, TLV_CRC32C);
    put(writer, 2, 4);
    at = writer->count;
    put(writer, 4, 0);
    close_vector(writer, length, 2);
    writer->count = at;
    put(writer, 4, crc32c(writer->bytes, at + 4) ^ error);
}

static uint32_t write_v2(const struct opening_ends *ends, uint8_t *bytes)
{
    struct writer writer = {.bytes = bytes};
    uint32_t length;

    if (ends == NULL) {
        begin_v2(&writer, V2_LOCAL, V2_UNSPEC);
        return writer.count;
    }
    length = begin_v2_of(&writer, ends);
    close_vector(&writer, length, 2);
    return writer.count;
}

static uint32_t write_v2_tlvs(const struct opening_ends *ends, uint8_t *bytes)
{
    struct writer writer = {.bytes = bytes};
    uint32_t length = begin_v2_of(&writer, ends);

    for (unsigned left = (unsigned)kernel_below(3); left > 0; left--) {
        put_tlv(&writer, TLV_PRIVATE, (uint32_t)kernel_below(200));
    }
    if (kernel_chance(2)) {
        put_crc(&writer, length, 0);
    } else {
        put_tlv(&writer, TLV_NOOP, (uint32_t)kernel_below(20));
    }
    close_vector(&writer, length, 2);
    return writer.count;
}

static uint32_t write_v2_long(const struct opening_ends *ends, uint8_t *bytes)
{
    uint32_t size = kernel_chance(2)
                        ? OPENING_LOOK_BYTES - 1 + (uint32_t)kernel_below(3)
                        : OPENING_LOOK_BYTES + (uint32_t)kernel_below(6000);
    struct writer writer = {.bytes = bytes};
    uint32_t length = begin_v2_of(&writer, ends);

    /* Padding, so that the header for the upstream fits its first write. */
    put(&writer, 1, TLV_NOOP);
    put(&writer, 2, size - writer.count - 2);
    memset(bytes + writer.count, 'x', size - writer.count);
    writer.count = size;
    close_vector(&writer, length, 2);
    return size;
}

/* What follows LOCAL, or an unspecified family, means nothing. */
static uint32_t write_v2_local(uint8_t *bytes)
{
    struct writer writer = {.bytes = bytes};
    uint32_t length = kernel_chance(2) ? begin_v2(&writer, V2_LOCAL, V2_TCP4)
                                       : begin_v2(&writer, V2_PROXY, V2_UNSPEC);

    put_random(&writer, (uint32_t)kernel_below(40));
    close_vector(&writer, length, 2);
    return writer.count;
}

/* One that no further byte can make right. */
static uint32_t write_wrong(const struct opening_ends *ends, uint8_t *bytes)
{
    static const char *const lines[] = {
        "GET / HTTP/1.1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 99999 80\r\n",
        "PROXY TCP4 1.2.3 5.6.7.8 9 80\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8  9 80\r\n",
        "PROXY UNKNOWNxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
        "PROXY\r\n",
    };
    struct writer writer = {.bytes = bytes};
    const char *line;
    uint32_t length;

    switch (kernel_below(6)) {
    case 0:
        begin_v2(&writer, 0x31, V2_TCP4); /* version 3 */
        break;
    case 1:
        length = begin_v2(&writer, V2_PROXY, V2_TCP6);
        put_random(&writer, 12); /* too few for two addresses */
        close_vector(&writer, length, 2);
        break;
    case 2:
        length = begin_v2_of(&writer, ends);
        put(&writer, 1, TLV_PRIVATE);
        put(&writer, 2, 9); /* of which there are none */
        close_vector(&writer, length, 2);
        break;
    case 3:
        length = begin_v2_of(&writer, ends);
        put_crc(&writer, length, 1 + (uint32_t)kernel_below(UINT32_MAX));
        break;
    default:
        line = lines[kernel_below(ARRAY_LEN(lines))];
        put_bytes(&writer, line, strlen(line));
        break;
    }
    return writer.count;
}

uint32_t opening_write_header(enum opening_header kind,
                              const struct opening_ends *ends,
                              uint8_t bytes[OPENING_HEADER_MAX])
{
    switch (kind) {
    case HEADER_V1:
        return write_v1(ends, bytes);
    case HEADER_V2:
        return write_v2(ends, bytes);
    case HEADER_V2_TLVS:
        return write_v2_tlvs(ends, bytes);
    case HEADER_V2_LONG:
        return write_v2_long(ends, bytes);
    case HEADER_V1_LOCAL:
        return write_v1(NULL, bytes);
    case HEADER_V2_LOCAL:
        return write_v2_local(bytes);
    default:
        return write_wrong(ends, bytes);
    }
}

/* What is passed on of those of a header that came, and a checksum if it has
 * any. */
static uint32_t pass_tlvs(const struct opening_ends *ends, const uint8_t *came,
                          uint32_t came_bytes, uint8_t *bytes)
{
    struct writer writer = {.bytes = bytes};
    uint32_t length = begin_v2_of(&writer, ends);
    uint32_t before = writer.count;
    bool summed = false;

    for (uint32_t at = before; at < came_bytes;) {
        uint32_t size = 3 + ((uint32_t)came[at + 1] << 8 | came[at + 2]);

        if (came[at] == TLV_CRC32C) {
            summed = true;
        } else if (came[at] != TLV_NOOP) {
            put_bytes(&writer, came + at, size);
        }
        at += size;
    }
    if (summed || writer.count > before) {
        put_crc(&writer, length, 0);
    }
    close_vector(&writer, length, 2);
    return writer.count;
}

uint32_t opening_write_told(unsigned version, const struct opening_ends *ends,
                            const uint8_t *came, uint32_t came_bytes,
                            uint8_t bytes[OPENING_TOLD_MAX])
{
    if (version == 1) {
        return write_v1(ends, bytes);
    }
    return ends != NULL && came_bytes > 0 && came[0] == SIGNATURE[0]
               ? pass_tlvs(ends, came, came_bytes, bytes)
               : write_v2(ends, bytes);
}

/* ---- ClientHello ------------------------------------------------------- */

enum { EXTENSION_SERVER_NAME = 0, EXTENSION_ALPN = 16, EXTENSION_PADDING = 21 };
enum { RECORD_HANDSHAKE = 22, MESSAGE_CLIENT_HELLO = 1 };

static void put_server_name(struct writer *writer, const char *name)
{
    uint32_t extension, list, host;

    put(writer, 2, EXTENSION_SERVER_NAME);
    extension = open_vector(writer, 2);
    list = open_vector(writer, 2);
    put(writer, 1, 0);
    host = open_vector(writer, 2);
    put_bytes(writer, name, strlen(name));
    close_vector(writer, host, 2);
    close_vector(writer, list, 2);
    close_vector(writer, extension, 2);
}

static void put_other_extension(struct writer *writer)
{
    uint32_t extension;

    put(writer, 2, kernel_chance(2) ? EXTENSION_PADDING : EXTENSION_ALPN);
    extension = open_vector(writer, 2);
    put_random(writer, (uint32_t)kernel_below(kernel_chance(4) ? 400 : 20));
    close_vector(writer, extension, 2);
}

static void put_extensions(struct writer *writer, enum opening_hello kind,
                           const char *name)
{
    uint32_t all = open_vector(writer, 2);

    if (kernel_chance(2)) {
        put_other_extension(writer);
    }
    if (kind == HELLO_NAMED) {
        put_server_name(writer, name);
    } else if (kind == HELLO_WRONG && kernel_chance(2)) {
        put_server_name(writer, "a..name");
    } else if (kind == HELLO_WRONG) {
        put_server_name(writer, name);
        put_server_name(writer, name);
    }
    if (kernel_chance(2)) {
        put_other_extension(writer);
    }
    close_vector(writer, all, 2);
}

/* RFC 8446, 4.1.2. */
static void put_message(struct writer *writer, enum opening_hello kind,
                        const char *name, uint8_t mark)
{
    uint32_t message, vector;

    put(writer, 1, MESSAGE_CLIENT_HELLO);
    message = open_vector(writer, 3);
    put(writer, 2, 0x0303);
    put(writer, 1, mark);
    put_random(writer, 31);
    vector = open_vector(writer, 1);
    put_random(writer, (uint32_t)kernel_below(33));
    close_vector(writer, vector, 1);
    vector = open_vector(writer, 2);
    put_random(writer, 2 + 2 * (uint32_t)kernel_below(20));
    close_vector(writer, vector, 2);
    put(writer, 2, 0x0100); /* no compression */
    if (kind != HELLO_NAMELESS || kernel_chance(2)) {
        put_extensions(writer, kind, name);
    }
    close_vector(writer, message, 3);
}

/* Lays the message out in records; at most 40, so that it does not grow too
 * long. */
static uint32_t put_records(struct writer *writer, const uint8_t *message,
                            uint32_t count)
{
    unsigned left = kernel_chance(2) ? 1 : 1 + (unsigned)kernel_below(40);

    while (count > 0) {
        uint32_t size =
            left <= 1
                ? count
                : 1 + (uint32_t)kernel_below(kernel_chance(2) ? 3 : count);

        size = size < count ? size : count;
        put(writer, 1, RECORD_HANDSHAKE);
        put(writer, 2, 0x0301);
        put(writer, 2, size);
        put_bytes(writer, message, size);
        message += size;
        count -= size;
        left--;
    }
    return writer->count;
}

uint32_t opening_write_hello(enum opening_hello kind, const char *name,
                             uint8_t mark, uint8_t bytes[OPENING_HELLO_MAX])
{
    uint8_t message[2048];
    struct writer inner = {.bytes = message};
    struct writer writer = {.bytes = bytes};

    put_message(&inner, kind, name, mark);
    return put_records(&writer, message, inner.count);
}
