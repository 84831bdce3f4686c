/*
 * check_floor: the least that checks of many upstreams can cost, as a
 * yardstick of tests/bench/checks.py.
 *
 *      check_floor tcp|http|expect PORT UPSTREAMS
 *
 * Each second it asks each of the addresses 127.1.0.1 to .250, 127.1.1.1 and so
 * on, as evproxy's checks do and in the same slots of 8 ms: socket, two
 * options, connect, the poller, send, recv, close. It has no timeouts and no
 * results, so its processor time is the kernel's part.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 512, SLOT_MS = 8, DESCRIPTORS = 65536, NET_HOSTS = 250 };

static const char *question; /* NULL: none */
static bool ends_first;      /* the upstream ends the connection */
static bool asked[DESCRIPTORS];
static int poller;

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void set_option(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void begin(struct sockaddr_in *upstream)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
        .data.fd = fd,
    };

    if (fd < 0 || fd >= DESCRIPTORS) {
        fprintf(stderr, "check_floor: no descriptor\n");
        exit(1);
    }
    asked[fd] = false;
    set_option(fd, SOL_SOCKET, SO_OOBINLINE, 1);
    if (question != NULL) {
        set_option(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
    }
    if (connect(fd, (struct sockaddr *)upstream, sizeof(*upstream)) < 0 &&
        errno != EINPROGRESS) {
        perror("check_floor: connect");
        exit(1);
    }
    (void)epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static void advance(int fd, uint32_t events)
{
    char answer[16384];

    if (!asked[fd] && question != NULL) {
        (void)send(fd, question, strlen(question), MSG_NOSIGNAL);
        asked[fd] = true;
    }
    if (question != NULL) {
        if (!(events & EPOLLIN) || recv(fd, answer, sizeof(answer), 0) < 0) {
            return;
        }
        if (ends_first && !(events & EPOLLRDHUP)) {
            return;
        }
    }
    close(fd);
}

static void wait_until(uint64_t end_ms)
{
    struct epoll_event events[EVENTS];

    for (uint64_t now = now_ms(); now < end_ms; now = now_ms()) {
        int count = epoll_wait(poller, events, EVENTS, (int)(end_ms - now));

        for (int i = 0; i < count; i++) {
            advance(events[i].data.fd, events[i].events);
        }
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in upstream = {.sin_family = AF_INET};
    unsigned count, next = 0;
    uint64_t begin_ms = now_ms();

    if (argc != 4) {
        fprintf(stderr, "usage: check_floor KIND PORT UPSTREAMS\n");
        return 2;
    }
    ends_first = strcmp(argv[1], "http") == 0;
    question = ends_first ? "GET / HTTP/1.1\r\nHost: 127.1.10.100:12345\r\n"
                            "User-Agent: evproxy\r\nAccept: */*\r\n"
                            "Connection: close\r\n\r\n"
               : strcmp(argv[1], "expect") == 0 ? "PING\r\n"
                                                : NULL;
    upstream.sin_port = htons((uint16_t)atoi(argv[2]));
    count = (unsigned)atoi(argv[3]);
    poller = epoll_create1(EPOLL_CLOEXEC);
    for (uint64_t slot = 1;; slot++) {
        /* As many as are due by the slot's beginning. */
        uint64_t due = slot * SLOT_MS * count / 1000;

        for (uint64_t done = (slot - 1) * SLOT_MS * count / 1000; done < due;
             done++) {
            upstream.sin_addr.s_addr =
                htonl(0x7f010001 + next / NET_HOSTS * 256 + next % NET_HOSTS);
            next = (next + 1) % count;
            begin(&upstream);
        }
        wait_until(begin_ms + slot * SLOT_MS);
    }
}
