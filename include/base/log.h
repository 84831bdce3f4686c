/*
 * log: lines to standard error that never block.
 *
 * Each line is one system call that does not block. A line that the reader
 * cannot take is dropped and counted (log_lost). log_open decides whether lines
 * begin with a priority ("<6>"). Any thread may call log_write; log_open is
 * called before there are threads.
 *
 * Lines are key=value; log_quote quotes a value that has a space.
 */
#ifndef EVPROXY_BASE_LOG_H
#define EVPROXY_BASE_LOG_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

/* LOG_RECORD: stats and conn lines, written at every level with priority 6. */
enum log_level { LOG_RECORD, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#define LOG_LINE_MAX 4096 /* PIPE_BUF: a pipe takes all of it or nothing */

/*
 * From now on lines go to descriptor fd (2) without blocking: to a socket with
 * MSG_DONTWAIT, to a file on disk by write, and to anything else through a
 * second file description, opened O_NONBLOCK by /proc/self/fd, so that the
 * flags of the inherited one do not change. If that fails, fd is polled before
 * each line. Without log_open lines go to fd 2 by write, which may block. fd
 * stays the caller's and must stay open.
 */
void log_open(int fd, bool priorities);

void log_set_level(enum log_level level);

/*
 * Like printf; adds the newline. Control bytes in the text are written as '?',
 * so that no input can forge a line. A line is cut to LOG_LINE_MAX bytes with
 * its prefix and newline.
 */
void log_write(enum log_level level, const char *format, ...) PRINTF(2, 3);

/* Lines dropped or cut short by the reader so far. */
uint64_t log_lost(void);

/*
 * Answers the value itself if it is not empty and has no space, '"' or '='.
 * Otherwise writes it to the buffer (size at least 3) in double quotes, with
 * '"' and '\' escaped, cut to fit.
 */
const char *log_quote(const char *value, char *buffer, size_t size);

#endif
