#include "header_bytes.h"

#include "wire/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct header_bytes header_made;

void header_add(const void *data, size_t count)
{
    assert_true(count <= sizeof(header_made.data) - header_made.count);
    memcpy(header_made.data + header_made.count, data, count);
    header_made.count += count;
}

void header_add_u16(unsigned number)
{
    header_add((uint8_t[]){(uint8_t)(number >> 8), (uint8_t)number}, 2);
}

void header_start(unsigned command, unsigned family, unsigned length)
{
    header_made.count = 0;
    header_add(HEADER_V2_HEAD, 12);
    header_add((uint8_t[]){(uint8_t)command, (uint8_t)family}, 2);
    header_add_u16(length);
}

void header_set_length(void)
{
    header_made.data[14] = (uint8_t)((header_made.count - 16) >> 8);
    header_made.data[15] = (uint8_t)(header_made.count - 16);
}

void header_add_tlv(unsigned type, const void *value, unsigned count)
{
    header_add((uint8_t[]){(uint8_t)type}, 1);
    header_add_u16(count);
    header_add(value, count);
    header_set_length();
}

void header_start_ipv4(void)
{
    header_start(0x21, 0x11, 12);
    header_add("\1\2\3\4\5\6\7\10\1\2\1\273", 12);
}

int parse_copy(const void *data, size_t count, struct proxy_header *out)
{
    uint8_t *copy = malloc(count > 0 ? count : 1);
    int answer;

    assert_non_null(copy);
    memcpy(copy, data, count);
    memset(out, 0x5a, sizeof(*out));
    answer = proxy_header_parse(copy, count, out);
    free(copy);
    return answer;
}

int parse_text(const char *text, struct proxy_header *out)
{
    return parse_copy(text, strlen(text), out);
}

struct addr ip_port(const char *text, uint16_t port)
{
    struct addr addr = {0};

    if (text != NULL) {
        assert_null(addr_parse_ip(text, &addr));
        addr.port = port;
    }
    return addr;
}

bool same_addr(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port &&
           memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool same_header(const struct proxy_header *a, const struct proxy_header *b)
{
    return a->local == b->local && same_addr(&a->source, &b->source) &&
           same_addr(&a->destination, &b->destination);
}

void check_header(const struct proxy_header *header, const char *source,
                  uint16_t source_port, const char *destination,
                  uint16_t destination_port)
{
    struct proxy_header wanted = {
        .local = source == NULL,
        .source = ip_port(source, source_port),
        .destination = ip_port(destination, destination_port),
    };

    assert_true(same_header(header, &wanted));
}

const struct header_line header_lines[] = {
    /* the longest of each kind, from section 2.1 */
    {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
     "255.255.255.255",
     "255.255.255.255",
     {65535, 65535}},
    {"PROXY TCP6 " LONGEST_IPV6 " " LONGEST_IPV6 " 65535 65535\r\n",
     LONGEST_IPV6,
     LONGEST_IPV6,
     {65535, 65535}},
    {"PROXY UNKNOWN\r\n", NULL, NULL, {0, 0}},
    {"PROXY UNKNOWN " LONGEST_IPV6 " " LONGEST_IPV6 " 65535 65535\r\n",
     NULL,
     NULL,
     {0, 0}},
    /* its example */
    {"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
     "192.168.0.1",
     "192.168.0.11",
     {56324, 443}},
    {"PROXY TCP4 0.0.0.0 10.0.0.1 0 1\r\n", "0.0.0.0", "10.0.0.1", {0, 1}},
    {"PROXY TCP6 :: 2001:DB8::a 1 2\r\n", "::", "2001:db8::a", {1, 2}},
    {"PROXY TCP6 ::ffff:102:304 ::ffff:5.6.7.8 1 2\r\n",
     "1.2.3.4",
     "5.6.7.8",
     {1, 2}},
    {"PROXY UNKNOWN \t\1\200 what ever\r\n", NULL, NULL, {0, 0}},
};

const struct header_block header_blocks[] = {
    {0x00, 0},
    {0x11, 12},
    {0x12, 12},
    {0x21, 36},
    {0x22, 36},
    {0x31, 216},
    {0x32, 216},
    /* what the specification leaves open is ignored */
    {0x00, 36},
    {0x10, 12},
    {0x20, 3},
    {0x01, 5},
};

const uint8_t header_recorded_ipv4[] = {
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54,
    0x0a, 0x21, 0x11, 0x00, 0x3a, 0x7f, 0x00, 0x00, 0x01, 0x7f, 0x00,
    0x00, 0x01, 0xea, 0x66, 0x6d, 0xc5, 0x03, 0x00, 0x04, 0xd7, 0x3e,
    0xd3, 0x4c, 0x05, 0x00, 0x24, 0x34, 0x37, 0x32, 0x65, 0x37, 0x62,
    0x36, 0x61, 0x2d, 0x37, 0x66, 0x64, 0x65, 0x2d, 0x34, 0x37, 0x33,
    0x62, 0x2d, 0x61, 0x30, 0x33, 0x62, 0x2d, 0x30, 0x39, 0x31, 0x37,
    0x31, 0x66, 0x62, 0x33, 0x36, 0x65, 0x63, 0x31};
const uint8_t header_recorded_ipv6[] = {
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
    0x21, 0x21, 0x00, 0x2b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0x81, 0x2c, 0x6d, 0xc7, 0x03, 0x00, 0x04, 0x89, 0xe4, 0xf7, 0x06};

void header_make_block(unsigned command, size_t index)
{
    header_start(command, header_blocks[index].family,
                 header_blocks[index].length);
    for (unsigned i = 0; i < header_blocks[index].length; i++) {
        header_add((uint8_t[]){(uint8_t)i}, 1);
    }
}

void header_make_legal(size_t number)
{
    header_made.count = 0;
    if (number < ARRAY_LEN(header_lines)) {
        header_add(header_lines[number].text,
                   strlen(header_lines[number].text));
        return;
    }
    number -= ARRAY_LEN(header_lines);
    if (number < 2 * ARRAY_LEN(header_blocks)) {
        header_make_block(0x20 + number % 2, number / 2);
        return;
    }
    switch (number - 2 * ARRAY_LEN(header_blocks)) {
    case 0:
        header_add(header_recorded_ipv4, sizeof(header_recorded_ipv4));
        break;
    case 1:
        header_add(header_recorded_ipv6, sizeof(header_recorded_ipv6));
        break;
    default:
        header_start_ipv4();
        header_add_tlv(0x02, "a.example", 9);
        header_add_tlv(0x04, "", 0);
    }
}
