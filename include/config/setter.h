/*
 * setter: the setters of keys that have one value. Pure. Those of lists are in
 * config/append.h.
 *
 * Each is a key_set_fn: it reads the text within the row's bounds and stores
 * the value in the row's field, whose type is named here. A number is a bool,
 * unsigned, enum, uint32_t or uint64_t. After an error the field is unchanged.
 */
#ifndef EVPROXY_CONFIG_SETTER_H
#define EVPROXY_CONFIG_SETTER_H

#include "base/base.h"
#include "config/key.h"

/* The sentence of every setter that ran out of memory. */
extern const char setter_out_of_memory[];

/* Puts the text that a sentence is about before it, unless the sentence quotes
 * it already. setter_out_of_memory is left as it is. */
const char *setter_about(const char *text, const char *why) WARN_UNUSED;

/* A number from min to max; if it may be off, min is 0. */
const char *setter_number(const struct key *key, void *section,
                          const char *text, unsigned line) WARN_UNUSED;

/* A number from min to max, or auto for 0. */
const char *setter_workers(const struct key *key, void *section,
                           const char *text, unsigned line) WARN_UNUSED;

/* Bytes, from min to max; may be off. */
const char *setter_size(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* Bytes, from min to max, in whole pages. */
const char *setter_block_size(const struct key *key, void *section,
                              const char *text, unsigned line) WARN_UNUSED;

/* Bytes per second, or off. */
const char *setter_rate(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* Nanoseconds, up to max (0: up to value_time's bound); more than 0 unless it
 * may be off. */
const char *setter_time(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

const char *setter_bool(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* One of the row's choices. */
const char *setter_choice(const struct key *key, void *section,
                          const char *text, unsigned line) WARN_UNUSED;

/* A char *, owned by the section. */
const char *setter_text(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* A struct config_file: the path of a file, which is not opened; may be off. */
const char *setter_file(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* A struct config_listen: one address to accept on; may be off. */
const char *setter_listen(const struct key *key, void *section,
                          const char *text, unsigned line) WARN_UNUSED;

/* A host name or an IP address, as text. */
const char *setter_host(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

#endif
