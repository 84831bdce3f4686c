#include "base/utf8.h"

#include <string.h>

/* Bytes of the character that begins with this one; 0: none does. */
static size_t length_of(unsigned char first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* The second byte alone shows overlong forms, surrogates and values beyond
 * U+10FFFF. */
static bool is_second(unsigned char first, unsigned char second)
{
    unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

    return second >= least && second <= most;
}

size_t utf8_read(const char *at, size_t left, uint32_t *character)
{
    const unsigned char *bytes = (const unsigned char *)at;
    size_t length = length_of(bytes[0]);

    if (length == 1) {
        *character = bytes[0];
        return 1;
    }
    if (length == 0 || left < length || !is_second(bytes[0], bytes[1])) {
        return 0;
    }
    *character = bytes[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
        *character = *character << 6 | (bytes[i] & 0x3fu);
    }
    return length;
}

bool utf8_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character < 0xa0) ||
           character == 0x2028 || character == 0x2029;
}

bool utf8_is_space(uint32_t character)
{
    return character == ' ' || character == 0xa0 || character == 0x1680 ||
           (character >= 0x2000 && character <= 0x200a) ||
           character == 0x202f || character == 0x205f || character == 0x3000;
}

/* Most texts are: the compiler makes vector instructions of it. */
static bool is_printable_ascii(const char *text, size_t count)
{
    unsigned bad = 0;

    for (size_t i = 0; i < count; i++) {
        unsigned char byte = (unsigned char)text[i];

        bad |= byte < 0x20 || byte >= 0x7f;
    }
    return bad == 0;
}

void utf8_clean(char *text, size_t count)
{
    uint32_t character;
    size_t length;

    if (is_printable_ascii(text, count)) {
        return;
    }
    for (size_t i = 0; i < count; i += length) {
        length = utf8_read(text + i, count - i, &character);
        if (length == 0) {
            length = 1;
            text[i] = '?';
        } else if (utf8_is_control(character)) {
            memset(text + i, '?', length);
        }
    }
}
