#include "server.h"

#include "socket.h"
#include "test.h"
#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define STACK_BYTES (256 * 1024)

/* One connection, owned by its thread. */
struct visit {
    struct server *server;
    int fd;
    struct visit *next;
};

struct server {
    int listener;
    server_fn serve;
    const void *arg;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the four below */
    pthread_cond_t left;  /* a visit has ended */
    struct visit *visits;
    unsigned accepted;
    bool stopping;
    struct server *next; /* main thread only */
};

static struct server *servers; /* main thread only */

/* ---- one connection ---- */

static void visit_end(struct visit *visit)
{
    struct server *server = visit->server;
    struct visit **link = &server->visits;

    pthread_mutex_lock(&server->lock);
    while (*link != visit) {
        link = &(*link)->next;
    }
    *link = visit->next;
    transport_close(visit->fd);
    pthread_cond_broadcast(&server->left);
    pthread_mutex_unlock(&server->lock);
    free(visit);
}

static void *visit_main(void *arg)
{
    struct visit *visit = arg;

    visit->server->serve(visit->fd, visit->server->arg);
    visit_end(visit);
    return NULL;
}

static void visit_add(struct visit *visit)
{
    struct server *server = visit->server;

    pthread_mutex_lock(&server->lock);
    visit->next = server->visits;
    server->visits = visit;
    server->accepted++;
    if (server->stopping) {
        shutdown(visit->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&server->lock);
}

static int start_thread(struct visit *visit)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    error = pthread_create(&thread, &attributes, visit_main, visit);
    pthread_attr_destroy(&attributes);
    return error == 0 ? 0 : -1;
}

/* Closes fd where it cannot be served. */
static void visit_start(struct server *server, int fd)
{
    struct visit *visit = calloc(1, sizeof(*visit));

    if (visit == NULL) {
        close(fd);
        return;
    }
    visit->server = server;
    visit->fd = fd;
    visit_add(visit);
    if (start_thread(visit) != 0) {
        visit_end(visit);
    }
}

/* ---- the server ---- */

/* Ends when server_stop shuts the listener down. */
static void *server_main(void *arg)
{
    struct server *server = arg;

    for (;;) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0) {
            visit_start(server, fd);
        } else if (errno != ECONNABORTED) {
            return NULL;
        }
    }
}

struct server *server_start(const struct loopback *address, server_fn serve,
                            const void *arg)
{
    struct server *server = calloc(1, sizeof(*server));
    int error;

    assert_non_null(server);
    server->listener = socket_disown(socket_listen(address));
    fcntl(server->listener, F_SETFL, 0);
    server->serve = serve;
    server->arg = arg;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->left, NULL);
    error = pthread_create(&server->thread, NULL, server_main, server);
    assert_int_equal(error, 0);
    server->next = servers;
    servers = server;
    return server;
}

unsigned server_accepted(struct server *server)
{
    unsigned accepted;

    pthread_mutex_lock(&server->lock);
    accepted = server->accepted;
    pthread_mutex_unlock(&server->lock);
    return accepted;
}

static void end_visits(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    for (struct visit *visit = server->visits; visit != NULL;
         visit = visit->next) {
        shutdown(visit->fd, SHUT_RDWR);
    }
    while (server->visits != NULL) {
        pthread_cond_wait(&server->left, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

void server_stop(struct server *server)
{
    struct server **link = &servers;

    while (*link != server) {
        link = &(*link)->next;
    }
    *link = server->next;
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_mutex_unlock(&server->lock);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    end_visits(server);
    pthread_cond_destroy(&server->left);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

void server_stop_all(void)
{
    while (servers != NULL) {
        server_stop(servers);
    }
}

/* ---- nobody ---- */

struct loopback server_refusing(void)
{
    struct loopback address = loopback_new();

    socket_adopt(loopback_bind(&address, SOCK_STREAM)); /* does not listen */
    return address;
}

struct loopback server_silent(void)
{
    struct loopback address = loopback_new();
    struct socket_address to = loopback_resolve(&address);

    socket_listen_backlog(&address, 0);
    for (int i = 0; i < 4; i++) { /* one fits, the others hang */
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        connect(socket_adopt(fd), (struct sockaddr *)&to.storage, to.length);
    }
    return address;
}
