/*
 * parsed: configurations in tests, and what is wrong with them.
 */
#ifndef EVPROXY_TESTS_PARSED_H
#define EVPROXY_TESTS_PARSED_H

#include "config/config.h"

/* A service that is whole in three lines. */
#define SERVICE                                                                \
    "[service web]\n"                                                          \
    "listen = :80\n"                                                           \
    "upstream = 10.0.0.1:80\n"

/* The snapshot of a good text, to be destroyed; the test fails if it is bad. */
struct config *parse_good(const char *text);

/* What is wrong with a bad one, for config_errors_fini. */
struct config_errors parse_bad(const char *text);

/* The text has this error and no other. */
void assert_refused(const char *text, unsigned line, const char *message);

/* A service with this line as its fourth is refused for it alone. */
void assert_line_refused(const char *line, const char *message);

#endif
