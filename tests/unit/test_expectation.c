#include "wire/expectation.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Where the text ends in the answer, given in pieces; 0: not yet, -1: never. */
static int find(const char *text, size_t text_bytes, const uint8_t *answer,
                size_t count, size_t piece)
{
    struct expectation *expectation = expectation_create(text, text_bytes);
    size_t at = 0;
    int result = 0;

    assert_non_null(expectation);
    while (at < count && result == 0) {
        size_t part = count - at < piece ? count - at : piece;

        result = expectation_read(expectation, answer + at, part);
        if (result > 0) {
            result += (int)at;
        }
        at += part;
    }
    free(expectation);
    return result;
}

static int find_text(const char *text, const char *answer, size_t piece)
{
    return find(text, strlen(text), (const uint8_t *)answer, strlen(answer),
                piece);
}

static void a_text_is_found_wherever_the_answer_is_cut(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 30; piece++) {
        assert_int_equal(
            find_text("role:master", "x\r\nrole:master\r\n", piece), 14);
        assert_int_equal(find_text("+PONG", "+PONG\r\n", piece), 5);
        assert_int_equal(find_text("role:master", "role:slave\r\n", piece), 0);
        assert_int_equal(find_text("aab", "aaaaaab", piece), 7);
    }
}

static void bytes_of_value_zero_count(void **state)
{
    (void)state;
    assert_int_equal(find("a\0b", 3, (const uint8_t *)"a\0a\0b", 5, 2), 5);
}

/* Against memmem: short alphabets, so that texts repeat themselves. */
static void it_agrees_with_a_plain_search(void **state)
{
    uint64_t seed = 0x6b6d70;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        size_t text_bytes = 1 + hash_random(&seed) % 8;
        size_t count = hash_random(&seed) % 60;
        char text[8];
        uint8_t answer[60];
        const uint8_t *found;

        for (size_t i = 0; i < text_bytes; i++) {
            text[i] = (char)('a' + hash_random(&seed) % 2);
        }
        for (size_t i = 0; i < count; i++) {
            answer[i] = (uint8_t)('a' + hash_random(&seed) % 2);
        }
        found = memmem(answer, count, text, text_bytes);
        assert_int_equal(
            find(text, text_bytes, answer, count, 1 + hash_random(&seed) % 10),
            found == NULL ? 0 : found - answer + text_bytes);
    }
}

static void only_the_first_bytes_are_looked_at(void **state)
{
    static uint8_t answer[EXPECTATION_BYTES_MAX + 1];

    (void)state;
    memcpy(answer + EXPECTATION_BYTES_MAX - 3, "end", 3);
    assert_int_equal(find("end", 3, answer, sizeof(answer), 1000),
                     EXPECTATION_BYTES_MAX);
    memcpy(answer + EXPECTATION_BYTES_MAX - 3, "\0end", 4);
    assert_int_equal(find("end", 3, answer, sizeof(answer), 1000), -1);
    assert_int_equal(find("end", 3, answer, EXPECTATION_BYTES_MAX, 1), -1);
    assert_int_equal(find("end", 3, answer, EXPECTATION_BYTES_MAX - 1, 1), 0);
}

static void the_longest_text_is_found(void **state)
{
    static uint8_t answer[EXPECTATION_BYTES_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(answer); i++) {
        answer[i] = (uint8_t)(i * 7 >> 3);
    }
    assert_int_equal(
        find((const char *)answer, sizeof(answer), answer, sizeof(answer), 999),
        EXPECTATION_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_found_wherever_the_answer_is_cut),
        cmocka_unit_test(bytes_of_value_zero_count),
        cmocka_unit_test(it_agrees_with_a_plain_search),
        cmocka_unit_test(only_the_first_bytes_are_looked_at),
        cmocka_unit_test(the_longest_text_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
