#include "hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void other_protocols_are_refused_at_once(void **state)
{
    static const struct {
        const char *bytes;
        size_t enough;
    } others[] = {
        {"GET / HTTP/1.1\r\n", 1},
        {"SSH-2.0-OpenSSH", 1},
        {"PROXY TCP4 ", 1},
        {"\x80\x2e\1\0\2", 1},         /* SSL 2.0 */
        {"\x15\3\1\0\2", 1},           /* an alert */
        {"\x16\2", 2},                 /* no such version */
        {"\x16\xfe\xfd", 2},           /* DTLS */
        {"\x16\3\1\0\0", 5},           /* an empty fragment */
        {"\x16\3\1\x40\1", 5},         /* one that is too large */
        {"\x16\3\1\0\x40\2", 6},       /* a ServerHello */
        {"\x16\3\1\0\x40\1\1\0\0", 9}, /* 64 KiB */
        {"\x16\3\1\0\x40\1\0\0\0", 9}, /* nothing in it */
        {"\x16\3\1\0\x40\1\0\0\x40\2", 10},
    };
    struct client_hello hello;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        uint8_t bytes[32] = {0};

        memcpy(bytes, others[i].bytes, others[i].enough);
        assert_int_equal(hello_parse(bytes, others[i].enough - 1, &hello), 0);
        assert_int_equal(hello_parse(bytes, others[i].enough, &hello), -1);
    }
}

static void records_of_other_types_may_not_come_between(void **state)
{
    struct client_hello hello;

    (void)state;
    hello_make_browser("a.example", 100);
    hello_wire.data[105] = 23;
    assert_int_equal(hello_parse(hello_wire.data, 105, &hello), 0);
    assert_int_equal(hello_parse(hello_wire.data, 106, &hello), -1);
    hello_wire.data[105] = 22;
    bytes_set_number(hello_wire.data + 108, 0);
    assert_int_equal(hello_parse(hello_wire.data, 110, &hello), -1);
}

static void names_that_are_no_host_names_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
    } names[] = {
        {"", 0},
        {".", 1},
        {"..", 2},
        {"a..b", 4},
        {".a", 2},
        {"a.b..", 5},
        {"a b", 3},
        {"a\0b", 3},
        {"a\0", 2},
        {"\0", 1},
        {"*.a", 3},
        {"::1", 3},
        {"a.\xc3\xa4", 4},
        {"a/b", 3},
        {"a.example\n", 10},
        {"a@b", 3},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
         66},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        hello_start();
        hello_add_name(names[i].bytes, names[i].count);
        hello_finish(HELLO_WHOLE);
        hello_check_refused();
    }
}

static void a_name_may_come_once(void **state)
{
    (void)state;
    hello_start();
    hello_add_name("a.example", 9);
    hello_add_extension(16, "\0\3\2h2", 5);
    hello_add_name("a.example", 9);
    hello_finish(HELLO_WHOLE);
    hello_check_refused();
    hello_start();
    hello_add_extension(0, "\0\10\0\0\1a\0\0\1b", 10);
    hello_finish(HELLO_WHOLE);
    hello_check_refused();
    hello_start();
    hello_add_extension(0, "\0\4\1\0\1a", 6);
    hello_add_name("a.example", 9);
    hello_finish(HELLO_WHOLE);
    hello_check_refused();
}

static void server_names_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
    } bodies[] = {
        {"", 0},
        {"\0", 1},
        {"\0\0", 2},
        {"\0\1\0", 3},
        {"\0\3\0\0\1", 5},
        {"\0\4\0\0\2a", 6},
        {"\0\5\0\0\1a", 6},
        {"\0\3\0\0\1a", 6},
        {"\0\5\0\0\1ab", 7},
        {"\0\4\1\0\0\0", 6},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        hello_start();
        hello_add_extension(0, bodies[i].bytes, bodies[i].count);
        hello_finish(HELLO_WHOLE);
        hello_check_refused();
    }
}

static void extensions_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    hello_make_browser("a.example", HELLO_WHOLE);
    for (int wrong = -1; wrong <= 1; wrong += 2) {
        size_t count = hello_message.count - HELLO_FIXED_BYTES - 2;

        bytes_set_number(hello_message.data + HELLO_FIXED_BYTES,
                         count + (size_t)wrong);
        hello_seal(HELLO_WHOLE);
        hello_check_refused();
    }
    hello_start();
    bytes_add(&hello_message, "\0\25\0\5abcd", 8);
    hello_finish(HELLO_WHOLE);
    hello_check_refused();
    hello_start();
    bytes_add(&hello_message, "\0\0\0\7\0\5\0\0\2a", 10);
    hello_finish(HELLO_WHOLE);
    hello_check_refused();
    hello_start();
    bytes_add(&hello_message, "\0\25\0", 3);
    hello_finish(HELLO_WHOLE);
    hello_check_refused();
}

/* An offset in the message and a value that makes the byte there wrong. In a
 * length of two bytes that shows when both have arrived. */
static void fields_before_the_extensions_are_checked(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {
        {4, 2},     /* version */
        {38, 33},   /* session */
        {71, 0xff}, /* ciphers: more bytes than follow */
        {72, 3},    /* an odd number of bytes */
        {72, 0},    /* none */
        {77, 0},    /* compression: none */
    };
    struct client_hello hello;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        hello_make_browser("a.example", HELLO_WHOLE);
        hello_wire.data[5 + wrong[i].at] = wrong[i].value;
        assert_int_equal(hello_parse(hello_wire.data, 5 + wrong[i].at, &hello),
                         0);
        assert_int_equal(
            hello_parse(hello_wire.data, 5 + wrong[i].at + 2, &hello), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_protocols_are_refused_at_once),
        cmocka_unit_test(records_of_other_types_may_not_come_between),
        cmocka_unit_test(names_that_are_no_host_names_are_refused),
        cmocka_unit_test(a_name_may_come_once),
        cmocka_unit_test(server_names_that_do_not_fit_are_refused),
        cmocka_unit_test(extensions_that_do_not_fit_are_refused),
        cmocka_unit_test(fields_before_the_extensions_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
