#include "wrap.h"

#include "courier.h"

#include <stdlib.h>
#include <sys/socket.h>

/* Nothing comes to a simulated socket for datagrams, and none leaves it.
 * Messages with descriptors do. */

CALL(int, recvmmsg, int fd, struct mmsghdr *messages, unsigned count, int flags,
     struct timespec *timeout)
{
    if (wrap_stream(fd) == NULL) {
        return __real_recvmmsg(fd, messages, count, flags, timeout);
    }
    return (int)wrap_traced("recvmmsg", fd, wrap_failed(EAGAIN));
}

CALL(int, sendmmsg, int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    if (wrap_stream(fd) == NULL) {
        return __real_sendmmsg(fd, messages, count, flags);
    }
    return (int)wrap_traced("sendmmsg", fd, wrap_failed(EAGAIN));
}

CALL(ssize_t, sendmsg, int fd, const struct msghdr *message, int flags)
{
    struct file *file = wrap_file(fd);

    if (file == NULL) {
        return __real_sendmsg(fd, message, flags);
    }
    return wrap_traced("sendmsg", fd,
                       file->kind == FILE_COURIER ? courier_send(file, message)
                                                  : wrap_failed(EAGAIN));
}

CALL(ssize_t, recvmsg, int fd, struct msghdr *message, int flags)
{
    struct file *file = wrap_file(fd);

    if (file == NULL) {
        return __real_recvmsg(fd, message, flags);
    }
    if (file->kind != FILE_COURIER) {
        abort(); /* not simulated, as nobody does it */
    }
    return wrap_traced("recvmsg", fd, courier_receive(file, message));
}

CALL(int, socketpair, int family, int type, int protocol, int fds[2])
{
    if (!kernel_running()) {
        return __real_socketpair(family, type, protocol, fds);
    }
    kernel_enter();
    return wrap_may_fail(EMFILE) ? -1 : courier_open(fds);
}
