#include "hello.h"
#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(8446)

/* ---- whole messages ------------------------------------------------------ */

/* openssl s_client 3.0: -servername Www.Example.Com */
static const uint8_t recorded_named[] = {
    0x16, 0x03, 0x01, 0x01, 0x3c, 0x01, 0x00, 0x01, 0x38, 0x03, 0x03, 0x31,
    0xfd, 0xf2, 0xb2, 0x35, 0x03, 0x0f, 0xa5, 0xc9, 0xd9, 0x4a, 0x0c, 0x1f,
    0x22, 0x91, 0x97, 0x44, 0x90, 0x71, 0x9b, 0xd4, 0x57, 0x04, 0x27, 0x30,
    0xca, 0xeb, 0x45, 0x1b, 0x07, 0xd6, 0x5b, 0x20, 0x0c, 0xf4, 0x89, 0x49,
    0xee, 0x3e, 0x3f, 0xf4, 0xea, 0x52, 0x56, 0x46, 0xa3, 0x30, 0x39, 0xfa,
    0xc2, 0x62, 0x37, 0xc4, 0xb2, 0x9a, 0x43, 0xb5, 0x1e, 0x24, 0xa4, 0xc5,
    0x26, 0x37, 0x62, 0x9e, 0x00, 0x3e, 0x13, 0x02, 0x13, 0x03, 0x13, 0x01,
    0xc0, 0x2c, 0xc0, 0x30, 0x00, 0x9f, 0xcc, 0xa9, 0xcc, 0xa8, 0xcc, 0xaa,
    0xc0, 0x2b, 0xc0, 0x2f, 0x00, 0x9e, 0xc0, 0x24, 0xc0, 0x28, 0x00, 0x6b,
    0xc0, 0x23, 0xc0, 0x27, 0x00, 0x67, 0xc0, 0x0a, 0xc0, 0x14, 0x00, 0x39,
    0xc0, 0x09, 0xc0, 0x13, 0x00, 0x33, 0x00, 0x9d, 0x00, 0x9c, 0x00, 0x3d,
    0x00, 0x3c, 0x00, 0x35, 0x00, 0x2f, 0x00, 0xff, 0x01, 0x00, 0x00, 0xb1,
    0x00, 0x00, 0x00, 0x14, 0x00, 0x12, 0x00, 0x00, 0x0f, 0x57, 0x77, 0x77,
    0x2e, 0x45, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x43, 0x6f, 0x6d,
    0x00, 0x0b, 0x00, 0x04, 0x03, 0x00, 0x01, 0x02, 0x00, 0x0a, 0x00, 0x16,
    0x00, 0x14, 0x00, 0x1d, 0x00, 0x17, 0x00, 0x1e, 0x00, 0x19, 0x00, 0x18,
    0x01, 0x00, 0x01, 0x01, 0x01, 0x02, 0x01, 0x03, 0x01, 0x04, 0x00, 0x23,
    0x00, 0x00, 0x00, 0x16, 0x00, 0x00, 0x00, 0x17, 0x00, 0x00, 0x00, 0x0d,
    0x00, 0x2a, 0x00, 0x28, 0x04, 0x03, 0x05, 0x03, 0x06, 0x03, 0x08, 0x07,
    0x08, 0x08, 0x08, 0x09, 0x08, 0x0a, 0x08, 0x0b, 0x08, 0x04, 0x08, 0x05,
    0x08, 0x06, 0x04, 0x01, 0x05, 0x01, 0x06, 0x01, 0x03, 0x03, 0x03, 0x01,
    0x03, 0x02, 0x04, 0x02, 0x05, 0x02, 0x06, 0x02, 0x00, 0x2b, 0x00, 0x09,
    0x08, 0x03, 0x04, 0x03, 0x03, 0x03, 0x02, 0x03, 0x01, 0x00, 0x2d, 0x00,
    0x02, 0x01, 0x01, 0x00, 0x33, 0x00, 0x26, 0x00, 0x24, 0x00, 0x1d, 0x00,
    0x20, 0xd5, 0x19, 0xae, 0xfb, 0xdb, 0x0a, 0x42, 0xae, 0x45, 0xac, 0xc4,
    0x77, 0x00, 0xce, 0xf8, 0x5e, 0xf3, 0xa9, 0xa8, 0x07, 0x73, 0x4e, 0x5b,
    0x3c, 0x5a, 0x7b, 0x5c, 0x92, 0xa2, 0x3c, 0x2b, 0x12};

