/*
 * Any bytes as a ClientHello: what is answered for all of them, for fewer and
 * for those of the message alone agrees, however it is cut into records.
 */
#include "wire/client_hello.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_prefix(const uint8_t *data, size_t count, int whole)
{
    struct client_hello hello;
    int answer = client_hello_parse(data, count, &hello);

    assert(answer == 0 || answer == whole);
    assert(whole <= 0 || (answer == 0) == (count < (size_t)whole));
}

/* The payloads of the records, of which the last may be longer than count. */
static size_t unseal(const uint8_t *data, size_t count, uint8_t *message)
{
    size_t total = 0;

    for (size_t at = 0; at < count;) {
        size_t bytes = (size_t)data[at + 3] << 8 | data[at + 4];

        at += 5;
        bytes = bytes < count - at ? bytes : count - at;
        assert(bytes <= CLIENT_HELLO_MAX - total);
        memcpy(message + total, data + at, bytes);
        total += bytes;
        at += bytes;
    }
    return total;
}

static size_t seal(const uint8_t *message, size_t count, size_t fragment,
                   uint8_t *wire)
{
    uint8_t *to = wire;

    for (size_t at = 0; at < count; at += fragment) {
        size_t bytes = count - at < fragment ? count - at : fragment;

        memcpy(to, "\x16\3\3", 3);
        to[3] = (uint8_t)(bytes >> 8);
        to[4] = (uint8_t)bytes;
        memcpy(to + 5, message + at, bytes);
        to += 5 + bytes;
    }
    return (size_t)(to - wire);
}

static void check_recut(const uint8_t *data, size_t count, const char *name)
{
    static const size_t fragments[] = {1, 3, CLIENT_HELLO_MAX};
    static uint8_t message[CLIENT_HELLO_MAX];
    static uint8_t wire[6 * CLIENT_HELLO_MAX];
    size_t total = unseal(data, count, message);
    struct client_hello hello;

    for (size_t i = 0; i < ARRAY_LEN(fragments); i++) {
        size_t sealed = seal(message, total, fragments[i], wire);

        assert(client_hello_parse(wire, sealed, &hello) == (int)sealed);
        assert(strcmp(hello.name, name) == 0);
    }
}

/* A name that was read is a pattern for itself. */
static void check_name(const char *name)
{
    assert(strlen(name) < CLIENT_HELLO_NAME_MAX);
    if (name[0] != '\0') {
        assert(client_hello_check_pattern(name) == NULL);
        assert(client_hello_matches(name, name));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client_hello hello;
    struct client_hello alone;
    int answer = client_hello_parse(data, size, &hello);

    assert(answer >= -1 && answer <= (int)size);
    assert(answer < 0 ||
           client_hello_state(data, size) ==
               (answer > 0 ? CLIENT_HELLO_WHOLE : CLIENT_HELLO_INCOMPLETE));
    check_prefix(data, size / 2, answer);
    check_prefix(data, size - (size > 0), answer);
    if (answer > 0) {
        check_prefix(data, (size_t)answer - 1, answer);
        assert(client_hello_parse(data, (size_t)answer, &alone) == answer);
        assert(strcmp(alone.name, hello.name) == 0);
        check_recut(data, (size_t)answer, hello.name);
        check_name(hello.name);
    }
    return 0;
}
