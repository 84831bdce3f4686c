/*
 * append: the setters of keys that have a list of values. Pure. Those of one
 * value are in config/setter.h.
 *
 * Each is a key_set_fn for a service: it adds what the text says to the row's
 * list, whose elements are of the type that is named here. Most take several
 * values with commas between them; those before a wrong one stay.
 */
#ifndef EVPROXY_CONFIG_APPEND_H
#define EVPROXY_CONFIG_APPEND_H

#include "base/base.h"
#include "config/key.h"

/* struct config_listen: one address to accept on. */
const char *append_listen(const struct key *key, void *section,
                          const char *text, unsigned line) WARN_UNUSED;

/* struct config_upstream: one address and its options. */
const char *append_upstream(const struct key *key, void *section,
                            const char *text, unsigned line) WARN_UNUSED;

/* struct config_rule: clients that are let in (the key allow) or kept out. A
 * file of networks is not opened here. */
const char *append_rules(const struct key *key, void *section, const char *text,
                         unsigned line) WARN_UNUSED;

/* struct network */
const char *append_networks(const struct key *key, void *section,
                            const char *text, unsigned line) WARN_UNUSED;

/* struct config_range: addresses and ranges of them. */
const char *append_ranges(const struct key *key, void *section,
                          const char *text, unsigned line) WARN_UNUSED;

/* char *: server names, as patterns of wire/client_hello.h. */
const char *append_names(const struct key *key, void *section, const char *text,
                         unsigned line) WARN_UNUSED;

/* char *: protocols of ALPN (RFC 7301), each at most once. */
const char *append_protocols(const struct key *key, void *section,
                             const char *text, unsigned line) WARN_UNUSED;
const char *append_offers(const struct key *key, void *section,
                          const char *text, unsigned line) WARN_UNUSED;

/* struct config_file: one path of a file, which is not opened. */
const char *append_file(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

#endif
