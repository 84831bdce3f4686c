/*
 * record: tagged values in a row of bytes, to write state down so that another
 * version of the program can read it. Pure.
 *
 *      | tag   | 0     | length        | value ...
 *      | 2     | 2     | 4 bytes       | length bytes, perhaps records
 *
 * All numbers are little-endian; a number as a value has 1 to 8 bytes. A reader
 * skips a tag that it does not know, unless RECORD_CRITICAL is set in it: then
 * it must refuse the whole. So a new version adds what an old one may do
 * without under a plain tag, and anything else under a critical one. A tag
 * never changes its meaning.
 */
#ifndef EVPROXY_BASE_RECORD_H
#define EVPROXY_BASE_RECORD_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_CRITICAL     0x8000u
#define RECORD_HEADER_BYTES 8

/* ---- writing ---- */

/* Into memory of the caller. Once something did not fit, `failed` stays set and
 * nothing more is written: a caller writes many records and looks once. */
struct record_writer {
    unsigned char *bytes;
    size_t size;
    size_t used;
    bool failed;
};

/* Begins a record whose value is records; answers what record_end takes. */
size_t record_begin(struct record_writer *writer, unsigned tag);
void record_end(struct record_writer *writer, size_t begun);

void record_put(struct record_writer *writer, unsigned tag, const void *value,
                size_t count);
void record_put_number(struct record_writer *writer, unsigned tag,
                       uint64_t value);

/* Without the final zero. */
void record_put_text(struct record_writer *writer, unsigned tag,
                     const char *text);

/* ---- reading ---- */

struct record {
    unsigned tag;
    const unsigned char *value;
    size_t count;
};

struct record_reader {
    const unsigned char *at;
    size_t left;
};

/* The next record: 1, 0 at the end, -1 if the bytes are no record. */
int record_next(struct record_reader *reader,
                struct record *record) WARN_UNUSED;

/* Gives each record to read, until it answers false: it refuses this one.
 * False: one was refused, or the bytes do not end with the end of a record. */
typedef bool (*record_fn)(const struct record *record, void *arg);
bool record_each(struct record_reader reader, record_fn read,
                 void *arg) WARN_UNUSED;

/* 1: there is a record with that tag; 0: there is none; -1: the bytes do not
 * end with the end of a record. */
int record_find(struct record_reader reader, unsigned tag) WARN_UNUSED;

/* Whether a reader that does not know the tag may go on. */
static inline bool record_may_be_skipped(const struct record *record)
{
    return !(record->tag & RECORD_CRITICAL);
}

/* Reads the records that are the value of another one. */
static inline struct record_reader record_enter(const struct record *record)
{
    return (struct record_reader){record->value, record->count};
}

/* The value as a number. False: it is none, or more than max. */
bool record_number(const struct record *record, uint64_t max,
                   uint64_t *value) WARN_UNUSED;

/* The value as a text with a final zero. False: it does not fit into size bytes
 * or has a zero byte. */
bool record_text(const struct record *record, char *text,
                 size_t size) WARN_UNUSED;

/* The value of exactly so many bytes. */
bool record_copy(const struct record *record, void *value,
                 size_t count) WARN_UNUSED;

#endif
