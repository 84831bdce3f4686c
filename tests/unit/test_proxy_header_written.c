/* PROXY headers that are written. */
#include "wire/proxy_header.h"

#include "header_bytes.h"
#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(20201)

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
        .source = ip_port(source, source_port),
        .destination = ip_port(destination, destination_port),
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
    header_start_ipv4();
    assert_int_equal(proxy_header_format_v2(&header, buffer, false), 28);
    assert_memory_equal(buffer, header_made.data, 28);
    header_made.data[13] = 0x12;
    assert_int_equal(proxy_header_format_v2(&header, buffer, true), 28);
    assert_memory_equal(buffer, header_made.data, 28);
    header = header_of("1::2", 3, "4::5", 6);
    header_start(0x21, 0x22, 36);
    header_add(
        "\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\5", 32);
    header_add("\0\3\0\6", 4);
    assert_int_equal(proxy_header_format_v2(&header, buffer, true), 52);
    assert_memory_equal(buffer, header_made.data, 52);
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
    assert_int_equal(parse_copy(buffer, 52, &back), 52);
    assert_true(same_header(&header, &back));
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
        assert_memory_equal(buffer, HEADER_V2_HEAD "\x20\0\0\0", 16);
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

        seeded_assert(&seeded,
                      parse_copy(buffer, (size_t)count, &back) == count);
        seeded_assert(&seeded, same_header(&header, &back));
        count = (int)strlen(line_of(&header));
        seeded_assert(&seeded, parse_text(line_of(&header), &back) == count);
        seeded_assert(&seeded, same_header(&header, &back));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_written_as_specified),
        cmocka_unit_test(version_2_is_written_as_specified),
        cmocka_unit_test(two_families_are_written_as_ipv6),
        cmocka_unit_test(without_two_ip_addresses_nothing_is_told),
        cmocka_unit_test(what_is_written_is_read_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
