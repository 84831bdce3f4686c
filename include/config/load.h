/*
 * load: a text or a file to a snapshot, or to its errors.
 *
 * Pure except for the files that it reads: the configuration, and those of
 * networks that allow and deny name. Whether an address can be opened or a user
 * exists is found out at the start, not here.
 */
#ifndef EVPROXY_CONFIG_LOAD_H
#define EVPROXY_CONFIG_LOAD_H

#include "config/config.h"
#include "config/errors.h"

/*
 * Returns a snapshot that the caller owns, or NULL with at least one error
 * added (with none only if there is no memory for it). All errors are found, up
 * to CONFIG_ERRORS_MAX, in the order of the lines. Keys that the text does not
 * set have their defaults; workers stays 0 for auto.
 */
struct config *load_text(const char *text, size_t count,
                         struct config_errors *errors) WARN_UNUSED;

/* The same from a file. A file that cannot be read, is not a regular file or is
 * larger than 1 MiB is an error without a line. */
struct config *load_file(const char *path,
                         struct config_errors *errors) WARN_UNUSED;

#endif
