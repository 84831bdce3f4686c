/*
 * parsing: texts that are good configurations, and texts that are not.
 */
#ifndef EVPROXY_TESTS_PARSING_H
#define EVPROXY_TESTS_PARSING_H

#include "config/load.h"

/* A service that needs no other key; three lines. */
#define SERVICE                                                                \
    "[service web]\n"                                                          \
    "listen = :80\n"                                                           \
    "upstream = 10.0.0.1:80\n"

/* The snapshot of a text without errors; the caller destroys it. */
struct config *parse_good(const char *text);

/* The errors of a text that has some; the caller frees them. */
struct config_errors parse_bad(const char *text);

/* The text has this error and no other. */
void assert_refused(const char *text, unsigned line, const char *message);

/* SERVICE with this line as its fourth has this error there and no other. */
void assert_line_refused(const char *line, const char *message);

#endif
