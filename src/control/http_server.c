#include "control/http_server.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/listen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The index of the listener in its token; those of clients are their slots. */
#define LISTENER HTTP_CLIENTS_MAX

/* Taken in one turn of the loop. */
#define ACCEPT_MAX HTTP_CLIENTS_MAX

static const struct sock_options options = {
    /* What a client that does not read may cost in the kernel. */
    .notsent_lowat_bytes = 65536,
    .backlog = 1024,
};

void http_server_init(struct http_server *server)
{
    server->listener.fd = server->prepared.fd = -1;
    server->pause.kind = server->kind;
}

/* ---- clients ---- */

static void watch(struct http_server *server)
{
    uint64_t token = loop_token(server->kind, LISTENER, 0);

    if (!server->watched && http_server_listens(server)) {
        server->watched =
            poller_add_level(&server->loop->poller, server->listener.fd, token,
                             false) == 0;
    }
    if (!server->watched && http_server_listens(server)) {
        wheel_arm(&server->loop->wheel, &server->pause,
                  server->loop->now_ns + HTTP_IDLE_NS);
    }
}

static void resume(struct http_server *server)
{
    if (!server->watched && !server->finishing) {
        wheel_disarm(&server->loop->wheel, &server->pause);
        watch(server);
    }
}

static void close_slot(struct http_server *server, struct http_slot *slot)
{
    http_client_close(&slot->client);
    wheel_disarm(&server->loop->wheel, &slot->timer);
    list_remove(&slot->moved);
    list_remove(&slot->ready);
    server->count--;
    if (server->finishing && server->count == 0) {
        loop_stop(server->loop);
    }
    resume(server);
}

static void make_ready(struct http_server *server, struct http_slot *slot)
{
    if (!list_linked(&slot->ready)) {
        list_append(&server->ready, &slot->ready);
    }
    if (!list_linked(&server->link)) {
        loop_run_later(server->loop, server->queue, &server->link);
    }
}

static void note_moved(struct http_server *server, struct http_slot *slot)
{
    slot->moved_ns = server->loop->now_ns;
    list_remove(&slot->moved);
    list_append(&server->moved, &slot->moved);
}

static struct http_slot *free_slot(const struct http_server *server)
{
    struct http_slot *slot = server->slots;

    while (slot->client.sock.fd >= 0) {
        slot++;
    }
    return slot;
}

static void open_slot(struct http_server *server, struct sock *sock)
{
    struct http_slot *slot = free_slot(server);
    uint32_t index = (uint32_t)(slot - server->slots);

    slot->instance = ++server->instances;
    if (poller_add(&server->loop->poller, sock->fd,
                   loop_token(server->kind, index, slot->instance)) < 0) {
        sock_close(sock);
        return;
    }
    http_client_open(&slot->client, sock);
    server->count++;
    slot->timer.kind = server->kind;
    wheel_arm(&server->loop->wheel, &slot->timer,
              server->loop->now_ns + HTTP_CLIENT_NS);
    note_moved(server, slot);
}

void http_server_wake(struct http_server *server)
{
    for (unsigned i = 0; server->count > 0 && i < HTTP_CLIENTS_MAX; i++) {
        struct http_slot *slot = &server->slots[i];

        if (slot->client.sock.fd >= 0 && slot->client.state == HTTP_WRITING) {
            make_ready(server, slot);
        }
    }
}

void http_server_run(struct http_server *server)
{
    uint64_t until_ns = clock_now_ns() + HTTP_SLICE_NS;
    struct list *link;

    while ((link = list_pop(&server->ready)) != NULL) {
        struct http_slot *slot = container_of(link, struct http_slot, ready);

        switch (http_client_step(&slot->client, server->handle, server->arg)) {
        case HTTP_CLIENT_MOVED:
            note_moved(server, slot);
            make_ready(server, slot);
            break;
        case HTTP_CLIENT_WAITS:
            break;
        case HTTP_CLIENT_OVER:
            close_slot(server, slot);
            break;
        }
        if (clock_now_ns() >= until_ns) {
            break;
        }
    }
    link = list_first(&server->ready);
    if (link != NULL) {
        make_ready(server, container_of(link, struct http_slot, ready));
    }
}

