/*
 * steps: preloaded into evproxy, ends or stops a process of an upgrade at one
 * of its messages, or spoils the message. UPGRADE_STEP is "ROLE N WHEN HOW":
 *
 *      ROLE    old, new
 *      N       which message that it sends, from 1
 *      WHEN    before, after it is sent
 *      HOW     kill, hang, cut: the message lacks its last byte; or inner:
 *              so does the last part of its first record
 */
#include <dlfcn.h>
#include <endian.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned step; /* 0: not this process */
static bool after;
static char how[8];

__attribute__((constructor)) static void read_step(void)
{
    const char *text = getenv("UPGRADE_STEP");
    char role[8], when[8];
    unsigned n;

    if (text != NULL &&
        sscanf(text, "%7s %u %7s %7s", role, &n, when, how) == 4 &&
        (strcmp(role, "new") == 0) == (getenv("EVPROXY_UPGRADE") != NULL)) {
        step = n;
        after = strcmp(when, "after") == 0;
    }
}

static bool is_channel(int fd)
{
    socklen_t size = sizeof(int);
    int type = 0;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
           type == SOCK_SEQPACKET;
}

static void end(void)
{
    while (strcmp(how, "hang") == 0) {
        pause();
    }
    kill(getpid(), SIGKILL);
}

/* The record's own length tells of the cut, or does not. */
static void cut(const struct iovec *bytes)
{
    unsigned char *length = (unsigned char *)bytes->iov_base + 4;
    uint32_t value;

    if (strcmp(how, "inner") == 0) {
        memcpy(&value, length, sizeof(value));
        value = htole32(le32toh(value) - 1);
        memcpy(length, &value, sizeof(value));
    }
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    static ssize_t (*next)(int, const struct msghdr *, int);
    static unsigned count;
    bool here = step > 0 && is_channel(fd) && ++count == step;
    ssize_t result;

    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "sendmsg");
    }
    if (here && (strcmp(how, "cut") == 0 || strcmp(how, "inner") == 0)) {
        struct msghdr shorter = *message;
        struct iovec bytes = shorter.msg_iov[0];

        cut(&bytes);
        bytes.iov_len--;
        shorter.msg_iov = &bytes;
        return next(fd, &shorter, flags);
    }
    if (here && !after) {
        end();
    }
    result = next(fd, message, flags);
    if (here) {
        end();
    }
    return result;
}
