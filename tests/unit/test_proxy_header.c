#include "wire/proxy_header.h"

#include "seeded.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(20201)

#define HEAD "\r\n\r\n\0\r\nQUIT\n" /* of version 2 */

/* A header under construction, or any other bytes. */
struct bytes {
    size_t count;
    uint8_t data[PROXY_HEADER_MAX + 16];
};
static struct bytes made;

static void add(const void *data, size_t count)
{
    assert_true(count <= sizeof(made.data) - made.count);
    memcpy(made.data + made.count, data, count);
    made.count += count;
}

static void add_u16(unsigned number)
{
    add((uint8_t[]){(uint8_t)(number >> 8), (uint8_t)number}, 2);
}

/* The 16 bytes that every header has, with the length of the rest. */
static void start(unsigned command, unsigned family, unsigned length)
{
    made.count = 0;
    add(HEAD, 12);
    add((uint8_t[]){(uint8_t)command, (uint8_t)family}, 2);
    add_u16(length);
}

static void set_length(void)
{
    made.data[14] = (uint8_t)((made.count - 16) >> 8);
    made.data[15] = (uint8_t)(made.count - 16);
}

static void add_tlv(unsigned type, const void *value, unsigned count)
{
    add((uint8_t[]){(uint8_t)type}, 1);
    add_u16(count);
    add(value, count);
    set_length();
}

/* TCP over IPv4, 1.2.3.4:258 to 5.6.7.8:443. */
static void start_ipv4(void)
{
    start(0x21, 0x11, 12);
    add("\1\2\3\4\5\6\7\10\1\2\1\273", 12);
}

/* Parses a copy of just this size, so that ASan sees a read beyond it. */
static int parse(const void *data, size_t count, struct proxy_header *out)
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

static int parse_text(const char *text, struct proxy_header *out)
{
    return parse(text, strlen(text), out);
}

static struct addr ip(const char *text, uint16_t port)
{
    struct addr addr = {0};

    if (text != NULL) {
        assert_null(addr_parse_ip(text, &addr));
        addr.port = port;
    }
    return addr;
}

