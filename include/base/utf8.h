/*
 * utf8: the characters of a text in UTF-8. Pure.
 */
#ifndef EVPROXY_BASE_UTF8_H
#define EVPROXY_BASE_UTF8_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads the character at the start of `left` bytes, at least 1. Returns its
 * bytes, or 0 if they are not valid UTF-8; *character is then undefined.
 * Source: table 3-7 of the Unicode standard.
 */
size_t utf8_read(const char *at, size_t left, uint32_t *character) WARN_UNUSED;

/* A control character, or a separator of lines or paragraphs (U+2028, U+2029),
 * at which some readers end a line. */
bool utf8_is_control(uint32_t character);

/* White space that is no control character. */
bool utf8_is_space(uint32_t character);

/* Writes '?' over each byte of a control character and of what is not valid
 * UTF-8. */
void utf8_clean(char *text, size_t count);

#endif
