#include "proxy/attempt.h"

#include "proxy/choice.h"
#include "proxy/listener.h"
#include "proxy/preface.h"

#include <errno.h>

/* Upstream i will not be picked again for this session. A single one may be. */
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

/* Ends the attempt under way; the error says why. */
static void attempt_failed(struct plane *plane, struct session *session,
                           int error)
{
    enum cause cause = CAUSE_CONNECT_REFUSED;

    if (connect_error_is_local(error)) {
        cause = CAUSE_LOCAL_RESOURCE;
        listener_pause_exhausted(plane, error);
    } else if (error == ETIMEDOUT) {
        cause = CAUSE_CONNECT_TIMEOUT;
    } else if (error == ECONNRESET) {
        cause = CAUSE_UPSTREAM_RESET;
    } else if (error == EPROTO) {
        cause = CAUSE_TLS_ERROR;
    }
    if (cause != CAUSE_LOCAL_RESOURCE) {
        choice_blame(plane, session->service, session->upstream, cause);
    }
    session->cause = (uint8_t)cause;
    sock_close(&session->sock[UPSTREAM]);
    upstream_leave(session->upstream);
    session->in_upstream = false;
    session->securing = false;
}

/* The name that the upstream's certificate must have; NULL: it is a unix
 * socket, and any will do. */
static const char *upstream_name(const struct session *session, size_t place,
                                 char text[ADDR_TEXT_MAX])
{
    const struct service *service = session->service;
    const struct address *address = &service->lines[place]->address;
    struct addr addr;

    if (service->config->upstream_tls_name != NULL) {
        return service->config->upstream_tls_name;
    }
    if (address->kind == ADDRESS_NAME) {
        return address->host;
    }
    addr_from_sockaddr(&addr, &session->upstream->endpoint.u.any);
    return addr.family == AF_UNIX ? NULL : addr_format_ip(&addr, text);
}

static int secure(struct session *session)
{
    size_t place = attempt_place(session);
    char text[ADDR_TEXT_MAX];
    const struct sock_peer peer = {
        .name = upstream_name(session, place, text),
        .place = place,
        .other = &session->sock[CLIENT],
    };

    return sock_start_tls(&session->sock[UPSTREAM],
                          session->service->tls_client, &peer);
}

/* The upstream has taken the connection. */
static void connected(struct plane *plane, struct session *session)
{
    if (!preface_send(session)) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
    } else if (session->service->tls_client == NULL) {
        session_established(plane, session);
    } else if (secure(session) < 0) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
    } else {
        session->securing = true;
        session_arm(plane, session);
        session_handshake_due(plane, session);
    }
}

/* Begins a connect to the upstream that was entered. True: it is under way, or
 * done, or the session has ended; false: it failed at once. */
static bool connect_begun(struct plane *plane, struct session *session)
{
    struct sock *sock = &session->sock[UPSTREAM];
    uint64_t token;
    enum connect_result result;

    session->attempts++;
    session->stage_ns = plane->loop.now_ns;
    result = choice_connect(session->service, session->upstream, sock,
                            connect_stream);
    if (result == CONNECT_BUSY) {
        session->cause = CAUSE_CONNECT_TIMEOUT;
        upstream_leave(session->upstream);
        session->in_upstream = false;
        return false;
    }
    if (result == CONNECT_FAILED || result == CONNECT_LOCAL) {
        attempt_failed(plane, session, errno);
        return false;
    }
    token = loop_token(PLANE_SESSION, session->index * 2 + UPSTREAM,
                       session->instance + session->attempts);
    if (poller_add(&plane->loop.poller, sock->fd, token) < 0) {
        attempt_failed(plane, session, ENOMEM);
        return false;
    }
    if (result == CONNECT_DONE) {
        sock->ready |= SOCK_WRITABLE;
        connected(plane, session);
    } else {
        session_arm(plane, session);
    }
    return true;
}

/* Tries the single upstream again after a pause, if it may be tried again. */
static bool pause_for_single(struct plane *plane, struct session *session)
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
        const struct notes *notes = session->notes;
        ssize_t i = choice_pick(plane, service, &session->client,
                                notes == NULL ? NULL : notes->tried);

        if (i < 0) {
            break;
        }
        if (pause_for_single(plane, session)) {
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

size_t attempt_place(const struct session *session)
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
    mark_tried(session, attempt_place(session));
    attempt_begin(plane, session);
}

void attempt_run(struct plane *plane, struct session *session)
{
    int error;

    if (!session->securing) {
        return;
    }
    switch (sock_handshake(&session->sock[UPSTREAM])) {
    case IO_OK:
        session->securing = false;
        session_established(plane, session);
        break;
    case IO_AGAIN:
        break; /* connect_timeout has an eye on it */
    case IO_BUSY:
        session_handshake_later(plane, session);
        break;
    default:
        error = errno;
        if (error == EPROTO) {
            session_complain(plane, session, "upstream",
                             session->upstream->text);
        }
        try_next(plane, session, error);
        break;
    }
}

void attempt_event(struct plane *plane, struct session *session)
{
    struct sock *sock = &session->sock[UPSTREAM];
    int error = 0;

    if (session->securing) {
        session_handshake_due(plane, session);
        return;
    }
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
        connected(plane, session);
    } else {
        try_next(plane, session, error);
    }
}

void attempt_timeout(struct plane *plane, struct session *session)
{
    try_next(plane, session, ETIMEDOUT);
}
