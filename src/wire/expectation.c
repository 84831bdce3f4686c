#include "wire/expectation.h"

#include <assert.h>
#include <stdlib.h>

/* How many bytes of the text end with this byte, after so many did before. */
static uint16_t advance(const struct expectation *expectation, uint16_t matched,
                        uint8_t byte)
{
    while (matched > 0 && expectation->text[matched] != byte) {
        matched = expectation->borders[matched - 1];
    }
    return (uint16_t)(matched + (expectation->text[matched] == byte));
}

struct expectation *expectation_create(const void *text, size_t bytes)
{
    struct expectation *expectation;

    assert(bytes > 0 && bytes <= EXPECTATION_BYTES_MAX);
    expectation = malloc(sizeof(*expectation) + bytes * sizeof(uint16_t));
    if (expectation == NULL) {
        return NULL;
    }
    *expectation = (struct expectation){.text = text, .bytes = (uint16_t)bytes};
    expectation->borders[0] = 0;
    for (size_t i = 1; i < bytes; i++) {
        expectation->borders[i] = advance(
            expectation, expectation->borders[i - 1], expectation->text[i]);
    }
    return expectation;
}

int expectation_read(struct expectation *expectation, const uint8_t *bytes,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (expectation->seen == EXPECTATION_BYTES_MAX) {
            return -1;
        }
        expectation->seen++;
        expectation->matched =
            advance(expectation, expectation->matched, bytes[i]);
        if (expectation->matched == expectation->bytes) {
            return (int)(i + 1);
        }
    }
    return expectation->seen == EXPECTATION_BYTES_MAX ? -1 : 0;
}
