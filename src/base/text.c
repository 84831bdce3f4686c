#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 1024

void text_fini(struct text *text)
{
    free(text->bytes);
    *text = (struct text){.count = 0};
}

void text_clear(struct text *text)
{
    text->count = 0;
    text->failed = false;
}

/* Makes room for so many more bytes. False: the text has failed. */
static bool reserve(struct text *text, size_t more)
{
    size_t size = text->size > 0 ? text->size : FIRST_SIZE;
    char *bytes;

    if (text->failed) {
        return false;
    }
    if (text->size - text->count >= more) {
        return true;
    }
    while (size - text->count < more) {
        size *= 2;
    }
    bytes = realloc(text->bytes, size);
    if (bytes == NULL) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->size = size;
    return true;
}

void text_add_bytes(struct text *text, const char *bytes, size_t count)
{
    if (count > 0 && reserve(text, count)) {
        memcpy(text->bytes + text->count, bytes, count);
        text->count += count;
    }
}

void text_add_string(struct text *text, const char *string)
{
    text_add_bytes(text, string, strlen(string));
}

void text_add(struct text *text, const char *format, ...)
{
    size_t room = text->size - text->count;
    va_list args, again;
    int length;

    va_start(args, format);
    va_copy(again, args);
    /* vsnprintf writes a final zero, which is not part of the text. */
    length = vsnprintf(text->bytes == NULL ? NULL : text->bytes + text->count,
                       room, format, args);
    if (length < 0) {
        text->failed = true;
    } else if ((size_t)length >= room && reserve(text, (size_t)length + 1)) {
        vsnprintf(text->bytes + text->count, (size_t)length + 1, format, again);
    }
    if (!text->failed) {
        text->count += (size_t)length;
    }
    va_end(again);
    va_end(args);
}

char *text_insert(struct text *text, size_t place, size_t count)
{
    if (!reserve(text, count)) {
        return NULL;
    }
    memmove(text->bytes + place + count, text->bytes + place,
            text->count - place);
    text->count += count;
    return text->bytes + place;
}
