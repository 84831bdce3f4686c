#include "net/poller.h"

#include <errno.h>
#include <unistd.h>

int poller_open(struct poller *poller)
{
    poller->count = 0;
    poller->fd = epoll_create1(EPOLL_CLOEXEC);
    return poller->fd < 0 ? -1 : 0;
}

void poller_close(struct poller *poller)
{
    close(poller->fd);
    poller->fd = -1;
}

int poller_add(struct poller *poller, int fd, uint64_t token)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
        .data.u64 = token,
    };

    return epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &event);
}

int poller_add_datagram(struct poller *poller, int fd, uint64_t token)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = token};

    return epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &event);
}

int poller_add_level(struct poller *poller, int fd, uint64_t token, bool shared)
{
    struct epoll_event event = {
        .events = EPOLLIN | (shared ? (uint32_t)EPOLLEXCLUSIVE : 0),
        .data.u64 = token,
    };

    return epoll_ctl(poller->fd, EPOLL_CTL_ADD, fd, &event);
}

void poller_remove(struct poller *poller, int fd)
{
    epoll_ctl(poller->fd, EPOLL_CTL_DEL, fd, NULL);
}

void poller_wait(struct poller *poller, int timeout_ms)
{
    int count =
        epoll_wait(poller->fd, poller->events, POLLER_EVENTS, timeout_ms);

    poller->count = count < 0 ? 0 : count;
}
