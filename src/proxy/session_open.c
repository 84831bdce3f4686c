#include "proxy/session_open.h"

#include "base/log.h"
#include "proxy/admission.h"
#include "proxy/session_relay.h"
#include "proxy/socket_options.h"

#include <errno.h>
#include <sys/epoll.h>

/* The port that the client came to: as the sender of a PROXY header has it, if
 * it tells. A session that a reload found in a queue has left its address. */
static uint16_t port_of(const struct session *session)
{
    const struct preface *preface = &session->opening.preface;
    const struct proxy_header *header = &preface->header;
    struct addr local;

    if (preface->has_header && !header->local &&
        addr_is_ip(&header->destination) && header->destination.port != 0) {
        return header->destination.port;
    }
    if (preface->listen != NULL) {
        return endpoint_port(&preface->listen->endpoint);
    }
    sock_local(&session->sock[CLIENT], &local);
    return addr_is_ip(&local) ? local.port : 0;
}

static struct attempt_context attempt_of(struct plane *plane,
                                         struct session *session)
{
    struct preface *preface = &session->opening.preface;

    return (struct attempt_context){
        .plane = plane,
        .client = &session->sock[CLIENT],
        .upstream = &session->sock[UPSTREAM],
        .instance = &session->instance[UPSTREAM],
        .index = session->index * 2 + UPSTREAM,
        .client_addr = &session->client,
        .port = port_of(session),
        .note = &session->note,
        .header = preface->has_header ? &preface->header : NULL,
        .tlvs = preface->kept,
    };
}

static void begin_connect(struct plane *plane, struct session *session);

/* What follows from the answer of an opening phase. cause: of STEP_FAILED. */
static void follow(struct plane *plane, struct session *session, enum step step,
                   enum cause cause)
{
    struct list *link = &session->opening.link;
    enum plane_queue queue = session->phase == SESSION_CONNECT
                                 ? PLANE_UPSTREAM_HANDSHAKES
                                 : PLANE_CLIENT_HANDSHAKES;

    switch (step) {
    case STEP_WAITS:
        session_arm(plane, session);
        break;
    case STEP_RUNNABLE:
        session_arm(plane, session);
        if (!list_linked(link)) {
            loop_run_later(&plane->loop, queue, link);
        }
        break;
    case STEP_RETRY:
        session_arm(plane, session);
        if (!list_linked(link)) {
            plane_retry_later(plane, queue, link);
        }
        break;
    case STEP_DONE:
        if (session->phase == SESSION_HANDSHAKE) {
            begin_connect(plane, session);
        } else if (session->phase != SESSION_CONNECT) {
            session_close(plane, session, CAUSE_INTERNAL);
        } else {
            session_relay_begin(plane, session);
        }
        break;
    case STEP_FAILED:
        session_close(plane, session, cause);
        break;
    }
}

static void follow_attempt(struct plane *plane, struct session *session,
                           enum step step)
{
    follow(plane, session, step, (enum cause)session->opening.attempt.cause);
}

static void begin_connect(struct plane *plane, struct session *session)
{
    struct attempt_context context = attempt_of(plane, session);

    if (!session_make_throttle(session)) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
        return;
    }
    session_stop_waiting(plane, session);
    session->opening.attempt = (struct attempt){0};
    session_enter(plane, session, SESSION_CONNECT);
    follow_attempt(
        plane, session,
        attempt_begin(&session->opening.attempt, session->service, &context));
}

/* ---- what the client owes ---- */

static uint32_t max_connections(const struct plane *plane)
{
    return atomic_load_explicit(&plane->shared->max_connections,
                                memory_order_relaxed);
}

/* The share is exceeded: the session that has waited longest ends. */
static void evict_oldest(struct plane *plane)
{
    struct waiting_place *place =
        waiting_choose(&plane->shared->waiting, &plane->waiting);

    if (place != NULL) {
        session_close(plane,
                      container_of(place, struct session, opening.waiting),
                      CAUSE_HEADER_TIMEOUT);
    }
}

void session_open_evict(struct plane *plane)
{
    uint32_t due = waiting_due(&plane->waiting);

    while (due-- > 0 &&
           waiting_exceeded(&plane->shared->waiting, max_connections(plane))) {
        evict_oldest(plane);
    }
}

/* Whether the session's client is the source, not a sender of headers. */
static bool knows_source(const struct session *session)
{
    const struct preface *preface = &session->opening.preface;

    return preface->has_header
               ? !preface->header.local
               : !preface->listen->service->config->proxy_protocol;
}

/* False: others of its source wait already, as many as may. */
static bool enter_source(struct plane *plane, struct session *session)
{
    struct waiting *waiting = &plane->shared->waiting;
    struct waiting_place *place = &session->opening.waiting;
    const struct listen_socket *listen = session->opening.preface.listen;
    const struct addr *client = session_client(session);
    struct network source = network_of(client, WAITING_PREFIXES);

    if (!place->in_source) {
        place->in_source = waiting_enter_source(
            waiting, &source, 0, waiting_source_share(max_connections(plane)));
    }
    /* Later the service's own limit counts it. */
    if (!place->in_address && session->phase == SESSION_PREFACE &&
        listen->source_max != UINT32_MAX) {
        source = network_of(client, listen->source_prefixes);
        place->in_address = waiting_enter_source(waiting, &source, listen->key,
                                                 listen->source_max);
        return place->in_source && place->in_address;
    }
    return place->in_source;
}

