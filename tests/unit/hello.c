#include "hello.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct bytes hello_message;
struct bytes hello_wire;

void bytes_add(struct bytes *to, const void *data, size_t count)
{
    assert_true(count <= sizeof(to->data) - to->count);
    memcpy(to->data + to->count, data, count);
    to->count += count;
}

void bytes_add_number(struct bytes *to, size_t number, unsigned bytes)
{
    while (bytes-- > 0) {
        bytes_add(to, (uint8_t[]){(uint8_t)(number >> 8 * bytes)}, 1);
    }
}

void bytes_add_zeros(struct bytes *to, size_t count)
{
    while (count-- > 0) {
        bytes_add(to, "", 1);
    }
}

void hello_start(void)
{
    hello_message.count = 0;
    bytes_add_number(&hello_message, 1 << 24, 4);
    bytes_add(&hello_message, "\3\3", 2);
    bytes_add_zeros(&hello_message, 32);
    bytes_add_number(&hello_message, 32, 1);
    bytes_add_zeros(&hello_message, 32);
    bytes_add(&hello_message, "\0\4\x13\1\xc0\x2f", 6);
    bytes_add(&hello_message, "\1\0", 2);
    assert_int_equal(hello_message.count, HELLO_FIXED_BYTES);
    bytes_add_number(&hello_message, 0, 2);
}

void hello_add_extension(unsigned type, const void *data, size_t count)
{
    bytes_add_number(&hello_message, type, 2);
    bytes_add_number(&hello_message, count, 2);
    bytes_add(&hello_message, data, count);
}

void hello_add_name(const char *name, size_t count)
{
    bytes_add_number(&hello_message, 0, 2);
    bytes_add_number(&hello_message, count + 5, 2);
    bytes_add_number(&hello_message, count + 3, 2);
    bytes_add_number(&hello_message, 0, 1);
    bytes_add_number(&hello_message, count, 2);
    bytes_add(&hello_message, name, count);
}

void bytes_set_number(uint8_t *at, size_t number)
{
    at[0] = (uint8_t)(number >> 8);
    at[1] = (uint8_t)number;
}

void hello_seal(size_t fragment)
{
    hello_wire.count = 0;
    for (size_t at = 0; at < hello_message.count; at += fragment) {
        size_t left = hello_message.count - at;
        size_t bytes = left < fragment ? left : fragment;

        bytes_add(&hello_wire, "\x16\3\1", 3);
        bytes_add_number(&hello_wire, bytes, 2);
        bytes_add(&hello_wire, hello_message.data + at, bytes);
    }
}

void hello_finish(size_t fragment)
{
    bytes_set_number(hello_message.data + 2, hello_message.count - 4);
    bytes_set_number(hello_message.data + HELLO_FIXED_BYTES,
                     hello_message.count - HELLO_FIXED_BYTES - 2);
    hello_seal(fragment);
}

void hello_make_browser(const char *name, size_t fragment)
{
    static const uint8_t share[1216 + 600];

    hello_start();
    hello_add_extension(0x0a0a, "", 0);
    hello_add_extension(51, share, sizeof(share));
    hello_add_name(name, strlen(name));
    hello_add_extension(21, share, 99);
    hello_finish(fragment);
}

int hello_parse(const void *data, size_t count, struct client_hello *out)
{
    uint8_t *copy = malloc(count > 0 ? count : 1);
    int answer;

    assert_non_null(copy);
    memcpy(copy, data, count);
    memset(out, 'x', sizeof(*out));
    answer = client_hello_parse(copy, count, out);
    free(copy);
    return answer;
}

void hello_check_named(const void *data, size_t count, const char *name)
{
    struct client_hello hello;

    assert_int_equal(hello_parse(data, count, &hello), count);
    assert_string_equal(hello.name, name);
}

void hello_check_wire(const char *name)
{
    hello_check_named(hello_wire.data, hello_wire.count, name);
}

void hello_check_refused(void)
{
    struct client_hello hello;

    assert_int_equal(hello_parse(hello_wire.data, hello_wire.count, &hello),
                     -1);
}
