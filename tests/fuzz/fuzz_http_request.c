/*
 * Any bytes as the head of an HTTP request: what is answered for all at once
 * and for pieces of them agrees, and a path can be decoded.
 */
#include "wire/http_request.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads in pieces of so many bytes; answers as if it were one. */
static ssize_t read_pieces(struct http_request *request, const char *bytes,
                           size_t count, size_t piece)
{
    for (size_t i = 0; i < count; i += piece) {
        size_t part = count - i < piece ? count - i : piece;
        ssize_t answer = http_request_read(request, bytes + i, part);

        if (answer != 0) {
            return answer < 0 ? answer : (ssize_t)i + answer;
        }
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request whole = {.state = 0};
    struct http_request pieces = {.state = 0};
    ssize_t answer = http_request_read(&whole, (const char *)data, size);
    size_t piece = size > 0 ? 1 + data[size - 1] % 7 : 1;

    assert(answer >= -1 && answer <= (ssize_t)size);
    assert(answer <= HTTP_HEAD_MAX);
    assert(read_pieces(&pieces, (const char *)data, size, piece) == answer);
    if (answer > 0) {
        assert(whole.method == pieces.method && whole.minor == pieces.minor);
        assert(whole.minor <= 1 && whole.path[0] != '\0');
        assert(strcmp(whole.path, pieces.path) == 0);
        assert(strlen(whole.path) < HTTP_PATH_MAX);
        assert(strpbrk(whole.path, " ?#\r\n") == NULL);
        (void)(http_decode(whole.path) == 0);
    }
    return 0;
}
