/* reqs and ping: requests over connections that stay. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REQUESTS = 2000,   /* unless -n says more */
    WARM_REQUESTS = 2, /* on each connection; the second takes the usual way */
    PINGS = 20000,     /* unless -n says more */
    WARM_PINGS = 1000,
    PATIENCE_MS = 10000, /* for the next answer */
};

struct caller {
    int fd;
    long got; /* of its current answer */
    int64_t begun_ns;
};

static struct {
    int epoll;
    struct caller *callers;
    long answer_bytes;
    long sent;
    long done;
} requests;

/* The length of the answer in the buffer, 0 while its head is not whole. */
static long answer_length(void)
{
    const char *body = strstr(load.buffer, "\r\n\r\n");
    const char *length = strcasestr(load.buffer, "content-length:");

    if (body == NULL) {
        return 0;
    }
    if (length == NULL) {
        errno = EPROTO;
        load_die("an answer without a length");
    }
    return body + 4 - load.buffer + atol(strchr(length, ':') + 1);
}

/* Reads one whole answer on a blocking socket; its length. */
static long read_answer(int fd)
{
    long got = 0;
    long want = 0;

    while (want == 0 || got < want) {
        ssize_t count =
            read(fd, load.buffer + got, sizeof(load.buffer) - 1 - (size_t)got);
        if (count <= 0) {
            load_die("answer");
        }
        got += count;
        load.buffer[got] = '\0';
        want = want > 0 ? want : answer_length();
    }
    return got;
}

static void write_all(int fd, const char *bytes, size_t count)
{
    if (write(fd, bytes, count) != (ssize_t)count) {
        load_die("write");
    }
}

static void ask(struct caller *caller)
{
    caller->begun_ns = load_now_ns();
    write_all(caller->fd, LOAD_REQUEST_KEEP, strlen(LOAD_REQUEST_KEEP));
}

static void connect_caller(struct caller *caller, uint32_t number)
{
    caller->fd = load_dial(false);
    if (caller->fd < 0) {
        load_die("connect");
    }
    for (int i = 0; i < WARM_REQUESTS; i++) {
        ask(caller);
        requests.answer_bytes = read_answer(caller->fd);
    }
    fcntl(caller->fd, F_SETFL, O_NONBLOCK);
    load_watch(requests.epoll, EPOLL_CTL_ADD, caller->fd, EPOLLIN, number);
}

static void hear(struct caller *caller)
{
    ssize_t got = read(caller->fd, load.buffer, sizeof(load.buffer));
    if (got <= 0) {
        load_die("answer");
    }
    caller->got += got;
    if (caller->got < requests.answer_bytes) {
        return;
    }
    caller->got = 0;
    requests.done++;
    load_latency_add(load_now_ns() - caller->begun_ns);
    if (requests.sent < load.total) {
        requests.sent++;
        ask(caller);
    }
}

static void run_requests(void)
{
    struct epoll_event events[LOAD_EVENTS];

    for (int i = 0; i < load.connections && requests.sent < load.total; i++) {
        requests.sent++;
        ask(&requests.callers[i]);
    }
    while (requests.done < load.total) {
        int count =
            epoll_wait(requests.epoll, events, LOAD_EVENTS, PATIENCE_MS);
        if (count == 0) {
            errno = ETIMEDOUT;
            load_die("answer");
        }
        for (int i = 0; i < count; i++) {
            hear(&requests.callers[events[i].data.u32]);
        }
    }
}

int load_run_requests(void)
{
    load.total = load.total > 0 ? load.total : REQUESTS;
    requests.epoll = load_epoll();
    requests.callers =
        load_allocate((size_t)load.connections, sizeof(requests.callers[0]));
    for (int i = 0; i < load.connections; i++) {
        connect_caller(&requests.callers[i], (uint32_t)i);
    }
    load_ready();

    int64_t begun = load_now_ns();
    run_requests();
    double took = (double)(load_now_ns() - begun) / 1e9;
    load_latency_sort();
    printf("{\"n\": %ld, \"seconds\": %.3f, \"per_s\": %.1f, "
           "\"p50_us\": %.0f, \"p99_us\": %.0f}\n",
           requests.done, took, (double)requests.done / took,
           load_latency_us(0.5), load_latency_us(0.99));
    fflush(stdout);
    load_wait_line();
    return 0;
}

static void ping(int fd)
{
    write_all(fd, load.buffer, (size_t)load.bytes);
    for (long got = 0; got < load.bytes;) {
        ssize_t count = read(fd, load.buffer, (size_t)(load.bytes - got));
        if (count <= 0) {
            load_die("read");
        }
        got += count;
    }
}

int load_run_ping(void)
{
    int fd = load_dial(false);
    if (fd < 0) {
        load_die("connect");
    }
    load.total = load.total > 0 ? load.total : PINGS;
    for (long i = 0; i < WARM_PINGS; i++) {
        ping(fd);
    }
    for (long i = 0; i < load.total; i++) {
        int64_t begun = load_now_ns();
        ping(fd);
        load_latency_add(load_now_ns() - begun);
    }
    load_latency_sort();
    printf("{\"n\": %ld, \"p50_us\": %.2f, \"p90_us\": %.2f, \"p99_us\": %.2f, "
           "\"p999_us\": %.2f}\n",
           load_latency_count(), load_latency_us(0.5), load_latency_us(0.9),
           load_latency_us(0.99), load_latency_us(0.999));
    close(fd);
    return 0;
}
