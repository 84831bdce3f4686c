/*
 * file: files in a directory that belongs to this test program and is removed
 * at its end. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_FILE_H
#define EVPROXY_TESTS_E2E_FILE_H

#include <stdarg.h>

/* Both answer the path, which is valid until the next call of either. A file
 * that exists is written over. */
const char *file_path(const char *name);
const char *file_write(const char *name, const char *text);

/* The same with a text as of vprintf(3). */
void file_write_format(const char *name, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

#endif
