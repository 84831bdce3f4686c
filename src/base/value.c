#include "base/value.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SENTENCE_MAX  512
#define SIZE_TEXT_MAX 24 /* 2^64 has 20 digits; a unit; the final zero */

#define TIME_MAX_NS (UINT64_C(365) * 86400 * NS_PER_S)

struct unit {
    const char *name;
    uint64_t factor;
};

/* From the largest to the smallest: size_format takes the first that divides.
 */
static const struct unit size_units[] = {
    {"G", UINT64_C(1) << 30},
    {"M", UINT64_C(1) << 20},
    {"K", UINT64_C(1) << 10},
    {"", 1},
};

static const struct unit time_units[] = {
    {"", NS_PER_S},       {"ms", NS_PER_MS},      {"s", NS_PER_S},
    {"m", 60 * NS_PER_S}, {"h", 3600 * NS_PER_S}, {"d", 86400 * NS_PER_S},
};

const char *value_sentence(const char *format, ...)
{
    static _Thread_local char sentence[SENTENCE_MAX];
    char text[SENTENCE_MAX] = "";
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    utf8_clean(text, strlen(text));
    return strcpy(sentence, text);
}

/* Reads the digits at the start; answers what follows them, or NULL if there
 * are none or they overflow. */
static const char *digits_read(const char *text, uint64_t *out)
{
    const char *at = text;
    uint64_t number = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number)) {
            return NULL;
        }
    }
    *out = number;
    return at == text ? NULL : at;
}

static const struct unit *unit_find(const struct unit *units, size_t count,
                                    const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(units[i].name, name) == 0) {
            return &units[i];
        }
    }
    return NULL;
}

/* Without limits; false also on an overflow. */
static bool size_read(const char *text, uint64_t *out)
{
    uint64_t number;
    const char *rest = digits_read(text, &number);
    const struct unit *unit;

    if (rest == NULL) {
        return false;
    }
    unit = unit_find(size_units, ARRAY_LEN(size_units), rest);
    return unit != NULL && !__builtin_mul_overflow(number, unit->factor, out);
}

static const char *size_format(uint64_t bytes, char text[SIZE_TEXT_MAX])
{
    const struct unit *unit = size_units;

    while (bytes % unit->factor != 0 || bytes < unit->factor) {
        if (unit->factor == 1) {
            break;
        }
        unit++;
    }
    (void)snprintf(text, SIZE_TEXT_MAX, "%" PRIu64 "%s", bytes / unit->factor,
                   unit->name);
    return text;
}

const char *value_number(const char *text, uint64_t min, uint64_t max,
                         uint64_t *out)
{
    uint64_t number;
    const char *rest = digits_read(text, &number);

    if (rest == NULL || *rest != '\0' || number < min || number > max) {
        return value_sentence(VALUE_QUOTE " is not a number between %" PRIu64
                                          " and %" PRIu64,
                              text, min, max);
    }
    *out = number;
    return NULL;
}

const char *value_plain_number(const char *text, uint64_t min, uint64_t max,
                               uint64_t *out)
{
    if (text[0] == '0' && text[1] != '\0') {
        return value_sentence(VALUE_QUOTE " has a leading zero", text);
    }
    return value_number(text, min, max, out);
}

const char *value_limit(const char *text, uint64_t max, uint64_t *out)
{
    if (strcmp(text, "off") == 0) {
        *out = 0;
        return NULL;
    }
    if (value_number(text, 0, max, out) != NULL) {
        return value_sentence(VALUE_QUOTE " is neither off nor a number"
                                          " between 0 and %" PRIu64,
                              text, max);
    }
    return NULL;
}

const char *value_size(const char *text, uint64_t min, uint64_t max,
                       uint64_t *out)
{
    char least[SIZE_TEXT_MAX];
    char most[SIZE_TEXT_MAX];
    uint64_t bytes;

    if (!size_read(text, &bytes) || bytes < min || bytes > max) {
        return value_sentence(VALUE_QUOTE " is not a size between %s and %s"
                                          " (examples: 4096, 16K, 1G)",
                              text, size_format(min, least),
                              size_format(max, most));
    }
    *out = bytes;
    return NULL;
}

const char *value_rate(const char *text, uint64_t *out)
{
    char size[SIZE_TEXT_MAX * 2];
    size_t length = strlen(text);

    if (strcmp(text, "off") == 0) {
        *out = 0;
        return NULL;
    }
    if (length >= 2 && strcmp(text + length - 2, "/s") == 0) {
        length -= 2;
    }
    if (length < sizeof(size)) {
        memcpy(size, text, length);
        size[length] = '\0';
        if (size_read(size, out)) {
            return NULL;
        }
    }
    return value_sentence(
        VALUE_QUOTE " is not a rate (examples: 64K, 10M/s, off)", text);
}

const char *value_time(const char *text, uint64_t *out_ns)
{
    const struct unit *unit;
    const char *rest;
    uint64_t number;
    uint64_t ns;

    if (strcmp(text, "off") == 0) {
        *out_ns = 0;
        return NULL;
    }
    rest = digits_read(text, &number);
    unit = rest == NULL ? NULL
                        : unit_find(time_units, ARRAY_LEN(time_units), rest);
    if (unit == NULL) {
        return value_sentence(VALUE_QUOTE
                              " is not a time (examples: 250ms, 30s, 10m, off)",
                              text);
    }
    if (__builtin_mul_overflow(number, unit->factor, &ns) || ns > TIME_MAX_NS) {
        return value_sentence(VALUE_QUOTE " is longer than 365d", text);
    }
    *out_ns = ns;
    return NULL;
}

const char *value_bool(const char *text, bool *out)
{
    static const char *const names[] = {"no", "yes",   "off",
                                        "on", "false", "true"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i % 2 == 1;
            return NULL;
        }
    }
    return value_sentence(VALUE_QUOTE " is neither yes nor no", text);
}

static const char *choice_sentence(const char *text, const char *const *names,
                                   unsigned count)
{
    char list[SENTENCE_MAX] = "";
    size_t at = 0;

    for (unsigned i = 0; i < count && at < sizeof(list); i++) {
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s",
                               i == 0 ? "" : ", ", names[i]);
    }
    return value_sentence(VALUE_QUOTE " is not one of %s", text, list);
}

const char *value_choice(const char *text, const char *const *names,
                         unsigned count, unsigned *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return NULL;
        }
    }
    return choice_sentence(text, names, count);
}
