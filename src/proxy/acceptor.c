#include "proxy/acceptor.h"

#include "base/log.h"
#include "net/listen.h"
#include "proxy/admission.h"
#include "proxy/listener.h"
#include "proxy/session_open.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Connections taken from one listener in one turn of the loop. */
#define ACCEPT_BUDGET 64
/* How often accepting is tried while it is paused. */
#define PAUSE_NS (50 * NS_PER_MS)

static void pause_accepting(struct plane *plane)
{
    struct listener *listener = NULL;

    wheel_arm(&plane->loop.wheel, &plane->accept_timer,
              plane->loop.now_ns + PAUSE_NS);
    if (plane->accept_paused) {
        return;
    }
    plane->accept_paused = true;
    atomic_fetch_add_explicit(&plane->shared->accept_paused, 1,
                              memory_order_relaxed);
    while ((listener = listener_next(plane, listener)) != NULL) {
        if (!listener->udp) {
            listener_unwatch(plane, listener);
        }
    }
}

static void report_shortage(struct plane *plane)
{
    if (limited_log_add(&plane->shared->shortages, plane->loop.now_ns) > 0) {
        log_write(LOG_WARN, "accepting paused reason=\"%s\"",
                  strerror(plane->shortage));
    }
    plane->shortage = 0;
}

static void report_full(struct plane *plane)
{
    struct shared *shared = plane->shared;

    if (limited_log_add(&shared->full, plane->loop.now_ns) > 0) {
        log_write(LOG_WARN,
                  "accepting paused reason=\"max_connections = %" PRIu32
                  " is reached\"",
                  atomic_load_explicit(&shared->max_connections,
                                       memory_order_relaxed));
    }
}

/* Takes one connection. False: there are none, or no more can be taken now. */
static bool accept_one(struct plane *plane, const struct listener *listener)
{
    struct sock sock;
    struct addr client;
    enum listen_accept result;

    if (!admission_enter_process(plane)) {
        pause_accepting(plane);
        report_full(plane);
        return false;
    }
    result = listen_accept(listener->fd, &sock, &client);
    if (result == LISTEN_ACCEPTED) {
        session_open_begin(plane, listener->socket, &sock, &client);
        return true;
    }
    admission_leave_process(plane);
    if (result == LISTEN_SHORTAGE) {
        plane_report_shortage(plane, errno);
    }
    return false;
}

/* The pause may be over: every listener may have connections. */
static void try_all(struct plane *plane)
{
    struct listener *listener = NULL;

    plane->accept_resume = false;
    plane->accept_paused = false;
    while ((listener = listener_next(plane, listener)) != NULL) {
        if (!listener->udp && !list_linked(&listener->ready)) {
            list_append(&plane->accept_ready, &listener->ready);
        }
    }
}

static void watch_all(struct plane *plane)
{
    struct listener *listener = NULL;

    wheel_disarm(&plane->loop.wheel, &plane->accept_timer);
    while ((listener = listener_next(plane, listener)) != NULL) {
        listener_watch(plane, listener);
    }
}

static void accept_ready(struct plane *plane)
{
    struct list *link;

    while ((link = list_pop(&plane->accept_ready)) != NULL) {
        const struct listener *listener =
            container_of(link, struct listener, ready);

        for (int n = 0; n < ACCEPT_BUDGET && !plane->accept_paused &&
                        plane->shortage == 0 && accept_one(plane, listener);
             n++) {
        }
    }
}

void acceptor_turn(struct plane *plane)
{
    bool resumes = plane->accept_resume;

    plane->accept_due = false;
    if (resumes) {
        try_all(plane);
    }
    accept_ready(plane);
    if (resumes && !plane->accept_paused && plane->shortage == 0) {
        watch_all(plane);
    }
    if (plane->shortage != 0) {
        pause_accepting(plane);
        report_shortage(plane);
    }
}

void acceptor_event(struct loop *loop, uint32_t id, uint32_t instance,
                    uint32_t events)
{
    struct plane *plane = plane_of(loop);
    struct listener *listener = listener_at(plane, id);

    (void)instance, (void)events;
    if (listener != NULL && !list_linked(&listener->ready)) {
        list_append(&plane->accept_ready, &listener->ready);
        plane->accept_due = true;
    }
}

void acceptor_timer(struct loop *loop, struct wheel_timer *timer)
{
    struct plane *plane = plane_of(loop);

    (void)timer;
    plane->accept_resume = plane->accept_due = true;
}

void acceptor_apply(struct plane *plane)
{
    struct listener *listener = listener_next(plane, NULL);

    while (listener != NULL) {
        struct listener *next = listener_next(plane, listener);

        if (!listener->udp && !listener->kept) {
            while (accept_one(plane, listener)) {
            }
            listener_close(plane, listener);
        } else if (!listener->udp && !plane->accept_paused) {
            listener_watch(plane, listener);
        }
        listener = next;
    }
}
