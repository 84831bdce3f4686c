/*
 * key: one key of the configuration: what it is called, where its value is
 * kept, which values it takes. Pure.
 *
 * A key is a row of config/key_table.h. Its setter is in config/setter.h (one
 * value) or in config/append.h (a list). What a row says of its field is enough
 * to compare, copy and free the value.
 */
#ifndef EVPROXY_CONFIG_KEY_H
#define EVPROXY_CONFIG_KEY_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

enum key_section { KEY_GLOBAL, KEY_SERVICE };

/* "global", "service" */
const char *key_section_name(enum key_section section);

/* What one value is. */
enum key_type {
    KEY_PLAIN,    /* bytes without a pointer in them */
    KEY_TEXT,     /* char *, owned; NULL: none */
    KEY_FILE,     /* struct config_file, which owns its path */
    KEY_RULE,     /* struct config_rule, likewise; in lists only */
    KEY_EXCHANGE, /* struct config_exchange, which owns its bytes; likewise */
};

/* Where the value is kept in the struct of its section. */
struct key_field {
    enum key_type type;
    uint16_t offset;
    uint16_t width;        /* of one value; 0: the key has no field yet */
    uint16_t count_offset; /* not 0: the field points to a list of values, whose
                              size_t count is there */
};

struct key;

/*
 * Sets what the text says in the section (struct config or struct
 * config_service), or returns a sentence without a final stop; then the section
 * is only fit to be checked and destroyed. The sentence lives until this
 * thread's next call.
 */
typedef const char *(*key_set_fn)(const struct key *key, void *section,
                                  const char *text, unsigned line);

struct key {
    enum key_section section;
    const char *name;
    const char *default_text; /* set by the key's own setter; NULL: none */
    const char *udp_default;  /* instead, in a service of mode = udp */
    const char *help;         /* one line */

    struct key_field field;
    key_set_fn set;   /* NULL: this build lacks the key, and refuses it */
    const char *lack; /* what such a build says; NULL: every build lacks it */

    /* Which values the setter takes, as far as it looks at these. */
    uint64_t min; /* in the unit of the field, as is max */
    uint64_t max;
    bool may_be_off; /* "off" is a value too, and is kept as 0 */
    const char *const *choices;
    unsigned choice_count;
    unsigned first_choice; /* the value of choices[0]; the others follow it */

    bool required;
    bool repeatable;
    bool restart;       /* global: a change takes effect at the next start */
    bool tcp_only;      /* mode = udp refuses any value but the default */
    bool default_taken; /* a build that lacks the key takes its default text */
};

/* Whether two sections have the same value. The key is no list. */
bool key_equal(const struct key *key, const void *a, const void *b);

/* Replaces the value in a section by a copy of that in another. -1: out of
 * memory, and nothing has changed. The key is no list. */
int key_copy(const struct key *key, void *to, const void *from) WARN_UNUSED;

/* Frees what the value owns, and makes it zero; of a list, all values. */
void key_clear(const struct key *key, void *section);

/* Adds a value, all zero, to the key's list, and returns it. NULL: out of
 * memory. */
void *key_push(const struct key *key, void *section) WARN_UNUSED;

#endif
