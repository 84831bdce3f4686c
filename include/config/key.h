/*
 * key: the keys of a configuration, one row each. Pure.
 *
 * A row says how a key is called, where its value goes and what sets it there.
 * Defaults are values like any other: they are set from their text by the same
 * setter. Adding a key is adding a row (and a field to config.h); the sample
 * file, the manual page and the README are checked against the rows.
 *
 * It knows one key and one section at a time; what concerns several is
 * config/check.h's. What sets a field is a room of its own: config/setter.h for
 * one value, config/append.h for lists.
 */
#ifndef EVPROXY_CONFIG_KEY_H
#define EVPROXY_CONFIG_KEY_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

#define KEY_COUNT_MAX 96 /* rows there may be */

enum key_section { KEY_GLOBAL, KEY_SERVICE };

extern const char *const key_section_names[]; /* by enum key_section */

struct key;

/*
 * Sets what the text says in the section (struct config or struct
 * config_service), or answers a sentence without a final stop: the section is
 * then good only to be checked and freed. The sentence lives until this
 * thread's next call.
 */
typedef const char *(*key_set_fn)(const struct key *key, void *section,
                                  const char *text, unsigned line);

struct key {
    enum key_section section;
    const char *name;
    const char *default_text; /* NULL: none */
    const char *help;         /* one line */

    key_set_fn set;   /* NULL: this build has it not, and refuses it */
    const char *lack; /* said by builds without it; NULL: all are alike */
    uint16_t offset;  /* of the field in the section */
    uint16_t width;   /* of the field, in bytes */
    uint64_t min;     /* in the unit of the field */
    uint64_t max;
    const char *const *choices; /* the first one's value is min */
    unsigned choice_count;

    bool required;
    bool repeatable;
    bool restart;       /* a change waits for the next start */
    bool default_taken; /* it asks for nothing that this build has not */
};

extern const struct key key_table[];
extern const size_t key_table_count; /* at most KEY_COUNT_MAX */

/* NULL if the section has no such key. */
const struct key *key_find(enum key_section section,
                           const char *name) WARN_UNUSED;

/* The section's key whose name is nearest to what may be a slip of the pen;
 * NULL if none is near. */
const struct key *key_suggest(enum key_section section,
                              const char *name) WARN_UNUSED;

/* Sets every key of the section that has a default. NULL, or a sentence. */
const char *key_set_defaults(enum key_section section,
                             void *fields) WARN_UNUSED;

/* Whether the key's field has the same value in two sections; not for
 * repeatable keys. */
bool key_equal(const struct key *key, const void *a, const void *b);

#endif
