#include "net/channel.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (4 * CHANNEL_BYTES_MAX)

/* Aligned for its header. */
union control {
    struct cmsghdr header;
    unsigned char bytes[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
};

int channel_open(int ends[2])
{
    const int bytes = BUFFER_BYTES;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        return -1;
    }
    /* The default holds one message too. */
    for (int i = 0; i < 2; i++) {
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    }
    return 0;
}

int channel_send(int fd, const struct channel_message *message)
{
    size_t bytes = message->fd_count * sizeof(int);
    union control control;
    struct iovec vector = {(void *)(uintptr_t)message->bytes, message->count};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};

    assert(message->count > 0); /* no byte looks like the end */
    if (bytes > 0) {
        memset(&control, 0, sizeof(control));
        header.msg_control = &control;
        header.msg_controllen = CMSG_SPACE(bytes);
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(&control.header), message->fds, bytes);
    }
    return sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

void channel_close_fds(struct channel_message *message)
{
    for (size_t i = 0; i < message->fd_count; i++) {
        close(message->fds[i]);
    }
    message->fd_count = 0;
}

static void take_fds(struct channel_message *message, struct msghdr *header)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(header);

    message->fd_count = 0;
    for (; part != NULL; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
            size_t bytes = part->cmsg_len - CMSG_LEN(0);

            memcpy(message->fds, CMSG_DATA(part), bytes);
            message->fd_count = bytes / sizeof(int);
        }
    }
}

int channel_receive(int fd, struct channel_message *message, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    struct iovec vector = {message->bytes, sizeof(message->bytes)};
    union control control;
    struct msghdr header = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t count;

    message->count = message->fd_count = 0;
    if (timeout_ms != 0 && poll(&poll_fd, 1, timeout_ms) == 0) {
        errno = EAGAIN;
        return -1;
    }
    count = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (count < 0) {
        return errno == ECONNRESET ? 0 : -1;
    }
    take_fds(message, &header);
    if (header.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) {
        channel_close_fds(message);
        errno = header.msg_flags & MSG_CTRUNC ? EMFILE : EMSGSIZE;
        return -1;
    }
    message->count = (size_t)count;
    return count > 0;
}
