/*
 * log_sink: whole lines to a descriptor of any kind. It waits until they are
 * written; base/log decides which thread waits.
 *
 * One system call writes several lines, at most PIPE_BUF bytes: a pipe takes
 * that much in one piece, so that other processes may write to the same one. A
 * line is lost if the descriptor refuses it: a full disk, a limit of the file's
 * size, a reader that is gone.
 */
#ifndef EVPROXY_BASE_LOG_SINK_H
#define EVPROXY_BASE_LOG_SINK_H

#include <stddef.h>
#include <stdint.h>

/* Lines go there from now on; before, to 2. No other thread writes yet. */
void log_sink_open(int fd);

/* Writes lines, none longer than PIPE_BUF, each with its newline; answers how
 * many of them are lost or cut short. A line that follows one that was cut
 * short begins anew. Any thread, but usually there is one that writes. */
uint64_t log_sink_write(const char *lines, size_t count);

/* How many lines that is. */
uint64_t log_sink_count(const char *lines, size_t count);

#endif
