/*
 * floor: the least that an epoll TCP proxy can do, as a yardstick.
 *
 *      floor LISTEN_PORT UPSTREAM_PORT [THREADS] [BLOCK_BYTES]
 *
 * Each thread has one SO_REUSEPORT listener, one edge-triggered epoll set and
 * one scratch block. It reads and writes, and nothing else: it has no limits,
 * no timers and no buffers, and spins when a peer is slow. Its processor time
 * for a request is the kernel's part: four system calls and the wake-ups. The
 * time of a proxy is given as a ratio to it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, BACKLOG = 16384, SPIN_NS = 50000 };

struct side {
    int fd; /* -1: closed */
    struct side *peer;
    bool ended;
};

static struct sockaddr_in front = {.sin_family = AF_INET};
static struct sockaddr_in back = {.sin_family = AF_INET};
static int threads = 2;
static size_t block_bytes = 65536;

static void set_on(int fd, int level, int option)
{
    const int on = 1;
    setsockopt(fd, level, option, &on, sizeof(on));
}

static int open_listener(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    set_on(fd, SOL_SOCKET, SO_REUSEADDR);
    set_on(fd, SOL_SOCKET, SO_REUSEPORT);
    set_on(fd, IPPROTO_TCP, TCP_NODELAY);
    if (bind(fd, (struct sockaddr *)&front, sizeof(front)) != 0 ||
        listen(fd, BACKLOG) != 0) {
        perror("floor: listen");
        exit(1);
    }
    return fd;
}

static void watch(int epoll, int fd, struct side *side)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET,
                                .data.ptr = side};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

/* The record is not freed: later events of the batch may refer to it. */
static void close_pair(struct side *side)
{
    close(side->fd);
    close(side->peer->fd);
    side->fd = side->peer->fd = -1;
}

static bool send_all(int fd, const char *bytes, size_t count)
{
    const struct timespec spin = {.tv_nsec = SPIN_NS};

    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            return false;
        }
        if (sent < 0) {
            nanosleep(&spin, NULL);
            continue;
        }
        bytes += sent;
        count -= (size_t)sent;
    }
    return true;
}

static void forward_end(struct side *side)
{
    side->ended = true;
    shutdown(side->peer->fd, SHUT_WR);
    if (side->peer->ended) {
        close_pair(side);
    }
}

static void pump(struct side *side, char *block)
{
    ssize_t got;
    do {
        got = recv(side->fd, block, block_bytes, 0);
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got == 0) {
            forward_end(side);
            return;
        }
        if (got < 0 || !send_all(side->peer->fd, block, (size_t)got)) {
            close_pair(side);
            return;
        }
    } while ((size_t)got == block_bytes);
}

/* connect() blocks: on loopback it takes too little time to need a state. */
static void connect_pair(int epoll, int client)
{
    int upstream = socket(AF_INET, SOCK_STREAM, 0);
    struct side *sides = calloc(2, sizeof(*sides));

    if (sides == NULL || upstream < 0 ||
        connect(upstream, (struct sockaddr *)&back, sizeof(back)) != 0) {
        free(sides);
        close(upstream);
        close(client);
        return;
    }
    set_on(upstream, IPPROTO_TCP, TCP_NODELAY);
    fcntl(upstream, F_SETFL, O_NONBLOCK);
    sides[0] = (struct side){.fd = client, .peer = &sides[1]};
    sides[1] = (struct side){.fd = upstream, .peer = &sides[0]};
    watch(epoll, client, &sides[0]);
    watch(epoll, upstream, &sides[1]);
}

static void accept_clients(int epoll, int listener)
{
    int client;
    while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        connect_pair(epoll, client);
    }
}

static void *run(void *unused)
{
    struct epoll_event events[EVENTS];
    int epoll = epoll_create1(0);
    int listener = open_listener();
    char *block = malloc(block_bytes);
    (void)unused;

    watch(epoll, listener, NULL);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct side *side = events[i].data.ptr;
            if (side == NULL) {
                accept_clients(epoll, listener);
            } else if (side->fd >= 0) {
                pump(side, block);
            }
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    if (argc < 3) {
        fputs("usage: floor LISTEN_PORT UPSTREAM_PORT [THREADS] [BLOCK]\n",
              stderr);
        return 2;
    }
    front.sin_addr.s_addr = back.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    front.sin_port = htons((uint16_t)atoi(argv[1]));
    back.sin_port = htons((uint16_t)atoi(argv[2]));
    threads = argc > 3 ? atoi(argv[3]) : threads;
    block_bytes = argc > 4 ? strtoul(argv[4], NULL, 0) : block_bytes;
    for (int i = 0; i < threads; i++) {
        pthread_create(&thread, NULL, run, NULL);
    }
    pause();
    return 0;
}
