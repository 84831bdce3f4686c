#include "net/ktls.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

/* RFC 8446, section 5.1 and 6 */
enum { RECORD_ALERT = 21, RECORD_DATA = 23 };
enum { ALERT_WARNING = 1, ALERT_CLOSE_NOTIFY = 0 };

/* Empty records of data that are taken in a row. */
#define EMPTY_MAX 32u

bool ktls_available(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool available;

    if (fd < 0) {
        return false;
    }
    /* ENOTCONN: the kernel has it, for connected sockets. */
    available = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3) == 0 ||
                errno == ENOTCONN;
    close(fd);
    return available;
}

static unsigned char record_type(struct msghdr *header)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(header);

    if (part != NULL && part->cmsg_level == SOL_TLS &&
        part->cmsg_type == TLS_GET_RECORD_TYPE) {
        return *CMSG_DATA(part);
    }
    return RECORD_DATA;
}

static enum io failure(void)
{
    switch (errno) {
    case EAGAIN:
        return IO_AGAIN;
    case ENOBUFS:
    case ENOMEM:
        return IO_BUSY;
    default:
        return IO_ERROR;
    }
}

/* The answer to a record that is no data, or to too many without any. */
static enum io not_data(unsigned char type, const unsigned char *bytes,
                        size_t count)
{
    if (type == RECORD_ALERT && count >= 2 && bytes[1] == ALERT_CLOSE_NOTIFY) {
        return IO_EOF;
    }
    errno = EPROTO;
    return IO_ERROR;
}

enum io ktls_recv(int fd, void *buffer, size_t size, int flags, size_t *count)
{
    union {
        struct cmsghdr part;
        char room[CMSG_SPACE(1)];
    } control;
    struct iovec vector = {.iov_base = buffer, .iov_len = size};
    struct msghdr header;
    unsigned char type;
    unsigned empty = 0;
    ssize_t got;

    do {
        /* Repeated after an empty record of data, which looks like an end. */
        header = (struct msghdr){.msg_iov = &vector,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof(control)};
        got = recvmsg(fd, &header, flags);
        type = got < 0 ? RECORD_DATA : record_type(&header);
    } while ((got < 0 && errno == EINTR) ||
             (got == 0 && header.msg_controllen > 0 && type == RECORD_DATA &&
              empty++ < EMPTY_MAX));
    if (got < 0) {
        return failure();
    }
    if (got == 0 && type == RECORD_DATA && empty <= EMPTY_MAX) {
        errno = ECONNRESET; /* it ended without a close_notify */
        return IO_ERROR;
    }
    if (got == 0 || type != RECORD_DATA) {
        return not_data(type, buffer, (size_t)got);
    }
    *count = (size_t)got;
    return IO_OK;
}

enum io ktls_finish(int fd)
{
    unsigned char alert[] = {ALERT_WARNING, ALERT_CLOSE_NOTIFY};
    union {
        struct cmsghdr part;
        char room[CMSG_SPACE(1)];
    } control = {.part = {.cmsg_level = SOL_TLS,
                          .cmsg_type = TLS_SET_RECORD_TYPE,
                          .cmsg_len = CMSG_LEN(1)}};
    struct iovec vector = {.iov_base = alert, .iov_len = sizeof(alert)};
    struct msghdr header = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control)};
    ssize_t put;

    *CMSG_DATA(&control.part) = RECORD_ALERT;
    do {
        put = sendmsg(fd, &header, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    return put < 0 ? failure() : IO_OK;
}
