#include "control/last_words.h"

#include <string.h>
#include <unistd.h>

/* Keeps the second half when it is full. One byte is left for a final zero. */
bool last_words_read(struct last_words *words, int fd)
{
    const size_t size = sizeof(words->text) - 1;
    ssize_t count;

    do {
        if (words->count > size / 2) {
            memmove(words->text, words->text + words->count - size / 2,
                    size / 2);
            words->count = size / 2;
        }
        count = read(fd, words->text + words->count, size - words->count);
        words->count += count > 0 ? (size_t)count : 0;
    } while (count > 0);
    return count == 0;
}

const char *last_words_line(struct last_words *words)
{
    size_t begin;

    while (words->count > 0 && words->text[words->count - 1] == '\n') {
        words->count--;
    }
    words->text[words->count] = '\0';
    begin = words->count;
    while (begin > 0 && words->text[begin - 1] != '\n') {
        begin--;
    }
    return words->text + begin;
}
