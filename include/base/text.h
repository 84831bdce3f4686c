/*
 * text: a text that grows at its end. Pure.
 *
 * If memory runs out, what is added from then on is dropped and `failed` is
 * set: a caller adds many pieces and looks once.
 */
#ifndef EVPROXY_BASE_TEXT_H
#define EVPROXY_BASE_TEXT_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

/* All-zero: empty. The bytes have no final zero. */
struct text {
    char *bytes;
    size_t count;
    size_t size; /* of the allocation */
    bool failed;
};

/* Makes it empty and frees its memory. */
void text_fini(struct text *text);

/* Makes it empty and keeps its memory. */
void text_clear(struct text *text);

void text_add_bytes(struct text *text, const char *bytes, size_t count);
void text_add_string(struct text *text, const char *string);
void text_add(struct text *text, const char *format, ...) PRINTF(2, 3);

/* Opens a gap of so many bytes at that place, which the caller fills in. NULL:
 * the text has failed. */
char *text_insert(struct text *text, size_t place, size_t count) WARN_UNUSED;

#endif
