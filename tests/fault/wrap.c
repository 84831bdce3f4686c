#include "wrap.h"

#include "fail.h"
#include "path.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void wrap_note_stranger(int fd, const char *call)
{
    struct kernel_record *record = kernel_record();
    const struct file *file = file_at(fd);

    if (file == NULL || !file->stranger) {
        return;
    }
    kernel_trace("%-8s fd %d: it is a stranger's", call, fd);
    if (record->trespasses++ == 0) {
        (void)snprintf(record->trespass, sizeof(record->trespass), "%s(%d)",
                       call, fd);
    }
}

struct file *wrap_file_of(int fd, const char *call)
{
    struct file *file;

    if (!kernel_running() || fd < FILE_FD_FIRST) {
        return NULL;
    }
    kernel_enter();
    file = file_at(fd);
    if (file == NULL) {
        /* A closed descriptor is used: nobody should get away with that. */
        kernel_trace("%-8s fd %d: it is not open", call, fd);
        abort();
    }
    wrap_note_stranger(fd, call);
    return file;
}

struct stream *wrap_stream_of(int fd, const char *call)
{
    struct file *file = wrap_file_of(fd, call);

    if (file != NULL && file->kind != FILE_STREAM) {
        abort();
    }
    return file == NULL ? NULL : file->stream;
}

bool wrap_may_fail(int error)
{
    if (!fail_due(FAIL_CALL)) {
        return false;
    }
    kernel_trace("the next call fails");
    errno = error;
    return true;
}

int wrap_failed(int error)
{
    errno = error;
    return -1;
}

ssize_t wrap_traced(const char *call, int fd, ssize_t result)
{
    int error = errno;

    kernel_trace("%-8s fd %d: %zd%s%s", call, fd, result, result < 0 ? " " : "",
                 result < 0 ? strerrorname_np(error) : "");
    errno = error;
    return result;
}

CALL(int, socket, int family, int type, int protocol)
{
    struct file *file;

    if (!kernel_running()) {
        return __real_socket(family, type, protocol);
    }
    kernel_enter();
    file = wrap_may_fail(EMFILE) ? NULL : file_open(FILE_STREAM);
    if (file == NULL) {
        return (int)wrap_traced("socket", -1, -1);
    }
    file_attach(file, stream_open());
    if ((type & 15) == SOCK_DGRAM) {
        file->stream->state = STREAM_DATAGRAM;
    }
    return (int)wrap_traced("socket", file->fd, file->fd);
}

CALL(int, bind, int fd, const struct sockaddr *address, socklen_t length)
{
    struct stream *stream = wrap_stream(fd);

    if (stream == NULL) {
        return __real_bind(fd, address, length);
    }
    if (wrap_may_fail(EADDRINUSE) ||
        (address->sa_family == AF_UNIX &&
         path_make(((const struct sockaddr_un *)address)->sun_path) < 0)) {
        return (int)wrap_traced("bind", fd, -1);
    }
    memcpy(&stream->local.u, address, length);
    stream->local.length = length;
    return 0;
}

CALL(int, listen, int fd, int backlog)
{
    struct stream *stream = wrap_stream(fd);

    if (stream == NULL) {
        return __real_listen(fd, backlog);
    }
    return wrap_may_fail(EADDRINUSE) ? -1 : stream_listen(stream, backlog);
}

CALL(int, connect, int fd, const struct sockaddr *address, socklen_t length)
{
    struct stream *stream = wrap_stream(fd);
    struct endpoint to = {.length = length};

    if (stream == NULL) {
        return __real_connect(fd, address, length);
    }
    if (address->sa_family == AF_UNSPEC) {
        stream_dissolve(stream);
        return (int)wrap_traced("dissolve", fd, 0);
    }
    memcpy(&to.u, address, length);
    if (wrap_may_fail(EADDRNOTAVAIL)) {
        return (int)wrap_traced("connect", fd, -1);
    }
    if (kernel_chance(kernel_faults()->local)) {
        kernel_record()->locals++;
        return (int)wrap_traced("connect", fd, wrap_failed(EADDRNOTAVAIL));
    }
    return (int)wrap_traced("connect", fd, stream_connect(stream, &to));
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

    if (listener->state != STREAM_LISTENING) {
        return wrap_failed(EINVAL);
    }
    if (wrap_may_fail(ENFILE)) {
        return -1;
    }
    if (listener->queued == 0) {
        listener->empty_ns = kernel_now_ns();
        return wrap_failed(EAGAIN);
    }
    if (kernel_chance(kernel_faults()->interrupted)) {
        return wrap_failed(EINTR);
    }
    if (kernel_chance(kernel_faults()->aborted)) {
        return abort_accept(listener);
    }
    file = file_open(FILE_STREAM);
    if (file == NULL) {
        return -1;
    }
    file_attach(file, stream_accept(listener));
    give_address(&file->stream->remote, address, length);
    return file->fd;
}

