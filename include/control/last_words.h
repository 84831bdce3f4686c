/*
 * last_words: the end of what another process writes into a pipe. Control
 * thread.
 */
#ifndef EVPROXY_CONTROL_LAST_WORDS_H
#define EVPROXY_CONTROL_LAST_WORDS_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

#define LAST_WORDS_MAX 512

/* All-zero: none. */
struct last_words {
    char text[LAST_WORDS_MAX];
    size_t count;
};

/* Reads what there is, without waiting. True: the pipe is at its end. */
bool last_words_read(struct last_words *words, int fd);

/* The last line, or "". */
const char *last_words_line(struct last_words *words);

#endif
