#include "scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* The loopback interface delivers within the call, mostly; a scenario that has
 * seen something else is run again with more patience, up to this. */
#define PATIENCE_MOST_MS 100

void scene_note(struct scene *scene, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    scene->length +=
        (size_t)vsnprintf(scene->log + scene->length,
                          sizeof(scene->log) - scene->length, format, args);
    va_end(args);
    assert_true(scene->length < sizeof(scene->log));
}

void scene_settle(struct scene *scene)
{
    struct timespec pause = {.tv_nsec = scene->patience_ms * 1000000L};

    if (scene->real) {
        nanosleep(&pause, NULL);
        return;
    }
    while (kernel_step()) {
    }
}

void scene_note_call(struct scene *scene, const char *call, ssize_t result)
{
    scene_note(scene, "%s %zd%s%s\n", call, result, result < 0 ? " " : "",
               result < 0 ? strerrorname_np(errno) : "");
}

void scene_note_events(struct scene *scene)
{
    struct epoll_event events[8];
    int count;

    scene_settle(scene);
    do {
        count = epoll_wait(scene->epoll, events, 8, 0);
        for (int i = 0; i < count; i++) {
            uint32_t mask = events[i].events;

            scene_note(
                scene, "event %d:%s%s%s%s%s%s\n", events[i].data.fd,
                mask & EPOLLIN ? " IN" : "", mask & EPOLLOUT ? " OUT" : "",
                mask & EPOLLRDHUP ? " RDHUP" : "",
                mask & EPOLLHUP ? " HUP" : "", mask & EPOLLERR ? " ERR" : "",
                mask & EPOLLPRI ? " PRI" : "");
        }
        /* A level-triggered one would be told for ever. */
    } while (count > 0 && events[0].data.fd != 0);
    scene_note(scene, "no more events\n");
}

void scene_note_recv(struct scene *scene, int fd, size_t size)
{
    char buffer[512];

    scene_note_call(scene, "recv", recv(fd, buffer, size, MSG_DONTWAIT));
}

void scene_note_send(struct scene *scene, int fd, size_t size, int flags)
{
    static const char bytes[512];

    scene_note_call(scene, "send",
                    send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL | flags));
}

void scene_note_error(struct scene *scene, int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    scene_note(scene, "SO_ERROR %s\n",
               error == 0 ? "0" : strerrorname_np(error));
}

void scene_note_queues(struct scene *scene, int fd)
{
    int in = -1;
    int out = -1;

    scene_settle(scene);
    assert_int_equal(ioctl(fd, FIONREAD, &in), 0);
    assert_int_equal(ioctl(fd, SIOCOUTQ, &out), 0);
    scene_note(scene, "unread %d unacknowledged %d\n", in, out);
}

void scene_watch(struct scene *scene, int fd, uint32_t events, int name)
{
    struct epoll_event event = {.events = events, .data.fd = name};

    assert_int_equal(epoll_ctl(scene->epoll, EPOLL_CTL_ADD, fd, &event), 0);
}

void scene_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

int scene_socket(void)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

void scene_connect(struct scene *scene)
{
    scene->client = scene_socket();
    connect(scene->client, (struct sockaddr *)&scene->address,
            sizeof(scene->address));
    scene_settle(scene);
}

void scene_accept(struct scene *scene)
{
    scene->server =
        accept4(scene->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(scene->server >= 0);
}

void scene_establish(struct scene *scene)
{
    scene_connect(scene);
    scene_accept(scene);
    scene_watch(scene, scene->server, SCENE_EDGES, 1);
    scene_note_events(scene);
}

static void close_if_open(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

static void open_scene(struct scene *scene)
{
    socklen_t length = sizeof(scene->address);

    scene->epoll = epoll_create1(EPOLL_CLOEXEC);
    scene->address = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    scene->listener = scene_socket();
    assert_int_equal(bind(scene->listener, (struct sockaddr *)&scene->address,
                          sizeof(scene->address)),
                     0);
    assert_int_equal(listen(scene->listener, 8), 0);
    getsockname(scene->listener, (struct sockaddr *)&scene->address, &length);
    scene->client = scene->server = -1;
}

static void play(struct scene *scene, scenario_fn scenario)
{
    open_scene(scene);
    scenario(scene);
    close_if_open(scene->client);
    close_if_open(scene->server);
    close_if_open(scene->listener);
    close_if_open(scene->epoll);
}

void scenario_compare(scenario_fn scenario)
{
    struct kernel_faults none = {.latency_ns = 1000};
    struct scene simulated = {0};
    struct scene real;

    kernel_start(1, &none);
    play(&simulated, scenario);
    assert_int_equal(file_count(), 0);
    kernel_stop();
    for (unsigned ms = 0; ms <= PATIENCE_MOST_MS; ms = 2 * ms + 1) {
        real = (struct scene){.real = true, .patience_ms = ms};
        play(&real, scenario);
        if (strcmp(simulated.log, real.log) == 0) {
            return;
        }
    }
    assert_string_equal(simulated.log, real.log);
}
