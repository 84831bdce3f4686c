/*
 * health_value: the values of the keys that say what a check sends and which
 * answer it takes. Pure.
 */
#ifndef EVPROXY_CONFIG_HEALTH_VALUE_H
#define EVPROXY_CONFIG_HEALTH_VALUE_H

#include "base/base.h"
#include "config/key.h"
#include "config/snapshot.h"

#include <stdbool.h>

/* The most bytes of one text, without its escapes. Of an answer as many are
 * looked at, so that a longer one could not be found. */
#define HEALTH_TEXT_MAX 16384

/*
 * Reads a text with the escapes \r, \n, \t, \\ and \xHH. NULL, and *out owns
 * the bytes; or a sentence as base/value.h describes it, and *out is unchanged.
 */
const char *health_value_unescape(const char *text,
                                  struct config_bytes *out) WARN_UNUSED;

/* Reads "200", "200-399" and lists of them with commas. NULL, or a sentence. */
const char *
health_value_parse_statuses(const char *text,
                            struct config_statuses *out) WARN_UNUSED;

/* status: 0 to CONFIG_STATUS_END - 1. */
bool health_value_has_status(const struct config_statuses *statuses,
                             unsigned status);

/* ---- setters: each is a key_set_fn ---- */

/* A char *: the path of a request, which begins with a slash. */
const char *health_value_path(const struct key *key, void *section,
                              const char *text, unsigned line) WARN_UNUSED;

/* A char *: the value of a Host header. */
const char *health_value_host(const struct key *key, void *section,
                              const char *text, unsigned line) WARN_UNUSED;

/* A struct config_statuses. */
const char *health_value_statuses(const struct key *key, void *section,
                                  const char *text, unsigned line) WARN_UNUSED;

/* A list of struct config_exchange. The first begins one; the second completes
 * the first one that lacks an answer, or else is one without a question. */
const char *health_value_send(const struct key *key, void *section,
                              const char *text, unsigned line) WARN_UNUSED;
const char *health_value_expect(const struct key *key, void *section,
                                const char *text, unsigned line) WARN_UNUSED;

#endif
