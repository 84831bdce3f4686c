/* reqs and ping: requests over persistent connections. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    REQUESTS = 2000,   /* unless -n says more */
    WARM_REQUESTS = 2, /* on each connection; only the first is slow */
    PINGS = 20000,     /* unless -n says more */
    WARM_PINGS = 1000,
    ANSWER_TIMEOUT_MS = 10000,
};

struct client {
    int fd;
    long got; /* bytes of its current answer */
    int64_t begun_ns;
};

static struct {
    int epoll;
    struct client *clients;
    long answer_bytes;
    long sent;
    long done;
} requests;

/* The length of the answer in the buffer; 0: its head is incomplete. */
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

/* Reads one whole answer on a blocking socket and returns its length. */
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

static void send_request(struct client *client)
{
    client->begun_ns = load_now_ns();
    write_all(client->fd, LOAD_REQUEST_KEEP, strlen(LOAD_REQUEST_KEEP));
}

static void connect_client(struct client *client, uint32_t number)
{
    client->fd = load_dial(false);
    if (client->fd < 0) {
        load_die("connect");
    }
    for (int i = 0; i < WARM_REQUESTS; i++) {
        send_request(client);
        requests.answer_bytes = read_answer(client->fd);
    }
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
    load_watch(requests.epoll, EPOLL_CTL_ADD, client->fd, EPOLLIN, number);
}

static void receive(struct client *client)
{
    ssize_t got = read(client->fd, load.buffer, sizeof(load.buffer));
    if (got <= 0) {
        load_die("answer");
    }
    client->got += got;
    if (client->got < requests.answer_bytes) {
        return;
    }
    client->got = 0;
    requests.done++;
    load_latency_add(load_now_ns() - client->begun_ns);
    if (requests.sent < load.total) {
        requests.sent++;
        send_request(client);
    }
}

static void run_requests(void)
{
    struct epoll_event events[LOAD_EVENTS];

    for (int i = 0; i < load.connections && requests.sent < load.total; i++) {
        requests.sent++;
        send_request(&requests.clients[i]);
    }
    while (requests.done < load.total) {
        int count =
            epoll_wait(requests.epoll, events, LOAD_EVENTS, ANSWER_TIMEOUT_MS);
        if (count == 0) {
            errno = ETIMEDOUT;
            load_die("answer");
        }
        for (int i = 0; i < count; i++) {
            receive(&requests.clients[events[i].data.u32]);
        }
    }
}

int load_run_requests(void)
{
    load.total = load.total > 0 ? load.total : REQUESTS;
    requests.epoll = load_epoll();
    requests.clients =
        load_allocate((size_t)load.connections, sizeof(requests.clients[0]));
    for (int i = 0; i < load.connections; i++) {
        connect_client(&requests.clients[i], (uint32_t)i);
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
