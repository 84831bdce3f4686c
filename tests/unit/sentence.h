/*
 * sentence: what each error sentence of a parser must look like, for tests.
 */
#ifndef EVPROXY_TESTS_SENTENCE_H
#define EVPROXY_TESTS_SENTENCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Short, printable, no full stop. */
static inline void check_sentence(const char *sentence)
{
    size_t length = strlen(sentence);

    assert_in_range(length, 1, 200);
    assert_int_not_equal(sentence[length - 1], '.');
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)sentence[i];

        assert_true(byte >= 0x20 && byte != 0x7f);
    }
}

#endif
