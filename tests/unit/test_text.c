#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void pieces_follow_one_another(void **state)
{
    struct text text = {.count = 0};

    (void)state;
    text_add_string(&text, "a");
    text_add(&text, "%s=%d", "b", 7);
    text_add_bytes(&text, "\0c", 2);
    text_add(&text, "%s", "");
    assert_false(text.failed);
    assert_int_equal(text.count, 6);
    assert_memory_equal(text.bytes, "ab=7\0c", 6);
    text_clear(&text);
    assert_int_equal(text.count, 0);
    text_add(&text, "d");
    assert_memory_equal(text.bytes, "d", 1);
    text_fini(&text);
}

static void it_grows_at_any_length(void **state)
{
    struct text text = {.count = 0};
    char piece[300];
    size_t sum = 0;

    (void)state;
    memset(piece, 'x', sizeof(piece));
    for (unsigned i = 0; i < 2000; i++) {
        unsigned length = i * 7 % sizeof(piece);

        text_add(&text, "%.*s", (int)length, piece);
        sum += length;
    }
    assert_int_equal(text.count, sum);
    assert_null(memchr(text.bytes, '\0', text.count));
    text_fini(&text);
}

static void a_gap_opens_within(void **state)
{
    struct text text = {.count = 0};
    char *gap;

    (void)state;
    text_add_string(&text, "head body");
    gap = text_insert(&text, 5, 3);
    assert_non_null(gap);
    memcpy(gap, "12 ", 3);
    assert_int_equal(text.count, 12);
    assert_memory_equal(text.bytes, "head 12 body", 12);
    text_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_follow_one_another),
        cmocka_unit_test(it_grows_at_any_length),
        cmocka_unit_test(a_gap_opens_within),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
