/* hold and storm: many connections that then do nothing. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    OPENING_MAX = 256,         /* connections that are being set up at a time */
    STORM_QUEUE_BYTES = 65536, /* what the kernel takes for a stalled reader */
};

struct guest {
    int fd;
    bool sent;
    bool over; /* it has read what it wanted, or failed */
    long got;
};

static struct {
    int epoll;
    bool storm;
    struct guest *guests;
    int started;
    int opening;
    int good;
    int failed;
} held;

static void conclude(struct guest *guest, bool good)
{
    guest->over = true;
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
    struct guest *guest = &held.guests[number];

    held.started++;
    held.opening++;
    guest->fd = load_dial(true);
    if (guest->fd < 0) {
        conclude(guest, false);
        return;
    }
    if (held.storm) {
        setsockopt(guest->fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof(queue));
    }
    load_watch(held.epoll, EPOLL_CTL_ADD, guest->fd,
               EPOLLIN | EPOLLOUT | EPOLLET, number);
}

/* Storm's first byte starts the server; hold's are to come back. */
static bool send_first(struct guest *guest)
{
    long count = held.storm ? 1 : load.bytes;
    guest->sent = true;
    return write(guest->fd, load.buffer, (size_t)count) == count;
}

static void handle(const struct epoll_event *event)
{
    struct guest *guest = &held.guests[event->data.u32];

    if (guest->over) {
        return;
    }
    if (!guest->sent && (event->events & EPOLLOUT) && !send_first(guest)) {
        conclude(guest, false);
        return;
    }
    while (guest->sent && guest->got < load.bytes) {
        ssize_t got =
            read(guest->fd, load.buffer, (size_t)(load.bytes - guest->got));
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got <= 0) {
            conclude(guest, false);
            return;
        }
        guest->got += got;
    }
    if (guest->sent) {
        conclude(guest, true);
    }
}

/* Until all are there, or nothing has happened for too long. */
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
    held.guests =
        load_allocate((size_t)load.connections, sizeof(held.guests[0]));
    open_all();
    printf("{\"n\": %d, \"failed\": %d, \"stuck\": %d}\n", held.good,
           held.failed, load.connections - held.good - held.failed);
    load_ready();
    for (int i = 0; i < held.started; i++) {
        if (held.guests[i].fd >= 0) {
            close(held.guests[i].fd);
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
