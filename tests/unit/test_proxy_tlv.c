#include "wire/proxy_tlv.h"

#include "wire/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZED(text) (const uint8_t *)(text), sizeof(text) - 1

/* TLVs of every kind: ALPN, NOOP, an unknown one, CRC32C, SSL, NOOP. */
#define TLVS                                                                   \
    "\x01\0\2h2"                                                               \
    "\x04\0\1x"                                                                \
    "\xee\0\4mine"                                                             \
    "\x03\0\4crc!"                                                             \
    "\x02\0\1a"                                                                \
    "\x20\0\5\1\0\0\0\0"                                                       \
    "\x04\0\0"

static void check_bytes(const uint8_t *got, size_t count, const uint8_t *wanted,
                        size_t wanted_count)
{
    assert_int_equal(count, wanted_count);
    assert_memory_equal(got, wanted, count);
}

static void padding_and_the_old_checksum_are_not_passed_on(void **state)
{
    uint8_t to[sizeof(TLVS)];
    size_t count = proxy_tlv_pass(SIZED(TLVS), to);

    (void)state;
    check_bytes(to, count,
                SIZED("\x01\0\2h2"
                      "\xee\0\4mine"
                      "\x02\0\1a"
                      "\x20\0\5\1\0\0\0\0"));
    count = proxy_tlv_without_tls(to, count, to);
    check_bytes(to, count, SIZED("\xee\0\4mine"));
    assert_int_equal(proxy_tlv_pass(SIZED("\x04\0\0\x03\0\4crc!"), to), 0);
    assert_int_equal(proxy_tlv_pass(to, 0, to), 0);
}

/* The types 0x41 and 0xc4 are no ALPN and no NOOP. */
static void high_types_are_told_apart_from_low_ones(void **state)
{
    static const char tlvs[] = "\x41\0\0\x42\0\0\xc4\0\0\x60\0\0\xff\0\0";
    uint8_t to[sizeof(tlvs)];
    size_t count = proxy_tlv_pass(SIZED(tlvs), to);

    (void)state;
    check_bytes(to, count, SIZED(tlvs));
    count = proxy_tlv_without_tls(to, count, to);
    check_bytes(to, count, SIZED(tlvs));
}

static void check_tls(const struct proxy_tls *tls, const uint8_t *wanted,
                      size_t count)
{
    uint8_t *to = malloc(PROXY_TLV_TLS_MAX);

    assert_non_null(to);
    check_bytes(to, proxy_tlv_of_tls(tls, to), wanted, count);
    free(to);
}

static void what_tls_has_shown_is_written(void **state)
{
    struct proxy_tls tls = {.version = "TLSv1.3", .verified = true};

    (void)state;
    check_tls(&tls, SIZED("\x20\0\x0f\1\0\0\0\1\x21\0\7TLSv1.3"));
    tls.protocol = "h2";
    tls.protocol_bytes = 2;
    tls.name = "a.example";
    tls.name_bytes = 9;
    tls.shown = true;
    tls.common_name = "me";
    tls.common_name_bytes = 2;
    check_tls(&tls, SIZED("\x01\0\2h2\x02\0\x09"
                          "a.example"
                          "\x20\0\x14\7\0\0\0\0\x21\0\7TLSv1.3\x22\0\2me"));
    tls.protocol_bytes = tls.name_bytes = 0;
    tls.resumed = true;
    check_tls(&tls, SIZED("\x20\0\x14\5\0\0\0\0\x21\0\7TLSv1.3\x22\0\2me"));
    tls.verified = false;
    tls.common_name_bytes = 0;
    check_tls(&tls, SIZED("\x20\0\x0f\5\0\0\0\1\x21\0\7TLSv1.3"));
}

