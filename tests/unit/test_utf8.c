#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_read(const char *text, size_t length, uint32_t wanted)
{
    uint32_t character = 0;

    assert_int_equal(utf8_read(text, strlen(text), &character), length);
    if (length > 0) {
        assert_int_equal(character, wanted);
    }
}

static void characters_are_read_with_their_bytes(void **state)
{
    uint32_t character;

    (void)state;
    assert_int_equal(utf8_read("", 1, &character), 1);
    assert_int_equal(character, 0);
    assert_read("a", 1, 'a');
    assert_read("\x7f", 1, 0x7f);
    assert_read("\xc2\x80x", 2, 0x80);
    assert_read("\xc3\xbc", 2, 0xfc);
    assert_read("\xdf\xbf", 2, 0x7ff);
    assert_read("\xe0\xa0\x80", 3, 0x800);
    assert_read("\xe2\x80\xa8", 3, 0x2028);
    assert_read("\xed\x9f\xbf", 3, 0xd7ff);
    assert_read("\xef\xbf\xbf", 3, 0xffff);
    assert_read("\xf0\x90\x80\x80", 4, 0x10000);
    assert_read("\xf4\x8f\xbf\xbf", 4, 0x10ffff);
}

static void bad_bytes_are_no_character(void **state)
{
    static const char *const bad[] = {
        "\x80",         "\xbf",          "\xc0\x80",         "\xc1\xbf",
        "\xc3",         "\xc3x",         "\xe0\x9f\xbf",     "\xed\xa0\x80",
        "\xe2\x80",     "\xe2\x80x",     "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf0\x90\x80", "\xf0\x90\x80x", "\xf5\x80\x80\x80", "\xff",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_read(bad[i], 0, 0);
    }
}

static void control_characters_and_spaces_are_known(void **state)
{
    static const uint32_t controls[] = {0,    '\t', '\n',   0x1f,  0x7f,
                                        0x80, 0x9f, 0x2028, 0x2029};
    static const uint32_t spaces[] = {' ',    0xa0,   0x1680, 0x2000,
                                      0x200a, 0x202f, 0x205f, 0x3000};
    static const uint32_t others[] = {'!', '~', 0xa1, 0x200b, 0x2027, 0x10ffff};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(controls); i++) {
        assert_true(utf8_is_control(controls[i]));
        assert_false(utf8_is_space(controls[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(spaces); i++) {
        assert_false(utf8_is_control(spaces[i]));
        assert_true(utf8_is_space(spaces[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        assert_false(utf8_is_control(others[i]));
        assert_false(utf8_is_space(others[i]));
    }
}

static void a_cleaned_text_is_one_line_of_utf8(void **state)
{
    char text[] = "a \xc3\xbc\n\x7f\xc2\x85\xe2\x80\xa8|\xff\xc3|\xe2\x82\xac"
                  "\xe2\x82";
    char plain[] = "plain ~";

    (void)state;
    utf8_clean(text, strlen(text));
    assert_string_equal(text, "a \xc3\xbc???????|\?\?|\xe2\x82\xac\?\?");
    utf8_clean(plain, strlen(plain));
    assert_string_equal(plain, "plain ~");
    utf8_clean(text, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_read_with_their_bytes),
        cmocka_unit_test(bad_bytes_are_no_character),
        cmocka_unit_test(control_characters_and_spaces_are_known),
        cmocka_unit_test(a_cleaned_text_is_one_line_of_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
