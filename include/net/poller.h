/*
 * poller: which descriptors are ready, by epoll.
 *
 * A descriptor is added once. Connections are edge-triggered for everything, so
 * nothing is ever modified; listeners are level-triggered, so that a stop in
 * the middle of the queue loses nothing. Each carries a token, which comes back
 * with its events.
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
    int count; /* events of the batch */
    struct epoll_event events[POLLER_EVENTS];
};

int poller_open(struct poller *poller) WARN_UNUSED;
void poller_close(struct poller *poller);

/* A connection: edge-triggered for reading, writing, hang-up and urgent. */
int poller_add(struct poller *poller, int fd, uint64_t token) WARN_UNUSED;

/* A socket for datagrams, which is always written to at once: edge-triggered
 * for reading and errors. */
int poller_add_datagram(struct poller *poller, int fd,
                        uint64_t token) WARN_UNUSED;

/* A descriptor that is read until empty: level-triggered for reading. shared:
 * several pollers watch it, and one of them is woken. */
int poller_add_level(struct poller *poller, int fd, uint64_t token,
                     bool shared) WARN_UNUSED;

/* Before a descriptor is closed this is needed only if another one refers to
 * the same open file. */
void poller_remove(struct poller *poller, int fd);

/* Waits for at most timeout_ms (-1: for ever); an interruption is an empty
 * batch. */
void poller_wait(struct poller *poller, int timeout_ms);

#endif
