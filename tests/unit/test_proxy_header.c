/* Legal PROXY headers, and what is read from them. */
#include "wire/proxy_header.h"

#include "header_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void check_is_unix(const struct proxy_header *header)
{
    struct proxy_header wanted = {
        .source.family = AF_UNIX,
        .destination.family = AF_UNIX,
    };

    assert_true(same_header(header, &wanted));
}

/* ---- what is legal ------------------------------------------------------- */

static void lines_of_the_specification_are_read(void **state)
{
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(header_lines); i++) {
        int length = (int)strlen(header_lines[i].text);

        assert_int_equal(parse_text(header_lines[i].text, &header), length);
        check_header(&header, header_lines[i].source, header_lines[i].ports[0],
                     header_lines[i].destination, header_lines[i].ports[1]);
    }
}

static void families_of_the_specification_are_read(void **state)
{
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(header_blocks); i++) {
        unsigned family = header_blocks[i].family;

        header_make_block(0x21, i);
        assert_int_equal(
            parse_copy(header_made.data, header_made.count, &header),
            header_made.count);
        if (family == 0x11 || family == 0x12) {
            check_header(&header, "0.1.2.3", 0x0809, "4.5.6.7", 0x0a0b);
        } else if (family == 0x21 || family == 0x22) {
            check_header(&header, "1:203:405:607:809:a0b:c0d:e0f", 0x2021,
                         "1011:1213:1415:1617:1819:1a1b:1c1d:1e1f", 0x2223);
        } else if (family == 0x31 || family == 0x32) {
            check_is_unix(&header);
        } else {
            check_header(&header, NULL, 0, NULL, 0);
        }
    }
}

static void local_has_no_addresses_whatever_its_family(void **state)
{
    struct proxy_header header;

    (void)state;
    for (unsigned family = 0; family <= UINT8_MAX; family++) {
        header_start(0x20, family, 5);
        header_add("\3\377\377\1\2", 5);
        assert_int_equal(
            parse_copy(header_made.data, header_made.count, &header), 21);
        check_header(&header, NULL, 0, NULL, 0);
    }
}

static void recorded_headers_are_read(void **state)
{
    struct proxy_header header;

    (void)state;
    assert_int_equal(
        parse_copy(header_recorded_ipv4, sizeof(header_recorded_ipv4), &header),
        sizeof(header_recorded_ipv4));
    check_header(&header, "127.0.0.1", 60006, "127.0.0.1", 28101);
    assert_int_equal(
        parse_copy(header_recorded_ipv6, sizeof(header_recorded_ipv6), &header),
        sizeof(header_recorded_ipv6));
    check_header(&header, "::1", 33068, "::1", 28103);
}

static void mapped_addresses_are_ipv4(void **state)
{
    struct proxy_header header;

    (void)state;
    header_start(0x21, 0x21, 36);
    header_add("\0\0\0\0\0\0\0\0\0\0\377\377\1\2\3\4", 16);
    header_add("\40\1\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    header_add("\0\5\0\6", 4);
    assert_int_equal(parse_copy(header_made.data, header_made.count, &header),
                     52);
    check_header(&header, "1.2.3.4", 5, "2001::1", 6);
}

static void every_prefix_asks_for_more(void **state)
{
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < HEADERS_LEGAL; i++) {
        header_make_legal(i);
        for (size_t count = 0; count < header_made.count; count++) {
            assert_int_equal(parse_copy(header_made.data, count, &header), 0);
        }
        assert_int_equal(
            parse_copy(header_made.data, header_made.count, &header),
            header_made.count);
    }
}

static void bytes_after_the_header_are_not_taken(void **state)
{
    static const char *const payloads[] = {"\r\n", "\n", "P",
                                           "PROXY UNKNOWN"
                                           "\r\n",
                                           HEADER_V2_HEAD};
    struct proxy_header alone;
    struct proxy_header header;

    (void)state;
    for (size_t i = 0; i < HEADERS_LEGAL * ARRAY_LEN(payloads); i++) {
        const char *payload = payloads[i % ARRAY_LEN(payloads)];
        size_t count;

        header_make_legal(i / ARRAY_LEN(payloads));
        count = header_made.count;
        assert_int_equal(parse_copy(header_made.data, count, &alone), count);
        header_add(payload, strlen(payload));
        assert_int_equal(
            parse_copy(header_made.data, header_made.count, &header), count);
        assert_true(same_header(&header, &alone));
    }
}

static void the_longest_header_is_read(void **state)
{
    struct proxy_header header;
    uint8_t byte = 0;

    (void)state;
    header_start_ipv4();
    header_add("\4\377\360", 3);
    while (header_made.count < PROXY_HEADER_MAX) {
        header_add(&byte, 1);
    }
    header_set_length();
    assert_int_equal(
        parse_copy(header_made.data, header_made.count - 1, &header), 0);
    assert_int_equal(parse_copy(header_made.data, header_made.count, &header),
                     PROXY_HEADER_MAX);
    check_header(&header, "1.2.3.4", 258, "5.6.7.8", 443);
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
