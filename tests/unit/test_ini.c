#include "config/ini.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What ini_parse told, a line for each event: "3 pair key=value". */
static char heard[4096];

static void hear(void *arg, enum ini_event event, unsigned line,
                 const char *name, const char *value)
{
    size_t used = strlen(heard);
    char *at = heard + used;
    size_t left = sizeof(heard) - used;

    (void)arg;
    if (event == INI_PAIR) {
        snprintf(at, left, "%u pair %s=%s\n", line, name, value);
    } else if (event == INI_SECTION) {
        snprintf(at, left, "%u section %s,%s\n", line, name, value);
    } else {
        snprintf(at, left, "%u error %s%s\n", line, name, value);
    }
}

static const char *parse_bytes(const char *text, size_t count)
{
    /* A copy of just this size: reading past it is seen by ASan. */
    char *copy = malloc(count > 0 ? count : 1);

    assert_non_null(copy);
    memcpy(copy, text, count);
    heard[0] = '\0';
    ini_parse(copy, count, hear, NULL);
    free(copy);
    return heard;
}

static const char *parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static void sections_and_pairs_come_with_their_lines(void **state)
{
    (void)state;
    assert_string_equal(parse("[global]\n"
                              "workers = 4\n"
                              "\n"
                              "[service web]\n"
                              "listen = :80\n"),
                        "1 section global,\n"
                        "2 pair workers=4\n"
                        "4 section service,web\n"
                        "5 pair listen=:80\n");
}

static void nothing_in_nothing_out(void **state)
{
    (void)state;
    assert_string_equal(parse(""), "");
    assert_string_equal(parse("\n\n  \n\t\n"), "");
}

static void white_space_around_everything_is_dropped(void **state)
{
    (void)state;
    assert_string_equal(parse("\t [ \tservice \t web\t ] \t\n"
                              "  \tkey\t = \t a  value \t\n"
                              "key=value\n"
                              "empty =  \n"),
                        "1 section service,web\n"
                        "2 pair key=a  value\n"
                        "3 pair key=value\n"
                        "4 pair empty=\n");
}

static void comments_start_a_line_or_follow_white_space(void **state)
{
    (void)state;
    assert_string_equal(parse("# one\n"
                              "; two\n"
                              "  # three = 3\n"
                              "a = 1 # four\n"
                              "b = 2\t; five\n"
                              "[service web] # six\n"
                              "c = # all of it\n"),
                        "4 pair a=1\n"
                        "5 pair b=2\n"
                        "6 section service,web\n"
                        "7 pair c=\n");
}

static void a_name_may_have_marks_and_a_comment_may_follow(void **state)
{
    (void)state;
    assert_string_equal(parse("[service a #1; [b]\t# ] c\n"
                              "[service #]\n"
                              "# [service c]\n"),
                        "1 section service,a #1; [b\n"
                        "2 section service,#\n");
    assert_string_equal(parse("[service a]#b\n"),
                        "1 error there is text after the ']' of the section\n"
                        "1 section ,\n");
}

static void a_mark_inside_a_word_is_part_of_it(void **state)
{
    (void)state;
    assert_string_equal(parse("a = b#c;d\n"
                              "e = f; #g\n"),
                        "1 pair a=b#c;d\n"
                        "2 pair e=f;\n");
}

static void a_value_may_have_equals_and_brackets(void **state)
{
    (void)state;
    assert_string_equal(parse("a = [::1]:80 weight=2\n"), "1 pair a=[::1]:80 "
                                                          "weight=2\n");
}

static void carriage_returns_before_newlines_are_dropped(void **state)
{
    (void)state;
    assert_string_equal(parse("[global]\r\na = 1\r\n\r\nb = 2\r"),
                        "1 section global,\n"
                        "2 pair a=1\n"
                        "4 pair b=2\n");
    assert_string_equal(parse("a = 1\rb = 2\n"),
                        "1 error the line has a control byte\n");
}

static void the_last_newline_may_be_absent(void **state)
{
    (void)state;
    assert_string_equal(parse("a = 1"), "1 pair a=1\n");
    assert_string_equal(parse("a = 1\n[global]"), "1 pair a=1\n"
                                                  "2 section global,\n");
}

static void a_byte_order_mark_is_skipped(void **state)
{
    (void)state;
    assert_string_equal(parse("\xef\xbb\xbf"
                              "a = 1\n"),
                        "1 pair a=1\n");
    assert_string_equal(parse("\xef\xbb\xbf"), "");
    assert_string_equal(parse("\xef\xbb"),
                        "1 error the line is not valid UTF-8\n");
}

static void errors_do_not_stop_the_parser(void **state)
{
    (void)state;
    assert_string_equal(parse("junk\n"
                              "= 1\n"
                              "a = 1\n"),
                        "1 error '=' is missing in 'junk'\n"
                        "2 error there is no key before '='\n"
                        "3 pair a=1\n");
}

