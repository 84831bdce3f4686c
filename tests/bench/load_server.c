/* The servers. Bytes that a client cannot take yet are kept for it. */
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    DESCRIPTORS_MAX = 1 << 16,
    PUSH_QUEUE_BYTES = 64 * 1024, /* send buffer of each client */
};

/* Bytes that echo could not send yet, by descriptor. */
struct rest {
    char *bytes; /* NULL: none */
    size_t at;
    size_t count;
};

/* Handles an event on a client's socket; false: the client has gone. */
typedef bool (*serve_fn)(int epoll, int fd, uint32_t events);

static struct rest *rests;

static int open_listener(int queue_bytes)
{
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (queue_bytes > 0) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &queue_bytes,
                   sizeof(queue_bytes));
    }
    if (bind(fd, (struct sockaddr *)&load.target, sizeof(load.target)) != 0 ||
        listen(fd, LOAD_BACKLOG) != 0) {
        load_die("listen");
    }
    return fd;
}

static void accept_client(int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd >= DESCRIPTORS_MAX) {
        close(fd);
    } else if (fd >= 0) {
        load_watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, (uint32_t)fd);
    }
}

static void rest_drop(struct rest *rest)
{
    free(rest->bytes);
    memset(rest, 0, sizeof(*rest));
}

static noreturn void serve(serve_fn serve_client, int queue_bytes)
{
    struct epoll_event events[LOAD_EVENTS];
    int epoll = load_epoll();
    int listener = open_listener(queue_bytes);

    rests = load_allocate(DESCRIPTORS_MAX, sizeof(rests[0]));
    load_watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, (uint32_t)listener);
    for (;;) {
        int count = epoll_wait(epoll, events, LOAD_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = (int)events[i].data.u32;
            if (fd == listener) {
                accept_client(epoll, listener);
            } else if (!serve_client(epoll, fd, events[i].events)) {
                rest_drop(&rests[fd]);
                close(fd);
            }
        }
    }
}

static bool echo_rest(int epoll, int fd, struct rest *rest)
{
    ssize_t sent = write(fd, rest->bytes + rest->at, rest->count);
    if (sent < 0) {
        return errno == EAGAIN;
    }
    rest->at += (size_t)sent;
    rest->count -= (size_t)sent;
    if (rest->count == 0) {
        rest_drop(rest);
        load_watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN, (uint32_t)fd);
    }
    return true;
}

static bool echo_client(int epoll, int fd, uint32_t events)
{
    struct rest *rest = &rests[fd];
    (void)events;
    if (rest->bytes != NULL) {
        return echo_rest(epoll, fd, rest);
    }
    ssize_t got = read(fd, load.buffer, sizeof(load.buffer));
    if (got <= 0) {
        return got < 0 && errno == EAGAIN;
    }
    ssize_t sent = write(fd, load.buffer, (size_t)got);
    if (sent == got) {
        return true;
    }
    if (sent < 0 && errno != EAGAIN) {
        return false;
    }
    sent = sent < 0 ? 0 : sent;
    rest->count = (size_t)(got - sent);
    rest->bytes = load_allocate(1, rest->count);
    memcpy(rest->bytes, load.buffer + sent, rest->count);
    load_watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT, (uint32_t)fd);
    return true;
}

static bool push_client(int epoll, int fd, uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) {
        return false;
    }
    if (events & EPOLLIN) {
        if (read(fd, load.buffer, sizeof(load.buffer)) <= 0) {
            return false;
        }
        load_watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT, (uint32_t)fd);
        return true;
    }
    while (write(fd, load.buffer, sizeof(load.buffer)) >= 0) {
    }
    return errno == EAGAIN;
}

int load_serve_echo(void)
{
    serve(echo_client, 0);
}

int load_serve_push(void)
{
    serve(push_client, PUSH_QUEUE_BYTES);
}
