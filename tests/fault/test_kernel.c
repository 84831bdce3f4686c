/*
 * The simulated kernel against the real one: each scenario is a sequence of
 * system calls that writes down what it saw, and is run on simulated sockets
 * and on the loopback interface. Both must have seen the same.
 */
#include "stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* The loopback interface delivers within the call, mostly; a scenario that has
 * seen something else is run again with more patience, up to this. */
#define PATIENCE_MOST_MS 100

struct scene {
    bool real;
    unsigned patience_ms;
    int epoll;
    int listener;
    int client;
    int server; /* accepted; watched edge-triggered */
    struct sockaddr_in address;
    char log[4096];
    size_t length;
};

typedef void (*scenario_fn)(struct scene *scene);

static void note(struct scene *scene, const char *format, ...) PRINTF(2, 3);

static void note(struct scene *scene, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    scene->length +=
        (size_t)vsnprintf(scene->log + scene->length,
                          sizeof(scene->log) - scene->length, format, args);
    va_end(args);
    assert_true(scene->length < sizeof(scene->log));
}

/* Lets everything arrive that is under way. */
static void settle(struct scene *scene)
{
    struct timespec pause = {.tv_nsec = scene->patience_ms * 1000000L};

    if (scene->real) {
        nanosleep(&pause, NULL);
        return;
    }
    while (kernel_step()) {
    }
}

static void note_call(struct scene *scene, const char *call, ssize_t result)
{
    note(scene, "%s %zd%s%s\n", call, result, result < 0 ? " " : "",
         result < 0 ? strerrorname_np(errno) : "");
}

/* Everything that epoll has to say now. */
static void note_events(struct scene *scene)
{
    struct epoll_event events[8];
    int count;

    settle(scene);
    do {
        count = epoll_wait(scene->epoll, events, 8, 0);
        for (int i = 0; i < count; i++) {
            uint32_t mask = events[i].events;

            note(scene, "event %d:%s%s%s%s%s%s\n", events[i].data.fd,
                 mask & EPOLLIN ? " IN" : "", mask & EPOLLOUT ? " OUT" : "",
                 mask & EPOLLRDHUP ? " RDHUP" : "",
                 mask & EPOLLHUP ? " HUP" : "", mask & EPOLLERR ? " ERR" : "",
                 mask & EPOLLPRI ? " PRI" : "");
        }
        /* A level-triggered one would be told for ever. */
    } while (count > 0 && events[0].data.fd != 0);
    note(scene, "no more events\n");
}

static void note_recv(struct scene *scene, int fd, size_t size)
{
    char buffer[512];

    note_call(scene, "recv", recv(fd, buffer, size, MSG_DONTWAIT));
}

static void note_send(struct scene *scene, int fd, size_t size, int flags)
{
    static const char bytes[512];

    note_call(scene, "send",
              send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL | flags));
}

static void note_error(struct scene *scene, int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    note(scene, "SO_ERROR %s\n", error == 0 ? "0" : strerrorname_np(error));
}

static void note_queues(struct scene *scene, int fd)
{
    int in = -1;
    int out = -1;

    settle(scene);
    assert_int_equal(ioctl(fd, FIONREAD, &in), 0);
    assert_int_equal(ioctl(fd, SIOCOUTQ, &out), 0);
    note(scene, "unread %d unacknowledged %d\n", in, out);
}

static void watch(struct scene *scene, int fd, uint32_t events, int name)
{
    struct epoll_event event = {.events = events, .data.fd = name};

    assert_int_equal(epoll_ctl(scene->epoll, EPOLL_CTL_ADD, fd, &event), 0);
}

#define EDGES (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

static int open_socket(void)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void begin_client(struct scene *scene)
{
    scene->client = open_socket();
    connect(scene->client, (struct sockaddr *)&scene->address,
            sizeof(scene->address));
    settle(scene);
}

