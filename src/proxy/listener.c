#include "proxy/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ID_MASK ((UINT32_C(1) << 28) - 1) /* what a token has room for */

#define INDEX_SIZE_MIN 16u

/* ---- the index ---- */

/* One allocation, which by_id points to. */
static int index_create(struct listener_index *index, size_t count)
{
    struct listener **buckets;

    index->size = INDEX_SIZE_MIN;
    while (index->size < count) {
        index->size *= 2;
    }
    buckets = calloc(3 * (size_t)index->size, sizeof(struct listener *));
    if (buckets == NULL) {
        *index = (struct listener_index){0};
        return -1;
    }
    index->by_id = buckets;
    index->by_fd = buckets + index->size;
    index->by_port = buckets + 2 * (size_t)index->size;
    return 0;
}

static struct listener **bucket_of(const struct listener_index *index,
                                   struct listener **buckets, uint32_t number)
{
    return &buckets[number & (index->size - 1)];
}

static uint32_t port_of(const struct listener *listener)
{
    return endpoint_port(&listener->endpoint);
}

static void enter_index(struct listener_index *index, struct listener *listener)
{
    struct listener **id = bucket_of(index, index->by_id, listener->id);
    struct listener **fd =
        bucket_of(index, index->by_fd, (uint32_t)listener->fd);
    struct listener **port;

    listener->by_id = *id;
    *id = listener;
    listener->by_fd = *fd;
    *fd = listener;
    if (listener->udp) {
        port = bucket_of(index, index->by_port, port_of(listener));
        listener->by_port = *port;
        *port = listener;
    }
}

static void leave_index(struct listener_index *index,
                        const struct listener *listener)
{
    struct listener **place = bucket_of(index, index->by_id, listener->id);

    while (*place != listener) {
        place = &(*place)->by_id;
    }
    *place = listener->by_id;
    place = bucket_of(index, index->by_fd, (uint32_t)listener->fd);
    while (*place != listener) {
        place = &(*place)->by_fd;
    }
    *place = listener->by_fd;
    if (listener->udp) {
        place = bucket_of(index, index->by_port, port_of(listener));
        while (*place != listener) {
            place = &(*place)->by_port;
        }
        *place = listener->by_port;
    }
}

/* Takes the other index if it is larger. */
static void grow_index(struct plane *plane, struct listener_index *larger)
{
    struct listener_index before = plane->listener_index;
    struct listener *listener = NULL;

    if (larger->size <= before.size) {
        return;
    }
    plane->listener_index = *larger;
    *larger = before;
    while ((listener = listener_next(plane, listener)) != NULL) {
        enter_index(&plane->listener_index, listener);
    }
}

void listener_close_index(struct plane *plane)
{
    free(plane->listener_index.by_id);
    plane->listener_index = (struct listener_index){0};
}

/* ---- the records ---- */

int listener_prepare(struct listener_spare *spare,
                     const struct generation *generation)
{
    if (index_create(&spare->index, generation->listen_count) < 0) {
        return -1;
    }
    for (size_t i = 0; i < generation->listen_count; i++) {
        struct listener *listener = calloc(1, sizeof(*listener));

        if (listener == NULL) {
            listener_free_spare(spare);
            return -1;
        }
        list_append(&spare->records, &listener->link);
    }
    return 0;
}

void listener_free_spare(struct listener_spare *spare)
{
    struct list *link;

    while ((link = list_pop(&spare->records)) != NULL) {
        free(container_of(link, struct listener, link));
    }
    free(spare->index.by_id);
    spare->index = (struct listener_index){0};
}

struct listener *listener_at_port(const struct plane *plane, uint16_t port)
{
    const struct listener_index *index = &plane->listener_index;

    return index->size == 0 ? NULL : *bucket_of(index, index->by_port, port);
}

struct listener *listener_at(const struct plane *plane, uint32_t id)
{
    const struct listener_index *index = &plane->listener_index;
    struct listener *listener =
        index->size == 0 ? NULL : *bucket_of(index, index->by_id, id);

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
    const struct listener_index *index = &plane->listener_index;
    struct listener *listener = *bucket_of(index, index->by_fd, (uint32_t)fd);

    while (listener != NULL && listener->fd != fd) {
        listener = listener->by_fd;
    }
    return listener;
}

/* A new socket comes into the table. */
static struct listener *take(struct plane *plane,
                             const struct listen_socket *socket,
                             struct listener_spare *spare)
{
    struct listener *listener =
        container_of(list_pop(&spare->records), struct listener, link);

    listener->id = plane_next_instance(plane) & ID_MASK;
    listener->fd = socket->fds[plane->number];
    listener->udp = socket->service->config->mode == CONFIG_UDP;
    listener->inherited = socket->inherited;
    listener->shared = socket->endpoint.u.any.sa_family == AF_UNIX ||
                       (socket->inherited && !listener->udp);
    listener->endpoint = socket->endpoint;
    list_append(&plane->listeners, &listener->link);
    enter_index(&plane->listener_index, listener);
    return listener;
}

void listener_apply(struct plane *plane, const struct generation *generation,
                    struct listener_spare *spare)
{
    grow_index(plane, &spare->index);
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

void listener_close(struct plane *plane, struct listener *listener)
{
    leave_index(&plane->listener_index, listener);
    list_remove(&listener->link);
    list_remove(&listener->ready);
    listener_unwatch(plane, listener);
    close(listener->fd);
    free(listener);
}
