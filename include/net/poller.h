/*
 * poller: which descriptors are ready, by epoll.
 *
 * A descriptor is added once and never modified. Connections are edge-triggered
 * for all events. Listeners are level-triggered, so a listener that stops with
 * connections queued loses none. Each has a token, which its events carry. A
 * poller belongs to one thread.
 */
#ifndef EVPROXY_NET_POLLER_H
#define EVPROXY_NET_POLLER_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#define POLLER_EVENTS 512

struct poller {
    int fd;
    int count; /* of events */
    struct epoll_event events[POLLER_EVENTS];
};

int poller_open(struct poller *poller) WARN_UNUSED;
void poller_close(struct poller *poller);

/* A connection: edge-triggered for reading, writing, hang-up and urgent data.
 */
int poller_add(struct poller *poller, int fd, uint64_t token) WARN_UNUSED;

/* A connected socket for datagrams: edge-triggered for reading and errors. It
 * is written to without waiting. */
int poller_add_datagram(struct poller *poller, int fd,
                        uint64_t token) WARN_UNUSED;

/* A listener or the like: level-triggered for reading. shared: several pollers
 * watch it, and one of them is woken. */
int poller_add_level(struct poller *poller, int fd, uint64_t token,
                     bool shared) WARN_UNUSED;

/* Needed before close(2) only if another descriptor refers to the same open
 * file. */
void poller_remove(struct poller *poller, int fd);

/* Waits for events, at most timeout_ms (-1: for ever). After a signal there are
 * none. */
void poller_wait(struct poller *poller, int timeout_ms);

#endif