/* openssl s_client 3.0: -tls1_2 -noservername */
static const uint8_t recorded_nameless[] = {
    0x16, 0x03, 0x01, 0x00, 0x83, 0x01, 0x00, 0x00, 0x7f, 0x03, 0x03, 0x82,
    0x9f, 0x5a, 0x5c, 0x68, 0x51, 0x27, 0x70, 0x17, 0x92, 0xb3, 0x7f, 0x6b,
    0x31, 0x6b, 0xf7, 0x34, 0x54, 0x9e, 0x39, 0x66, 0xc1, 0xb7, 0x5f, 0x10,
    0x3c, 0x12, 0x55, 0x53, 0xe1, 0x42, 0x01, 0x00, 0x00, 0x04, 0xc0, 0x2f,
    0x00, 0xff, 0x01, 0x00, 0x00, 0x52, 0x00, 0x0b, 0x00, 0x04, 0x03, 0x00,
    0x01, 0x02, 0x00, 0x0a, 0x00, 0x0c, 0x00, 0x0a, 0x00, 0x1d, 0x00, 0x17,
    0x00, 0x1e, 0x00, 0x19, 0x00, 0x18, 0x00, 0x23, 0x00, 0x00, 0x00, 0x16,
    0x00, 0x00, 0x00, 0x17, 0x00, 0x00, 0x00, 0x0d, 0x00, 0x2a, 0x00, 0x28,
    0x04, 0x03, 0x05, 0x03, 0x06, 0x03, 0x08, 0x07, 0x08, 0x08, 0x08, 0x09,
    0x08, 0x0a, 0x08, 0x0b, 0x08, 0x04, 0x08, 0x05, 0x08, 0x06, 0x04, 0x01,
    0x05, 0x01, 0x06, 0x01, 0x03, 0x03, 0x03, 0x01, 0x03, 0x02, 0x04, 0x02,
    0x05, 0x02, 0x06, 0x02};

static void recorded_hellos_are_read(void **state)
{
    (void)state;
    hello_check_named(recorded_named, sizeof(recorded_named),
                      "www.example.com");
    hello_check_named(recorded_nameless, sizeof(recorded_nameless), "");
}

