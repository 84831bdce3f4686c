#include "base/log_sink.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* Written before there are threads. */
static int sink_fd = STDERR_FILENO;

/* The last line was cut short. Set and cleared by those who write; relaxed: it
 * guards no other memory. */
static _Atomic bool torn;

void log_sink_open(int fd)
{
    sink_fd = fd;
}

uint64_t log_sink_count(const char *text, size_t count)
{
    uint64_t lines = 0;

    for (size_t i = 0; i < count; i++) {
        lines += text[i] == '\n';
    }
    return lines;
}

/* Another process that shares the file description may have made it
 * non-blocking. */
static void await_writable(void)
{
    struct pollfd pollfd = {.fd = sink_fd, .events = POLLOUT};

    (void)poll(&pollfd, 1, -1);
}

/* Writes the bytes, and waits until it can. Answers how many; less than all
 * only after an error. */
static size_t write_bytes(const char *bytes, size_t count)
{
    size_t done = 0;

    while (done < count) {
        ssize_t written = write(sink_fd, bytes + done, count - done);

        if (written > 0) {
            done += (size_t)written;
        } else if (written < 0 && errno == EAGAIN) {
            await_writable();
        } else if (written == 0 || errno != EINTR) {
            break;
        }
    }
    return done;
}

/* Writes lines with one system call; answers how many are lost. A pipe takes
 * all of them or nothing, a full disk may cut one. */
static uint64_t write_piece(const char *lines, size_t count)
{
    size_t written;

    if (atomic_load_explicit(&torn, memory_order_relaxed) &&
        write_bytes("\n", 1) == 0) {
        return log_sink_count(lines, count);
    }
    written = write_bytes(lines, count);
    atomic_store_explicit(&torn, written > 0 && lines[written - 1] != '\n',
                          memory_order_relaxed);
    return log_sink_count(lines + written, count - written);
}

uint64_t log_sink_write(const char *lines, size_t count)
{
    uint64_t missing = 0;

    while (count > PIPE_BUF) {
        const char *end = memrchr(lines, '\n', PIPE_BUF);
        size_t piece = (size_t)(end - lines) + 1;

        missing += write_piece(lines, piece);
        lines += piece;
        count -= piece;
    }
    return missing + write_piece(lines, count);
}
