#include "proxy/listener.h"

#include "base/log.h"
#include "net/listen.h"
#include "proxy/admission.h"
#include "proxy/preface.h"
#include "proxy/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* New connections in one turn of the loop, of one listener. */
#define ACCEPT_BUDGET 64
/* While accepting is paused: how often it is tried. */
#define PAUSE_NS (50 * NS_PER_MS)

static int watch(struct plane *plane, const struct listener *listener)
{
    uint32_t slot = (uint32_t)(listener - plane->listeners);

    return poller_add_level(
        &plane->loop.poller, listener->fd,
        loop_token(PLANE_LISTENER, slot, listener->instance), listener->shared);
}

/* Stops watching all, and tries again in a while. */
static void pause_all(struct plane *plane)
{
    wheel_arm(&plane->loop.wheel, &plane->accept_timer,
              plane->loop.now_ns + PAUSE_NS);
    if (plane->accept_paused) {
        return;
    }
    plane->accept_paused = true;
    atomic_fetch_add_explicit(&plane->shared->accept_paused, 1,
                              memory_order_relaxed);
    for (uint32_t i = 0; i < plane->listener_slots; i++) {
        if (plane->listeners[i].fd >= 0) {
            poller_remove(&plane->loop.poller, plane->listeners[i].fd);
        }
    }
}

static void watch_all(struct plane *plane)
{
    plane->accept_paused = false;
    wheel_disarm(&plane->loop.wheel, &plane->accept_timer);
    for (uint32_t i = 0; i < plane->listener_slots; i++) {
        if (plane->listeners[i].fd >= 0 &&
            watch(plane, &plane->listeners[i]) < 0) {
            listener_pause_exhausted(plane, errno);
            return;
        }
    }
}

void listener_pause_exhausted(struct plane *plane, int error)
{
    if (error != EMFILE && error != ENFILE && error != ENOBUFS &&
        error != ENOMEM && error != ENOSPC) {
        return;
    }
    pause_all(plane);
    if (plane_may_log(plane, &plane->shared->exhausted_log_ns)) {
        log_write(LOG_WARN, "accepting paused reason=\"%s\"", strerror(error));
    }
}

/* Finds an accepted connection its place, or resets it. */
static void admit(struct plane *plane, const struct listen_socket *socket,
                  struct sock *sock, const struct addr *client)
{
    struct service *service = socket->service;
    bool preface = preface_is_due(socket);
    bool in_source = false;
    enum cause cause;

    if (preface) {
        cause = preface_admit(service, client);
    } else {
        cause = admission_enter_service(plane, service, client, &in_source);
    }
    if (cause == CAUSE_NONE) {
        session_begin(plane, socket, sock, client, preface, in_source);
    } else {
        admission_leave_process(plane);
        session_refuse(plane, service, sock, client, cause);
    }
}

/* Takes one connection. False: no more from this listener now. */
static bool accept_one(struct plane *plane, const struct listener *listener)
{
    struct sock sock;
    struct addr client;
    enum listen_accept result;

    if (!admission_enter_process(plane)) {
        pause_all(plane);
        return false;
    }
    result = listen_accept(listener->fd, &sock, &client);
    if (result == LISTEN_ACCEPTED) {
        admit(plane, listener->socket, &sock, &client);
        return true;
    }
    admission_leave_process(plane);
    if (result == LISTEN_SHORTAGE) {
        listener_pause_exhausted(plane, errno);
    }
    return false;
}

void listener_accept_ready(struct plane *plane)
{
    bool was_paused = plane->accept_paused;

    if (!plane->accept_ready) {
        return;
    }
    plane->accept_ready = false;
    /* A pause that is still called for is begun again by the first try. */
    plane->accept_paused = false;
    for (uint32_t i = 0; i < plane->listener_slots; i++) {
        struct listener *listener = &plane->listeners[i];

        if (listener->fd < 0 || !(listener->ready || was_paused)) {
            continue;
        }
        listener->ready = false;
        for (int n = 0; n < ACCEPT_BUDGET && !plane->accept_paused; n++) {
            if (!accept_one(plane, listener)) {
                break;
            }
        }
    }
    if (was_paused && !plane->accept_paused) {
        watch_all(plane);
    }
}

void listener_event(struct plane *plane, uint32_t slot, uint32_t instance)
{
    if (slot < plane->listener_slots && plane->listeners[slot].fd >= 0 &&
        plane->listeners[slot].instance == instance) {
        plane->listeners[slot].ready = true;
        plane->accept_ready = true;
    }
}

void listener_timer(struct plane *plane)
{
    plane->accept_ready = true;
}

/* Those who have come are let in; then the socket is closed. */
static void empty_and_close(struct plane *plane, struct listener *listener)
{
    while (accept_one(plane, listener)) {
    }
    if (!plane->accept_paused) {
        poller_remove(&plane->loop.poller, listener->fd);
    }
    close(listener->fd);
    listener->fd = -1;
}

static struct listener *find_fd(struct plane *plane, int fd)
{
    for (uint32_t i = 0; i < plane->listener_slots; i++) {
        if (plane->listeners[i].fd == fd) {
            return &plane->listeners[i];
        }
    }
    return NULL;
}

/* A free slot, of one more if need be. NULL: no memory. */
static struct listener *free_slot(struct plane *plane)
{
    struct listener *slots;

    if (find_fd(plane, -1) == NULL) {
        slots = realloc(plane->listeners,
                        (plane->listener_slots + 1) * sizeof(*slots));
        if (slots == NULL) {
            return NULL;
        }
        plane->listeners = slots;
        slots[plane->listener_slots++] = (struct listener){.fd = -1};
    }
    return find_fd(plane, -1);
}

static void open_slot(struct plane *plane, const struct listen_socket *socket)
{
    struct listener *listener = free_slot(plane);

    if (listener == NULL) {
        log_write(LOG_ERROR, "a listening socket is lost reason=\"%s\"",
                  strerror(ENOMEM));
        close(socket->fds[plane->number]);
        return;
    }
    listener->fd = socket->fds[plane->number];
    listener->instance++;
    listener->socket = socket;
    listener->shared = socket->endpoint.u.any.sa_family == AF_UNIX;
    listener->kept = true;
    if (!plane->accept_paused && watch(plane, listener) < 0) {
        listener_pause_exhausted(plane, errno);
    }
}

void listener_apply(struct plane *plane, const struct generation *generation)
{
    for (uint32_t i = 0; i < plane->listener_slots; i++) {
        plane->listeners[i].kept = false;
    }
    for (size_t i = 0; i < generation->listen_count; i++) {
        const struct listen_socket *socket = &generation->listens[i];
        struct listener *listener = find_fd(plane, socket->fds[plane->number]);

        if (socket->service->config->mode == CONFIG_UDP) {
            continue;
        }
        if (listener == NULL) {
            open_slot(plane, socket);
        } else {
            listener->socket = socket;
            listener->kept = true;
        }
    }
    for (uint32_t i = 0; i < plane->listener_slots; i++) {
        if (plane->listeners[i].fd >= 0 && !plane->listeners[i].kept) {
            empty_and_close(plane, &plane->listeners[i]);
        }
    }
}

void listener_close_all(struct plane *plane)
{
    for (uint32_t i = 0; i < plane->listener_slots; i++) {
        if (plane->listeners[i].fd >= 0) {
            empty_and_close(plane, &plane->listeners[i]);
        }
    }
}
