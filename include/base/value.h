/*
 * value: text to size, time, rate, number, choice. Pure.
 *
 * Every function answers NULL and sets *out, or answers a sentence that says
 * what is wrong, quotes the bad text and tells what would be right ("'5x' is
 * not a time (examples: 250ms, 30s, 10m, off)"). A sentence has no full stop.
 * It is a literal, or it is in a buffer of the calling thread, where it lasts
 * until the next sentence. White space, a sign and an overflow are errors. On
 * an error *out stays as it was.
 */
#ifndef EVPROXY_BASE_VALUE_H
#define EVPROXY_BASE_VALUE_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

/* How a sentence quotes a bad text: at most 40 bytes of it. */
#define VALUE_QUOTE "'%.40s'"

/*
 * Writes a sentence as above to the same buffer, like printf; for other modules
 * that parse text, as utf8_clean makes it. The arguments may be in that
 * buffer.
 */
const char *value_sentence(const char *format, ...) PRINTF(1, 2);

/* A decimal number from min to max. */
const char *value_number(const char *text, uint64_t min, uint64_t max,
                         uint64_t *out) WARN_UNUSED;

/* As a number, without leading zeros: "080" is octal to some readers and
 * decimal to others. */
const char *value_plain_number(const char *text, uint64_t min, uint64_t max,
                               uint64_t *out) WARN_UNUSED;

/* A decimal number up to max; "off" is 0. */
const char *value_limit(const char *text, uint64_t max,
                        uint64_t *out) WARN_UNUSED;

/* Bytes: digits and K, M or G (powers of 1024), from min to max. */
const char *value_size(const char *text, uint64_t min, uint64_t max,
                       uint64_t *out) WARN_UNUSED;

/* Bytes per second: as a size, with or without "/s" at its end; "off" is 0. */
const char *value_rate(const char *text, uint64_t *out) WARN_UNUSED;

/* Nanoseconds: a number and ms, s, m, h or d; a bare number is seconds; "off"
 * is 0. At most 365d. No fractions. */
const char *value_time(const char *text, uint64_t *out_ns) WARN_UNUSED;

/* "yes", "on", "true"; "no", "off", "false". */
const char *value_bool(const char *text, bool *out) WARN_UNUSED;

/* One of count names; *out is its index. The sentence lists the names. */
const char *value_choice(const char *text, const char *const *names,
                         unsigned count, unsigned *out) WARN_UNUSED;

#endif