static void accept_server(struct scene *scene)
{
    scene->server =
        accept4(scene->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(scene->server >= 0);
}

/* A client and the watched end that was accepted, whose first event is over. */
static void connected(struct scene *scene)
{
    begin_client(scene);
    accept_server(scene);
    watch(scene, scene->server, EDGES, 1);
    note_events(scene);
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
    scene->listener = open_socket();
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

static void same_as_linux(scenario_fn scenario)
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

/* ---- scenarios --------------------------------------------------------- */

static void edges(struct scene *scene)
{
    connected(scene);
    note_send(scene, scene->client, 5, 0);
    note_events(scene);
    note_events(scene);
    note_send(scene, scene->client, 5, 0);
    note_events(scene);
    note_recv(scene, scene->server, 3);
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_send(scene, scene->client, 1, 0);
    note_events(scene);
}

static void fin_behind_bytes(struct scene *scene)
{
    connected(scene);
    note_send(scene, scene->client, 7, 0);
    shutdown(scene->client, SHUT_WR);
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_send(scene, scene->server, 9, 0);
    note_events(scene);
    note_recv(scene, scene->client, 100);
    note_call(scene, "shutdown", shutdown(scene->server, SHUT_WR));
    note_events(scene);
    note_recv(scene, scene->client, 100);
    note_send(scene, scene->server, 1, 0);
    note_call(scene, "shutdown", shutdown(scene->server, SHUT_WR));
}

static void own_fin_first(struct scene *scene)
{
    connected(scene);
    note_call(scene, "shutdown", shutdown(scene->server, SHUT_WR));
    note_events(scene);
    note_send(scene, scene->server, 1, 0);
    note_send(scene, scene->client, 4, 0);
    note_events(scene);
    shutdown(scene->client, SHUT_WR);
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_error(scene, scene->server);
}

static void reset_behind_bytes(struct scene *scene)
{
    connected(scene);
    note_send(scene, scene->client, 10, 0);
    settle(scene);
    reset(scene->client);
    scene->client = -1;
    note_events(scene);
    note_recv(scene, scene->server, 4);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_send(scene, scene->server, 1, 0);
    note_events(scene);
}

static void reset_seen_by_send(struct scene *scene)
{
    connected(scene);
    note_send(scene, scene->client, 10, 0);
    settle(scene);
    reset(scene->client);
    scene->client = -1;
    settle(scene);
    note_send(scene, scene->server, 1, 0);
    note_send(scene, scene->server, 1, 0);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_call(scene, "shutdown", shutdown(scene->server, SHUT_WR));
}

static void reset_seen_by_so_error(struct scene *scene)
{
    connected(scene);
    reset(scene->client);
    scene->client = -1;
    note_events(scene);
    note_error(scene, scene->server);
    note_error(scene, scene->server);
    note_recv(scene, scene->server, 100);
    note_events(scene);
}

static void reset_after_fin(struct scene *scene)
{
    connected(scene);
    note_send(scene, scene->client, 3, 0);
    shutdown(scene->client, SHUT_WR);
    settle(scene);
    reset(scene->client);
    scene->client = -1;
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_send(scene, scene->server, 1, 0);
    note_send(scene, scene->server, 1, 0);
    note_error(scene, scene->server);
}

static void close_without_reading(struct scene *scene)
{
    connected(scene);
    note_send(scene, scene->server, 10, 0);
    note_send(scene, scene->client, 3, 0);
    settle(scene);
    close(scene->client);
    scene->client = -1;
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
}

static void bytes_for_the_closed(struct scene *scene)
{
    connected(scene);
    close(scene->client);
    scene->client = -1;
    note_events(scene);
    note_send(scene, scene->server, 1, 0);
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_send(scene, scene->server, 1, 0);
    note_error(scene, scene->server);
}

static void bytes_for_the_closed_after_own_fin(struct scene *scene)
{
    connected(scene);
    note_send(scene, scene->client, 1, 0);
    shutdown(scene->server, SHUT_WR);
    settle(scene);
    close(scene->server);
    scene->server = -1;
    settle(scene);
    note_recv(scene, scene->client, 100);
    note_recv(scene, scene->client, 100);
    note_send(scene, scene->client, 1, 0);
}

static void urgent_mark(struct scene *scene)
{
    connected(scene);
    note_send(scene, scene->client, 10, 0);
    note_send(scene, scene->client, 1, MSG_OOB);
    note_send(scene, scene->client, 10, 0);
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_events(scene);
    note_queues(scene, scene->server);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_send(scene, scene->client, 1, 0);
    note_events(scene);
}

static void urgent_mark_in_line(struct scene *scene)
{
    int one = 1;

    setsockopt(scene->listener, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
    urgent_mark(scene);
    note_send(scene, scene->client, 1, MSG_OOB);
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
}

static void two_urgent_marks(struct scene *scene)
{
    int one = 1;

    setsockopt(scene->listener, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
    connected(scene);
    note_send(scene, scene->client, 4, 0);
    note_send(scene, scene->client, 1, MSG_OOB);
    settle(scene);
    note_send(scene, scene->client, 4, 0);
    note_send(scene, scene->client, 1, MSG_OOB);
    shutdown(scene->client, SHUT_WR);
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
}

static void two_marks_out_of_line(struct scene *scene, size_t ahead)
{
    int one = 1;

    connected(scene);
    if (ahead > 0) {
        note_send(scene, scene->client, ahead, 0);
    }
    note_send(scene, scene->client, 1, MSG_OOB);
    settle(scene);
    note_send(scene, scene->client, 1, MSG_OOB);
    note_events(scene);
    setsockopt(scene->server, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
}

static void urgent_byte_behind_another(struct scene *scene)
{
    two_marks_out_of_line(scene, 0);
}

static void urgent_byte_behind_bytes_and_another(struct scene *scene)
{
    two_marks_out_of_line(scene, 5);
}

/* With a FIN behind the mark, splice seems to have met the end. */
static void splice_stops_at_the_mark(struct scene *scene)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    connected(scene);
    note_send(scene, scene->client, 1, MSG_OOB);
    settle(scene);
    note_call(
        scene, "splice",
        splice(scene->server, NULL, fds[1], NULL, 100, SPLICE_F_NONBLOCK));
    note_send(scene, scene->client, 5, 0);
    shutdown(scene->client, SHUT_WR);
    settle(scene);
    note_call(
        scene, "splice",
        splice(scene->server, NULL, fds[1], NULL, 100, SPLICE_F_NONBLOCK));
    note_recv(scene, scene->server, 100);
    close(fds[0]);
    close(fds[1]);
}

static void refused(struct scene *scene)
{
    close(scene->listener);
    scene->listener = -1;
    scene->client = open_socket();
    note_call(scene, "connect",
              connect(scene->client, (struct sockaddr *)&scene->address,
                      sizeof(scene->address)));
    watch(scene, scene->client, EDGES, 1);
    note_events(scene);
    note_error(scene, scene->client);
    note_error(scene, scene->client);
    note_recv(scene, scene->client, 100);
    note_send(scene, scene->client, 1, 0);
}

static void connecting(struct scene *scene)
{
    scene->client = open_socket();
    watch(scene, scene->client, EDGES, 1);
    note_events(scene);
    note_recv(scene, scene->client, 100);
    note_call(scene, "connect",
              connect(scene->client, (struct sockaddr *)&scene->address,
                      sizeof(scene->address)));
    note_events(scene);
    note_error(scene, scene->client);
    accept_server(scene);
    note_send(scene, scene->server, 4, 0);
    shutdown(scene->server, SHUT_WR);
    note_events(scene);
}

static void accept_queue(struct scene *scene)
{
    struct epoll_event events[1];

    watch(scene, scene->listener, EPOLLIN, 0);
    note_events(scene);
    begin_client(scene);
    note(scene, "ready %d\n", epoll_wait(scene->epoll, events, 1, 0));
    note(scene, "ready %d\n", epoll_wait(scene->epoll, events, 1, 0));
    accept_server(scene);
    note(scene, "ready %d\n", epoll_wait(scene->epoll, events, 1, 0));
    note_call(scene, "accept", accept4(scene->listener, NULL, NULL, 0));
}

static void reset_in_accept_queue(struct scene *scene)
{
    begin_client(scene);
    note_send(scene, scene->client, 5, 0);
    settle(scene);
    reset(scene->client);
    scene->client = -1;
    settle(scene);
    accept_server(scene);
    watch(scene, scene->server, EDGES, 1);
    note_events(scene);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
    note_recv(scene, scene->server, 100);
}

static void listener_closed_with_a_queue(struct scene *scene)
{
    begin_client(scene);
    watch(scene, scene->client, EDGES, 1);
    note_events(scene);
    close(scene->listener);
    scene->listener = -1;
    note_events(scene);
    note_recv(scene, scene->client, 100);
}

static void queues(struct scene *scene)
{
    connected(scene);
    note_queues(scene, scene->server);
    note_send(scene, scene->client, 30, 0);
    note_queues(scene, scene->server);
    note_queues(scene, scene->client);
    shutdown(scene->client, SHUT_WR);
    note_queues(scene, scene->server);
    note_queues(scene, scene->client);
    note_recv(scene, scene->server, 10);
    note_queues(scene, scene->server);
}

static void peek(struct scene *scene)
{
    char buffer[8];

    connected(scene);
    note_send(scene, scene->client, 6, 0);
    settle(scene);
    note_call(scene, "peek", recv(scene->server, buffer, 4, MSG_PEEK));
    note_call(scene, "peek", recv(scene->server, buffer, 8, MSG_PEEK));
    note_recv(scene, scene->server, 8);
    note_call(scene, "peek", recv(scene->server, buffer, 8, MSG_PEEK));
    note_call(scene, "peek", errno == EAGAIN);
}

/* Sends until there is no space, on both ends of the way. */
static void fill(struct scene *scene, int fd)
{
    static const char bytes[65536];

    for (int full = 0; full < 3; full++) {
        while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
        }
        settle(scene);
    }
}

static void drain(struct scene *scene, int fd)
{
    static char bytes[65536];

    for (int empty = 0; empty < 8; empty++) {
        while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
        }
        settle(scene);
    }
}

static void space_again(struct scene *scene)
{
    int small = 4096;

    setsockopt(scene->listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    connected(scene);
    fill(scene, scene->server);
    note_events(scene);
    note_send(scene, scene->server, 1, 0);
    drain(scene, scene->client);
    note_events(scene);
    note_send(scene, scene->server, 1, 0);
    note_events(scene);
}

static void reset_with_a_full_queue(struct scene *scene)
{
    int small = 4096;
    int out = 0;

    setsockopt(scene->listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    connected(scene);
    fill(scene, scene->server);
    note_events(scene);
    reset(scene->client);
    scene->client = -1;
    note_events(scene);
    assert_int_equal(ioctl(scene->server, SIOCOUTQ, &out), 0);
    note(scene, "unacknowledged %s\n", out > 0 ? "some" : "none");
    note_send(scene, scene->server, 1, 0);
    note_send(scene, scene->server, 1, 0);
}

static void counter_of_events(struct scene *scene)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t value = 3;

    watch(scene, fd, EPOLLIN | EPOLLET, 1);
    note_events(scene);
    note_call(scene, "write", write(fd, &value, sizeof(value)));
    note_call(scene, "write", write(fd, &value, sizeof(value)));
    note_events(scene);
    note_call(scene, "read", read(fd, &value, sizeof(value)));
    note(scene, "value %d\n", (int)value);
    note_call(scene, "read", read(fd, &value, sizeof(value)));
    close(fd);
    note_events(scene);
}

#define SCENARIO(name)                                                         \
    static void simulated_##name##_is_as_on_linux(void **state)                \
    {                                                                          \
        (void)state;                                                           \
        same_as_linux(name);                                                   \
    }

SCENARIO(edges)
SCENARIO(fin_behind_bytes)
SCENARIO(own_fin_first)
SCENARIO(reset_behind_bytes)
SCENARIO(reset_seen_by_send)
SCENARIO(reset_seen_by_so_error)
SCENARIO(reset_after_fin)
SCENARIO(close_without_reading)
SCENARIO(bytes_for_the_closed)
SCENARIO(bytes_for_the_closed_after_own_fin)
SCENARIO(urgent_mark)
SCENARIO(urgent_mark_in_line)
SCENARIO(two_urgent_marks)
SCENARIO(urgent_byte_behind_another)
SCENARIO(urgent_byte_behind_bytes_and_another)
SCENARIO(splice_stops_at_the_mark)
SCENARIO(refused)
SCENARIO(connecting)
SCENARIO(accept_queue)
SCENARIO(reset_in_accept_queue)
SCENARIO(listener_closed_with_a_queue)
SCENARIO(queues)
SCENARIO(peek)
SCENARIO(space_again)
SCENARIO(reset_with_a_full_queue)
SCENARIO(counter_of_events)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simulated_edges_is_as_on_linux),
        cmocka_unit_test(simulated_fin_behind_bytes_is_as_on_linux),
        cmocka_unit_test(simulated_own_fin_first_is_as_on_linux),
        cmocka_unit_test(simulated_reset_behind_bytes_is_as_on_linux),
        cmocka_unit_test(simulated_reset_seen_by_send_is_as_on_linux),
        cmocka_unit_test(simulated_reset_seen_by_so_error_is_as_on_linux),
        cmocka_unit_test(simulated_reset_after_fin_is_as_on_linux),
        cmocka_unit_test(simulated_close_without_reading_is_as_on_linux),
        cmocka_unit_test(simulated_bytes_for_the_closed_is_as_on_linux),
        cmocka_unit_test(
            simulated_bytes_for_the_closed_after_own_fin_is_as_on_linux),
        cmocka_unit_test(simulated_urgent_mark_is_as_on_linux),
        cmocka_unit_test(simulated_urgent_mark_in_line_is_as_on_linux),
        cmocka_unit_test(simulated_two_urgent_marks_is_as_on_linux),
        cmocka_unit_test(simulated_urgent_byte_behind_another_is_as_on_linux),
        cmocka_unit_test(
            simulated_urgent_byte_behind_bytes_and_another_is_as_on_linux),
        cmocka_unit_test(simulated_splice_stops_at_the_mark_is_as_on_linux),
        cmocka_unit_test(simulated_refused_is_as_on_linux),
        cmocka_unit_test(simulated_connecting_is_as_on_linux),
        cmocka_unit_test(simulated_accept_queue_is_as_on_linux),
        cmocka_unit_test(simulated_reset_in_accept_queue_is_as_on_linux),
        cmocka_unit_test(simulated_listener_closed_with_a_queue_is_as_on_linux),
        cmocka_unit_test(simulated_queues_is_as_on_linux),
        cmocka_unit_test(simulated_peek_is_as_on_linux),
        cmocka_unit_test(simulated_space_again_is_as_on_linux),
        cmocka_unit_test(simulated_reset_with_a_full_queue_is_as_on_linux),
        cmocka_unit_test(simulated_counter_of_events_is_as_on_linux),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
