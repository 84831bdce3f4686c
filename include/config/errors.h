/*
 * errors: what is wrong with a configuration, each with its line. Pure.
 *
 * A configuration is refused with all its errors at once, not only the first.
 */
#ifndef EVPROXY_CONFIG_ERRORS_H
#define EVPROXY_CONFIG_ERRORS_H

#include "base/base.h"

/* Errors reported for one text; one more says that there are others. */
#define CONFIG_ERRORS_MAX 100

struct config_error {
    unsigned line; /* 0: the error has no line */
    char *message; /* without a final stop, and without control characters */
};

/* An all-zero one is empty. */
struct config_errors {
    struct config_error *list;
    size_t count;
};

/* Adds an error, printf-like, as utf8_clean makes it: a text that is quoted in
 * part may end within a character. Without memory for it, it is lost. */
void config_errors_add(struct config_errors *errors, unsigned line,
                       const char *format, ...) PRINTF(3, 4);

/*
 * Sorts the errors from that index on by line; those without a line go last.
 * Errors of one line keep their order.
 */
void config_errors_sort(struct config_errors *errors, size_t from);

void config_errors_fini(struct config_errors *errors);

#endif
