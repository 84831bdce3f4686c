#include "proxy/acceptor.h"

#include "base/log.h"
#include "net/listen.h"
#include "proxy/admission.h"
#include "proxy/handshake.h"
#include "proxy/listener.h"
#include "proxy/session_open.h"
#include "proxy/transfer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Connections taken from one listener in one turn of the loop. */
#define ACCEPT_BUDGET 64
/* How often accepting is tried while it is paused. */
#define PAUSE_NS (50 * NS_PER_MS)

static void pause_accepting(struct plane *plane)
{
    wheel_arm(&plane->loop.wheel, &plane->accept_timer,
              plane->loop.now_ns + PAUSE_NS);
    if (plane->accept_paused) {
        return;
    }
    plane->accept_paused = true;
    atomic_fetch_add_explicit(&plane->shared->accept_paused, 1,
                              memory_order_relaxed);
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

/* What it inherits of the listener's options is left to each kernel. */
static void note_multipath(struct sock *sock)
{
    if (listen_is_multipath(sock->fd)) {
        sock->options = SOCK_OPTION_MULTIPATH;
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
        if (listener->socket->multipath) {
            note_multipath(&sock);
        }
        if (!listener->kept ||
            !transfer_send(plane, listener->socket, &sock, &client)) {
            session_open_begin(plane, listener->socket, &sock, &client);
        }
        return true;
    }
    admission_leave_process(plane);
    if (result == LISTEN_SHORTAGE) {
        plane_report_shortage(plane, errno);
    }
    return false;
}

static bool ends_tls(const struct listen_socket *socket)
{
    bool ends = socket->service->tls_server != NULL;

    for (size_t i = 0; i < socket->named_count && !ends; i++) {
        ends = socket->named[i]->tls_server != NULL;
    }
    return ends;
}

static bool must_wait(const struct plane *plane)
{
    return plane->accept_paused || plane->shortage != 0;
}

/*
 * Takes the connections of one listener. While none can be taken, only the
 * listeners that have some are no longer watched: there may be thousands.
 *
 * line: clients wait for steps of their handshakes. Then those that would join
 * them stay in the listener's queue, and the poller reports them again.
 */
static void accept_some(struct plane *plane, struct listener *listener,
                        bool line)
{
    int budget = listener->udp || (line && ends_tls(listener->socket))
                     ? 0
                     : ACCEPT_BUDGET;

    while (budget-- > 0 && !must_wait(plane) && accept_one(plane, listener)) {
    }
    if (must_wait(plane)) {
        listener_unwatch(plane, listener);
        list_append(&plane->accept_waiting, &listener->ready);
    } else {
        listener_watch(plane, listener);
    }
}

static void accept_next(struct plane *plane, struct list *queue, bool line)
{
    accept_some(plane, container_of(list_pop(queue), struct listener, ready),
                line);
}

/* The pause may be over. A listener that has to wait again goes behind the
 * others. */
static void resume(struct plane *plane, bool line)
{
    struct list waiting = {0};

    plane->accept_resume = false;
    plane->accept_paused = false;
    wheel_disarm(&plane->loop.wheel, &plane->accept_timer);
    list_splice(&waiting, &plane->accept_waiting);
    while (!must_wait(plane) && !list_empty(&waiting)) {
        accept_next(plane, &waiting, line);
    }
    list_splice(&waiting, &plane->accept_waiting);
    list_splice(&plane->accept_waiting, &waiting);
}

void acceptor_turn(struct plane *plane)
{
    /* Asked once, so that no listener always comes after another's clients. */
    bool line = handshake_clients_wait(plane);

    if (plane->frozen) {
        return;
    }
    plane->accept_due = false;
    if (plane->accept_resume) {
        resume(plane, line);
    }
    while (!list_empty(&plane->accept_ready)) {
        accept_next(plane, &plane->accept_ready, line);
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

void acceptor_take(struct plane *plane, struct message *message)
{
    struct transfer *transfer = transfer_of(message);

    assert(transfer->listen->service->generation == plane->generation);
    session_open_begin(plane, transfer->listen, &transfer->sock,
                       &transfer->client);
    transfer_done(plane, transfer);
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
            /* What the manager has too it keeps for the next process. */
            while (!listener->inherited && accept_one(plane, listener)) {
            }
            listener_close(plane, listener);
        } else if (!listener->udp && !list_linked(&listener->ready)) {
            listener_watch(plane, listener);
        }
        listener = next;
    }
}
