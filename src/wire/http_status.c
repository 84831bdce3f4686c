#include "wire/http_status.h"

#include <stdbool.h>

/* 'd' stands for a digit, 's' for the first of a status, ' ' for itself. */
static const char pattern[] = "HTTP/1.d sdd";

enum {
    PLACE_AFTER = sizeof(pattern) - 1, /* the byte after the status */
    PLACE_LINE,       /* within a line of the head that is not empty yet */
    PLACE_LINE_BEGIN, /* at the beginning of a line */
    PLACE_CR,         /* after the CR of an empty line, so far */
};

/* False: the byte does not fit its place in the pattern. */
static bool take_first(struct http_status *reader, uint8_t byte)
{
    char wanted = pattern[reader->place];

    switch (wanted) {
    case 'd':
    case 's':
        if (byte < (wanted == 's' ? '1' : '0') || byte > '9') {
            return false;
        }
        if (wanted == 's') {
            reader->status = 0;
        }
        reader->status = (uint16_t)(reader->status * 10 + (byte - '0'));
        break;
    default:
        if (byte != (uint8_t)wanted) {
            return false;
        }
    }
    reader->place++;
    return true;
}

/* Up to the empty line. */
static void take_head(struct http_status *reader, uint8_t byte)
{
    if (byte == '\n') {
        reader->place = reader->place == PLACE_LINE ? PLACE_LINE_BEGIN : 0;
    } else if (byte == '\r' && reader->place == PLACE_LINE_BEGIN) {
        reader->place = PLACE_CR;
    } else {
        reader->place = PLACE_LINE;
    }
}

int http_status_read(struct http_status *reader, const uint8_t *bytes,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t byte = bytes[i];

        if (reader->seen++ == HTTP_STATUS_BYTES_MAX) {
            return -1;
        }
        if (reader->place < PLACE_AFTER) {
            if (!take_first(reader, byte)) {
                return -1;
            }
        } else if (reader->place == PLACE_AFTER) {
            if (byte != ' ' && byte != '\r' && byte != '\n') {
                return -1;
            }
            reader->place = byte == '\n' ? PLACE_LINE_BEGIN : PLACE_LINE;
            return (int)(i + 1);
        } else {
            take_head(reader, byte);
        }
    }
    return 0;
}
