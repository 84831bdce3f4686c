#include "wrap.h"

#include <sys/socket.h>

/* Nothing comes to a simulated socket for datagrams, and none leaves it. */

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
    if (wrap_stream(fd) == NULL) {
        return __real_sendmsg(fd, message, flags);
    }
    return wrap_traced("sendmsg", fd, wrap_failed(EAGAIN));
}
