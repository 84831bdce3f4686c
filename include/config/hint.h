/*
 * hint: hints at mistakes in a configuration that users of other programs make.
 * They are part of errors that are found elsewhere. Only hint_refusal finds an
 * error itself. Pure.
 */
#ifndef EVPROXY_CONFIG_HINT_H
#define EVPROXY_CONFIG_HINT_H

#include "config/key.h"

#include <stddef.h>

/* Of a value that the key's setter has refused: a slip that explains it better
 * than the setter does. A sentence that lives until this thread's next call, or
 * NULL. */
const char *hint_slip(const struct key *key, const char *text);

/* Of such a value: the one that was probably meant, or NULL. */
const char *hint_meant(const struct key *key, const char *text);

/* Why a value cannot be meant as it stands, though a setter takes any text: in
 * quotes, or with a ';' at its end. A sentence, or NULL. */
const char *hint_refusal(const struct key *key, const char *text);

/* A doubt about a value that the setter has taken: a time without a unit that
 * looks like milliseconds. A sentence, or NULL. */
const char *hint_doubt(const struct key *key, const char *text);

/* What HAProxy and nginx call so: the name of a key, or "KEY = VALUE"; NULL:
 * nothing. */
const char *hint_key(const char *name);

/* Which other syntax a file without any section looks like: a sentence, and the
 * line that shows it; or NULL. text[count] is a zero. */
const char *hint_syntax(const char *text, size_t count, unsigned *line);

#endif
