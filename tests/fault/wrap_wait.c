#include "wrap.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

CALL(int, epoll_create1, int flags)
{
    if (!kernel_running()) {
        return __real_epoll_create1(flags);
    }
    return wrap_may_fail(EMFILE) ? -1 : file_epoll_create();
}

CALL(int, epoll_ctl, int epoll_fd, int operation, int fd,
     struct epoll_event *event)
{
    if (wrap_file(epoll_fd) == NULL) {
        return __real_epoll_ctl(epoll_fd, operation, fd, event);
    }
    wrap_note_stranger(fd, "epoll_ctl");
    if (operation != EPOLL_CTL_DEL && wrap_may_fail(ENOMEM)) {
        return (int)wrap_traced("ctl", fd, -1);
    }
    return (int)wrap_traced("ctl", fd,
                            file_epoll_ctl(epoll_fd, operation, fd, event));
}

CALL(int, epoll_wait, int epoll_fd, struct epoll_event *events, int size,
     int timeout_ms)
{
    if (wrap_file(epoll_fd) == NULL) {
        return __real_epoll_wait(epoll_fd, events, size, timeout_ms);
    }
    return file_epoll_wait(epoll_fd, events, size, timeout_ms);
}

static wrap_idle_fn idle;

void wrap_set_idle(wrap_idle_fn fn)
{
    idle = fn;
}

CALL(int, poll, struct pollfd *list, nfds_t count, int timeout_ms)
{
    struct file *file = count == 1 ? wrap_file(list->fd) : NULL;
    uint64_t deadline_ns =
        kernel_now_ns() +
        (uint64_t)(timeout_ms < 0 ? INT32_MAX : timeout_ms) * NS_PER_MS;

    if (file == NULL) {
        return __real_poll(list, count, timeout_ms);
    }
    for (;;) {
        list->revents = (short)(file_poll(file) & (uint32_t)list->events);
        if (list->revents != 0 || kernel_now_ns() >= deadline_ns) {
            return list->revents != 0;
        }
        if (idle != NULL) {
            idle();
        }
        kernel_sleep(kernel_now_ns() + NS_PER_MS);
    }
}

CALL(int, eventfd, unsigned count, int flags)
{
    if (!kernel_running()) {
        return __real_eventfd(count, flags);
    }
    return wrap_may_fail(EMFILE) ? -1 : file_eventfd(count);
}

CALL(int, clock_gettime, clockid_t clock, struct timespec *now)
{
    if (!kernel_running()) {
        return __real_clock_gettime(clock, now);
    }
    now->tv_sec = (time_t)(kernel_now_ns() / NS_PER_S);
    now->tv_nsec = (long)(kernel_now_ns() % NS_PER_S);
    return 0;
}

CALL(ssize_t, getrandom, void *buffer, size_t size, unsigned flags)
{
    unsigned char *bytes = buffer;

    if (!kernel_running()) {
        return __real_getrandom(buffer, size, flags);
    }
    if (wrap_may_fail(EAGAIN)) {
        return -1;
    }
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (unsigned char)kernel_random();
    }
    return (ssize_t)size;
}
