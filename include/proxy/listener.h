/*
 * listener: the listening sockets of a plane, for TCP and UDP. Each has exactly
 * one owner: the control thread until the plane has applied the generation that
 * names it, this table from then on, until listener_close. The descriptor's
 * number in struct listen_socket means nothing afterwards. It stays open while
 * its generation is the current one and the plane neither drains nor departs.
 *
 * The records are allocated by the control thread before the generation is
 * handed over, so that taking a socket cannot fail. A socket that cannot be
 * watched for want of memory stays in the table and is tried again.
 */
#ifndef EVPROXY_PROXY_LISTENER_H
#define EVPROXY_PROXY_LISTENER_H

#include "net/datagram.h"
#include "proxy/plane.h"

#include <stdbool.h>
#include <stdint.h>

struct listener {
    struct list link;       /* in plane->listeners, or spare */
    struct listener *by_id; /* the next one of its bucket; likewise by_fd */
    struct listener *by_fd;
    struct list ready; /* in plane->accept_ready or accept_waiting */
    uint32_t id;       /* in the token; not used again soon */
    int fd;
    bool udp;
    bool watched;   /* by the poller */
    bool kept;      /* the current generation has its socket */
    bool shared;    /* other planes watch the same socket: of a unix path, or
                       inherited */
    bool inherited; /* the service manager has it too */
    const struct listen_socket *socket; /* TCP: of the current generation */

    /* Of UDP; see udp_listener.h. */
    struct listener *by_port; /* the next one of its bucket */
    struct datagram_socket datagram;
    struct endpoint endpoint; /* as configured */
    struct service *service;  /* of new sessions; NULL: none are let in */
    uint32_t sessions;
};

/* What a generation may need. */
struct listener_spare {
    struct list records;
    struct listener_index index;
};

/* Allocates a record for each socket of the generation, and an index for them.
 * -1 with errno. Any thread. */
int listener_prepare(struct listener_spare *spare,
                     const struct generation *generation) WARN_UNUSED;
/* Frees what was not used. */
void listener_free_spare(struct listener_spare *spare);

/* No listener is left: frees the index. */
void listener_close_index(struct plane *plane);

/* Takes the generation's sockets, new ones into spare records. Afterwards
 * `kept` is false for those that the generation does not have, which the caller
 * closes when it may. */
void listener_apply(struct plane *plane, const struct generation *generation,
                    struct listener_spare *spare);

/* No socket is kept: the plane drains. */
void listener_keep_none(struct plane *plane);

/* The one with that id; NULL: it is closed. */
struct listener *listener_at(const struct plane *plane, uint32_t id);

/* The first of the UDP ones that may have that port; by_port is the next. */
struct listener *listener_at_port(const struct plane *plane, uint16_t port);

/* The one after that; NULL: the first, and the end. A listener may be closed
 * once its successor is known. */
struct listener *listener_next(const struct plane *plane,
                               const struct listener *listener);

/* Watches it, if it is not watched yet and the plane is not frozen. What fails
 * counts as a shortage: the listener waits until accepting resumes. */
void listener_watch(struct plane *plane, struct listener *listener);
void listener_unwatch(struct plane *plane, struct listener *listener);

/* Closes the socket and frees the record. */
void listener_close(struct plane *plane, struct listener *listener);

#endif