static bool same_addr(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port &&
           memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static bool same(const struct proxy_header *a, const struct proxy_header *b)
{
    return a->local == b->local && same_addr(&a->source, &b->source) &&
           same_addr(&a->destination, &b->destination);
}

/* source NULL: none. */
static void check_is(const struct proxy_header *header, const char *source,
                     uint16_t source_port, const char *destination,
                     uint16_t destination_port)
{
    struct proxy_header wanted = {
        .local = source == NULL,
        .source = ip(source, source_port),
        .destination = ip(destination, destination_port),
    };

    assert_true(same(header, &wanted));
}

static void check_is_unix(const struct proxy_header *header)
{
    struct proxy_header wanted = {
        .source.family = AF_UNIX,
        .destination.family = AF_UNIX,
    };

    assert_true(same(header, &wanted));
}

/* Legal headers, which other tests cut, corrupt and extend. */

#define LONGEST_IPV6 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"

static const struct {
    const char *text;
    const char *source;
    const char *destination;
    uint16_t ports[2];
} lines[] = {
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

static const struct {
    unsigned family; /* of the table in section 2.2 */
    unsigned length;
} blocks[] = {
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

/* As HAProxy 2.6 sent them: a checksum and a unique id; a checksum. */
static const uint8_t recorded_ipv4[] = {
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54,
    0x0a, 0x21, 0x11, 0x00, 0x3a, 0x7f, 0x00, 0x00, 0x01, 0x7f, 0x00,
    0x00, 0x01, 0xea, 0x66, 0x6d, 0xc5, 0x03, 0x00, 0x04, 0xd7, 0x3e,
    0xd3, 0x4c, 0x05, 0x00, 0x24, 0x34, 0x37, 0x32, 0x65, 0x37, 0x62,
    0x36, 0x61, 0x2d, 0x37, 0x66, 0x64, 0x65, 0x2d, 0x34, 0x37, 0x33,
    0x62, 0x2d, 0x61, 0x30, 0x33, 0x62, 0x2d, 0x30, 0x39, 0x31, 0x37,
    0x31, 0x66, 0x62, 0x33, 0x36, 0x65, 0x63, 0x31};
static const uint8_t recorded_ipv6[] = {
    0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
    0x21, 0x21, 0x00, 0x2b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
    0x81, 0x2c, 0x6d, 0xc7, 0x03, 0x00, 0x04, 0x89, 0xe4, 0xf7, 0x06};

#define LEGAL (ARRAY_LEN(lines) + 2 * ARRAY_LEN(blocks) + 3)

/* An address block whose addresses and ports are 0, 1, 2 ... */
static void make_block(unsigned command, size_t index)
{
    start(command, blocks[index].family, blocks[index].length);
    for (unsigned i = 0; i < blocks[index].length; i++) {
        add((uint8_t[]){(uint8_t)i}, 1);
    }
}

/* Builds the header of that number. */
static void make_legal(size_t number)
{
    made.count = 0;
    if (number < ARRAY_LEN(lines)) {
        add(lines[number].text, strlen(lines[number].text));
        return;
    }
    number -= ARRAY_LEN(lines);
    if (number < 2 * ARRAY_LEN(blocks)) {
        make_block(0x20 + number % 2, number / 2);
        return;
    }
    switch (number - 2 * ARRAY_LEN(blocks)) {
    case 0:
        add(recorded_ipv4, sizeof(recorded_ipv4));
        break;
    case 1:
        add(recorded_ipv6, sizeof(recorded_ipv6));
        break;
    default:
        start_ipv4();
        add_tlv(0x02, "a.example", 9);
        add_tlv(0x04, "", 0);
    }
}

/* ---- what is legal ------------------------------------------------------- */

static void lines_of_the_specification_are_read(void **state)
{
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        int length = (int)strlen(lines[i].text);

        assert_int_equal(parse_text(lines[i].text, &header), length);
        check_is(&header, lines[i].source, lines[i].ports[0],
                 lines[i].destination, lines[i].ports[1]);
    }
}

static void families_of_the_specification_are_read(void **state)
{
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
        unsigned family = blocks[i].family;

        make_block(0x21, i);
        assert_int_equal(parse(made.data, made.count, &header), made.count);
        if (family == 0x11 || family == 0x12) {
            check_is(&header, "0.1.2.3", 0x0809, "4.5.6.7", 0x0a0b);
        } else if (family == 0x21 || family == 0x22) {
            check_is(&header, "1:203:405:607:809:a0b:c0d:e0f", 0x2021,
                     "1011:1213:1415:1617:1819:1a1b:1c1d:1e1f", 0x2223);
        } else if (family == 0x31 || family == 0x32) {
            check_is_unix(&header);
        } else {
            check_is(&header, NULL, 0, NULL, 0);
        }
    }
}

static void local_has_no_addresses_whatever_its_family(void **state)
{
    struct proxy_header header;

    (void)state;
    for (unsigned family = 0; family <= UINT8_MAX; family++) {
        start(0x20, family, 5);
        add("\3\377\377\1\2", 5);
        assert_int_equal(parse(made.data, made.count, &header), 21);
        check_is(&header, NULL, 0, NULL, 0);
    }
}

static void recorded_headers_are_read(void **state)
{
    struct proxy_header header;

    (void)state;
    assert_int_equal(parse(recorded_ipv4, sizeof(recorded_ipv4), &header),
                     sizeof(recorded_ipv4));
    check_is(&header, "127.0.0.1", 60006, "127.0.0.1", 28101);
    assert_int_equal(parse(recorded_ipv6, sizeof(recorded_ipv6), &header),
                     sizeof(recorded_ipv6));
    check_is(&header, "::1", 33068, "::1", 28103);
}

static void mapped_addresses_are_ipv4(void **state)
{
    struct proxy_header header;

    (void)state;
    start(0x21, 0x21, 36);
    add("\0\0\0\0\0\0\0\0\0\0\377\377\1\2\3\4", 16);
    add("\40\1\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    add("\0\5\0\6", 4);
    assert_int_equal(parse(made.data, made.count, &header), 52);
    check_is(&header, "1.2.3.4", 5, "2001::1", 6);
}

static void every_prefix_asks_for_more(void **state)
{
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < LEGAL; i++) {
        make_legal(i);
        for (size_t count = 0; count < made.count; count++) {
            assert_int_equal(parse(made.data, count, &header), 0);
        }
        assert_int_equal(parse(made.data, made.count, &header), made.count);
    }
}

static void bytes_after_the_header_are_not_taken(void **state)
{
    static const char *const payloads[] = {"\r\n", "\n", "P",
                                           "PROXY UNKNOWN"
                                           "\r\n",
                                           HEAD};
    struct proxy_header alone;
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < LEGAL * ARRAY_LEN(payloads); i++) {
        const char *payload = payloads[i % ARRAY_LEN(payloads)];
        size_t count;

        make_legal(i / ARRAY_LEN(payloads));
        count = made.count;
        assert_int_equal(parse(made.data, count, &alone), count);
        add(payload, strlen(payload));
        assert_int_equal(parse(made.data, made.count, &header), count);
        assert_true(same(&header, &alone));
    }
}

