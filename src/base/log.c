#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What keeps a write from blocking. */
enum log_mode {
    LOG_BLOCKING, /* nothing: before log_open */
    LOG_SOCKET,   /* MSG_DONTWAIT */
    LOG_REOPENED, /* a second file description with O_NONBLOCK */
    LOG_POLLED,   /* a poll before each line */
};

/* Written by log_open before there are threads, read by all. */
static struct {
    int fd;
    enum log_mode mode;
    bool priorities;
} sink = {.fd = 2, .mode = LOG_BLOCKING};

/* Written by the control thread, read by all; relaxed: the moment at which a
 * level changes does not matter. */
static _Atomic int log_level = LOG_INFO;

/* Added to by all threads, read by the stats; relaxed: a count. */
static _Atomic uint64_t lost;

/* The last line was cut short. Set and cleared by all threads; relaxed: it
 * guards no other memory. */
static _Atomic bool torn;

static const char *const priority_prefix[] = {
    [LOG_RECORD] = "<6>", [LOG_ERROR] = "<3>", [LOG_WARN] = "<4>",
    [LOG_INFO] = "<6>",   [LOG_DEBUG] = "<7>",
};

static mode_t kind_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 ? status.st_mode & S_IFMT : 0;
}

/*
 * A second descriptor for the same file that does not block. A file on disk
 * never blocks, so its file description stays the same: other processes share
 * its offset, and from a second offset we would overwrite their lines.
 */
static int reopen(int fd, mode_t kind)
{
    char path[32];

    if (kind == S_IFREG) {
        return fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_APPEND | O_CLOEXEC | O_NOCTTY);
}

void log_open(int fd, bool priorities)
{
    mode_t kind = kind_of(fd);
    bool by_socket = kind == S_IFSOCK;
    int reopened = by_socket ? -1 : reopen(fd, kind);

    if (sink.mode == LOG_REOPENED) {
        close(sink.fd);
    }
    sink.priorities = priorities;
    if (reopened != -1) {
        sink.fd = reopened;
        sink.mode = LOG_REOPENED;
    } else {
        sink.fd = fd;
        sink.mode = by_socket ? LOG_SOCKET : LOG_POLLED;
    }
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

uint64_t log_lost(void)
{
    return atomic_load_explicit(&lost, memory_order_relaxed);
}

static bool is_writable(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLOUT};

    return poll(&pollfd, 1, 0) == 1;
}

/* One system call for the bytes; retried only when a signal interrupted it. */
static ssize_t sink_write(const char *bytes, size_t count)
{
    ssize_t written;

    if (sink.mode == LOG_POLLED && !is_writable(sink.fd)) {
        return -1;
    }
    do {
        written = sink.mode == LOG_SOCKET
                      ? send(sink.fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL)
                      : write(sink.fd, bytes, count);
    } while (written == -1 && errno == EINTR);
    return written;
}

/*
 * Writes count bytes that begin and end with a newline. The first newline is
 * left out unless it ends a line that was cut short. (A pipe never cuts a line:
 * it takes up to PIPE_BUF bytes or nothing.)
 */
static void line_write(const char *line, size_t count)
{
    bool was_torn =
        atomic_exchange_explicit(&torn, false, memory_order_relaxed);
    size_t skipped = was_torn ? 0 : 1;
    ssize_t written = sink_write(line + skipped, count - skipped);

    if (written == (ssize_t)(count - skipped)) {
        return;
    }
    atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
    if (written > 0 || was_torn) {
        atomic_store_explicit(&torn, true, memory_order_relaxed);
    }
}

static void replace_control_bytes(char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = '?';
        }
    }
}

/* Formats into the buffer; answers the bytes written, without a final zero. */
static size_t format_text(char *buffer, size_t size, const char *format,
                          va_list args)
{
    int wanted = vsnprintf(buffer, size, format, args);
    size_t length = wanted < 0 ? 0 : (size_t)wanted;

    if (length >= size) {
        length = size - 1;
    }
    replace_control_bytes(buffer, length);
    return length;
}

void log_write(enum log_level level, const char *format, ...)
{
    char line[1 + LOG_LINE_MAX] = "\n";
    size_t at = 1;
    int saved = errno;
    va_list args;

    if ((int)level > atomic_load_explicit(&log_level, memory_order_relaxed)) {
        return;
    }
    if (sink.priorities) {
        memcpy(line + at, priority_prefix[level], 3);
        at += 3;
    }
    va_start(args, format);
    at += format_text(line + at, sizeof(line) - at, format, args);
    va_end(args);
    line[at++] = '\n';
    line_write(line, at);
    errno = saved;
}

const char *log_quote(const char *value, char *buffer, size_t size)
{
    size_t at = 0;

    assert(size >= 3);
    if (value[0] != '\0' && strpbrk(value, " \"=") == NULL) {
        return value;
    }
    buffer[at++] = '"';
    for (; *value != '\0'; value++) {
        size_t length = *value == '"' || *value == '\\' ? 2 : 1;

        if (at + length + 2 > size) {
            break;
        }
        if (length == 2) {
            buffer[at++] = '\\';
        }
        buffer[at++] = *value;
    }
    buffer[at++] = '"';
    buffer[at] = '\0';
    return buffer;
}
