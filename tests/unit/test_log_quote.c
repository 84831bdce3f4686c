/* How values are quoted in lines of the log. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_quoted(const char *value, const char *quoted)
{
    char buffer[64];

    assert_string_equal(log_quote(value, buffer, sizeof(buffer)), quoted);
}

static void values_are_quoted_only_where_they_must_be(void **state)
{
    static const char *const plain[] = {"10.0.0.1:80", "a,b;c'd", "-",
                                        "\xc3\xbc|\xe2\x82\xac", "<b>"};
    char buffer[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        assert_ptr_equal(log_quote(plain[i], buffer, sizeof(buffer)), plain[i]);
    }
    assert_quoted("", "\"\"");
    assert_quoted("a b", "\"a b\"");
    assert_quoted("=", "\"=\"");
    assert_quoted("\"", "\"\\\"\"");
    assert_quoted("a\\nb", "\"a\\\\nb\"");
    assert_quoted("a\nb", "\"a\\nb\"");
    assert_quoted("\r\t\x1b\x7f", "\"\\r\\t\\u001b\\u007f\"");
    assert_quoted("\xc2\x85\xe2\x80\xa8", "\"\\u0085\\u2028\"");
    assert_quoted("\xc3\xbc\xc2\xa0", "\"\xc3\xbc\xc2\xa0\"");
    assert_quoted("a\xff\xe2\x82", "\"a\\ufffd\\ufffd\\ufffd\"");
    assert_string_equal(log_escape("a \"b\"", buffer, sizeof(buffer)),
                        "a \\\"b\\\"");
}

/* For each size of buffer: quotes at both ends, and only whole escapes and
 * characters. */
static void a_quoted_value_is_cut_to_its_buffer(void **state)
{
    static const char *const cuts[] = {
        "\"\"",
        "\"a\"",
        "\"a\"",
        "\"a\\\"\"",
        "\"a\\\" \"",
        "\"a\\\" \"",
        "\"a\\\" \\\\\"",
        "\"a\\\" \\\\\"",
        "\"a\\\" \\\\\xc3\xbc\"",
        "\"a\\\" \\\\\xc3\xbc\"",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        size_t size = 3 + i;
        char *buffer = malloc(size);

        assert_non_null(buffer);
        assert_string_equal(log_quote("a\" \\\xc3\xbc", buffer, size), cuts[i]);
        free(buffer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_quoted_only_where_they_must_be),
        cmocka_unit_test(a_quoted_value_is_cut_to_its_buffer),
    };

    return cmocka_run_group_tests_name("log_quote", tests, NULL, NULL);
}
