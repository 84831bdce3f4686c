/*
 * file: reads a file whole, never one that could block or does not end. Any
 * thread.
 */
#ifndef EVPROXY_BASE_FILE_H
#define EVPROXY_BASE_FILE_H

#include "base/base.h"

#include <stddef.h>

/* The bytes of a regular file and a final zero, to be freed. NULL, and in *why
 * a sentence as base/value.h describes it, if it is none, if it cannot be read
 * or if it is larger than so many MiB. */
char *file_read(const char *path, unsigned most_mib, size_t *count,
                const char **why) WARN_UNUSED;

#endif
