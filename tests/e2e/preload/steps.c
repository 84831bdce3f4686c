/*
 * steps: preloaded into evproxy, ends or stops a process of an upgrade at one
 * of its messages. UPGRADE_STEP is "ROLE N WHEN HOW":
 *
 *      ROLE    old, new
 *      N       which message that it sends, from 1
 *      WHEN    before, after it is sent
 *      HOW     kill, hang
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned step; /* 0: not this process */
static bool after;
static bool hang;

__attribute__((constructor)) static void read_step(void)
{
    const char *text = getenv("UPGRADE_STEP");
    char role[8], when[8], how[8];
    unsigned n;

    if (text != NULL &&
        sscanf(text, "%7s %u %7s %7s", role, &n, when, how) == 4 &&
        (strcmp(role, "new") == 0) == (getenv("EVPROXY_UPGRADE") != NULL)) {
        step = n;
        after = strcmp(when, "after") == 0;
        hang = strcmp(how, "hang") == 0;
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
    while (hang) {
        pause();
    }
    kill(getpid(), SIGKILL);
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
    if (here && !after) {
        end();
    }
    result = next(fd, message, flags);
    if (here) {
        end();
    }
    return result;
}
