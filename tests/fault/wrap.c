/*
 * wrap: the system calls of the code under test, turned to the simulated
 * kernel by the linker (--wrap: see the Makefile). A call that names a real
 * descriptor, or comes while no simulation runs, goes on to libc.
 */
#include "tube.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* The linker's names: __real_x is libc's x, and who calls x gets __wrap_x. */
#define CALL(type, name, ...)                                                  \
    type __real_##name(__VA_ARGS__);                                           \
    type __wrap_##name(__VA_ARGS__);                                           \
    type __wrap_##name(__VA_ARGS__)

/* The simulated file that a call is about, or NULL; the call has begun. */
static struct file *entered(int fd)
{
    struct file *file;

    if (!kernel_running() || fd < KERNEL_FD_FIRST) {
        return NULL;
    }
    kernel_enter();
    file = file_at(fd);
    if (file == NULL) {
        /* A closed descriptor is used: nobody should get away with that. */
        kernel_trace("fd %d is not open", fd);
        abort();
    }
    return file;
}

static struct stream *entered_stream(int fd)
{
    struct file *file = entered(fd);

    if (file != NULL && file->kind != FILE_STREAM) {
        abort();
    }
    return file == NULL ? NULL : file->stream;
}

static int failed(int error)
{
    errno = error;
    return -1;
}

/* Reports a result in the trace. */
static ssize_t told(const char *call, int fd, ssize_t result)
{
    int error = errno;

    kernel_trace("%-8s fd %d: %zd%s%s", call, fd, result, result < 0 ? " " : "",
                 result < 0 ? strerrorname_np(error) : "");
    errno = error;
    return result;
}

/* ---- bytes ------------------------------------------------------------- */

/* An error that comes of nothing, or 0; ready_key: the edge that is owed for
 * an EAGAIN. */
static int passing_error(struct stream *stream, uint32_t ready_key)
{
    if (kernel_chance(kernel_faults()->interrupted)) {
        return EINTR;
    }
    if (kernel_chance(kernel_faults()->busy)) {
        return kernel_chance(2) ? ENOBUFS : ENOMEM;
    }
    if (kernel_chance(kernel_faults()->again)) {
        stream_wake_later(stream, ready_key);
        return EAGAIN;
    }
    return 0;
}

/*
 * At most how many of size bytes are moved this time. Linux never leaves bytes
 * behind a read that wanted more, so one that does stands for bytes that came
 * just after it; behind a FIN none come.
 */
static size_t passing_most(struct stream *stream, size_t size,
                           uint32_t ready_key)
{
    if (!kernel_chance(kernel_faults()->short_io) ||
        (ready_key == EPOLLIN && stream->fin_got)) {
        return size;
    }
    stream_wake_later(stream, ready_key);
    return 1 + kernel_below(size);
}

CALL(ssize_t, recv, int fd, void *buffer, size_t size, int flags)
{
    struct stream *stream = entered_stream(fd);
    int error;

    if (stream == NULL) {
        return __real_recv(fd, buffer, size, flags);
    }
    error = passing_error(stream, EPOLLIN);
    if (error != 0) {
        return told("recv", fd, failed(error));
    }
    return told("recv", fd,
                stream_recv(stream, buffer, size, flags,
                            passing_most(stream, size, EPOLLIN)));
}

CALL(ssize_t, send, int fd, const void *bytes, size_t size, int flags)
{
    struct stream *stream = entered_stream(fd);
    int error;

    if (stream == NULL) {
        return __real_send(fd, bytes, size, flags);
    }
    error = passing_error(stream, EPOLLOUT);
    if (error != 0) {
        return told("send", fd, failed(error));
    }
    return told("send", fd,
                stream_send(stream, bytes, size, flags,
                            passing_most(stream, size, EPOLLOUT)));
}

CALL(ssize_t, read, int fd, void *buffer, size_t size)
{
    struct file *file = entered(fd);

    if (file == NULL) {
        return __real_read(fd, buffer, size);
    }
    return file->kind == FILE_EVENT ? kernel_eventfd_read(file, buffer)
                                    : failed(EINVAL);
}

CALL(ssize_t, write, int fd, const void *bytes, size_t size)
{
    struct file *file = entered(fd);
    uint64_t value;

    if (file == NULL) {
        return __real_write(fd, bytes, size);
    }
    if (file->kind != FILE_EVENT || size != sizeof(value)) {
        return failed(EINVAL);
    }
    memcpy(&value, bytes, sizeof(value));
    return kernel_eventfd_write(file, value);
}