static void the_longest_header_is_read(void **state)
{
    struct proxy_header header;
    uint8_t byte = 0;

    (void)state;
    start_ipv4();
    add("\4\377\360", 3);
    while (made.count < PROXY_HEADER_MAX) {
        add(&byte, 1);
    }
    set_length();
    assert_int_equal(parse(made.data, made.count - 1, &header), 0);
    assert_int_equal(parse(made.data, made.count, &header), PROXY_HEADER_MAX);
    check_is(&header, "1.2.3.4", 258, "5.6.7.8", 443);
}

/* ---- what is not --------------------------------------------------------- */

/* Each is wrong from its last byte on, and no sooner. */
static const char *const wrong_lines[] = {
    "p",
    "G",
    "\n",
    "\x16",
    "PRo",
    "PROXY\r",
    "PROXY  ",
    "PROXY\t",
    "PROXY T ",
    "PROXY TCP5",
    "PROXY TCP\r",
    "PROXY UD",
    "PROXY UNKNOWNS",
    "PROXY UNKNOWN\n",
    "PROXY UNKNOWN\r\r",
    "PROXY UNKNOWN x\n",
    "PROXY UNKNOWN x\ry",
    "PROXY TCP4  ",
    "PROXY TCP4 1.2.3.4  ",
    "PROXY TCP4 1.2.3 ",
    "PROXY TCP4 1.2.3.4.5 ",
    "PROXY TCP4 256.1.1.1 ",
    "PROXY TCP4 1.2.3.04 ",
    "PROXY TCP4 00.2.3.4 ",
    "PROXY TCP4 1.2..4 ",
    "PROXY TCP4 a",
    "PROXY TCP4 :",
    "PROXY TCP4 1.2.3.4 -",
    "PROXY TCP4 1.2.3.4\r",
    "PROXY TCP4 1.2.3.4 1.2.3.4  ",
    "PROXY TCP4 1.2.3.4 1.2.3.4 65536 ",
    "PROXY TCP4 1.2.3.4 1.2.3.4 01 ",
    "PROXY TCP4 1.2.3.4 1.2.3.4 00 ",
    "PROXY TCP4 1.2.3.4 1.2.3.4 +",
    "PROXY TCP4 1.2.3.4 1.2.3.4 123456",
    "PROXY TCP4 1.2.3.4 1.2.3.4 1\r",
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r",
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 ",
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r",
    "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r",
    "PROXY TCP6 1.2.3.4 ",
    "PROXY TCP6 1:2:3:4:5:6:7 ",
    "PROXY TCP6 1:2:3:4:5:6:7:8:9 ",
    "PROXY TCP6 1::2::3 ",
    "PROXY TCP6 12345:: ",
    "PROXY TCP6 ::g",
    "PROXY TCP6 [",
    "PROXY TCP6 fe80::1%",
    "PROXY TCP6 0000000000000000000000000000000000000000000001",
};

static void lines_are_refused_at_the_byte_that_is_wrong(void **state)
{
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong_lines); i++) {
        size_t count = strlen(wrong_lines[i]);

        if (parse(wrong_lines[i], count - 1, &header) != 0 ||
            parse(wrong_lines[i], count, &header) != -1) {
            fail_msg("'%s'", wrong_lines[i]);
        }
    }
}

static void a_zero_byte_ends_no_field(void **state)
{
    static const char line[] = "PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n";
    struct proxy_header header;

    (void)state;
    assert_int_equal(parse(line, 18, &header), 0);
    assert_int_equal(parse(line, 19, &header), -1);
    assert_int_equal(parse(line, sizeof(line) - 1, &header), -1);
}

static void a_line_ends_within_107_bytes(void **state)
{
    struct proxy_header header;
    char line[110];

    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(parse(line, 106, &header), 0);
    assert_int_equal(parse(line, 107, &header), -1);
    memcpy(line + 105, "\r\n", 2);
    assert_int_equal(parse(line, sizeof(line), &header), 107);
    memcpy(line + 105, "x\r\n", 3);
    assert_int_equal(parse(line, 107, &header), -1);
    assert_int_equal(parse(line, sizeof(line), &header), -1);
}

