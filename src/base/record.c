#include "base/record.h"

#include <string.h>

static void put_little_endian(unsigned char *bytes, uint64_t value,
                              size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (unsigned char)(value >> (8 * i));
    }
}

static uint64_t get_little_endian(const unsigned char *bytes, size_t count)
{
    uint64_t value = 0;

    for (size_t i = 0; i < count; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

/* ---- writing ---- */

/* Room for so many bytes. NULL: there is none. */
static unsigned char *extend(struct record_writer *writer, size_t count)
{
    unsigned char *place = writer->bytes + writer->used;

    if (writer->failed || count > writer->size - writer->used) {
        writer->failed = true;
        return NULL;
    }
    writer->used += count;
    return place;
}

static void put_header(unsigned char *header, unsigned tag, size_t count)
{
    put_little_endian(header, tag, 2);
    put_little_endian(header + 2, 0, 2);
    put_little_endian(header + 4, count, 4);
}

size_t record_begin(struct record_writer *writer, unsigned tag)
{
    unsigned char *header = extend(writer, RECORD_HEADER_BYTES);

    if (header != NULL) {
        put_header(header, tag, 0);
    }
    return writer->used;
}

void record_end(struct record_writer *writer, size_t begun)
{
    if (writer->failed) {
        return;
    }
    if (writer->used - begun > UINT32_MAX) {
        writer->failed = true;
        return;
    }
    put_little_endian(writer->bytes + begun - 4, writer->used - begun, 4);
}

void record_put(struct record_writer *writer, unsigned tag, const void *value,
                size_t count)
{
    unsigned char *place = NULL;

    if (count <= UINT32_MAX) {
        place = extend(writer, RECORD_HEADER_BYTES + count);
    }
    if (place == NULL) {
        writer->failed = true;
        return;
    }
    put_header(place, tag, count);
    if (count > 0) {
        memcpy(place + RECORD_HEADER_BYTES, value, count);
    }
}

void record_put_number(struct record_writer *writer, unsigned tag,
                       uint64_t value)
{
    unsigned char bytes[8];
    size_t count = 1;

    put_little_endian(bytes, value, sizeof(bytes));
    while (count < sizeof(bytes) && value >> (8 * count) != 0) {
        count++;
    }
    record_put(writer, tag, bytes, count);
}

void record_put_text(struct record_writer *writer, unsigned tag,
                     const char *text)
{
    record_put(writer, tag, text, strlen(text));
}

/* ---- reading ---- */

int record_next(struct record_reader *reader, struct record *record)
{
    size_t count;

    if (reader->left == 0) {
        return 0;
    }
    if (reader->left < RECORD_HEADER_BYTES) {
        return -1;
    }
    count = (size_t)get_little_endian(reader->at + 4, 4);
    if (count > reader->left - RECORD_HEADER_BYTES) {
        return -1;
    }
    record->tag = (unsigned)get_little_endian(reader->at, 2);
    record->value = reader->at + RECORD_HEADER_BYTES;
    record->count = count;
    reader->at += RECORD_HEADER_BYTES + count;
    reader->left -= RECORD_HEADER_BYTES + count;
    return 1;
}

bool record_each(struct record_reader reader, record_fn read, void *arg)
{
    struct record record;
    int result;

    while ((result = record_next(&reader, &record)) > 0) {
        if (!read(&record, arg)) {
            return false;
        }
    }
    return result == 0;
}

int record_find(struct record_reader reader, unsigned tag)
{
    struct record record;
    int found = 0, result;

    while ((result = record_next(&reader, &record)) > 0) {
        found |= record.tag == tag;
    }
    return result < 0 ? -1 : found;
}

bool record_number(const struct record *record, uint64_t max, uint64_t *value)
{
    uint64_t number;

    if (record->count == 0 || record->count > sizeof(number)) {
        return false;
    }
    number = get_little_endian(record->value, record->count);
    if (number > max) {
        return false;
    }
    *value = number;
    return true;
}

bool record_text(const struct record *record, char *text, size_t size)
{
    if (record->count >= size ||
        (record->count > 0 &&
         memchr(record->value, '\0', record->count) != NULL)) {
        return false;
    }
    if (record->count > 0) {
        memcpy(text, record->value, record->count);
    }
    text[record->count] = '\0';
    return true;
}

bool record_copy(const struct record *record, void *value, size_t count)
{
    if (record->count != count) {
        return false;
    }
    if (count > 0) {
        memcpy(value, record->value, count);
    }
    return true;
}
