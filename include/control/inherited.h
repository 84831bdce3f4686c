/*
 * inherited: listening sockets that the service manager opened and passed on
 * (sd_listen_fds(3)): descriptors from 3 on, as many as LISTEN_FDS says, if
 * LISTEN_PID is this process.
 *
 * The manager keeps them open over a restart, so that no connection is refused
 * meanwhile. A listen address that one of them has uses it instead of opening
 * one; their names (LISTEN_FDNAMES) play no part. The table keeps the
 * descriptors and hands out duplicates, so that a reload may give an address up
 * and take it again. Control thread.
 */
#ifndef EVPROXY_CONTROL_INHERITED_H
#define EVPROXY_CONTROL_INHERITED_H

#include "base/endpoint.h"

#include <stdbool.h>
#include <stddef.h>

struct inherited_socket {
    int fd;
    int type; /* SOCK_STREAM, which listens, or SOCK_DGRAM; 0: neither */
    struct endpoint endpoint;
    bool used;
};

/* All-zero: none. */
struct inherited {
    struct inherited_socket *list;
    size_t count;
};

/* Reads the environment and removes the variables from it. To be called before
 * any other descriptor is opened. -1 with errno = ENOMEM. */
int inherited_open(struct inherited *inherited) WARN_UNUSED;

/* How many sockets have the type and the endpoint. */
size_t inherited_count(const struct inherited *inherited, int type,
                       const struct endpoint *endpoint);

/* A duplicate of the n-th of them, non-blocking. -1 with errno. */
int inherited_take(struct inherited *inherited, int type,
                   const struct endpoint *endpoint, size_t n) WARN_UNUSED;

/* Adds one that the process before has kept, as used. -1 with errno = ENOMEM.
 */
int inherited_adopt(struct inherited *inherited, int fd) WARN_UNUSED;

/* The start has taken what it needs: closes the others, with a line each. */
void inherited_close_unused(struct inherited *inherited);

void inherited_fini(struct inherited *inherited);

#endif
