#include "proxy/udp.h"

#include "base/log.h"
#include "proxy/listener.h"
#include "proxy/udp_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Batches taken from one socket in one turn of the loop. */
#define RECEIVE_CALLS 8

/* ---- the household ---- */

static struct udp *udp_create(const struct plane *plane)
{
    struct udp *udp = calloc(1, sizeof(*udp));
    uint64_t seed = plane->random;

    if (udp == NULL) {
        return NULL;
    }
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0) {
        seed = plane->random;
    }
    pool_init(&udp->listeners, sizeof(struct udp_listener));
    pool_init(&udp->sessions, sizeof(struct udp_session));
    flow_table_init(&udp->flows, seed);
    if (datagram_batch_open(&udp->up) < 0) {
        goto free_udp;
    }
    if (datagram_batch_open(&udp->down) < 0) {
        goto close_up;
    }
    return udp;

close_up:
    datagram_batch_close(&udp->up);
free_udp:
    pool_fini(&udp->sessions);
    pool_fini(&udp->listeners);
    free(udp);
    return NULL;
}

static struct udp_listener *next_listener(const struct udp *udp, uint32_t *i)
{
    return pool_next(&udp->listeners, i);
}

static void close_listener(struct udp *udp, struct udp_listener *listener)
{
    close(listener->socket.fd);
    pool_return(&udp->listeners, listener->index);
}

/* Those that the generation has not, or all when draining, if no session needs
 * them any more. */
static void close_unused(struct udp *udp)
{
    struct udp_listener *listener;

    for (uint32_t i = 0; (listener = next_listener(udp, &i)) != NULL; i++) {
        if (!listener->kept && listener->sessions == 0) {
            close_listener(udp, listener);
        }
    }
}

void udp_close(struct plane *plane)
{
    struct udp *udp = plane->udp;
    struct udp_listener *listener;

    if (udp == NULL) {
        return;
    }
    udp_session_free_deferred(plane);
    for (uint32_t i = 0; (listener = next_listener(udp, &i)) != NULL; i++) {
        close_listener(udp, listener);
    }
    flow_table_fini(&udp->flows);
    pool_fini(&udp->sessions);
    pool_fini(&udp->listeners);
    datagram_batch_close(&udp->up);
    datagram_batch_close(&udp->down);
    free(udp);
    plane->udp = NULL;
}

bool udp_trim(struct plane *plane)
{
    bool used;

    if (plane->udp == NULL) {
        return false;
    }
    used = datagram_batch_trim(&plane->udp->up);
    return datagram_batch_trim(&plane->udp->down) || used;
}

/* ---- which sockets ---- */

static bool is_udp(const struct listen_socket *socket)
{
    return socket->service->config->mode == CONFIG_UDP;
}

static struct udp_listener *find_fd(const struct udp *udp, int fd)
{
    struct udp_listener *listener;

    for (uint32_t i = 0; (listener = next_listener(udp, &i)) != NULL; i++) {
        if (listener->socket.fd == fd) {
            return listener;
        }
    }
    return NULL;
}

/* Whose clients come to that address now; NULL: nobody's. */
static struct service *service_at(const struct generation *generation,
                                  const struct endpoint *endpoint)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        const struct listen_socket *socket = &generation->listens[i];

        if (is_udp(socket) && endpoint_equal(&socket->endpoint, endpoint)) {
            return socket->service;
        }
    }
    return NULL;
}

static struct udp_listener *try_open(struct plane *plane, int fd)
{
    struct udp *udp = plane->udp;
    uint32_t index;
    struct udp_listener *listener = pool_borrow(&udp->listeners, &index);

    if (listener == NULL) {
        return NULL;
    }
    listener->index = index;
    listener->instance = udp->instance++;
    if (datagram_socket_init(&listener->socket, fd) < 0 ||
        poller_add_level(
            &plane->loop.poller, fd,
            loop_token(PLANE_UDP_LISTENER, index, listener->instance),
            false) < 0) {
        pool_return(&udp->listeners, index);
        return NULL;
    }
    datagram_enable_gro(fd);
    return listener;
}

static void take_socket(struct plane *plane, const struct listen_socket *socket)
{
    int fd = socket->fds[plane->number];
    struct udp_listener *listener = NULL;

    if (plane->udp == NULL) {
        plane->udp = udp_create(plane);
    }
    if (plane->udp != NULL) {
        listener = find_fd(plane->udp, fd);
        listener = listener == NULL ? try_open(plane, fd) : listener;
    }
    if (listener == NULL) {
        log_write(LOG_ERROR, "a listening socket is lost reason=\"%s\"",
                  strerror(errno));
        close(fd);
        return;
    }
    listener->endpoint = socket->endpoint;
    listener->service = socket->service;
    listener->kept = true;
}

