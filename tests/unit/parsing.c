#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct config *parse_good(const char *text)
{
    struct config_errors errors = {0};
    struct config *config = load_text(text, strlen(text), &errors);

    if (config == NULL) {
        fail_msg("line %u: %s", errors.list[0].line, errors.list[0].message);
    }
    assert_int_equal(errors.count, 0);
    return config;
}

struct config_errors parse_bad(const char *text)
{
    struct config_errors errors = {0};

    assert_null(load_text(text, strlen(text), &errors));
    assert_true(errors.count > 0);
    return errors;
}

void assert_refused(const char *text, unsigned line, const char *message)
{
    struct config_errors errors = parse_bad(text);

    assert_string_equal(errors.list[0].message, message);
    assert_int_equal(errors.list[0].line, line);
    assert_int_equal(errors.count, 1);
    config_errors_fini(&errors);
}

void assert_line_refused(const char *line, const char *message)
{
    char text[512];

    snprintf(text, sizeof(text), "%s%s\n", SERVICE, line);
    assert_refused(text, 4, message);
}
