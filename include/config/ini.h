/*
 * ini: text to a stream of sections and key-value pairs, with line numbers.
 * Pure. It knows the grammar and no key.
 *
 *      file    = *( line LF )                      at most INI_BYTES_MAX
 *      line    = [ section / pair ] [ comment ]    CR before LF is dropped
 *      section = "[" kind [ SP name ] "]"
 *      pair    = key "=" value
 *      comment = ("#" / ";") *any                  at the start of a line or
 *                                                  after white space
 *
 * White space (space, tab) around everything is dropped; the last LF may be
 * absent, a byte order mark first is skipped. A NUL byte, invalid UTF-8 or a
 * control byte is an error of its line, in a comment too.
 */
#ifndef EVPROXY_CONFIG_INI_H
#define EVPROXY_CONFIG_INI_H

#include "base/base.h"

#define INI_BYTES_MAX (1u << 20)

enum ini_event { INI_SECTION, INI_PAIR, INI_ERROR };

/*
 * INI_SECTION: name is the kind ("service"), value the name ("web") or "". Both
 *              are "" after an error in a section's line: the pairs that follow
 *              belong to a section that is not known.
 * INI_PAIR:    name is the key, never "", value the value, perhaps "".
 * INI_ERROR:   value is a sentence without a final stop; parsing goes on with
 *              the next line. Line 0 when the text is too large or memory ran
 *              out, and nothing was parsed.
 * The strings live until the function returns.
 */
typedef void (*ini_fn)(void *arg, enum ini_event event, unsigned line,
                       const char *name, const char *value);

/* Calls fn for each section, pair and error in the order of the lines. */
void ini_parse(const char *text, size_t count, ini_fn fn, void *arg);

/* Drops white space (space, tab) around the text, in place; answers the start
 * of the rest. */
char *ini_trim(char *text);

#endif