static void let_go_all(struct udp *udp)
{
    struct udp_listener *listener;

    for (uint32_t i = 0; (listener = next_listener(udp, &i)) != NULL; i++) {
        listener->kept = false;
        listener->service = NULL;
    }
}

void udp_apply(struct plane *plane, const struct generation *generation)
{
    struct udp_listener *listener;

    if (plane->udp != NULL) {
        let_go_all(plane->udp);
    }
    for (size_t i = 0; i < generation->listen_count; i++) {
        if (is_udp(&generation->listens[i])) {
            take_socket(plane, &generation->listens[i]);
        }
    }
    if (plane->udp == NULL) {
        return;
    }
    for (uint32_t i = 0; (listener = next_listener(plane->udp, &i)) != NULL;
         i++) {
        if (!listener->kept) {
            /* The kernel may give it clients of an address that is back. */
            listener->service = service_at(generation, &listener->endpoint);
        }
    }
    close_unused(plane->udp);
}

void udp_drain(struct plane *plane)
{
    struct udp_session *session;

    if (plane->udp == NULL) {
        return;
    }
    let_go_all(plane->udp);
    close_unused(plane->udp);
    for (uint32_t i = 0;
         (session = pool_next(&plane->udp->sessions, &i)) != NULL; i++) {
        udp_session_drain(plane, session);
    }
}

void udp_reset_all(struct plane *plane)
{
    struct udp_session *session;

    if (plane->udp == NULL) {
        return;
    }
    udp_session_flush(plane);
    for (uint32_t i = 0;
         (session = pool_next(&plane->udp->sessions, &i)) != NULL; i++) {
        udp_session_close(plane, session, CAUSE_DRAIN);
    }
}

/* ---- from clients to upstreams ---- */

/* Datagrams of one session, one behind the other. */
struct run {
    struct udp_session *session; /* NULL: none */
    struct datagram *list[DATAGRAM_BATCH];
    unsigned count;
};

static void run_end(struct plane *plane, struct run *run)
{
    if (run->session != NULL && run->count > 0) {
        udp_session_send(plane, run->session, run->list, run->count);
    }
    run->session = NULL;
    run->count = 0;
}

static struct flow_key key_of(const struct udp_listener *listener,
                              const struct datagram *datagram)
{
    return (struct flow_key){
        .client = datagram->peer,
        .local = datagram->local,
        .scope = datagram->scope,
        .listener = listener->index,
    };
}

static void pass_up(struct plane *plane, struct udp_listener *listener,
                    struct run *run, struct datagram *datagram)
{
    struct flow_key key = key_of(listener, datagram);
    struct udp_session *session = udp_session_find(plane, &key);
    struct service *service = listener->service;

    if (session == NULL || session != run->session) {
        run_end(plane, run);
        run->session = session != NULL
                           ? session
                           : udp_session_begin(plane, listener, &key);
    }
    if (run->session == NULL) {
        if (service != NULL) {
            counter_add(&service->state->counters[plane->number].dropped,
                        datagram_segments(datagram));
        }
    } else if (udp_session_admit(plane, run->session, UP, datagram)) {
        run->list[run->count++] = datagram;
    }
}

void udp_listener_event(struct plane *plane, uint32_t index, uint32_t instance)
{
    struct udp *udp = plane->udp;
    struct udp_listener *listener = pool_at(&udp->listeners, index);
    struct run run = {.session = NULL};
    unsigned count;

    if (listener == NULL || listener->instance != instance) {
        return;
    }
    plane_memory_used(plane);
    for (int call = 0; call < RECEIVE_CALLS; call++) {
        if (datagram_receive(&udp->up, &listener->socket, DATAGRAM_BATCH) < 0) {
            return;
        }
        count = udp->up.count;
        for (unsigned i = 0; i < count; i++) {
            pass_up(plane, listener, &run, &udp->up.list[i]);
        }
        run_end(plane, &run);
        udp->up.count = 0;
        if (count < DATAGRAM_BATCH) {
            return;
        }
    }
}

/* ---- turns ---- */

void udp_run(struct plane *plane)
{
    struct list turn = {0};
    struct list *link;

    list_splice(&turn, &plane->udp->more);
    while ((link = list_pop(&turn)) != NULL) {
        udp_session_receive(plane,
                            container_of(link, struct udp_session, link));
    }
}

void udp_batch_end(struct plane *plane)
{
    if (plane->udp == NULL) {
        return;
    }
    udp_session_flush(plane);
    udp_session_free_deferred(plane);
    close_unused(plane->udp);
}
