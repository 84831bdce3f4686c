/*
 * Any bytes as HTTP answers: what is answered does not depend on how they are
 * cut into reads, and each status is one.
 */
#include "wire/http_status.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads all in pieces of that size. A number that depends on all statuses and
 * where they stand. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t piece)
{
    struct http_status reader = {0};
    uint64_t result = 1;
    size_t at = 0;

    while (at < size) {
        size_t count = size - at < piece ? size - at : piece;
        int taken = http_status_read(&reader, data + at, count);

        if (taken < 0) {
            return result * 31 + 7;
        }
        assert((size_t)taken <= count);
        at += taken == 0 ? count : (size_t)taken;
        if (taken > 0) {
            assert(reader.status >= 100 && reader.status <= 999);
            result = (result * 31 + reader.status) * 31 + at;
        }
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t result = read_all(data, size, size + 1);

    assert(read_all(data, size, 1) == result);
    assert(read_all(data, size, 5) == result);
    return 0;
}
