#include "header.h"

#include "expect.h"
#include "loopback.h"
#include "socket.h"
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IP4         0x10
#define IP6         0x20
#define BY_STREAM   0x01
#define BY_DATAGRAM 0x02

static const char SIGNATURE[12] = "\r\n\r\n\0\r\nQUIT\n";

static struct header *begin(void)
{
    static struct header header;

    header.size = 0;
    return &header;
}

void header_append(struct header *header, const void *bytes, size_t count)
{
    assert_in_range(header->size + count, 0, sizeof(header->bytes));
    memcpy(header->bytes + header->size, bytes, count);
    header->size += count;
}

struct header *header_text(const char *bytes)
{
    struct header *header = begin();

    header_append(header, bytes, strlen(bytes));
    return header;
}

/* ---- version 2 ---- */

void header_set_length(struct header *header)
{
    size_t length = header->size - HEADER_V2_FIXED;

    header->bytes[14] = (unsigned char)(length >> 8);
    header->bytes[15] = (unsigned char)length;
}

static struct header *begin_v2(unsigned command, unsigned family)
{
    const unsigned char words[4] = {(unsigned char)command,
                                    (unsigned char)family};
    struct header *header = begin();

    header_append(header, SIGNATURE, sizeof(SIGNATURE));
    header_append(header, words, sizeof(words));
    return header;
}

struct header *header_v2_bare(enum header_command command,
                              enum header_family family)
{
    return begin_v2(command, family);
}

/* Both texts are of one family. */
static struct header *make_v2(unsigned protocol, const char *source,
                              unsigned source_port, const char *destination,
                              unsigned destination_port)
{
    bool is_six = strchr(source, ':') != NULL;
    struct header *header =
        begin_v2(HEADER_PROXY, (is_six ? IP6 : IP4) | protocol);
    const char *const texts[] = {source, destination};
    const uint16_t ports[] = {htons((uint16_t)source_port),
                              htons((uint16_t)destination_port)};

    for (int i = 0; i < 2; i++) {
        unsigned char address[16];
        int family = is_six ? AF_INET6 : AF_INET;

        assert_int_equal(inet_pton(family, texts[i], address), 1);
        header_append(header, address, is_six ? 16 : 4);
    }
    header_append(header, ports, sizeof(ports));
    header_set_length(header);
    return header;
}

struct header *header_v2(const char *source, unsigned source_port,
                         const char *destination, unsigned destination_port)
{
    return make_v2(BY_STREAM, source, source_port, destination,
                   destination_port);
}

struct header *header_v2_from(const char *source)
{
    bool is_six = strchr(source, ':') != NULL;

    return header_v2(source, 4000, is_six ? "2001:db8::99" : "192.0.2.99", 443);
}

void header_add_tlv(struct header *header, int type, const void *bytes,
                    size_t count)
{
    const unsigned char head[3] = {
        (unsigned char)type, (unsigned char)(count >> 8), (unsigned char)count};

    header_append(header, head, sizeof(head));
    header_append(header, bytes, count);
    header_set_length(header);
}

void header_fill(struct header *header, int type, size_t size)
{
    static const unsigned char zeros[HEADER_MAX];

    header_add_tlv(header, type, zeros, size - header->size - 3);
}

void header_pad(struct header *header, size_t size)
{
    header_fill(header, HEADER_NOOP, size);
}

/* Castagnoli's polynomial, bit by bit (RFC 3720, appendix B.4). */
static uint32_t crc32c(const unsigned char *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
        }
    }
    return ~crc;
}

void header_add_checksum(struct header *header)
{
    uint32_t crc;

    header_add_tlv(header, HEADER_CRC32C, "\0\0\0\0", 4);
    crc = htonl(crc32c(header->bytes, header->size));
    memcpy(header->bytes + header->size - 4, &crc, sizeof(crc));
}

static struct header *make_with_tlvs(bool padded)
{
    static const unsigned char ssl[] = {0x07, 0,    0,   0,   0,   0x21, 0,
                                        7,    'T',  'L', 'S', 'v', '1',  '.',
                                        '3',  0x22, 0,   1,   'a'};
    struct header *header = header_v2_from("192.0.2.7");

    header_add_tlv(header, HEADER_ALPN, "h2", 2);
    header_add_tlv(header, HEADER_UNIQUE_ID, "7F000001:1F90", 13);
    header_add_tlv(header, HEADER_SSL, ssl, sizeof(ssl));
    if (padded) {
        header_add_tlv(header, HEADER_NOOP, "", 0);
    }
    header_add_tlv(header, 0xee, "mine", 4);
    header_add_checksum(header);
    return header;
}

struct header *header_v2_with_tlvs(void)
{
    return make_with_tlvs(true);
}

struct header *header_v2_passed_on(void)
{
    return make_with_tlvs(false);
}

struct header *header_v2_unix(void)
{
    static const char paths[2][108] = {"/run/client", "/run/server"};
    struct header *header = header_v2_bare(HEADER_PROXY, HEADER_UNIX);

    header_append(header, paths, sizeof(paths));
    header_set_length(header);
    return header;
}

/* ---- of a client ---- */

/* Divides "host:port" or "[host]:port"; answers the port. */
static unsigned split(const struct loopback *address, char *host, size_t size)
{
    const char *colon = strrchr(address->text, ':');
    bool bracketed = address->text[0] == '[';
    int length = (int)(colon - address->text) - (bracketed ? 2 : 0);

    snprintf(host, size, "%.*s", length, address->text + bracketed);
    return (unsigned)atoi(colon + 1);
}

struct header *header_of_client(int client, const char *version)
{
    struct loopback local = loopback_local(client);
    struct loopback remote = loopback_remote(client);
    char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];
    unsigned source_port = split(&local, source, sizeof(source));
    unsigned destination_port =
        split(&remote, destination, sizeof(destination));
    char line[128];
    int type;
    socklen_t length = sizeof(type);

    if (strcmp(version, "v2") == 0) {
        assert_int_equal(
            getsockopt(client, SOL_SOCKET, SO_TYPE, &type, &length), 0);
        return make_v2(type == SOCK_DGRAM ? BY_DATAGRAM : BY_STREAM, source,
                       source_port, destination, destination_port);
    }
    snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n",
             local.text[0] == '[' ? '6' : '4', source, destination, source_port,
             destination_port);
    return header_text(line);
}

/* ---- on the wire ---- */

void header_send(int fd, const struct header *header)
{
    socket_send(fd, header->bytes, header->size);
}

void header_expect(int fd, const struct header *header)
{
    expect_bytes(fd, header->bytes, header->size);
}
