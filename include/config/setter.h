/*
 * setter: what a row of the key table sets its field with, for keys of one
 * value. Pure. What adds to a list is config/append.h's.
 *
 * Each is a key_set_fn: it reads the text by the row's bounds and stores the
 * value where the row says, in a field of the type that is named here. A number
 * is a bool, unsigned, enum, uint32_t or uint64_t. On an error the field stays
 * as it was.
 */
#ifndef EVPROXY_CONFIG_SETTER_H
#define EVPROXY_CONFIG_SETTER_H

#include "base/base.h"
#include "config/key.h"

/* The sentence of every setter that got no memory. */
extern const char setter_out_of_memory[];

/* The sentence why, after the text it is about unless it quotes that itself;
 * setter_out_of_memory stays alone. */
const char *setter_about(const char *text, const char *why) WARN_UNUSED;

/* A number from min to max. */
const char *setter_number(const struct key *key, void *section,
                          const char *text, unsigned line) WARN_UNUSED;

/* A number up to max, or off. */
const char *setter_limit(const struct key *key, void *section, const char *text,
                         unsigned line) WARN_UNUSED;

/* A number, or auto for 0. */
const char *setter_workers(const struct key *key, void *section,
                           const char *text, unsigned line) WARN_UNUSED;

/* Bytes, or off if min is 0. */
const char *setter_size(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* Bytes, in whole pages. */
const char *setter_block_size(const struct key *key, void *section,
                              const char *text, unsigned line) WARN_UNUSED;

/* Bytes per second, or off. */
const char *setter_rate(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* Nanoseconds. A min means that the time cannot be off; a max of 0, that there
 * is none but value_time's own. */
const char *setter_time(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

const char *setter_bool(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* One of the row's choices. */
const char *setter_choice(const struct key *key, void *section,
                          const char *text, unsigned line) WARN_UNUSED;

/* A char *, to be freed. */
const char *setter_text(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* A struct config_file: the path of a file, which is not opened. */
const char *setter_file(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* upstream_tls_ca: a file, or off, which is a field of its own. */
const char *setter_upstream_ca(const struct key *key, void *section,
                               const char *text, unsigned line) WARN_UNUSED;

/* A host name or an IP address, as text. */
const char *setter_peer_name(const struct key *key, void *section,
                             const char *text, unsigned line) WARN_UNUSED;

#endif