/* Every version and command, and every family of a PROXY command. */
static void heads_are_refused_at_the_byte_that_is_wrong(void **state)
{
    struct proxy_header header;

    (void)state;
    for (unsigned byte = 0; byte <= UINT8_MAX; byte++) {
        bool family = byte >> 4 <= 3 && (byte & 0xf) <= 2;

        start(byte, 0x11, 12);
        assert_int_equal(parse(made.data, 13, &header),
                         byte == 0x20 || byte == 0x21 ? 0 : -1);
        start(0x21, byte, 216);
        assert_int_equal(parse(made.data, 14, &header), family ? 0 : -1);
    }
}

static void addresses_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        unsigned family;
        unsigned length;
    } needs[] = {{0x11, 12}, {0x12, 12},  {0x21, 36},
                 {0x22, 36}, {0x31, 216}, {0x32, 216}};
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
        start(0x21, needs[i].family, needs[i].length - 1);
        assert_int_equal(parse(made.data, 15, &header), 0);
        assert_int_equal(parse(made.data, 16, &header), -1);
        start(0x21, needs[i].family, needs[i].length);
        assert_int_equal(parse(made.data, 16, &header), 0);
    }
}

static void tlvs_fill_the_header_exactly(void **state)
{
    static const struct {
        const char *bytes;
        unsigned count;
        bool right;
    } tails[] = {
        {"", 0, true},
        {"\1", 1, false},
        {"\1\0", 2, false},
        {"\1\0\0", 3, true},
        {"\1\0\1", 3, false},
        {"\1\0\1x", 4, true},
        {"\1\0\1xy", 5, false},
        {"\1\0\2x", 4, false},
        {"\1\377\377x", 4, false},
        {"\1\0\1x\4\0\0\352\0\2yz", 12, true},
        {"\1\0\1x\4\0\0\352\0\3yz", 12, false},
        {"\1\0\1x\4\0\0\352\0\1yz", 12, false},
    };
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        start_ipv4();
        add(tails[i].bytes, tails[i].count);
        set_length();
        assert_int_equal(parse(made.data, made.count, &header),
                         tails[i].right ? (int)made.count : -1);
    }
}

/* Bit by bit. RFC 3720, appendix B.4 has the checksums of 32 bytes. */
static uint32_t plain_crc32c(const uint8_t *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < 8 * count; i++) {
        crc ^= bytes[i / 8] >> i % 8 & 1;
        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void add_crc(void)
{
    size_t at = made.count + 3;
    uint32_t crc;

    add_tlv(0x03, "\0\0\0\0", 4);
    crc = htonl(plain_crc32c(made.data, made.count));
    memcpy(made.data + at, &crc, sizeof(crc));
}

static void a_checksum_that_is_there_must_be_right(void **state)
{
    static const uint8_t zeros[32];
    struct proxy_header header;
    size_t type_at;

    (void)state;
    assert_int_equal(plain_crc32c(zeros, 32), 0x8a9136aa);
    start_ipv4();
    add_tlv(0x02, "name", 4);
    type_at = made.count;
    add_crc();
    assert_int_equal(parse(made.data, made.count, &header), made.count);
    for (size_t i = 16; i < made.count; i++) {
        if (i == type_at) {
            continue; /* a TLV of another type is ignored */
        }
        made.data[i] ^= 0x20;
        assert_int_equal(parse(made.data, made.count, &header), -1);
        made.data[i] ^= 0x20;
    }
}

/* Addresses that are ignored come first, as long as the family says. */
static void a_checksum_counts_without_addresses_too(void **state)
{
    static const struct {
        unsigned command, family, length;
    } heads[] = {{0x20, 0x00, 0},   {0x20, 0x11, 12}, {0x20, 0x21, 36},
                 {0x20, 0x31, 216}, {0x20, 0x50, 0},  {0x21, 0x00, 0},
                 {0x21, 0x01, 0},   {0x21, 0x10, 12}, {0x21, 0x20, 36}};
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        start(heads[i].command, heads[i].family, heads[i].length);
        for (unsigned j = 0; j < heads[i].length; j++) {
            add("x", 1);
        }
        add_tlv(0x02, "name", 4);
        add_crc();
        assert_int_equal(parse(made.data, made.count, &header), made.count);
        check_is(&header, NULL, 0, NULL, 0);
        made.data[made.count - 1] ^= 1;
        assert_int_equal(parse(made.data, made.count, &header), -1);
        made.data[made.count - 1] ^= 1;
        made.data[made.count - 8] ^= 1; /* of the name */
        assert_int_equal(parse(made.data, made.count, &header), -1);
    }
}

