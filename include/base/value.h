/*
 * value: text to size, time, rate, number, choice. Pure.
 *
 * Every function answers NULL and sets *out, or answers a sentence without a
 * final stop that says what is wrong, names the bad text and what would be
 * right ("'5x' is not a time (examples: 250ms, 30s, 10m, off)"). The sentence
 * is a literal or lives in a buffer of the calling thread until the next call.
 * No white space around the text. Overflow is an error, never a wrap. A sign is
 * an error. On an error *out stays as it was.
 */
#ifndef EVPROXY_BASE_VALUE_H
#define EVPROXY_BASE_VALUE_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

/* Most bytes of a bad text that a sentence quotes: '%.40s'. */
#define VALUE_QUOTE "'%.40s'"

/*
 * Makes a sentence as above, in the same buffer, printf-like; for other rooms
 * that read text (so their calls end its life too). Control bytes become '?'.
 * The arguments may be in that buffer themselves.
 */
const char *value_sentence(const char *format, ...) PRINTF(1, 2);

/* A decimal number from min to max. */
const char *value_number(const char *text, uint64_t min, uint64_t max,
                         uint64_t *out) WARN_UNUSED;

/* As a number, without leading zeros: "080" is octal to some readers and
 * decimal to others. */
const char *value_plain_number(const char *text, uint64_t min, uint64_t max,
                               uint64_t *out) WARN_UNUSED;

/* As a number, or "off" for 0 whatever the minimum. */
const char *value_limit(const char *text, uint64_t max,
                        uint64_t *out) WARN_UNUSED;

/* Bytes: digits and K, M or G (powers of 1024), from min to max. */
const char *value_size(const char *text, uint64_t min, uint64_t max,
                       uint64_t *out) WARN_UNUSED;

/* Bytes per second: as a size, or "off"; a trailing "/s" is taken too. 0 is
 * off. */
const char *value_rate(const char *text, uint64_t *out) WARN_UNUSED;

/* Nanoseconds: a number and ms, s, m, h or d; a bare number is seconds; "off"
 * or 0 is 0. At most 365d. No fractions. */
const char *value_time(const char *text, uint64_t *out_ns) WARN_UNUSED;

/* "yes" or "no", and nothing else. */
const char *value_bool(const char *text, bool *out) WARN_UNUSED;

/* One of count names; *out is its index. The sentence lists them. */
const char *value_choice(const char *text, const char *const *names,
                         unsigned count, unsigned *out) WARN_UNUSED;

#endif