static void a_name_is_read_in_lower_case_without_its_final_dot(void **state)
{
    static const char *const names[][2] = {
        {"a.example", "a.example"},
        {"A.ExAmPlE.", "a.example"},
        {"x", "x"},
        {"_a-b.0.zz", "_a-b.0.zz"},
        {"localhost.", "localhost"},
        {"10.0.0.1", "10.0.0.1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        hello_make_browser(names[i][0], HELLO_WHOLE);
        hello_check_wire(names[i][1]);
    }
}

static void the_longest_name_is_read(void **state)
{
    char name[CLIENT_HELLO_NAME_MAX + 2];

    (void)state;
    memset(name, 'a', sizeof(name));
    for (size_t at = 63; at < sizeof(name); at += 64) {
        name[at] = '.';
    }
    name[253] = '.';
    name[254] = '\0';
    hello_make_browser(name, HELLO_WHOLE);
    name[253] = '\0';
    hello_check_wire(name);
    name[253] = 'a';
    hello_make_browser(name, HELLO_WHOLE);
    hello_check_refused();
    memcpy(name + 253, "a.", 3);
    hello_make_browser(name, HELLO_WHOLE);
    hello_check_refused();
}

static void a_hello_may_have_no_extensions(void **state)
{
    (void)state;
    hello_start();
    hello_message.count = HELLO_FIXED_BYTES;
    bytes_set_number(hello_message.data + 2, hello_message.count - 4);
    hello_seal(HELLO_WHOLE);
    hello_check_wire("");
    hello_start();
    hello_finish(HELLO_WHOLE);
    hello_check_wire("");
}

static void names_of_other_types_are_skipped(void **state)
{
    (void)state;
    hello_start();
    hello_add_extension(0, "\0\13\7\0\2xy\0\0\3a.b", 13);
    hello_finish(HELLO_WHOLE);
    hello_check_wire("a.b");
    hello_start();
    hello_add_extension(0, "\0\5\7\0\2xy", 7);
    hello_finish(HELLO_WHOLE);
    hello_check_wire("");
}

static void a_message_is_at_most_16_kib(void **state)
{
    struct client_hello hello;

    (void)state;
    hello_start();
    hello_add_name("a.example", 9);
    bytes_add_number(&hello_message, 21, 2);
    bytes_add_number(&hello_message, CLIENT_HELLO_MAX - hello_message.count - 2,
                     2);
    bytes_add_zeros(&hello_message, CLIENT_HELLO_MAX - hello_message.count);
    hello_finish(HELLO_WHOLE);
    assert_int_equal(hello_wire.count, CLIENT_HELLO_MAX + 5);
    hello_check_wire("a.example");
    hello_finish(1);
    assert_int_equal(hello_wire.count, 6 * CLIENT_HELLO_MAX);
    hello_check_wire("a.example");
    bytes_set_number(hello_message.data + 2, CLIENT_HELLO_MAX - 3);
    hello_seal(HELLO_WHOLE);
    assert_int_equal(hello_parse(hello_wire.data, 5 + 3, &hello), 0);
    assert_int_equal(hello_parse(hello_wire.data, 5 + 4, &hello), -1);
}

/* ---- pieces -------------------------------------------------------------- */

static void fragments_of_any_size_are_one_message(void **state)
{
    (void)state;
    for (size_t fragment = 1; fragment < 2200; fragment += fragment / 8 + 1) {
        hello_make_browser("post.quantum.example", fragment);
        hello_check_wire("post.quantum.example");
    }
}

static void every_prefix_asks_for_more(void **state)
{
    static const size_t fragments[] = {1, 7, 1000, HELLO_WHOLE};
    struct client_hello hello;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fragments); i++) {
        hello_make_browser("a.example", fragments[i]);
        for (size_t count = 0; count < hello_wire.count; count++) {
            assert_int_equal(hello_parse(hello_wire.data, count, &hello), 0);
        }
        hello_check_wire("a.example");
    }
}

static void bytes_after_the_message_are_not_taken(void **state)
{
    struct client_hello hello;
    size_t count;

    (void)state;
    hello_make_browser("a.example", 500);
    count = hello_wire.count;
    bytes_add(&hello_wire, "\x14\3\3\0\1\1 and more", 15);
    assert_int_equal(hello_parse(hello_wire.data, hello_wire.count, &hello),
                     count);
    assert_string_equal(hello.name, "a.example");
    bytes_add_zeros(&hello_message, 10);
    hello_seal(HELLO_WHOLE);
    assert_int_equal(hello_parse(hello_wire.data, hello_wire.count, &hello),
                     hello_wire.count - 10);
}

static enum client_hello_state state_of(const void *data, size_t count)
{
    return client_hello_state(data, count);
}

static void a_hello_is_whole_at_its_last_byte(void **state)
{
    static const size_t fragments[] = {1, 3, 1u << 14};

    (void)state;
    for (size_t i = 0; i < sizeof(fragments) / sizeof(fragments[0]); i++) {
        hello_make_browser("a.example", fragments[i]);
        for (size_t count = 0; count < hello_wire.count; count++) {
            assert_int_equal(state_of(hello_wire.data, count),
                             CLIENT_HELLO_INCOMPLETE);
        }
        assert_int_equal(state_of(hello_wire.data, hello_wire.count),
                         CLIENT_HELLO_WHOLE);
    }
}