CALL(int, accept4, int fd, struct sockaddr *address, socklen_t *length,
     int flags)
{
    struct stream *stream = wrap_stream(fd);

    if (stream == NULL) {
        return __real_accept4(fd, address, length, flags);
    }
    return (int)wrap_traced("accept", fd, accept_file(stream, address, length));
}

CALL(int, getsockname, int fd, struct sockaddr *address, socklen_t *length)
{
    struct stream *stream = wrap_stream(fd);

    if (stream == NULL) {
        return __real_getsockname(fd, address, length);
    }
    if (wrap_may_fail(ENOBUFS)) {
        return (int)wrap_traced("sockname", fd, -1);
    }
    give_address(&stream->local, address, length);
    return 0;
}

CALL(int, getpeername, int fd, struct sockaddr *address, socklen_t *length)
{
    struct stream *stream = wrap_stream(fd);

    if (stream == NULL) {
        return __real_getpeername(fd, address, length);
    }
    if (stream->state != STREAM_OPEN) {
        return wrap_failed(ENOTCONN);
    }
    give_address(&stream->remote, address, length);
    return 0;
}

CALL(int, getsockopt, int fd, int level, int name, void *value,
     socklen_t *length)
{
    struct stream *stream = wrap_stream(fd);

    if (stream == NULL) {
        return __real_getsockopt(fd, level, name, value, length);
    }
    memset(value, 0, *length);
    if (level == SOL_SOCKET && name == SO_ERROR) {
        int error = stream_take_error(stream);

        memcpy(value, &error, sizeof(error));
        wrap_traced("so_error", fd, error);
    }
    return 0;
}

CALL(int, setsockopt, int fd, int level, int name, const void *value,
     socklen_t length)
{
    struct file *file = wrap_file(fd);
    struct stream *stream;

    if (file == NULL) {
        return __real_setsockopt(fd, level, name, value, length);
    }
    if (file->kind == FILE_COURIER) {
        return 0;
    }
    stream = file->stream;
    if (wrap_may_fail(ENOMEM)) {
        return (int)wrap_traced("sockopt", fd, -1);
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
    struct stream *stream = wrap_stream(fd);

    if (stream == NULL) {
        return __real_shutdown(fd, how);
    }
    if (how != SHUT_WR) {
        abort(); /* not simulated, as nobody does it */
    }
    return (int)wrap_traced("shutdown", fd, stream_shutdown(stream));
}

/* Of all commands only duplication has an effect, and F_GETFD may be asked of
 * any number. */
CALL(int, fcntl, int fd, int command, ...)
{
    struct file *file;
    va_list args;
    long value;

    va_start(args, command);
    value = va_arg(args, long);
    va_end(args);
    if (command == F_GETFD && kernel_running() && fd >= FILE_FD_FIRST) {
        return file_at(fd) != NULL ? 0 : wrap_failed(EBADF);
    }
    file = wrap_file(fd);
    if (file == NULL) {
        return __real_fcntl(fd, command, value);
    }
    if (command != F_DUPFD_CLOEXEC) {
        return 0;
    }
    file = wrap_may_fail(EMFILE) ? NULL : file_duplicate(file);
    return (int)wrap_traced("dup", fd, file == NULL ? -1 : file->fd);
}

CALL(int, close, int fd)
{
    struct file *file = wrap_file(fd);

    if (file == NULL) {
        return __real_close(fd);
    }
    wrap_traced("close", fd, 0);
    file_close(file);
    return 0;
}