CALL(int, ioctl, int fd, unsigned long request, ...)
{
    struct stream *stream = entered_stream(fd);
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
        return failed(ENOTTY);
    }
}

/* ---- sockets ----------------------------------------------------------- */

CALL(int, socket, int family, int type, int protocol)
{
    struct file *file;

    if (!kernel_running()) {
        return __real_socket(family, type, protocol);
    }
    kernel_enter();
    file = file_open(FILE_STREAM);
    if (file == NULL) {
        return (int)told("socket", -1, -1);
    }
    file->stream = stream_open();
    file->stream->file = file;
    return (int)told("socket", file->fd, file->fd);
}

CALL(int, bind, int fd, const struct sockaddr *address, socklen_t length)
{
    struct stream *stream = entered_stream(fd);

    if (stream == NULL) {
        return __real_bind(fd, address, length);
    }
    memcpy(&stream->local.u, address, length);
    stream->local.length = length;
    return 0;
}

CALL(int, listen, int fd, int backlog)
{
    struct stream *stream = entered_stream(fd);

    if (stream == NULL) {
        return __real_listen(fd, backlog);
    }
    return stream_listen(stream, backlog);
}

CALL(int, connect, int fd, const struct sockaddr *address, socklen_t length)
{
    struct stream *stream = entered_stream(fd);
    struct endpoint to = {.length = length};

    if (stream == NULL) {
        return __real_connect(fd, address, length);
    }
    memcpy(&to.u, address, length);
    if (kernel_chance(kernel_faults()->local)) {
        kernel_record()->locals++;
        return (int)told("connect", fd, failed(EADDRNOTAVAIL));
    }
    return (int)told("connect", fd, stream_connect(stream, &to));
}

/* As the calls that fill in addresses do. */
static void give_address(const struct endpoint *from, struct sockaddr *address,
                         socklen_t *length)
{
    if (address != NULL && length != NULL) {
        memcpy(address, &from->u,
               *length < from->length ? *length : from->length);
        *length = from->length;
    }
}

/* ECONNABORTED: the connection dies in the queue. */
static int abort_accept(struct stream *listener)
{
    struct stream *stream = stream_accept(listener);

    if (stream != NULL) {
        if (stream->other != NULL) {
            stream->other->refused_by_fault = true;
        }
        stream_abort(stream);
        kernel_record()->aborted++;
        errno = ECONNABORTED;
    }
    return -1;
}

static int accept_file(struct stream *listener, struct sockaddr *address,
                       socklen_t *length)
{
    struct file *file;

    if (listener->queued == 0) {
        listener->empty_ns = kernel_now_ns();
        return failed(EAGAIN);
    }
    if (kernel_chance(kernel_faults()->interrupted)) {
        return failed(EINTR);
    }
    if (kernel_chance(kernel_faults()->aborted)) {
        return abort_accept(listener);
    }
    file = file_open(FILE_STREAM);
    if (file == NULL) {
        return -1;
    }
    file->stream = stream_accept(listener);
    file->stream->file = file;
    give_address(&file->stream->remote, address, length);
    return file->fd;
}

CALL(int, accept4, int fd, struct sockaddr *address, socklen_t *length,
     int flags)
{
    struct stream *stream = entered_stream(fd);

    if (stream == NULL) {
        return __real_accept4(fd, address, length, flags);
    }
    return (int)told("accept", fd, accept_file(stream, address, length));
}

CALL(int, getsockname, int fd, struct sockaddr *address, socklen_t *length)
{
    struct stream *stream = entered_stream(fd);

    if (stream == NULL) {
        return __real_getsockname(fd, address, length);
    }
    give_address(&stream->local, address, length);
    return 0;
}

CALL(int, getpeername, int fd, struct sockaddr *address, socklen_t *length)
{
    struct stream *stream = entered_stream(fd);

    if (stream == NULL) {
        return __real_getpeername(fd, address, length);
    }
    if (stream->state != STREAM_OPEN) {
        return failed(ENOTCONN);
    }
    give_address(&stream->remote, address, length);
    return 0;
}

CALL(int, getsockopt, int fd, int level, int name, void *value,
     socklen_t *length)
{
    struct stream *stream = entered_stream(fd);

    if (stream == NULL) {
        return __real_getsockopt(fd, level, name, value, length);
    }
    memset(value, 0, *length);
    if (level == SOL_SOCKET && name == SO_ERROR) {
        int error = stream_take_error(stream);

        memcpy(value, &error, sizeof(error));
        told("so_error", fd, error);
    }
    return 0;
}