/* The client owes a header, a name or a handshake. False: the session has
 * ended, since others of its source do already. */
static bool wait_for_client(struct plane *plane, struct session *session)
{
    struct waiting_place *place = &session->opening.waiting;

    if (knows_source(session) && !enter_source(plane, session)) {
        session_close(plane, session, CAUSE_LIMIT_SOURCE);
        return false;
    }
    if (!list_linked(&place->link) &&
        waiting_enter(&plane->shared->waiting, &plane->waiting, place,
                      plane->loop.now_ns, max_connections(plane))) {
        evict_oldest(plane);
    }
    return session->phase != SESSION_CLOSED;
}

/* What follows from a step of the client's handshake. reason: of STEP_FAILED,
 * with errno; NULL: there is nothing to report. */
static void follow_client(struct plane *plane, struct session *session,
                          enum step step, const char *reason)
{
    enum cause cause = CAUSE_CLIENT_RESET;
    char text[ADDR_TEXT_MAX];

    if (step == STEP_FAILED && errno == EPROTO) {
        cause = CAUSE_TLS_ERROR;
        if (reason != NULL) {
            handshake_report_failure(plane, session->service, "client",
                                     addr_format(&session->client, text),
                                     reason);
        }
    }
    follow(plane, session, step, cause);
}

static void await_hello(struct plane *plane, struct session *session)
{
    const char *reason = NULL;
    enum step step = handshake_await_hello(&session->sock[CLIENT], &reason);

    follow_client(plane, session, step, reason);
}

/* The client was let in. */
static void begin_handshake(struct plane *plane, struct session *session)
{
    if (session->service->tls_server == NULL) {
        begin_connect(plane, session);
        return;
    }
    session_enter(plane, session, SESSION_HANDSHAKE);
    if (!wait_for_client(plane, session)) {
        return;
    }
    if (session->opening.preface.has_hello) {
        follow(plane, session, STEP_RUNNABLE, CAUSE_NONE);
    } else {
        await_hello(plane, session);
    }
}

/* One that has left does not wait for its turn, unless it sent bytes before,
 * which may end the handshake and be owed to the upstream. */
static void client_handshake_event(struct plane *plane, struct session *session)
{
    struct sock *client = &session->sock[CLIENT];

    if (!sock_is_tls(client)) {
        await_hello(plane, session);
    } else if (client->ready & SOCK_ERROR && !sock_has_bytes(client)) {
        session_close(plane, session, CAUSE_CLIENT_RESET);
    } else {
        follow(plane, session, STEP_RUNNABLE, CAUSE_NONE);
    }
}

/* An upstream may be told what the handshake has shown. False: no memory. */
static bool end_handshake(struct session *session)
{
    struct sock *client = &session->sock[CLIENT];
    bool added = !session->service->tells_tls ||
                 preface_add_tls(&session->opening.preface, client);

    sock_release_tls(client);
    return added;
}

static void run_client_handshake(struct plane *plane, struct session *session)
{
    struct sock *client = &session->sock[CLIENT];
    enum step step;

    if (!sock_is_tls(client) &&
        sock_start_tls(client, session->service->tls_server, NULL) < 0) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
        return;
    }
    step = handshake_step(client);
    if (step == STEP_DONE && !end_handshake(session)) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
        return;
    }
    follow_client(plane, session, step, sock_tls_error());
}

void session_open_run(struct loop *loop, struct list *link)
{
    struct session *session = container_of(link, struct session, opening.link);
    struct plane *plane = plane_of(loop);
    struct attempt_context context;

    if (session->phase == SESSION_HANDSHAKE) {
        run_client_handshake(plane, session);
    } else {
        context = attempt_of(plane, session);
        follow_attempt(plane, session,
                       attempt_handshake(&session->opening.attempt, &context));
    }
}

static void report_bad_header(struct plane *plane,
                              const struct session *session)
{
    uint32_t count =
        limited_log_add(&plane->shared->bad_headers, plane->loop.now_ns);
    char name[LOG_QUOTED_MAX(CONFIG_NAME_MAX)], sender[ADDR_TEXT_MAX];

    if (count > 0) {
        log_write(LOG_WARN, "bad header service=%s from=%s count=%u",
                  log_quote(session->service->config->name, name, sizeof(name)),
                  addr_format(&session->client, sender), count);
    }
}

/* The client's socket has inherited the options of the address's default
 * service. */
static void replace_options(struct session *session)
{
    const struct service *inherited = session->opening.preface.listen->service;
    struct sock_options before = socket_options_of(inherited->config);
    struct sock_options options = socket_options_of(session->service->config);

    if (!socket_options_equal(&before, &options)) {
        sock_replace_options(session->sock[CLIENT].fd, &options);
    }
}

