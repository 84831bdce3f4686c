/* hold and storm: many connections are opened and then idle. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    OPENING_MAX = 256,         /* connections that are opened at a time */
    STORM_QUEUE_BYTES = 65536, /* receive buffer of a reader that stopped */
};

struct client {
    int fd;
    bool sent;
    bool done; /* it has read all bytes, or failed */
    long got;
};

static struct {
    int epoll;
    bool storm;
    struct client *clients;
    int started;
    int opening;
    int good;
    int failed;
} held;

static void finish(struct client *client, bool good)
{
    client->done = true;
    held.opening--;
    if (good) {
        held.good++;
    } else {
        held.failed++;
    }
}

static void begin(uint32_t number)
{
    const int queue = STORM_QUEUE_BYTES;
    struct client *client = &held.clients[number];

    held.started++;
    held.opening++;
    client->fd = load_dial(true);
    if (client->fd < 0) {
        finish(client, false);
        return;
    }
    if (held.storm) {
        setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue));
    }
    load_watch(held.epoll, EPOLL_CTL_ADD, client->fd,
               EPOLLIN | EPOLLOUT | EPOLLET, number);
}

/* The first byte of storm starts the server; hold expects an echo. */
static bool send_first(struct client *client)
{
    long count = held.storm ? 1 : load.bytes;
    client->sent = true;
    return write(client->fd, load.buffer, (size_t)count) == count;
}

static void handle(const struct epoll_event *event)
{
    struct client *client = &held.clients[event->data.u32];

    if (client->done) {
        return;
    }
    if (!client->sent && (event->events & EPOLLOUT) && !send_first(client)) {
        finish(client, false);
        return;
    }
    while (client->sent && client->got < load.bytes) {
        ssize_t got =
            read(client->fd, load.buffer, (size_t)(load.bytes - client->got));
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got <= 0) {
            finish(client, false);
            return;
        }
        client->got += got;
    }
    if (client->sent) {
        finish(client, true);
    }
}

/* Until all are open, or nothing has happened for too long. */
static void open_all(void)
{
    struct epoll_event events[LOAD_EVENTS];

    while (held.good + held.failed < load.connections) {
        while (held.started < load.connections && held.opening < OPENING_MAX) {
            begin((uint32_t)held.started);
        }
        int count =
            epoll_wait(held.epoll, events, LOAD_EVENTS, LOAD_STUCK_S * 1000);
        if (count == 0) {
            return;
        }
        for (int i = 0; i < count; i++) {
            handle(&events[i]);
        }
    }
}

static int run(bool storm)
{
    held.storm = storm;
    held.epoll = load_epoll();
    held.clients =
        load_allocate((size_t)load.connections, sizeof(held.clients[0]));
    open_all();
    printf("{\"n\": %d, \"failed\": %d, \"stuck\": %d}\n", held.good,
           held.failed, load.connections - held.good - held.failed);
    load_ready();
    for (int i = 0; i < held.started; i++) {
        if (held.clients[i].fd >= 0) {
            close(held.clients[i].fd);
        }
    }
    puts("CLOSED");
    fflush(stdout);
    load_wait_line();
    return 0;
}

int load_run_hold(void)
{
    return run(false);
}

int load_run_storm(void)
{
    return run(true);
}
