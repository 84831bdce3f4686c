/*
 * source: where the configuration comes from, each time it is read: a file, or
 * the text that the command line amounts to; and how its errors are told.
 */
#ifndef EVPROXY_CONTROL_SOURCE_H
#define EVPROXY_CONTROL_SOURCE_H

#include "config/config.h"
#include "config/errors.h"

struct source {
    const char *path; /* NULL: text */
    const char *text;
};

/* The file's path, or "command line". */
const char *source_name(const struct source *source);

/* The snapshot, owned by the caller, or NULL with errors (none if there was no
 * memory for any). */
struct config *source_load(const struct source *source,
                           struct config_errors *errors) WARN_UNUSED;

/* "FILE:LINE: message", or "FILE: message" without a line; cut at size. */
void source_format_error(const struct source *source,
                         const struct config_error *error, char *text,
                         size_t size);

/* Writes each error as a line to the log. */
void source_print_errors(const struct source *source,
                         const struct config_errors *errors);

#endif