/* ---- the listener ---- */

/* Accepting goes on at that time. */
static void pause_until(struct http_server *server, uint64_t at_ns)
{
    if (server->watched) {
        poller_remove(&server->loop->poller, server->listener.fd);
        server->watched = false;
    }
    wheel_arm(&server->loop->wheel, &server->pause, at_ns);
}

/* The longest unmoved client goes. False: it has moved lately, and accepting
 * pauses. */
static bool make_room(struct http_server *server)
{
    struct http_slot *slot =
        container_of(list_first(&server->moved), struct http_slot, moved);
    uint64_t idle_ns = slot->moved_ns + HTTP_IDLE_NS;

    if (server->loop->now_ns < idle_ns) {
        pause_until(server, idle_ns);
        return false;
    }
    http_client_refuse(&slot->client, 408);
    close_slot(server, slot);
    return true;
}

static void accept_clients(struct http_server *server)
{
    struct sock sock;
    struct addr client;

    for (unsigned i = 0; i < ACCEPT_MAX && server->watched; i++) {
        if (server->count == HTTP_CLIENTS_MAX && !make_room(server)) {
            return;
        }
        switch (listen_accept(server->listener.fd, &sock, &client)) {
        case LISTEN_ACCEPTED:
            open_slot(server, &sock);
            break;
        case LISTEN_EMPTY:
            return;
        case LISTEN_SHORTAGE:
            pause_until(server, server->loop->now_ns + HTTP_IDLE_NS);
            return;
        }
    }
}

void http_server_event(struct http_server *server, uint32_t index,
                       uint32_t instance, uint32_t events)
{
    struct http_slot *slot = &server->slots[index];

    if (index == LISTENER) {
        accept_clients(server);
    } else if (slot->client.sock.fd >= 0 && slot->instance == instance) {
        sock_event(&slot->client.sock, events);
        make_ready(server, slot);
    }
}

void http_server_timer(struct http_server *server, struct wheel_timer *timer)
{
    struct http_slot *slot = container_of(timer, struct http_slot, timer);

    if (timer == &server->pause && server->finishing) {
        loop_stop(server->loop);
    } else if (timer == &server->pause) {
        resume(server);
    } else {
        http_client_refuse(&slot->client, 408);
        close_slot(server, slot);
    }
}

static bool is_unix(const struct endpoint *endpoint)
{
    return endpoint->length > 0 && endpoint->u.any.sa_family == AF_UNIX;
}

static void close_listener(struct http_server *server,
                           struct http_listener *listener)
{
    const char *path = listener->endpoint.u.un.sun_path;
    struct stat status;

    if (listener->fd >= 0) {
        if (is_unix(&listener->endpoint) && stat(path, &status) == 0 &&
            status.st_dev == listener->path_device &&
            status.st_ino == listener->path_inode) {
            unlink(path);
        }
        /* A close is not enough if the manager's descriptor stays open. */
        if (listener == &server->listener && server->watched) {
            poller_remove(&server->loop->poller, listener->fd);
            server->watched = false;
        }
        close(listener->fd);
    }
    *listener = (struct http_listener){.fd = -1};
}

/* The socket that was passed on for the endpoint, of several of which all but
 * one would be served by nobody. */
static int take_inherited(const struct endpoint *endpoint,
                          struct inherited *inherited, size_t count)
{
    char text[ADDR_TEXT_MAX];

    if (count == 1) {
        return inherited_take(inherited, SOCK_STREAM, endpoint, 0);
    }
    log_write(LOG_ERROR,
              "inherited address=%s error=\"%zu sockets, but metrics_listen "
              "takes one\"",
              endpoint_format(endpoint, text), count);
    errno = EUSERS;
    return -1;
}

static void remember_path(struct http_listener *listener)
{
    struct stat status;

    if (is_unix(&listener->endpoint) &&
        stat(listener->endpoint.u.un.sun_path, &status) == 0) {
        listener->path_device = status.st_dev;
        listener->path_inode = status.st_ino;
    }
}

