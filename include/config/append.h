/*
 * append: what a row of the key table adds to a list of its service with, for
 * keys of many values. Pure. What sets one field is config/setter.h's.
 *
 * Each is a key_set_fn for struct config_service and knows its list itself.
 * Values between commas are added one by one: those before a wrong one stay.
 */
#ifndef EVPROXY_CONFIG_APPEND_H
#define EVPROXY_CONFIG_APPEND_H

#include "base/base.h"
#include "config/key.h"

/* An address to accept on. */
const char *append_listen(const struct key *key, void *section,
                          const char *text, unsigned line) WARN_UNUSED;

/* An address and its options. */
const char *append_upstream(const struct key *key, void *section,
                            const char *text, unsigned line) WARN_UNUSED;

/* A network of allow, whose row has a min, or of deny. */
const char *append_rule(const struct key *key, void *section, const char *text,
                        unsigned line) WARN_UNUSED;

/* Networks that may send a PROXY header. */
const char *append_senders(const struct key *key, void *section,
                           const char *text, unsigned line) WARN_UNUSED;

/* Server names that the service takes. */
const char *append_names(const struct key *key, void *section, const char *text,
                         unsigned line) WARN_UNUSED;

/* Addresses for connections to upstreams, and ranges of them. */
const char *append_sources(const struct key *key, void *section,
                           const char *text, unsigned line) WARN_UNUSED;

/* A certificate's file, a key's file. */
const char *append_certificate(const struct key *key, void *section,
                               const char *text, unsigned line) WARN_UNUSED;
const char *append_key(const struct key *key, void *section, const char *text,
                       unsigned line) WARN_UNUSED;

/* Protocols of ALPN (RFC 7301). */
const char *append_protocols(const struct key *key, void *section,
                             const char *text, unsigned line) WARN_UNUSED;

#endif