static void a_broken_section_hides_its_name(void **state)
{
    (void)state;
    assert_string_equal(
        parse("[service web\n[service] x\n[]\n[ \t]\n[a\x01]\n"),
        "1 error ']' is missing at the end of the section's line\n"
        "1 section ,\n"
        "2 error there is text after the ']' of the section\n"
        "2 section ,\n"
        "3 error there is nothing between '[' and ']'\n"
        "3 section ,\n"
        "4 error there is nothing between '[' and ']'\n"
        "4 section ,\n"
        "5 error the line has a control byte\n"
        "5 section ,\n");
}

static void nul_and_control_bytes_are_errors(void **state)
{
    static const char nul[] = "a = 1\nb = \0 2\nc = 3\n";

    (void)state;
    assert_string_equal(parse_bytes(nul, sizeof(nul) - 1),
                        "1 pair a=1\n"
                        "2 error the line has a NUL byte\n"
                        "3 pair c=3\n");
    assert_string_equal(parse("# \x1b[31m\n\x7f\n"),
                        "1 error the line has a control byte\n"
                        "2 error the line has a control byte\n");
}

static void valid_utf8_passes(void **state)
{
    static const char *const good[] = {
        "\xc2\x80",     "\xdf\xbf",     "\xe0\xa0\x80",     "\xed\x9f\xbf",
        "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
    };
    char text[32];
    char told[64];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        snprintf(text, sizeof(text), "a = %s\n", good[i]);
        snprintf(told, sizeof(told), "1 pair a=%s\n", good[i]);
        assert_string_equal(parse(text), told);
    }
}

static void invalid_utf8_is_an_error_of_its_line(void **state)
{
    static const char *const bad[] = {
        "\x80",             /* a continuation alone */
        "\xc0\xaf",         /* overlong */
        "\xc1\xbf",         /* overlong */
        "\xc3",             /* cut */
        "\xc3\x28",         /* no continuation */
        "\xe0\x9f\xbf",     /* overlong */
        "\xe2\x82",         /* cut */
        "\xe2\x82\x28",     /* no continuation */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "\xf5\x80\x80\x80", /* beyond U+10FFFF */
        "\xf0\x9f\x92",     /* cut */
        "\xff",
    };
    char text[32];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(text, sizeof(text), "\na = %s\nb = 1", bad[i]);
        assert_string_equal(parse(text), "2 error the line is not valid UTF-8\n"
                                         "3 pair b=1\n");
        assert_string_equal(parse(bad[i]),
                            "1 error the line is not valid UTF-8\n");
    }
}

static void one_mebibyte_is_the_bound(void **state)
{
    char *text = malloc(INI_BYTES_MAX + 1);

    (void)state;
    assert_non_null(text);
    memset(text, '\n', INI_BYTES_MAX + 1);
    memcpy(text + INI_BYTES_MAX - 5, "a = 1", 5);
    heard[0] = '\0';
    ini_parse(text, INI_BYTES_MAX, hear, NULL);
    assert_string_equal(heard, "1048572 pair a=1\n");
    heard[0] = '\0';
    ini_parse(text, INI_BYTES_MAX + 1, hear, NULL);
    assert_string_equal(heard, "0 error it is larger than 1 MiB\n");
    free(text);
}

static void a_line_may_be_as_long_as_the_file(void **state)
{
    char *text = malloc(INI_BYTES_MAX);

    (void)state;
    assert_non_null(text);
    memset(text, 'x', INI_BYTES_MAX);
    heard[0] = '\0';
    ini_parse(text, INI_BYTES_MAX, hear, NULL);
    assert_non_null(strstr(heard, "1 error '=' is missing in 'xxx"));
    assert_true(strlen(heard) < 128);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_and_pairs_come_with_their_lines),
        cmocka_unit_test(nothing_in_nothing_out),
        cmocka_unit_test(white_space_around_everything_is_dropped),
        cmocka_unit_test(comments_start_a_line_or_follow_white_space),
        cmocka_unit_test(a_name_may_have_marks_and_a_comment_may_follow),
        cmocka_unit_test(a_mark_inside_a_word_is_part_of_it),
        cmocka_unit_test(a_value_may_have_equals_and_brackets),
        cmocka_unit_test(carriage_returns_before_newlines_are_dropped),
        cmocka_unit_test(the_last_newline_may_be_absent),
        cmocka_unit_test(a_byte_order_mark_is_skipped),
        cmocka_unit_test(errors_do_not_stop_the_parser),
        cmocka_unit_test(a_broken_section_hides_its_name),
        cmocka_unit_test(nul_and_control_bytes_are_errors),
        cmocka_unit_test(valid_utf8_passes),
        cmocka_unit_test(invalid_utf8_is_an_error_of_its_line),
        cmocka_unit_test(one_mebibyte_is_the_bound),
        cmocka_unit_test(a_line_may_be_as_long_as_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