static void names_that_mislead_are_left_out(void **state)
{
    static char longest[PROXY_TLV_NAME_MAX + 1];
    struct proxy_tls tls = {
        .version = "a version that is too long",
        .name = "a\0b",
        .name_bytes = 3,
        .common_name = "me\n",
        .common_name_bytes = 3,
        .shown = true,
        .verified = true,
    };
    uint8_t to[PROXY_TLV_TLS_MAX];

    (void)state;
    check_tls(&tls, SIZED("\x20\0\x18\7\0\0\0\0\x21\0\x10"
                          "a version that i"));
    memset(longest, 'a', sizeof(longest));
    tls.name = tls.common_name = tls.protocol = longest;
    tls.name_bytes = tls.common_name_bytes = tls.protocol_bytes =
        PROXY_TLV_NAME_MAX;
    assert_int_equal(proxy_tlv_of_tls(&tls, to), PROXY_TLV_TLS_MAX);
    tls.name_bytes = tls.common_name_bytes = tls.protocol_bytes =
        PROXY_TLV_NAME_MAX + 1;
    assert_int_equal(proxy_tlv_of_tls(&tls, to), 27);
}

/* A header with TLVs of so many bytes, in just the memory that it needs. */
static void check_appended(size_t tlv_bytes, bool fits)
{
    const struct proxy_header made = {
        .source = {.family = AF_INET, .port = 1, .ip = {1, 2, 3, 4}},
        .destination = {.family = AF_INET, .port = 2, .ip = {5, 6, 7, 8}},
    };
    uint8_t *tlvs = calloc(1, tlv_bytes + 1);
    uint8_t *buffer =
        malloc(PROXY_HEADER_V2_MAX + tlv_bytes + PROXY_TLV_CRC_BYTES);
    struct proxy_header back;
    size_t count;
    size_t length;

    assert_true(tlvs != NULL && buffer != NULL);
    if (tlv_bytes > 0) {
        tlvs[0] = 0xee;
        tlvs[1] = (uint8_t)((tlv_bytes - 3) >> 8);
        tlvs[2] = (uint8_t)(tlv_bytes - 3);
    }
    count = proxy_header_format_v2(&made, buffer, false);
    length = proxy_tlv_append(buffer, count, tlvs, tlv_bytes);
    assert_int_equal(length,
                     fits ? count + tlv_bytes + PROXY_TLV_CRC_BYTES : 0);
    assert_int_equal(proxy_header_parse(buffer, fits ? length : count, &back),
                     fits ? length : count);
    if (fits) {
        assert_int_equal(proxy_header_tlvs(buffer, length), count);
        assert_memory_equal(buffer + count, tlvs, tlv_bytes);
        buffer[count - 1] ^= 1; /* a port: the checksum shows it */
        assert_int_equal(proxy_header_parse(buffer, length, &back), -1);
    }
    free(buffer);
    free(tlvs);
}

static void a_header_gets_tlvs_and_a_checksum(void **state)
{
    (void)state;
    check_appended(0, true);
    check_appended(3, true);
    check_appended(300, true);
    check_appended(UINT16_MAX - 12 - 7, true);
    check_appended(UINT16_MAX - 12 - 6, false);
    check_appended(UINT16_MAX, false);
}

static void tlvs_are_found_behind_addresses(void **state)
{
    static const char head[] = "\r\n\r\n\0\r\nQUIT\n";
    uint8_t bytes[16 + 12 + 3] = {0};
    struct proxy_header header;

    (void)state;
    memcpy(bytes, head, 12);
    bytes[12] = 0x21;
    bytes[13] = 0x11;
    bytes[15] = 15;
    bytes[28] = 0xee;
    assert_int_equal(proxy_header_parse(bytes, sizeof(bytes), &header), 31);
    assert_int_equal(proxy_header_tlvs(bytes, sizeof(bytes)), 28);
    bytes[12] = 0x20;
    assert_int_equal(proxy_header_tlvs(bytes, sizeof(bytes)), 31);
    bytes[12] = 0x21;
    bytes[13] = 0x00;
    assert_int_equal(proxy_header_tlvs(bytes, sizeof(bytes)), 31);
    assert_int_equal(proxy_header_tlvs(SIZED("PROXY UNKNOWN\r\n")), 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_and_the_old_checksum_are_not_passed_on),
        cmocka_unit_test(high_types_are_told_apart_from_low_ones),
        cmocka_unit_test(what_tls_has_shown_is_written),
        cmocka_unit_test(names_that_mislead_are_left_out),
        cmocka_unit_test(a_header_gets_tlvs_and_a_checksum),
        cmocka_unit_test(tlvs_are_found_behind_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