static void a_checksum_is_four_bytes_and_the_only_one(void **state)
{
    struct proxy_header header;

    (void)state;
    start_ipv4();
    add_tlv(0x03, "", 0);
    assert_int_equal(parse(made.data, made.count, &header), -1);
    start_ipv4();
    add_tlv(0x03, "12345", 5);
    assert_int_equal(parse(made.data, made.count, &header), -1);
    start_ipv4();
    add_tlv(0x03, "\0\0\0\0", 4);
    add_crc();
    assert_int_equal(parse(made.data, made.count, &header), -1);
}

/* A header that was accepted is one that could have been sent. */
static void check_sensible(const struct proxy_header *header)
{
    uint16_t source = header->source.family;
    uint16_t destination = header->destination.family;

    assert_true(header->local == (source == 0));
    assert_true(header->local == (destination == 0));
    assert_true((source == AF_UNIX) == (destination == AF_UNIX));
    assert_true(source == 0 || source == AF_UNIX || source == AF_INET ||
                source == AF_INET6);
    assert_true(destination == 0 || destination == AF_UNIX ||
                destination == AF_INET || destination == AF_INET6);
}

static void no_corrupt_byte_breaks_it(void **state)
{
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < LEGAL; i++) {
        make_legal(i);
        for (size_t at = 0; at < made.count; at++) {
            bool fixed = at < (i < ARRAY_LEN(lines) ? 6 : 12);

            for (unsigned flip = 1; flip <= UINT8_MAX; flip++) {
                int answer;

                made.data[at] ^= (uint8_t)flip;
                answer = parse(made.data, made.count, &header);
                made.data[at] ^= (uint8_t)flip;
                assert_in_range(answer + 1, 0, fixed ? 0 : made.count + 1);
                if (answer > 0) {
                    check_sensible(&header);
                }
            }
        }
    }
}

/* ---- writing ------------------------------------------------------------- */

static const char *line_of(const struct proxy_header *header)
{
    static char line[PROXY_HEADER_V1_MAX];
    size_t count;

    memset(line, 'x', sizeof(line));
    count = proxy_header_format_v1(header, line);
    assert_int_equal(strlen(line), count);
    return line;
}

static struct proxy_header header_of(const char *source, uint16_t source_port,
                                     const char *destination,
                                     uint16_t destination_port)
{
    return (struct proxy_header){
        .source = ip(source, source_port),
        .destination = ip(destination, destination_port),
    };
}

static void lines_are_written_as_specified(void **state)
{
    struct proxy_header header = header_of("1.2.3.4", 0, "5.6.7.8", 65535);

    (void)state;
    assert_string_equal(line_of(&header),
                        "PROXY TCP4 1.2.3.4 5.6.7.8 0 65535\r\n");
    header = header_of("2001:db8::a", 1, "::", 2);
    assert_string_equal(line_of(&header), "PROXY TCP6 2001:db8::a :: 1 2\r\n");
    header = header_of(LONGEST_IPV6, 65535, LONGEST_IPV6, 65535);
    assert_string_equal(line_of(&header), "PROXY TCP6 " LONGEST_IPV6
                                          " " LONGEST_IPV6 " 65535 65535\r\n");
}

static void version_2_is_written_as_specified(void **state)
{
    struct proxy_header header = header_of("1.2.3.4", 258, "5.6.7.8", 443);
    uint8_t buffer[PROXY_HEADER_V2_MAX];

    (void)state;
    start_ipv4();
    assert_int_equal(proxy_header_format_v2(&header, buffer, false), 28);
    assert_memory_equal(buffer, made.data, 28);
    made.data[13] = 0x12;
    assert_int_equal(proxy_header_format_v2(&header, buffer, true), 28);
    assert_memory_equal(buffer, made.data, 28);
    header = header_of("1::2", 3, "4::5", 6);
    start(0x21, 0x22, 36);
    add("\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\5", 32);
    add("\0\3\0\6", 4);
    assert_int_equal(proxy_header_format_v2(&header, buffer, true), 52);
    assert_memory_equal(buffer, made.data, 52);
}

