/*
 * Any text in any answer: the first byte is the text's length, and the answer
 * follows the text. It agrees with a plain search, however the answer is cut.
 */
#include "wire/expectation.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(const uint8_t *text, size_t bytes, const uint8_t *answer,
                    size_t size, size_t piece)
{
    struct expectation *expectation = expectation_create(text, bytes);
    int result = 0;

    if (expectation == NULL) {
        abort();
    }
    for (size_t at = 0; at < size && result == 0; at += piece) {
        result = expectation_read(expectation, answer + at,
                                  size - at < piece ? size - at : piece);
        result += result > 0 ? (int)at : 0;
    }
    free(expectation);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t bytes = size == 0 ? 0 : 1 + data[0] % 32;
    const uint8_t *answer, *found;
    size_t count, looked;
    int expected;

    if (size < 1 + bytes || size == 0) {
        return 0;
    }
    answer = data + 1 + bytes;
    count = size - 1 - bytes;
    looked = count < EXPECTATION_BYTES_MAX ? count : EXPECTATION_BYTES_MAX;
    found = memmem(answer, looked, data + 1, bytes);
    expected = found != NULL ? (int)((size_t)(found - answer) + bytes)
               : looked == EXPECTATION_BYTES_MAX ? -1
                                                 : 0;
    assert(read_all(data + 1, bytes, answer, count, count + 1) == expected);
    assert(read_all(data + 1, bytes, answer, count, 3) == expected);
    return 0;
}
