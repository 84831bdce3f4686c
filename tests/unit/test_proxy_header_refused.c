/* PROXY headers that are refused, and at which byte. */
#include "wire/proxy_header.h"

#include "header_bytes.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

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

        if (parse_copy(wrong_lines[i], count - 1, &header) != 0 ||
            parse_copy(wrong_lines[i], count, &header) != -1) {
            fail_msg("'%s'", wrong_lines[i]);
        }
    }
}

static void a_zero_byte_ends_no_field(void **state)
{
    static const char line[] = "PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n";
    struct proxy_header header;

    (void)state;
    assert_int_equal(parse_copy(line, 18, &header), 0);
    assert_int_equal(parse_copy(line, 19, &header), -1);
    assert_int_equal(parse_copy(line, sizeof(line) - 1, &header), -1);
}

static void a_line_ends_within_107_bytes(void **state)
{
    struct proxy_header header;
    char line[110];

    (void)state;
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(parse_copy(line, 106, &header), 0);
    assert_int_equal(parse_copy(line, 107, &header), -1);
    memcpy(line + 105, "\r\n", 2);
    assert_int_equal(parse_copy(line, sizeof(line), &header), 107);
    memcpy(line + 105, "x\r\n", 3);
    assert_int_equal(parse_copy(line, 107, &header), -1);
    assert_int_equal(parse_copy(line, sizeof(line), &header), -1);
}

/* Every version and command, and every family of a PROXY command. */
static void heads_are_refused_at_the_byte_that_is_wrong(void **state)
{
    struct proxy_header header;

    (void)state;
    for (unsigned byte = 0; byte <= UINT8_MAX; byte++) {
        bool family = byte >> 4 <= 3 && (byte & 0xf) <= 2;

        header_start(byte, 0x11, 12);
        assert_int_equal(parse_copy(header_made.data, 13, &header),
                         byte == 0x20 || byte == 0x21 ? 0 : -1);
        header_start(0x21, byte, 216);
        assert_int_equal(parse_copy(header_made.data, 14, &header),
                         family ? 0 : -1);
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
        header_start(0x21, needs[i].family, needs[i].length - 1);
        assert_int_equal(parse_copy(header_made.data, 15, &header), 0);
        assert_int_equal(parse_copy(header_made.data, 16, &header), -1);
        header_start(0x21, needs[i].family, needs[i].length);
        assert_int_equal(parse_copy(header_made.data, 16, &header), 0);
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
        header_start_ipv4();
        header_add(tails[i].bytes, tails[i].count);
        header_set_length();
        assert_int_equal(
            parse_copy(header_made.data, header_made.count, &header),
            tails[i].right ? (int)header_made.count : -1);
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
    size_t at = header_made.count + 3;
    uint32_t crc;

    header_add_tlv(0x03, "\0\0\0\0", 4);
    crc = htonl(plain_crc32c(header_made.data, header_made.count));
    memcpy(header_made.data + at, &crc, sizeof(crc));
}

static void a_checksum_that_is_there_must_be_right(void **state)
{
    static const uint8_t zeros[32];
    struct proxy_header header;
    size_t type_at;

    (void)state;
    assert_int_equal(plain_crc32c(zeros, 32), 0x8a9136aa);
    header_start_ipv4();
    header_add_tlv(0x02, "name", 4);
    type_at = header_made.count;
    add_crc();
    assert_int_equal(parse_copy(header_made.data, header_made.count, &header),
                     header_made.count);
    for (size_t i = 16; i < header_made.count; i++) {
        if (i == type_at) {
            continue; /* a TLV of another type is ignored */
        }
        header_made.data[i] ^= 0x20;
        assert_int_equal(
            parse_copy(header_made.data, header_made.count, &header), -1);
        header_made.data[i] ^= 0x20;
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
        header_start(heads[i].command, heads[i].family, heads[i].length);
        for (unsigned j = 0; j < heads[i].length; j++) {
            header_add("x", 1);
        }
        header_add_tlv(0x02, "name", 4);
        add_crc();
        assert_int_equal(
            parse_copy(header_made.data, header_made.count, &header),
            header_made.count);
        check_header(&header, NULL, 0, NULL, 0);
        header_made.data[header_made.count - 1] ^= 1;
        assert_int_equal(
            parse_copy(header_made.data, header_made.count, &header), -1);
        header_made.data[header_made.count - 1] ^= 1;
        header_made.data[header_made.count - 8] ^= 1; /* of the name */
        assert_int_equal(
            parse_copy(header_made.data, header_made.count, &header), -1);
    }
}

static void a_checksum_is_four_bytes_and_the_only_one(void **state)
{
    struct proxy_header header;

    (void)state;
    header_start_ipv4();
    header_add_tlv(0x03, "", 0);
    assert_int_equal(parse_copy(header_made.data, header_made.count, &header),
                     -1);
    header_start_ipv4();
    header_add_tlv(0x03, "12345", 5);
    assert_int_equal(parse_copy(header_made.data, header_made.count, &header),
                     -1);
    header_start_ipv4();
    header_add_tlv(0x03, "\0\0\0\0", 4);
    add_crc();
    assert_int_equal(parse_copy(header_made.data, header_made.count, &header),
                     -1);
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
    for (size_t i = 0; i < HEADERS_LEGAL; i++) {
        header_make_legal(i);
        for (size_t at = 0; at < header_made.count; at++) {
            bool fixed = at < (i < ARRAY_LEN(header_lines) ? 6 : 12);

            for (unsigned flip = 1; flip <= UINT8_MAX; flip++) {
                int answer;

                header_made.data[at] ^= (uint8_t)flip;
                answer =
                    parse_copy(header_made.data, header_made.count, &header);
                header_made.data[at] ^= (uint8_t)flip;
                assert_in_range(answer + 1, 0,
                                fixed ? 0 : header_made.count + 1);
                if (answer > 0) {
                    check_sensible(&header);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
