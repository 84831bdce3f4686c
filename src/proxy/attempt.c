#include "proxy/attempt.h"

#include "base/hash.h"
#include "base/log.h"
#include "proxy/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/param.h>

/* Local addresses tried for one connect when the ports of one are used up. */
#define SOURCES_TRIED_MAX 4u

/* What the pick asks. */
struct question {
    const struct session *session;
    const struct service *service;
};

static bool upstream_usable(void *arg, uint32_t i)
{
    const struct question *question = arg;
    const struct upstream *upstream = question->service->upstreams[i];
    const uint64_t *tried = question->session->notes == NULL
                                ? NULL
                                : question->session->notes->tried;
    uint32_t max = question->service->lines[i]->max_connections;

    if (tried != NULL && (tried[i / 64] >> (i % 64) & 1)) {
        return false;
    }
    return upstream_up(upstream) &&
           (max == 0 || atomic_load_explicit(&upstream->active,
                                             memory_order_relaxed) < max);
}

static uint32_t upstream_active(void *arg, uint32_t i)
{
    const struct question *question = arg;

    return atomic_load_explicit(&question->service->upstreams[i]->active,
                                memory_order_relaxed);
}

static ssize_t pick(struct plane *plane, struct session *session)
{
    struct service *service = session->service;
    struct question question = {session, service};
    struct balance_probe probe = {upstream_usable, upstream_active, &question};
    uint64_t client =
        addr_hash(&session->client, service->config->hash_prefix_v4,
                  service->config->hash_prefix_v6);

    return balance_pick(&service->balance, client, hash_random(&plane->random),
                        &probe);
}

