/*
 * source: where the configuration is read from, at the start and at each
 * reload: a file, or a text made from the command line. Also the form of its
 * errors.
 */
#ifndef EVPROXY_CONTROL_SOURCE_H
#define EVPROXY_CONTROL_SOURCE_H

#include "config/config.h"
#include "config/errors.h"

struct source {
    const char *path; /* NULL: the text is read instead */
    const char *text;
};

/* The file's path, or "command line". */
const char *source_name(const struct source *source);

/* Returns a snapshot that the caller owns, or NULL with errors (with none only
 * if there is no memory for any). */
struct config *source_load(const struct source *source,
                           struct config_errors *errors) WARN_UNUSED;

/* Writes warnings about its values to the log. */
void source_print_warnings(const struct source *source,
                           const struct config *config);

/* Writes "FILE:LINE: message", or "FILE: message" if it has no line, into a
 * text of that size. */
void source_format_error(const struct source *source,
                         const struct config_error *error, char *text,
                         size_t size);

/* Writes each error as a line to the log. */
void source_print_errors(const struct source *source,
                         const struct config_errors *errors);

/* Writes to the log why a start failed: because of that line, or because of
 * something outside the configuration (line 0). */
void source_print_failure(const struct source *source, const char *sentence,
                          unsigned line);

#endif
