/* rate: one HTTP request for each connection, many in flight. */
#include "load.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    SCAN_NS = 200 * 1000 * 1000, /* between two scans for stuck connections */
};

static const char GOOD[] = "HTTP/1.1 200";

enum { NOT_DIALED = -1, UNUSED = -2 }; /* instead of a slot's descriptor */

struct slot {
    int fd;
    bool sent;
    long got;
    int64_t begun_ns;
};

enum progress { PENDING, COMPLETE, FAILED };

static struct {
    int epoll;
    struct slot *slots;
    long started;
    long done;
    long errors;
    long stuck;
    long dial_failures;
} rate;

static bool all_started(void)
{
    return load.total > 0 && rate.started >= load.total;
}

/* A dial that fails is repeated at the next scan. */
static void dial(uint32_t number)
{
    struct slot *slot = &rate.slots[number];
    *slot = (struct slot){.begun_ns = load_now_ns(), .fd = load_dial(true)};
    if (slot->fd < 0) {
        slot->fd = NOT_DIALED;
        rate.dial_failures++;
        return;
    }
    load_watch(rate.epoll, EPOLL_CTL_ADD, slot->fd,
               EPOLLIN | EPOLLOUT | EPOLLET, number);
}

static void begin(uint32_t number)
{
    if (all_started()) {
        rate.slots[number].fd = UNUSED;
        return;
    }
    rate.started++;
    dial(number);
}

static enum progress read_answer(struct slot *slot)
{
    for (;;) {
        ssize_t got = read(slot->fd, load.buffer, sizeof(load.buffer));
        if (got < 0) {
            return errno == EAGAIN ? PENDING : FAILED;
        }
        if (got == 0) {
            return slot->got >= (long)sizeof(GOOD) - 1 ? COMPLETE : FAILED;
        }
        if (slot->got == 0 &&
            (got < (long)sizeof(GOOD) - 1 ||
             memcmp(load.buffer, GOOD, sizeof(GOOD) - 1) != 0)) {
            return FAILED;
        }
        slot->got += got;
    }
}

static enum progress advance(struct slot *slot, uint32_t events)
{
    if (!slot->sent && (events & EPOLLOUT)) {
        slot->sent = true;
        if (write(slot->fd, LOAD_REQUEST_CLOSE, strlen(LOAD_REQUEST_CLOSE)) <
            0) {
            return FAILED;
        }
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        return read_answer(slot);
    }
    return PENDING;
}

static void handle(const struct epoll_event *event)
{
    uint32_t number = event->data.u32;
    struct slot *slot = &rate.slots[number];

    switch (advance(slot, event->events)) {
    case PENDING:
        return;
    case COMPLETE:
        rate.done++;
        load_latency_add(load_now_ns() - slot->begun_ns);
        break;
    case FAILED:
        rate.errors++;
        break;
    }
    close(slot->fd);
    begin(number);
}

static void scan(int64_t now)
{
    for (int i = 0; i < load.connections; i++) {
        struct slot *slot = &rate.slots[i];
        if (slot->fd == NOT_DIALED) {
            dial((uint32_t)i);
        } else if (slot->fd >= 0 &&
                   now - slot->begun_ns > LOAD_STUCK_S * INT64_C(1000000000)) {
            close(slot->fd);
            rate.stuck++;
            begin((uint32_t)i);
        }
    }
}

static bool all_ended(void)
{
    long ended = rate.done + rate.errors + rate.stuck;
    return load.total > 0 && ended >= load.total;
}

static void run_until(int64_t end)
{
    struct epoll_event events[LOAD_EVENTS];
    int64_t scanned = load_now_ns();
    int64_t now;

    while ((now = load_now_ns()) < end && !all_ended()) {
        int count = epoll_wait(rate.epoll, events, LOAD_EVENTS, 100);
        for (int i = 0; i < count; i++) {
            handle(&events[i]);
        }
        if (now - scanned > SCAN_NS) {
            scanned = now;
            scan(now);
        }
    }
}

int load_run_rate(void)
{
    int64_t begun = load_now_ns();
    int64_t end = INT64_MAX;

    if (load.seconds > 0 || load.total == 0) {
        end = begun + (int64_t)((load.seconds > 0 ? load.seconds : 5) * 1e9);
    }
    rate.epoll = load_epoll();
    rate.slots = load_allocate((size_t)load.connections, sizeof(rate.slots[0]));
    for (int i = 0; i < load.connections; i++) {
        begin((uint32_t)i);
    }
    run_until(end);

    double took = (double)(load_now_ns() - begun) / 1e9;
    load_latency_sort();
    printf("{\"n\": %ld, \"seconds\": %.3f, \"per_s\": %.1f, \"errors\": %ld, "
           "\"stuck\": %ld, \"dial_failures\": %ld, \"p50_us\": %.0f, "
           "\"p99_us\": %.0f}\n",
           rate.done, took, (double)rate.done / took, rate.errors, rate.stuck,
           rate.dial_failures, load_latency_us(0.5), load_latency_us(0.99));
    return 0;
}