/* What is in it does not matter, only what says how long it is. */
static void what_is_no_hello_or_too_long_is_distinguished(void **state)
{
    static const uint8_t longest[] = {0x16, 3, 1, 64, 0, 1, 0, 0x3f, 0xfc};
    static const uint8_t too_long[] = {0x16, 3, 1, 64, 0, 1, 0, 0x3f, 0xfd};
    static const uint8_t of_a_server[] = {0x16, 3, 1, 64, 0, 2};
    static const uint8_t nonsense[] = {0x16, 3, 1, 0, 6, 1, 0, 0, 2, 255, 255};

    (void)state;
    assert_int_equal(state_of(longest, sizeof(longest)),
                     CLIENT_HELLO_INCOMPLETE);
    assert_int_equal(state_of(too_long, sizeof(too_long)),
                     CLIENT_HELLO_TOO_LONG);
    assert_int_equal(state_of(of_a_server, sizeof(of_a_server)),
                     CLIENT_HELLO_NONE);
    assert_int_equal(state_of("GET /", 5), CLIENT_HELLO_NONE);
    assert_int_equal(state_of(nonsense, sizeof(nonsense)), CLIENT_HELLO_WHOLE);
}

/* ---- anything ------------------------------------------------------------ */

static bool is_lower_host_name(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] ==
               '\0' &&
           strlen(name) < CLIENT_HELLO_NAME_MAX && name[0] != '.';
}

/* Corrupts some bytes; the answer must then hold for more bytes too. */
static void corrupt_hellos_are_answered_alike_in_pieces(void **state)
{
    (void)state;
    for (uint64_t seed = SEED; seed < SEED + 4000; seed++) {
        struct seeded seeded = seeded_start(seed);
        struct client_hello hello;
        int before = 0;
        int after;

        hello_make_browser("www.b.example", 1 + seeded_magnitude(&seeded, 12));
        for (uint64_t i = seeded_below(&seeded, 4); i-- > 0;) {
            uint64_t at =
                seeded_below(&seeded, seed % 2 ? 160 : hello_wire.count);

            hello_wire.data[at] = (uint8_t)seeded_magnitude(&seeded, 8);
        }
        after = hello_parse(hello_wire.data, hello_wire.count, &hello);
        seeded_assert(&seeded, after <= (int)hello_wire.count);
        seeded_assert(&seeded, after <= 0 || is_lower_host_name(hello.name));
        for (size_t count = seeded_below(&seeded, 50);
             count <= hello_wire.count;
             count += 1 + seeded_below(&seeded, 300)) {
            int now = hello_parse(hello_wire.data, count, &hello);

            seeded_assert(&seeded, before == 0 || now == before);
            seeded_assert(&seeded, now == 0 || now == after);
            seeded_assert(&seeded, now <= (int)count);
            before = now;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_hellos_are_read),
        cmocka_unit_test(a_name_is_read_in_lower_case_without_its_final_dot),
        cmocka_unit_test(the_longest_name_is_read),
        cmocka_unit_test(a_hello_may_have_no_extensions),
        cmocka_unit_test(names_of_other_types_are_skipped),
        cmocka_unit_test(a_message_is_at_most_16_kib),
        cmocka_unit_test(fragments_of_any_size_are_one_message),
        cmocka_unit_test(every_prefix_asks_for_more),
        cmocka_unit_test(bytes_after_the_message_are_not_taken),
        cmocka_unit_test(a_hello_is_whole_at_its_last_byte),
        cmocka_unit_test(what_is_no_hello_or_too_long_is_distinguished),
        cmocka_unit_test(corrupt_hellos_are_answered_alike_in_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
