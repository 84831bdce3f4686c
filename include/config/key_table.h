/*
 * key_table: all keys of the configuration, one row each. Pure.
 *
 * To add a key, add its field to config/snapshot.h and a row here. The row is
 * enough to set the default, to refuse the key in a build or a mode that lacks
 * it, to compare, copy and free the value. `make check` compares the sample
 * file, the manual page and the README with the rows.
 *
 * A row says nothing of other keys; checks over several keys are in
 * config/check.h.
 */
#ifndef EVPROXY_CONFIG_KEY_TABLE_H
#define EVPROXY_CONFIG_KEY_TABLE_H

#include "base/base.h"
#include "config/key.h"

#define KEY_TABLE_MAX 96 /* the most rows there can be */

extern const struct key key_table[];
extern const size_t key_table_count; /* at most KEY_TABLE_MAX */

/* NULL if the section has no such key. */
const struct key *key_table_find(enum key_section section,
                                 const char *name) WARN_UNUSED;

/* The one of the names that a misspelt one most likely stands for; NULL if none
 * is similar. */
const char *key_table_nearest(const char *const *names, unsigned count,
                              const char *name) WARN_UNUSED;

/* The section's key that a misspelt name most likely stands for; NULL if none
 * is similar. */
const struct key *key_table_suggest(enum key_section section,
                                    const char *name) WARN_UNUSED;

/* Sets every key of the section that has a default. NULL, or a sentence. */
const char *key_table_set_defaults(enum key_section section,
                                   void *fields) WARN_UNUSED;

/* Frees what the values of the section own, and makes them zero. */
void key_table_clear(enum key_section section, void *fields);

#endif