CALL(int, setsockopt, int fd, int level, int name, const void *value,
     socklen_t length)
{
    struct stream *stream = entered_stream(fd);

    if (stream == NULL) {
        return __real_setsockopt(fd, level, name, value, length);
    }
    if (level == SOL_SOCKET && name == SO_LINGER) {
        const struct linger *linger = value;

        stream->linger_reset = linger->l_onoff && linger->l_linger == 0;
    }
    if (level == SOL_SOCKET && name == SO_OOBINLINE) {
        stream->urgent_inline = *(const int *)value != 0;
    }
    return 0;
}

CALL(int, shutdown, int fd, int how)
{
    struct stream *stream = entered_stream(fd);

    if (stream == NULL) {
        return __real_shutdown(fd, how);
    }
    if (how != SHUT_WR) {
        abort(); /* not simulated, as nobody does it */
    }
    return (int)told("shutdown", fd, stream_shutdown(stream));
}

CALL(int, close, int fd)
{
    struct file *file = entered(fd);

    if (file == NULL) {
        return __real_close(fd);
    }
    told("close", fd, 0);
    file_close(file);
    if (file->tube != NULL) {
        tube_close(file->tube);
    }
    if (file->stream != NULL) {
        stream_close(file->stream);
    }
    return 0;
}

/* ---- waiting and time -------------------------------------------------- */

CALL(int, epoll_create1, int flags)
{
    return kernel_running() ? kernel_epoll_create()
                            : __real_epoll_create1(flags);
}

CALL(int, epoll_ctl, int epoll_fd, int operation, int fd,
     struct epoll_event *event)
{
    if (entered(epoll_fd) == NULL) {
        return __real_epoll_ctl(epoll_fd, operation, fd, event);
    }
    return (int)told("ctl", fd,
                     kernel_epoll_ctl(epoll_fd, operation, fd, event));
}

CALL(int, epoll_wait, int epoll_fd, struct epoll_event *events, int size,
     int timeout_ms)
{
    if (entered(epoll_fd) == NULL) {
        return __real_epoll_wait(epoll_fd, events, size, timeout_ms);
    }
    return kernel_epoll_wait(epoll_fd, events, size, timeout_ms);
}

CALL(int, eventfd, unsigned count, int flags)
{
    return kernel_running() ? kernel_eventfd(count)
                            : __real_eventfd(count, flags);
}

CALL(int, clock_gettime, clockid_t clock, struct timespec *now)
{
    if (!kernel_running()) {
        return __real_clock_gettime(clock, now);
    }
    now->tv_sec = (time_t)(kernel_now_ns() / NS_PER_S);
    now->tv_nsec = (long)(kernel_now_ns() % NS_PER_S);
    return 0;
}

CALL(ssize_t, getrandom, void *buffer, size_t size, unsigned flags)
{
    unsigned char *bytes = buffer;

    if (!kernel_running()) {
        return __real_getrandom(buffer, size, flags);
    }
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)kernel_random();
    }
    return (ssize_t)size;
}

/* ---- pipes ------------------------------------------------------------- */

CALL(int, pipe2, int fds[2], int flags)
{
    if (!kernel_running()) {
        return __real_pipe2(fds, flags);
    }
    kernel_enter();
    return tube_open(fds);
}

CALL(int, fcntl, int fd, int command, ...)
{
    va_list args;
    long value;

    va_start(args, command);
    value = va_arg(args, long);
    va_end(args);
    return entered(fd) == NULL ? __real_fcntl(fd, command, value) : 0;
}

/* From a socket to a pipe, or the other way. */
static ssize_t splice_files(struct file *in, struct file *out, size_t size)
{
    bool fills = in->kind == FILE_STREAM;
    struct stream *stream = fills ? in->stream : out->stream;
    int error = passing_error(stream, fills ? EPOLLIN : EPOLLOUT);

    if (error != 0) {
        return failed(error);
    }
    return fills ? tube_fill(out->tube, stream, size)
                 : tube_drain(in->tube, stream, size);
}

CALL(ssize_t, splice, int in_fd, off64_t *in_at, int out_fd, off64_t *out_at,
     size_t size, unsigned flags)
{
    struct file *in = entered(in_fd);

    if (in == NULL) {
        return __real_splice(in_fd, in_at, out_fd, out_at, size, flags);
    }
    return told("splice", in_fd, splice_files(in, file_at(out_fd), size));
}