/* Client and service are known: the client is let in, or not. */
static void admit(struct plane *plane, struct session *session)
{
    enum cause cause;
    bool in_source;

    session->client = *session_client(session);
    cause = admission_enter_service(plane, session->service, &session->client,
                                    &in_source);
    if (cause != CAUSE_NONE) {
        session_close(plane, session, cause);
        return;
    }
    session->in_service = true;
    session->in_source = in_source;
    if (!session->accepted) {
        session_count_accepted(plane, session);
    }
    replace_options(session);
    begin_handshake(plane, session);
}

static void read_preface(struct plane *plane, struct session *session)
{
    struct preface *preface = &session->opening.preface;

    switch (preface_read(preface, &session->sock[CLIENT], &session->client,
                         &session->service)) {
    case STEP_DONE:
        admit(plane, session);
        break;
    case STEP_FAILED:
        if (preface->cause == CAUSE_BAD_HEADER && !preface->silent) {
            report_bad_header(plane, session);
        }
        session_close(plane, session, (enum cause)preface->cause);
        break;
    default:
        /* The timer is armed already, but the source may be known now. */
        (void)wait_for_client(plane, session);
        break;
    }
}

static void connect_event(struct plane *plane, struct session *session,
                          enum direction side, uint32_t events)
{
    struct attempt_context context = attempt_of(plane, session);
    struct attempt *attempt = &session->opening.attempt;

    if (side == UPSTREAM) {
        follow_attempt(plane, session, attempt_event(attempt, &context));
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        follow_attempt(plane, session, attempt_client_left(attempt, &context));
    }
}

void session_open_event(struct plane *plane, struct session *session,
                        enum direction side, uint32_t events)
{
    switch ((enum session_phase)session->phase) {
    case SESSION_PREFACE:
        read_preface(plane, session);
        break;
    case SESSION_HANDSHAKE:
        client_handshake_event(plane, session);
        break;
    default:
        connect_event(plane, session, side, events);
        break;
    }
}

void session_open_timeout(struct plane *plane, struct session *session)
{
    struct attempt_context context = attempt_of(plane, session);

    follow_attempt(plane, session,
                   attempt_timeout(&session->opening.attempt, &context));
}

bool session_open_called(struct plane *plane, struct session *session)
{
    struct attempt_context context = attempt_of(plane, session);
    struct attempt *attempt = &session->opening.attempt;
    enum step step = attempt_called(attempt, &context);

    if (attempt->waiting) {
        return false;
    }
    follow_attempt(plane, session, step);
    return true;
}

/* ---- the beginning ---- */

/* Whether it is a connection of ours that has gone round and round. */
static bool is_loop(struct plane *plane, const struct sock *sock,
                    const struct addr *client)
{
    struct loop_ends ends = {.from = *client};

    if (!loop_guard_may_know(&plane->shared->loops, client->port)) {
        return false;
    }
    sock_local(sock, &ends.to);
    return loop_guard_arrive(&plane->shared->loops, &ends);
}

/* Counts, logs and resets a connection that gets no session. */
static void refuse(struct plane *plane, struct service *service,
                   const struct sock *sock, const struct addr *client,
                   enum cause cause)
{
    struct session refused = {
        .sock = {*sock, {.fd = -1}},
        .service = service,
        .client = *client,
        .born_ns = plane->loop.now_ns,
    };

    admission_leave_process(plane);
    session_count_accepted(plane, &refused);
    service_counters_end(plane_counters(plane, service), cause, 0);
    session_log_end(plane, &refused, cause);
    sock_reset(&refused.sock[CLIENT]);
}

void session_open_begin(struct plane *plane, const struct listen_socket *listen,
                        const struct sock *sock, const struct addr *client)
{
    struct service *service = listen->service;
    bool preface = preface_is_due(listen);
    enum cause cause = CAUSE_NONE;
    struct session *session;
    bool in_source = false;

    if (is_loop(plane, sock, client)) {
        cause = CAUSE_LOOP;
    } else if (!preface) {
        cause = admission_enter_service(plane, service, client, &in_source);
    } else if (!preface_may_come(listen, client)) {
        cause = CAUSE_DENIED;
    }
    if (cause != CAUSE_NONE) {
        refuse(plane, service, sock, client, cause);
        return;
    }
    session = session_create(plane, service, client);
    if (session == NULL) {
        if (!preface) {
            admission_leave_service(service, client, in_source);
        }
        refuse(plane, service, sock, client, CAUSE_LOCAL_RESOURCE);
        return;
    }
    session->sock[CLIENT] = *sock;
    session->in_service = !preface;
    session->in_source = in_source;
    preface_begin(&session->opening.preface, listen);
    if (listen->named_count == 0) {
        session_count_accepted(plane, session);
    } else {
        session_count_nameless(plane, session);
    }
    if (session_watch(plane, session, CLIENT) < 0) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
    } else if (!preface) {
        begin_handshake(plane, session);
    } else if (wait_for_client(plane, session)) {
        session_arm(plane, session);
    }
}
