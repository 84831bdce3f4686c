#include "proxy/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ID_MASK ((UINT32_C(1) << 28) - 1) /* what a token has room for */

int listener_prepare(struct list *spare, const struct generation *generation)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        struct listener *listener = calloc(1, sizeof(*listener));

        if (listener == NULL) {
            listener_free_spare(spare);
            return -1;
        }
        list_append(spare, &listener->link);
    }
    return 0;
}

void listener_free_spare(struct list *spare)
{
    struct list *link;

    while ((link = list_pop(spare)) != NULL) {
        free(container_of(link, struct listener, link));
    }
}

static struct listener **bucket_of(struct plane *plane, uint32_t id)
{
    return &plane->listeners_by_id[id % PLANE_LISTENER_BUCKETS];
}

/* Both families have the port at the same place. */
static struct listener **port_bucket_of(struct plane *plane,
                                        const struct listener *listener)
{
    uint16_t port = ntohs(listener->endpoint.u.in.sin_port);

    return &plane->listeners_by_port[port % PLANE_LISTENER_BUCKETS];
}

struct listener *listener_at_port(const struct plane *plane, uint16_t port)
{
    return plane->listeners_by_port[port % PLANE_LISTENER_BUCKETS];
}

struct listener *listener_at(const struct plane *plane, uint32_t id)
{
    struct listener *listener =
        plane->listeners_by_id[id % PLANE_LISTENER_BUCKETS];

    while (listener != NULL && listener->id != id) {
        listener = listener->by_id;
    }
    return listener;
}

struct listener *listener_next(const struct plane *plane,
                               const struct listener *listener)
{
    struct list *link =
        listener == NULL ? list_first(&plane->listeners) : listener->link.next;

    return link == NULL || link == &plane->listeners
               ? NULL
               : container_of(link, struct listener, link);
}

static struct listener *find_fd(const struct plane *plane, int fd)
{
    struct listener *listener = NULL;

    while ((listener = listener_next(plane, listener)) != NULL) {
        if (listener->fd == fd) {
            break;
        }
    }
    return listener;
}

/* A new socket comes into the table. */
static struct listener *take(struct plane *plane,
                             const struct listen_socket *socket,
                             struct list *spare)
{
    struct listener *listener =
        container_of(list_pop(spare), struct listener, link);
    struct listener **bucket;

    listener->id = plane_next_instance(plane) & ID_MASK;
    listener->fd = socket->fds[plane->number];
    listener->udp = socket->service->config->mode == CONFIG_UDP;
    listener->inherited = socket->inherited;
    listener->shared = socket->endpoint.u.any.sa_family == AF_UNIX ||
                       (socket->inherited && !listener->udp);
    listener->endpoint = socket->endpoint;
    list_append(&plane->listeners, &listener->link);
    bucket = bucket_of(plane, listener->id);
    listener->by_id = *bucket;
    *bucket = listener;
    if (listener->udp) {
        bucket = port_bucket_of(plane, listener);
        listener->by_port = *bucket;
        *bucket = listener;
    }
    return listener;
}

void listener_apply(struct plane *plane, const struct generation *generation,
                    struct list *spare)
{
    listener_keep_none(plane);
    for (size_t i = 0; i < generation->listen_count; i++) {
        const struct listen_socket *socket = &generation->listens[i];
        int fd = socket->fds[plane->number];
        struct listener *listener;

        if (fd < 0) {
            continue;
        }
        listener = find_fd(plane, fd);
        if (listener == NULL) {
            listener = take(plane, socket, spare);
        }
        listener->socket = socket;
        listener->service = socket->service;
        listener->kept = true;
    }
}

void listener_keep_none(struct plane *plane)
{
    struct listener *listener = NULL;

    while ((listener = listener_next(plane, listener)) != NULL) {
        listener->kept = false;
        listener->service = NULL;
    }
}

static int watch(struct plane *plane, struct listener *listener)
{
    enum plane_kind kind = listener->udp ? PLANE_UDP_LISTENER : PLANE_LISTENER;

    if (listener->udp) {
        if (datagram_socket_init(&listener->datagram, listener->fd) < 0) {
            return -1;
        }
        datagram_enable_gro(listener->fd);
    }
    return poller_add_level(&plane->loop.poller, listener->fd,
                            loop_token(kind, listener->id, 0),
                            listener->shared);
}

void listener_watch(struct plane *plane, struct listener *listener)
{
    if (listener->watched || plane->frozen) {
        return;
    }
    listener->watched = watch(plane, listener) == 0;
    if (!listener->watched) {
        plane_report_shortage(plane, errno);
        list_remove(&listener->ready);
        list_append(&plane->accept_waiting, &listener->ready);
    }
}

void listener_unwatch(struct plane *plane, struct listener *listener)
{
    if (listener->watched) {
        poller_remove(&plane->loop.poller, listener->fd);
        listener->watched = false;
    }
}

static void leave_buckets(struct plane *plane, struct listener *listener)
{
    struct listener **place = bucket_of(plane, listener->id);

    while (*place != listener) {
        place = &(*place)->by_id;
    }
    *place = listener->by_id;
    if (listener->udp) {
        place = port_bucket_of(plane, listener);
        while (*place != listener) {
            place = &(*place)->by_port;
        }
        *place = listener->by_port;
    }
}

void listener_close(struct plane *plane, struct listener *listener)
{
    leave_buckets(plane, listener);
    list_remove(&listener->link);
    list_remove(&listener->ready);
    listener_unwatch(plane, listener);
    close(listener->fd);
    free(listener);
}
