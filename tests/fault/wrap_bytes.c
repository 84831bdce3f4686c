#include "wrap.h"

#include "tube.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Whether the call moves all that it can, as Linux does: the bytes were peeked
 * at before, or are the connection's first. */
static bool moves_all(const struct stream *stream, uint32_t ready_key)
{
    return ready_key == EPOLLIN
               ? stream->peeked > stream->in.read
               : kernel_faults()->first_whole && stream->out.written == 0;
}

/* The errno of a fault that passes, or 0; ready_key: the edge that must follow
 * an EAGAIN. */
static int passing_error(struct stream *stream, uint32_t ready_key)
{
    if (kernel_chance(kernel_faults()->interrupted)) {
        return EINTR;
    }
    if (moves_all(stream, ready_key)) {
        return 0;
    }
    if (kernel_chance(kernel_faults()->busy)) {
        kernel_record()->busy++;
        return kernel_chance(2) ? ENOBUFS : ENOMEM;
    }
    if (kernel_chance(kernel_faults()->again)) {
        stream_wake_later(stream, ready_key);
        return EAGAIN;
    }
    return 0;
}

/*
 * How many of size bytes are moved this time, at most. Linux never leaves bytes
 * in the queue when a read wanted more, so a short read here stands for bytes
 * that came just after it. None come after a FIN.
 */
static size_t passing_most(struct stream *stream, size_t size,
                           uint32_t ready_key)
{
    if (!kernel_chance(kernel_faults()->short_io) ||
        (ready_key == EPOLLIN && stream->fin_got) ||
        moves_all(stream, ready_key)) {
        return size;
    }
    stream_wake_later(stream, ready_key);
    return 1 + kernel_below(size);
}

CALL(ssize_t, recv, int fd, void *buffer, size_t size, int flags)
{
    struct stream *stream = wrap_stream(fd);
    int error;

    if (stream == NULL) {
        return __real_recv(fd, buffer, size, flags);
    }
    error = passing_error(stream, EPOLLIN);
    if (error != 0) {
        return wrap_traced("recv", fd, wrap_failed(error));
    }
    return wrap_traced("recv", fd,
                       stream_recv(stream, buffer, size, flags,
                                   passing_most(stream, size, EPOLLIN)));
}

/* What recv is where the compiler checks the size of the buffer. */
CALL(ssize_t, __recv_chk, int fd, void *buffer, size_t size, size_t room,
     int flags)
{
    if (size > room) {
        abort();
    }
    return __wrap_recv(fd, buffer, size, flags);
}

CALL(ssize_t, send, int fd, const void *bytes, size_t size, int flags)
{
    struct stream *stream = wrap_stream(fd);
    int error;

    if (stream == NULL) {
        return __real_send(fd, bytes, size, flags);
    }
    error = passing_error(stream, EPOLLOUT);
    if (error != 0) {
        return wrap_traced("send", fd, wrap_failed(error));
    }
    return wrap_traced("send", fd,
                       stream_send(stream, bytes, size, flags,
                                   passing_most(stream, size, EPOLLOUT)));
}

CALL(ssize_t, read, int fd, void *buffer, size_t size)
{
    struct file *file = wrap_file(fd);

    if (file == NULL) {
        return __real_read(fd, buffer, size);
    }
    return file->kind == FILE_EVENT ? file_eventfd_read(file, buffer)
                                    : wrap_failed(EINVAL);
}

CALL(ssize_t, write, int fd, const void *bytes, size_t size)
{
    struct file *file = wrap_file(fd);
    uint64_t value;

    if (file == NULL) {
        return __real_write(fd, bytes, size);
    }
    if (file->kind != FILE_EVENT || size != sizeof(value)) {
        return wrap_failed(EINVAL);
    }
    memcpy(&value, bytes, sizeof(value));
    return file_eventfd_write(file, value);
}

CALL(int, ioctl, int fd, unsigned long request, ...)
{
    struct stream *stream = wrap_stream(fd);
    va_list args;
    int *value;

    va_start(args, request);
    value = va_arg(args, int *);
    va_end(args);
    if (stream == NULL) {
        return __real_ioctl(fd, request, value);
    }
    switch (request) {
    case SIOCOUTQ:
        *value = (int)stream_unacknowledged(stream);
        return 0;
    case FIONREAD:
        *value = (int)stream_unread(stream);
        return 0;
    default:
        return wrap_failed(ENOTTY);
    }
}

/* ---- pipes ------------------------------------------------------------- */

CALL(int, pipe2, int fds[2], int flags)
{
    if (!kernel_running()) {
        return __real_pipe2(fds, flags);
    }
    kernel_enter();
    return wrap_may_fail(EMFILE) ? -1 : tube_open(fds);
}

/* From a socket to a pipe, or the other way. */
static ssize_t splice_files(struct file *in, struct file *out, size_t size)
{
    bool fills = in->kind == FILE_STREAM;
    struct stream *stream = fills ? in->stream : out->stream;
    int error = passing_error(stream, fills ? EPOLLIN : EPOLLOUT);

    if (error != 0) {
        return wrap_failed(error);
    }
    return fills ? tube_fill(out->tube, stream, size)
                 : tube_drain(in->tube, stream, size);
}

CALL(ssize_t, splice, int in_fd, off64_t *in_at, int out_fd, off64_t *out_at,
     size_t size, unsigned flags)
{
    struct file *in = wrap_file(in_fd);

    if (in == NULL) {
        return __real_splice(in_fd, in_at, out_fd, out_at, size, flags);
    }
    return wrap_traced("splice", in_fd,
                       splice_files(in, file_at(out_fd), size));
}
