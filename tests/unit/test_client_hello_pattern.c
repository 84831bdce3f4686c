#include "wire/client_hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void patterns_match_names(void **state)
{
    static const struct {
        const char *pattern;
        const char *name;
        bool match;
    } pairs[] = {
        {"a.example", "a.example", true},
        {"A.Example", "a.example", true},
        {"a.example", "b.example", false},
        {"a.example", "x.a.example", false},
        {"a.example", "a.example.x", false},
        {"a.example", "", false},
        {"*.b.example", "a.b.example", true},
        {"*.B.EXAMPLE", "a.b.example", true},
        {"*.b.example", "b.example", false},
        {"*.b.example", "x.a.b.example", false},
        {"*.b.example", ".b.example", false},
        {"*.b.example", "a.c.example", false},
        {"*.b.example", "", false},
        {"*.example", "a.example", true},
        {"*.example", "example", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        assert_null(client_hello_check_pattern(pairs[i].pattern));
        assert_int_equal(client_hello_matches(pairs[i].pattern, pairs[i].name),
                         pairs[i].match);
    }
}

static void wrong_patterns_are_refused_with_a_sentence(void **state)
{
    static const char *const wrong[][2] = {
        {"", "'' is not a host name (examples: a.example, *.b.example)"},
        {"a b", "'a b' is not a host name (examples: a.example, *.b.example)"},
        {".a", "'.a' is not a host name (examples: a.example, *.b.example)"},
        {".", "'.' is not a host name (examples: a.example, *.b.example)"},
        {"*.", "'*.' is not a host name (examples: a.example, *.b.example)"},
        {"a.example.", "'a.example.' ends with a dot"},
        {"*.a.", "'*.a.' ends with a dot"},
        {"*", "'*' has a '*' that is not its whole first label"
              " (example: *.b.example)"},
        {"*a.b", "'*a.b' has a '*' that is not its whole first label"
                 " (example: *.b.example)"},
        {"*.*.b", "'*.*.b' has a '*' that is not its whole first label"
                  " (example: *.b.example)"},
        {"a.*", "'a.*' has a '*' that is not its whole first label"
                " (example: *.b.example)"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        const char *sentence = client_hello_check_pattern(wrong[i][0]);

        assert_non_null(sentence);
        assert_string_equal(sentence, wrong[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_names),
        cmocka_unit_test(wrong_patterns_are_refused_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
