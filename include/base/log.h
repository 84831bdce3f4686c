/*
 * log: lines to standard error. The threads that log do not wait for them.
 *
 * Lines go into a queue of 1 MB, and a thread that does nothing else writes
 * them out. It alone waits when the log stands still: a full pipe, a frozen
 * file system. A line that the queue has no room for, or that cannot be
 * written, is lost and counted (log_lost); the line "log lost" says so once the
 * queue is empty again. The lines of one thread keep their order.
 *
 * While a process starts there is no such thread yet: from log_open to
 * log_start a line is written by the thread that has it, and may block.
 *
 * Any thread may write lines; the control thread opens, starts and stops.
 *
 * Lines are key=value; log_quote quotes a value that a reader could
 * not tell from what follows.
 */
#ifndef EVPROXY_BASE_LOG_H
#define EVPROXY_BASE_LOG_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* LOG_RECORD: stats and conn lines, written at every level with priority 6. */
enum log_level { LOG_RECORD, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#define LOG_LINE_MAX 4096 /* PIPE_BUF: a pipe takes all of it or nothing */

/*
 * From now on lines go to descriptor fd (without this call: 2), with their
 * priority ("<6>") in front if with_priorities. fd stays the caller's and must
 * stay open. There are no other threads yet.
 */
void log_open(int fd, bool with_priorities);

/*
 * Starts the thread that writes; it blocks all signals. -1 with errno. Called
 * before another thread writes lines, and after privileges are dropped: each
 * thread has its own capabilities.
 */
WARN_UNUSED int log_start(void);

/*
 * Ends that thread when it has written what is in the queue. False if that
 * takes longer than half a second: the thread may be stuck for ever, and ends
 * with the process. Lines of other threads that come afterwards are lost.
 */
bool log_stop(void);

void log_set_level(enum log_level level);

/*
 * Like printf; adds the newline. The text is written as utf8_clean makes it, so
 * that no input can forge a line. A line is cut to LOG_LINE_MAX bytes with
 * its prefix and newline.
 */
void log_write(enum log_level level, const char *format, ...) PRINTF(2, 3);

/*
 * Lines that come all at once and may be more than the queue holds, such as the
 * stats lines of many services. They are gathered, at most 32 MB of them that
 * are not written yet, and queued as one. All-zero: none.
 */
struct log_burst {
    char *bytes;
    size_t count;
    size_t size;
};

/* Adds a line of LOG_RECORD, like log_write. */
void log_burst_add(struct log_burst *burst, const char *format, ...)
    PRINTF(2, 3);

/* Queues the lines and takes the memory; the burst is all-zero again. */
void log_burst_end(struct log_burst *burst);

/* Lines lost so far. */
uint64_t log_lost(void);

/* Adds those that the processes before have lost, and told of. Before
 * log_start. */
void log_go_on(uint64_t lost_before);

/* A buffer for a text of so many bytes, in which no character is an ASCII
 * control character: quotes, and each character as its escape. */
#define LOG_QUOTED_MAX(bytes) (3 * (bytes) + 3)

/*
 * Answers the value itself if it is not empty and has no white space, '"', '=',
 * '\' or control character. Otherwise writes it to the buffer (size at least 3)
 * in double quotes, escaped and cut to fit.
 *
 * The escapes are JSON's: \" \\ \n \r \t, \u0085 for other control characters,
 * and \ufffd for each byte that is not UTF-8.
 */
const char *log_quote(const char *value, char *buffer, size_t size);

/* Writes the value to the buffer (size at least 1) as it stands between
 * log_quote's quotes, cut to fit. Answers the buffer. */
const char *log_escape(const char *value, char *buffer, size_t size);

#endif
