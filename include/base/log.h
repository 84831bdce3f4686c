/*
 * log: one line each to standard error, and never a wait for it.
 *
 * A line is written by one system call that does not block; a line that the
 * other end cannot take is lost and counted (log_lost). Priority prefixes
 * ("<6>") are written when log_open was told so. Any thread may call log_write;
 * log_open belongs to the start.
 *
 * Lines are key=value, values with a space quoted: log_quote.
 */
#ifndef EVPROXY_BASE_LOG_H
#define EVPROXY_BASE_LOG_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

/* LOG_RECORD: stats and conn lines, written at every level, priority 6. */
enum log_level { LOG_RECORD, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#define LOG_LINE_MAX 4096 /* PIPE_BUF: a pipe takes it whole or not at all */

/*
 * From now on writes to descriptor fd (2) without blocking: a socket by
 * MSG_DONTWAIT, a file on disk as it is, anything else through a description of
 * its own that is opened O_NONBLOCK by /proc/self/fd, so that the flags of the
 * one inherited stay as they are. Falls back to fd itself, asking before each
 * line whether it can take one. Before it, lines go to fd 2 as they are. fd
 * stays the caller's, and must stay open.
 */
void log_open(int fd, bool priorities);

void log_set_level(enum log_level level);

/*
 * printf; a final newline is added. Control bytes in the text are written as
 * '?', so that no input can forge a line. Lines longer than LOG_LINE_MAX, with
 * the newline and the prefix, are cut.
 */
void log_write(enum log_level level, const char *format, ...) PRINTF(2, 3);

/* Lines lost so far, wholly or in part. */
uint64_t log_lost(void);

/*
 * The value as it is if it has no space, '"' or '=' and is not empty, else in
 * double quotes with '"' and '\' escaped, in the given buffer (size at least
 * 3), cut if it is too small for all.
 */
const char *log_quote(const char *value, char *buffer, size_t size);

#endif