static int open_listener(struct http_listener *listener,
                         const struct endpoint *endpoint,
                         const struct listeners_origin *origin)
{
    const struct listen_options alone = {.owner = origin->owner};
    size_t count = inherited_count(origin->inherited, SOCK_STREAM, endpoint);
    const struct handed_socket *handed = NULL;

    *listener = (struct http_listener){.endpoint = *endpoint};
    if (origin->handed != NULL) {
        handed =
            handed_take(origin->handed, SOCK_STREAM, endpoint, HANDED_HTTP);
    }
    listener->fd = handed != NULL ? handed->fd
                   : count > 0
                       ? take_inherited(endpoint, origin->inherited, count)
                       : listen_bind(endpoint, &alone);
    if (listener->fd < 0) {
        return -1;
    }
    /* The file of a socket that was passed on stays: it is the manager's. */
    if (count == 0 && handed == NULL) {
        remember_path(listener);
    }
    return listen_start(listener->fd, &options);
}

static int allocate_slots(struct http_server *server)
{
    if (server->slots != NULL) {
        return 0;
    }
    server->slots = calloc(HTTP_CLIENTS_MAX, sizeof(*server->slots));
    for (unsigned i = 0; server->slots != NULL && i < HTTP_CLIENTS_MAX; i++) {
        server->slots[i].client.sock.fd = -1;
    }
    return server->slots == NULL ? -1 : 0;
}

static bool keeps(const struct http_server *server,
                  const struct endpoint *endpoint)
{
    return endpoint->length == 0
               ? !http_server_listens(server)
               : http_server_listens(server) &&
                     endpoint_equal(endpoint, &server->listener.endpoint);
}

const char *http_server_prepare(struct http_server *server,
                                const struct endpoint *endpoint,
                                const struct listeners_origin *origin)
{
    static char sentence[ADDR_TEXT_MAX + 128];
    char text[ADDR_TEXT_MAX];
    int error;

    server->prepared.endpoint = *endpoint;
    if (keeps(server, endpoint) || endpoint->length == 0) {
        return NULL;
    }
    if (allocate_slots(server) == 0 &&
        open_listener(&server->prepared, endpoint, origin) == 0) {
        return NULL;
    }
    error = errno;
    close_listener(server, &server->prepared);
    snprintf(sentence, sizeof(sentence), "cannot listen on %s: %s",
             endpoint_format(endpoint, text), strerror(error));
    return sentence;
}

void http_server_abandon(struct http_server *server)
{
    close_listener(server, &server->prepared);
}

/* Clients of the old address are served to their end. */
void http_server_commit(struct http_server *server)
{
    if (!keeps(server, &server->prepared.endpoint)) {
        wheel_disarm(&server->loop->wheel, &server->pause);
        close_listener(server, &server->listener);
        server->listener = server->prepared;
        watch(server);
    }
    server->prepared = (struct http_listener){.fd = -1};
}

void http_server_own(struct http_server *server)
{
    remember_path(&server->listener);
}

void http_server_leave(struct http_server *server)
{
    server->listener.path_inode = 0;
    close_listener(server, &server->listener);
}

void http_server_finish(struct http_server *server)
{
    uint64_t now_ns = server->loop->now_ns;

    server->finishing = true;
    close_listener(server, &server->listener);
    wheel_arm(&server->loop->wheel, &server->pause, now_ns + HTTP_FINISH_NS);
    if (server->count == 0) {
        loop_stop(server->loop);
    }
}

void http_server_fini(struct http_server *server)
{
    close_listener(server, &server->prepared);
    close_listener(server, &server->listener);
    wheel_disarm(&server->loop->wheel, &server->pause);
    for (unsigned i = 0; server->count > 0 && i < HTTP_CLIENTS_MAX; i++) {
        if (server->slots[i].client.sock.fd >= 0) {
            close_slot(server, &server->slots[i]);
        }
    }
    list_remove(&server->link);
    free(server->slots);
    server->slots = NULL;
}