static void two_families_are_written_as_ipv6(void **state)
{
    struct proxy_header header = header_of("1.2.3.4", 5, "2001:db8::1", 6);
    struct proxy_header back;
    uint8_t buffer[PROXY_HEADER_V2_MAX];

    (void)state;
    assert_string_equal(line_of(&header),
                        "PROXY TCP6 ::ffff:102:304 2001:db8::1 5 6\r\n");
    assert_int_equal(proxy_header_format_v2(&header, buffer, false), 52);
    assert_memory_equal(
        buffer + 12, "\x21\x21\0\44\0\0\0\0\0\0\0\0\0\0\377\377\1\2\3\4", 20);
    assert_int_equal(parse(buffer, 52, &back), 52);
    assert_true(same(&header, &back));
    header = header_of("::", 5, "1.2.3.4", 6);
    assert_string_equal(line_of(&header),
                        "PROXY TCP6 :: ::ffff:102:304 5 6\r\n");
}

static void without_two_ip_addresses_nothing_is_told(void **state)
{
    static const struct proxy_header nameless[] = {
        {.local = true},
        {.local = true,
         .source = {.family = AF_INET},
         .destination = {.family = AF_INET}},
        {.source = {.family = AF_UNIX}, .destination = {.family = AF_UNIX}},
        {.source = {.family = AF_INET}, .destination = {.family = AF_UNIX}},
        {.source = {.family = AF_UNIX}, .destination = {.family = AF_INET6}},
        {.source = {.family = AF_INET}},
    };
    uint8_t buffer[PROXY_HEADER_V2_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(nameless); i++) {
        assert_string_equal(line_of(&nameless[i]), "PROXY UNKNOWN\r\n");
        assert_int_equal(proxy_header_format_v2(&nameless[i], buffer, i % 2),
                         16);
        assert_memory_equal(buffer, HEAD "\x20\0\0\0", 16);
    }
}

static struct addr any_addr(struct seeded *seeded)
{
    struct addr addr = {
        .family = seeded_below(seeded, 2) == 0 ? AF_INET : AF_INET6,
        .port = (uint16_t)seeded_magnitude(seeded, 16),
    };
    size_t count = addr.family == AF_INET ? 4 : 16;

    /* Mostly zeros, so that "::" occurs in all places. */
    for (size_t i = 0; i < count; i++) {
        if (seeded_below(seeded, 3) == 0) {
            addr.ip[i] = (uint8_t)seeded_next(seeded);
        }
    }
    return addr;
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    for (uint64_t seed = SEED; seed < SEED + 20000; seed++) {
        struct seeded seeded = seeded_start(seed);
        struct proxy_header header = {
            .source = any_addr(&seeded),
            .destination = any_addr(&seeded),
        };
        struct proxy_header back;
        uint8_t buffer[PROXY_HEADER_V2_MAX];
        int count = (int)proxy_header_format_v2(&header, buffer, seed % 2 == 0);

        seeded_assert(&seeded, parse(buffer, (size_t)count, &back) == count);
        seeded_assert(&seeded, same(&header, &back));
        count = (int)strlen(line_of(&header));
        seeded_assert(&seeded, parse_text(line_of(&header), &back) == count);
        seeded_assert(&seeded, same(&header, &back));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_the_specification_are_read),
        cmocka_unit_test(families_of_the_specification_are_read),
        cmocka_unit_test(local_has_no_addresses_whatever_its_family),
        cmocka_unit_test(recorded_headers_are_read),
        cmocka_unit_test(mapped_addresses_are_ipv4),
        cmocka_unit_test(every_prefix_asks_for_more),
        cmocka_unit_test(bytes_after_the_header_are_not_taken),
        cmocka_unit_test(the_longest_header_is_read),
        cmocka_unit_test(lines_are_refused_at_the_byte_that_is_wrong),
        cmocka_unit_test(a_zero_byte_ends_no_field),
        cmocka_unit_test(a_line_ends_within_107_bytes),
        cmocka_unit_test(heads_are_refused_at_the_byte_that_is_wrong),
        cmocka_unit_test(addresses_that_do_not_fit_are_refused),
        cmocka_unit_test(tlvs_fill_the_header_exactly),
        cmocka_unit_test(a_checksum_that_is_there_must_be_right),
        cmocka_unit_test(a_checksum_counts_without_addresses_too),
        cmocka_unit_test(a_checksum_is_four_bytes_and_the_only_one),
        cmocka_unit_test(no_corrupt_byte_breaks_it),
        cmocka_unit_test(lines_are_written_as_specified),
        cmocka_unit_test(version_2_is_written_as_specified),
        cmocka_unit_test(two_families_are_written_as_ipv6),
        cmocka_unit_test(without_two_ip_addresses_nothing_is_told),
        cmocka_unit_test(what_is_written_is_read_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
