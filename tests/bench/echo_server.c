/* The server. A connection has no state except its descriptor. */
#include "echo_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    THREADS = 2,
    ADDRESSES_MAX = 250,
    BACKLOG = 65535,
    EVENTS = 512,
    SCRATCH_BYTES = 256 * 1024, /* the buffer of a thread */
    SHORTAGE_US = 10000,        /* pause when no descriptor or memory is left */
};

/* In the data of an epoll event: the descriptor listens. */
#define LISTENER (UINT64_C(1) << 32)

/* Both threads add to them; main reads them at the end. */
static struct {
    atomic_uint_fast64_t accepted;
    atomic_uint_fast64_t accept_errors;
    atomic_uint_fast64_t closed;
    atomic_uint_fast64_t short_writes;
    atomic_uint_fast64_t bytes;
} stats;

static uint16_t port;
static unsigned addresses = 1;

static void watch(int epoll, int fd, uint64_t kind)
{
    struct epoll_event event = {.events = EPOLLIN,
                                .data.u64 = kind | (uint32_t)fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        echo_die("epoll_ctl: %s", strerror(errno));
    }
}

static void open_listener(int epoll, unsigned number)
{
    const int on = 1;
    struct sockaddr_in local = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(0x7f000100u + number),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    echo_nodelay(fd);
    if (bind(fd, (struct sockaddr *)&local, sizeof(local)) != 0 ||
        listen(fd, BACKLOG) != 0) {
        echo_die("127.0.1.%u:%u: %s", number, port, strerror(errno));
    }
    watch(epoll, fd, LISTENER);
}

static void accept_clients(int epoll, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd >= 0) {
            watch(epoll, fd, 0);
            stats.accepted++;
            continue;
        }
        if (errno == EAGAIN) {
            return;
        }
        stats.accept_errors++;
        if (errno != ECONNABORTED) {
            usleep(SHORTAGE_US);
            return;
        }
    }
}

static void echo(int fd, char *scratch)
{
    ssize_t got = recv(fd, scratch, SCRATCH_BYTES, 0);
    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got > 0) {
        ssize_t sent = send(fd, scratch, (size_t)got, MSG_NOSIGNAL);
        if (sent == got) {
            stats.bytes += (uint64_t)got;
            return;
        }
        stats.short_writes++;
    }
    close(fd);
    stats.closed++;
}

static void *run(void *unused)
{
    struct epoll_event events[EVENTS];
    char *scratch = malloc(SCRATCH_BYTES);
    int epoll = epoll_create1(0);
    (void)unused;

    if (epoll < 0 || scratch == NULL) {
        echo_die("thread: %s", strerror(errno));
    }
    for (unsigned number = 1; number <= addresses; number++) {
        open_listener(epoll, number);
    }
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = (int)(uint32_t)events[i].data.u64;
            if (events[i].data.u64 & LISTENER) {
                accept_clients(epoll, fd);
            } else {
                echo(fd, scratch);
            }
        }
    }
    return NULL;
}

int echo_server(int argc, char **argv)
{
    sigset_t quit;
    int signal_number;

    port = (uint16_t)echo_number("PORT", argv[0], 1, 65535);
    if (argc > 1) {
        addresses =
            (unsigned)echo_number("ADDRESSES", argv[1], 1, ADDRESSES_MAX);
    }
    sigemptyset(&quit);
    sigaddset(&quit, SIGTERM);
    sigaddset(&quit, SIGINT);
    pthread_sigmask(SIG_BLOCK, &quit, NULL);
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, run, NULL) != 0) {
            echo_die("pthread_create failed");
        }
    }
    sigwait(&quit, &signal_number);
    printf("{\"accepted\":%" PRIuFAST64 ",\"accept_errors\":%" PRIuFAST64
           ",\"closed\":%" PRIuFAST64 ",\"short_writes\":%" PRIuFAST64
           ",\"bytes\":%" PRIuFAST64 "}\n",
           stats.accepted, stats.accept_errors, stats.closed,
           stats.short_writes, stats.bytes);
    fflush(stdout);
    _exit(0);
}
