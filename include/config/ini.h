/*
 * ini: a text to a stream of sections and pairs of key and value, with their
 * lines. Pure. It knows the grammar and no key.
 *
 *      file    = *( line LF )                      at most INI_BYTES_MAX
 *      line    = [ section / pair ] [ comment ]    CR before LF is dropped
 *      section = "[" kind [ SP name ] "]"
 *      pair    = key "=" value
 *      comment = ("#" / ";") *any                  at the start of a line or
 *                                                  after white space
 *
 * A name may have '#' and ';': a comment of a section follows its ']'.
 *
 * White space (space, tab) around everything is dropped. The last LF may be
 * missing. A byte order mark at the start is skipped. A NUL byte, invalid UTF-8
 * and a control byte are errors of their line, in comments too.
 */
#ifndef EVPROXY_CONFIG_INI_H
#define EVPROXY_CONFIG_INI_H

#include "base/base.h"

#define INI_BYTES_MAX (1u << 20)

enum ini_event { INI_SECTION, INI_PAIR, INI_ERROR };

/*
 * INI_SECTION: name is the kind ("service"), value the name ("web") or "". Both
 *              are "" after an error in the line of a section: the section of
 *              the pairs that follow is unknown.
 * INI_PAIR:    name is the key, never "". value may be "".
 * INI_ERROR:   value is a sentence without a final stop. Parsing goes on with
 *              the next line. Line 0: the text is too large or memory ran out,
 *              and nothing was parsed.
 * The strings live until the function returns.
 */
typedef void (*ini_fn)(void *arg, enum ini_event event, unsigned line,
                       const char *name, const char *value);

/* Calls fn for each section, pair and error in the order of the lines. */
void ini_parse(const char *text, size_t count, ini_fn fn, void *arg);

/* Drops white space (space, tab) around the text, in place. Returns the start
 * of the rest. */
char *ini_trim(char *text);

#endif