/* Upstream i will not be picked again for this session. A lone one may be. */
static void mark_tried(struct session *session, size_t i)
{
    struct notes *notes;

    if (session->service->upstream_count == 1) {
        return;
    }
    notes = session_notes(session);
    if (notes != NULL) {
        notes->tried[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

/* From one of the service's source addresses, and from the next when the local
 * ports of the first are used up. */
static enum sock_connect connect_from(struct session *session)
{
    struct service *service = session->service;
    const struct endpoint *endpoint = &session->upstream->endpoint;
    int family = endpoint->u.any.sa_family;
    struct addr source;
    enum sock_connect result = SOCK_CONNECT_LOCAL;

    if (service->config->source_count == 0 || family == AF_UNIX) {
        return sock_connect(&session->sock[UPSTREAM], endpoint, NULL);
    }
    for (unsigned i = 0; i < SOURCES_TRIED_MAX; i++) {
        uint32_t turn = atomic_fetch_add_explicit(&service->source_cursor, 1,
                                                  memory_order_relaxed);

        if (!config_source(service->config, family, turn, &source)) {
            return sock_connect(&session->sock[UPSTREAM], endpoint, NULL);
        }
        result = sock_connect(&session->sock[UPSTREAM], endpoint, &source);
        if (result != SOCK_CONNECT_LOCAL || errno != EADDRNOTAVAIL) {
            break;
        }
    }
    return result;
}

/* Tells the log and the control thread that an upstream was taken out. */
static void report_failed(struct plane *plane, struct session *session,
                          enum cause cause)
{
    struct worker_report *report = calloc(1, sizeof(*report));
    char name[sizeof(session->upstream->text) + 2];

    if (report == NULL) {
        /* Nobody would ever try it again: better to go on failing. */
        (void)upstream_clear_down(session->upstream, UPSTREAM_FAILED);
        return;
    }
    log_write(LOG_WARN, "upstream service=%s address=%s state=down cause=%s",
              session->service->config->name,
              log_quote(session->upstream->text, name, sizeof(name)),
              cause_name(cause));
    report->letter.subject = WORKER_UPSTREAM_FAILED;
    report->worker = plane->number;
    report->upstream = session->upstream;
    mailbox_post(plane->shared->control, &report->letter);
}

static void blame_upstream(struct plane *plane, struct session *session,
                           enum cause cause)
{
    const struct config_service *config = session->service->config;
    struct upstream *upstream = session->upstream;

    counter_add(&upstream->counters[plane->number].failed, 1);
    if (upstream_connect_failed(upstream, config->fail_threshold,
                                config->fail_window_ns, plane->loop.now_ns)) {
        report_failed(plane, session, cause);
    }
}

/* Ends the attempt under way; the error says why. */
static void attempt_failed(struct plane *plane, struct session *session,
                           int error)
{
    enum cause cause = CAUSE_CONNECT_REFUSED;

    if (sock_error_is_local(error)) {
        cause = CAUSE_LOCAL_RESOURCE;
        listener_pause_exhausted(plane, error);
    } else if (error == ETIMEDOUT) {
        cause = CAUSE_CONNECT_TIMEOUT;
    } else if (error == ECONNRESET) {
        cause = CAUSE_UPSTREAM_RESET;
    }
    if (cause != CAUSE_LOCAL_RESOURCE) {
        blame_upstream(plane, session, cause);
    }
    session->cause = (uint8_t)cause;
    sock_close(&session->sock[UPSTREAM]);
    upstream_leave(session->upstream);
    session->in_upstream = false;
}

/* Begins a connect to the upstream that was entered. True: it is under way, or
 * done, or the session has ended; false: it failed at once. */
static bool connect_begun(struct plane *plane, struct session *session)
{
    struct sock *sock = &session->sock[UPSTREAM];
    uint64_t token;
    enum sock_connect result;

    session->attempts++;
    session->stage_ns = plane->loop.now_ns;
    result = connect_from(session);
    if (result == SOCK_CONNECT_BUSY) {
        session->cause = CAUSE_CONNECT_TIMEOUT;
        upstream_leave(session->upstream);
        session->in_upstream = false;
        return false;
    }
    if (result == SOCK_CONNECT_FAILED || result == SOCK_CONNECT_LOCAL) {
        attempt_failed(plane, session, errno);
        return false;
    }
    token = loop_token(PLANE_SESSION, session->index * 2 + UPSTREAM,
                       session->birth + session->attempts);
    if (poller_add(&plane->loop.poller, sock->fd, token) < 0) {
        attempt_failed(plane, session, ENOMEM);
        return false;
    }
    if (result == SOCK_CONNECTED) {
        sock->ready |= SOCK_WRITABLE;
        session_established(plane, session);
    } else {
        session_arm(plane, session);
    }
    return true;
}

/* Tries the lone upstream again after a pause, if it may be tried again. */
static bool pause_for_lone(struct plane *plane, struct session *session)
{
    const struct service *service = session->service;

    if (service->upstream_count != 1 || session->attempts == 0 ||
        session->pausing) {
        return false;
    }
    session->pausing = true;
    session->stage_ns = plane->loop.now_ns;
    session_arm(plane, session);
    return true;
}

void attempt_begin(struct plane *plane, struct session *session)
{
    struct service *service = session->service;

    if (session->abandoned) {
        session_close(plane, session, CAUSE_CLIENT_RESET);
        return;
    }
    while (session->attempts < service->config->connect_attempts) {
        ssize_t i = pick(plane, session);

        if (i < 0) {
            break;
        }
        if (pause_for_lone(plane, session)) {
            return;
        }
        session->pausing = false;
        session->upstream = service->upstreams[i];
        session->in_upstream = upstream_enter(
            session->upstream, service->lines[i]->max_connections);
        if (session->in_upstream && connect_begun(plane, session)) {
            return;
        }
        mark_tried(session, (size_t)i);
    }
    session_close(plane, session,
                  session->cause == CAUSE_NONE ? CAUSE_NO_UPSTREAM
                                               : (enum cause)session->cause);
}

/* The place of the session's upstream in its service. */
static size_t upstream_place(const struct session *session)
{
    size_t i = 0;

    while (session->service->upstreams[i] != session->upstream) {
        i++;
    }
    return i;
}

static void try_next(struct plane *plane, struct session *session, int error)
{
    attempt_failed(plane, session, error);
    mark_tried(session, upstream_place(session));
    attempt_begin(plane, session);
}

void attempt_event(struct plane *plane, struct session *session)
{
    struct sock *sock = &session->sock[UPSTREAM];
    int error = 0;

    if (!(sock->ready & (SOCK_WRITABLE | SOCK_HANGUP))) {
        return;
    }
    if (sock->ready & SOCK_HANGUP) {
        error = sock_error(sock);
    }
    /* It took the connection if it sent a FIN before the reset (EPIPE), or
     * bytes, which are owed to the client. */
    if (error == 0 || error == EPIPE ||
        (error == ECONNRESET && sock_has_bytes(sock))) {
        session_established(plane, session);
    } else {
        try_next(plane, session, error);
    }
}

void attempt_timeout(struct plane *plane, struct session *session)
{
    try_next(plane, session, ETIMEDOUT);
}
