#include "control/inherited.h"

#include "base/log.h"
#include "base/value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FD    3
#define SOCKETS_MAX 4096

/* How many descriptors the environment names. */
static size_t count_passed(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *fds = getenv("LISTEN_FDS");
    uint64_t number, count = 0;

    if (pid == NULL || fds == NULL ||
        value_number(pid, 1, INT32_MAX, &number) != NULL ||
        number != (uint64_t)getpid() ||
        value_number(fds, 1, SOCKETS_MAX, &count) != NULL) {
        count = 0;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return (size_t)count;
}

static int option_of(int fd, int option)
{
    socklen_t size = sizeof(int);
    int value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -1 : value;
}

/* What the descriptor is. A stream counts only if it listens. */
static struct inherited_socket describe(int fd)
{
    struct inherited_socket socket = {.fd = fd};
    int type = option_of(fd, SO_TYPE);

    socket.endpoint.length = sizeof(socket.endpoint.u);
    if (getsockname(fd, &socket.endpoint.u.any, &socket.endpoint.length) < 0) {
        socket.endpoint.length = 0;
    } else if (type == SOCK_DGRAM ||
               (type == SOCK_STREAM && option_of(fd, SO_ACCEPTCONN) == 1)) {
        socket.type = type;
    }
    return socket;
}

int inherited_open(struct inherited *inherited)
{
    size_t count = count_passed();

    *inherited = (struct inherited){0};
    if (count == 0) {
        return 0;
    }
    inherited->list = calloc(count, sizeof(*inherited->list));
    if (inherited->list == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        int fd = FIRST_FD + (int)i;

        if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
            inherited->list[inherited->count++] = describe(fd);
        }
    }
    return 0;
}

static struct inherited_socket *find(const struct inherited *inherited,
                                     int type, const struct endpoint *endpoint,
                                     size_t n)
{
    for (size_t i = 0; i < inherited->count; i++) {
        struct inherited_socket *socket = &inherited->list[i];

        if (socket->type == type &&
            endpoint_equal(&socket->endpoint, endpoint) && n-- == 0) {
            return socket;
        }
    }
    return NULL;
}

size_t inherited_count(const struct inherited *inherited, int type,
                       const struct endpoint *endpoint)
{
    size_t count = 0;

    while (find(inherited, type, endpoint, count) != NULL) {
        count++;
    }
    return count;
}

int inherited_take(struct inherited *inherited, int type,
                   const struct endpoint *endpoint, size_t n)
{
    struct inherited_socket *socket = find(inherited, type, endpoint, n);

    if (socket == NULL) {
        errno = ENOENT;
        return -1;
    }
    if (fcntl(socket->fd, F_SETFL, O_NONBLOCK) < 0) {
        return -1;
    }
    socket->used = true;
    return fcntl(socket->fd, F_DUPFD_CLOEXEC, 0);
}

int inherited_adopt(struct inherited *inherited, int fd)
{
    struct inherited_socket *list = reallocarray(
        inherited->list, inherited->count + 1, sizeof(*inherited->list));

    if (list == NULL) {
        return -1;
    }
    inherited->list = list;
    list[inherited->count] = describe(fd);
    list[inherited->count++].used = true;
    return 0;
}

static const char *what_is_wrong(const struct inherited_socket *socket)
{
    if (socket->endpoint.length == 0) {
        return "it is not a socket";
    }
    return socket->type == 0 ? "it neither listens nor takes datagrams"
                             : "no service listens there";
}

static void close_one(const struct inherited_socket *socket)
{
    char text[ADDR_TEXT_MAX] = "none", quoted[LOG_QUOTED_MAX(ADDR_TEXT_MAX)];

    if (socket->endpoint.length > 0) {
        endpoint_format(&socket->endpoint, text);
    }
    log_write(LOG_WARN, "inherited fd=%d address=%s closed reason=\"%s\"",
              socket->fd, log_quote(text, quoted, sizeof(quoted)),
              what_is_wrong(socket));
    close(socket->fd);
}

void inherited_close_unused(struct inherited *inherited)
{
    size_t kept = 0;

    for (size_t i = 0; i < inherited->count; i++) {
        if (inherited->list[i].used) {
            inherited->list[kept++] = inherited->list[i];
        } else {
            close_one(&inherited->list[i]);
        }
    }
    inherited->count = kept;
}

void inherited_fini(struct inherited *inherited)
{
    for (size_t i = 0; i < inherited->count; i++) {
        close(inherited->list[i].fd);
    }
    free(inherited->list);
    *inherited = (struct inherited){0};
}
