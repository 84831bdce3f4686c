#include "proxy/session.h"

#include "base/log.h"
#include "proxy/admission.h"
#include "proxy/attempt.h"
#include "proxy/deadline.h"
#include "proxy/listener.h"
#include "proxy/preface.h"
#include "proxy/record.h"

#include <stdlib.h>

/* Steps of handshakes in one turn of the loop: one may take a millisecond. */
#define HANDSHAKES_MAX 4

static enum direction other(enum direction side)
{
    return side == UP ? DOWN : UP;
}

static enum cause reset_of(enum direction side)
{
    return side == CLIENT ? CAUSE_CLIENT_RESET : CAUSE_UPSTREAM_RESET;
}

static enum cause fin_of(enum direction side)
{
    return side == CLIENT ? CAUSE_CLIENT_FIN : CAUSE_UPSTREAM_FIN;
}

static struct service_counters *counters_of(struct plane *plane,
                                            struct service *service)
{
    return &service->state->counters[plane->number];
}

static struct relay_context context_of(struct plane *plane,
                                       struct session *session,
                                       enum direction direction)
{
    struct service_counters *service = counters_of(plane, session->service);
    struct upstream_counters *upstream =
        &session->upstream->counters[plane->number];

    return (struct relay_context){
        .loop = &plane->loop,
        .from = &session->sock[direction],
        .to = &session->sock[other(direction)],
        .blocks = &plane->memory[direction].cache,
        .pipes = &plane->pipes,
        .memory_queue = &plane->memory[direction].queue,
        .retry_queue = &plane->retry,
        .throttle =
            session->throttle == NULL ? NULL : &session->throttle[direction],
        .service_bytes = &service->bytes[direction],
        .upstream_bytes = &upstream->bytes[direction],
    };
}

void session_arm(struct plane *plane, struct session *session)
{
    struct deadline next = deadline_earliest(session, plane->loop.now_ns);
    struct wheel_timer *timer = &session->timer;

    /* Ringing early is harmless; moving the timer for each change is not. */
    if (next.at_ns != UINT64_MAX &&
        (!wheel_armed(timer) || next.at_ns < wheel_due_ns(timer))) {
        wheel_arm(&plane->loop.wheel, timer, next.at_ns);
    }
}

/*
 * The line of a connection that ended. Before its sockets are closed: the
 * kernel's view of the client is asked for here.
 */
static void log_end(const struct plane *plane, const struct session *session,
                    enum cause cause)
{
    struct record record = {
        .service = session->service,
        .upstream = session->upstream,
        .client = &session->client,
        .cause = cause,
        .bytes = {session->relay[UP].bytes, session->relay[DOWN].bytes},
        .connect_us = session->connect_us,
        .duration_ns = plane->loop.now_ns - session->born_ns,
    };

    if (record_wanted(session->service)) {
        sock_quality(&session->sock[CLIENT], &record.rtt_us,
                     &record.retransmits);
        record_write(&record);
    }
}

/* The end of a stream, or of our patience with a quiet one: a FIN will do, and
 * so it will for a client whose handshake failed, and who reads why. Any other
 * end must not look like one. */
static bool ends_with_fin(const struct session *session, enum cause cause)
{
    switch (cause) {
    case CAUSE_TLS_ERROR:
        return session->state == SESSION_PREFACE;
    case CAUSE_CLIENT_FIN:
    case CAUSE_UPSTREAM_FIN:
    case CAUSE_IDLE_TIMEOUT:
    case CAUSE_READ_TIMEOUT:
    case CAUSE_HALF_CLOSE_TIMEOUT:
    case CAUSE_MAX_LIFETIME:
        return true;
    default:
        return false;
    }
}

/* Gives up what the relays hold or have not read. True if bytes are lost by it:
 * the end must not look like the end of a stream then. */
static bool drop_relays(struct plane *plane, struct session *session)
{
    bool lost = false;

    if (session->state != SESSION_RELAY) {
        return false;
    }
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct relay_context context = context_of(plane, session, i);

        lost |= relay_holds_bytes(&session->relay[i], &context) ||
                (session->relay[i].wait != RELAY_ENDED &&
                 session->sock[i].ready & SOCK_READABLE);
        relay_drop(&session->relay[i], &context);
    }
    return lost;
}

/* What the session counted in, it counts out. */
static void leave(struct plane *plane, struct session *session)
{
    if (session->in_upstream) {
        upstream_leave(session->upstream);
    }
    if (session->in_service) {
        admission_leave_service(session->service, &session->client,
                                session->in_source);
    }
    admission_leave_process(plane);
    plane_release(plane, session->service->generation);
}

void session_close(struct plane *plane, struct session *session,
                   enum cause cause)
{
    bool fin = !drop_relays(plane, session) && ends_with_fin(session, cause);

    if (!session->accepted) {
        session_accepted(plane, session);
    }
    counter_add(&counters_of(plane, session->service)->ended[cause], 1);
    log_end(plane, session, cause);
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        if (fin) {
            sock_close(&session->sock[i]);
        } else {
            sock_reset(&session->sock[i]);
        }
    }
    wheel_disarm(&plane->loop.wheel, &session->timer);
    free(session->throttle);
    session_forget(session);
    session->state = SESSION_CLOSED;
    list_remove(&session->relay[UP].link); /* a handshake that waited */
    list_append(&plane->loop.deferred[0], &session->relay[UP].link);
    leave(plane, session);
    plane_memory_used(plane);
}

void session_free_deferred(struct plane *plane, struct list *link)
{
    const struct session *session =
        container_of(link, struct session, relay[UP].link);

    pool_return(&plane->sessions, session->index);
}

/* All that the kernel took for the peer has reached it, or never will: the
 * queue of a socket that was reset keeps its length for ever. */
static bool nothing_is_owed(struct sock *sock)
{
    return sock->ready & SOCK_RESET || sock_unacknowledged(sock) == 0 ||
           sock_error(sock) != 0;
}

/*
 * Side was reset by its peer, and all that it sent before is written to the
 * other: that one is reset too, once its kernel has delivered it.
 */
static void side_was_reset(struct plane *plane, struct session *session,
                           enum direction side)
{
    drop_relays(plane, session);
    sock_close(&session->sock[side]);
    if (nothing_is_owed(&session->sock[other(side)])) {
        session_close(plane, session, reset_of(side));
        return;
    }
    session->state = SESSION_LINGER;
    session->cause = (uint8_t)reset_of(side);
    session->stage_ns = plane->loop.now_ns;
    session_arm(plane, session);
}

static void stream_ended(struct plane *plane, struct session *session,
                         enum direction direction)
{
    enum direction back = other(direction);

    if (session->relay[back].wait == RELAY_ENDED) {
        /* Closing sends our FIN; the one that ended first is the cause. */
        session_close(plane, session, fin_of(back));
    } else {
        sock_shutdown(&session->sock[back]);
    }
}

static void pump(struct plane *plane, struct session *session,
                 enum direction direction);

/* Writing to the sink failed. What it sent before is still to be delivered; if
 * nothing is, or when it is, the other side is reset. */
static void sink_was_reset(struct plane *plane, struct session *session,
                           enum direction direction)
{
    enum direction sink = other(direction);

    switch (session->relay[sink].wait) {
    case RELAY_ENDED:
    case RELAY_BROKEN:
        side_was_reset(plane, session, sink);
        break;
    case RELAY_SOURCE:
        pump(plane, session, sink);
        break;
    default:
        break; /* it is queued, and will come to the end by itself */
    }
}

static void pump(struct plane *plane, struct session *session,
                 enum direction direction)
{
    struct relay *relay = &session->relay[direction];
    struct relay_context context = context_of(plane, session, direction);
    uint8_t before = relay->wait;

    switch (relay_pump(relay, &context)) {
    case PUMP_WAITS:
        break;
    case PUMP_ENDED:
        stream_ended(plane, session, direction);
        break;
    case PUMP_NO_SOURCE:
        side_was_reset(plane, session, direction);
        break;
    case PUMP_NO_SINK:
        sink_was_reset(plane, session, direction);
        break;
    }
    if (relay->wait != before && session->state == SESSION_RELAY) {
        session_arm(plane, session);
    }
    if (relay->wait == RELAY_RETRY) {
        plane_retry_later(plane);
    }
    plane_memory_used(plane);
}

/* The connection turns out to last: its upstream's socket gets its options. */
static void settle(struct session *session)
{
    struct sock *sock = &session->sock[UPSTREAM];
    struct sock_options options;

    if (!sock_has_options(sock)) {
        options = worker_sock_options(session->service->config);
        sock_set_options(sock, &options);
    }
}

/* Before the client's bytes are moved: a second request, and neither an end nor
 * the first, shows a connection that lasts. */
static void settle_if_lasting(struct session *session)
{
    if (session->relay[UP].bytes > 0 &&
        !(session->sock[CLIENT].ready & SOCK_HANGUP)) {
        settle(session);
    }
}

/* The side may have become readable or writable. */
static void side_is_ready(struct plane *plane, struct session *session,
                          enum direction side)
{
    const struct sock *sock = &session->sock[side];
    uint8_t wait = session->relay[side].wait;

    if ((wait == RELAY_SOURCE && sock->ready & SOCK_READABLE) ||
        (wait == RELAY_MEMORY && sock->ready & SOCK_HANGUP)) {
        if (side == CLIENT) {
            settle_if_lasting(session);
        }
        pump(plane, session, side);
    }
    if (session->state == SESSION_RELAY &&
        session->relay[other(side)].wait == RELAY_SINK &&
        sock->ready & SOCK_WRITABLE) {
        pump(plane, session, other(side));
    }
}

static void relay_event(struct plane *plane, struct session *session,
                        enum direction side, uint32_t events)
{
    uint8_t wait = session->relay[side].wait;

    /* Nobody reads this side any more, so nobody would meet the error. */
    if (events & EPOLLERR && (wait == RELAY_ENDED || wait == RELAY_BROKEN) &&
        sock_error(&session->sock[side]) != 0) {
        side_was_reset(plane, session, side);
        return;
    }
    side_is_ready(plane, session, side);
}

/*
 * The client is gone while its upstream is still being connected. Bytes that it
 * sent before are delivered if the connect is as good as done; there is no use
 * in waiting, or in trying another, for somebody who has left.
 */
static void client_left(struct plane *plane, struct session *session)
{
    if (!sock_has_bytes(&session->sock[CLIENT])) {
        session_close(plane, session, CAUSE_CLIENT_RESET);
    } else if (!session->abandoned) {
        session->abandoned = true;
        session->stage_ns = plane->loop.now_ns;
        session_arm(plane, session);
    }
}

static void connect_event(struct plane *plane, struct session *session,
                          enum direction side, uint32_t events)
{
    if (side == UPSTREAM) {
        attempt_event(plane, session);
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        client_left(plane, session);
    }
}

/* Another look at what the kernel has yet to deliver to the side that is left.
 */
static void look_again(struct plane *plane, struct session *session)
{
    enum direction left =
        session->cause == CAUSE_CLIENT_RESET ? UPSTREAM : CLIENT;

    if (nothing_is_owed(&session->sock[left]) ||
        deadline_lingered_out(session, plane->loop.now_ns)) {
        session_close(plane, session, (enum cause)session->cause);
    } else {
        session_arm(plane, session);
    }
}

void session_fetch(struct plane *plane, uint32_t index)
{
    const struct session *session = pool_at(&plane->sessions, index / 2);

    if (session != NULL) {
        __builtin_prefetch(session);
        __builtin_prefetch(&session->relay[UP]);
        __builtin_prefetch(&session->relay[DOWN]);
    }
}

void session_event(struct plane *plane, uint32_t index, uint32_t instance,
                   uint32_t events)
{
    struct session *session = pool_at(&plane->sessions, index / 2);
    enum direction side = index % 2 == 0 ? CLIENT : UPSTREAM;

    if (session == NULL || session->state == SESSION_CLOSED ||
        instance !=
            session->instance + (side == UPSTREAM ? session->attempts : 0)) {
        return; /* of this batch, about one that is no more */
    }
    sock_event(&session->sock[side], events);
    switch (session->state) {
    case SESSION_PREFACE:
        preface_event(plane, session);
        break;
    case SESSION_CONNECT:
        connect_event(plane, session, side, events);
        break;
    case SESSION_RELAY:
        relay_event(plane, session, side, events);
        break;
    default:
        look_again(plane, session);
        break;
    }
}

void session_established(struct plane *plane, struct session *session)
{
    uint64_t now_ns = plane->loop.now_ns;

    counter_add(&session->upstream->counters[plane->number].total, 1);
    session->connect_us = (uint32_t)((now_ns - session->stage_ns) / 1000);
    session->state = SESSION_RELAY;
    session->relay[UP].moved_ns = now_ns;
    session->relay[DOWN].moved_ns = now_ns;
    session_forget(session);
    if (session->service->config->tcp_user_timeout_ns > 0) {
        settle(session); /* it is about the first bytes too */
    }
    session_arm(plane, session);
    side_is_ready(plane, session, CLIENT);
    if (session->state == SESSION_RELAY) {
        side_is_ready(plane, session, UPSTREAM);
    }
}

static bool make_throttle(struct session *session)
{
    struct service *service = session->service;

    if (!service->throttled) {
        return true;
    }
    session->throttle = calloc(DIRECTIONS, sizeof(*session->throttle));
    if (session->throttle == NULL) {
        return false;
    }
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        session->throttle[i].shared = &service->state->rate[i];
        session->throttle[i].own_limit = &service->rate[i];
        session->throttle[i].shared_limit = &service->service_rate[i];
    }
    return true;
}

static void describe(struct session *session, struct plane *plane,
                     struct service *service, const struct sock *sock,
                     const struct addr *client)
{
    session->sock[CLIENT] = *sock;
    session->sock[UPSTREAM].fd = -1;
    session->service = service;
    session->client = *client;
    session->born_ns = plane->loop.now_ns;
    session->relay[UP].direction = UP;
    session->relay[DOWN].direction = DOWN;
    session->timer.kind = PLANE_SESSION;
}

/* There is no record for it: undoes what was done for it. */
static void turn_away(struct plane *plane, struct service *service,
                      const struct sock *sock, const struct addr *client,
                      bool in_service, bool in_source)
{
    struct sock refused = *sock;

    if (in_service) {
        admission_leave_service(service, client, in_source);
    }
    admission_leave_process(plane);
    session_refuse(plane, service, &refused, client, CAUSE_LOCAL_RESOURCE);
}

/* Watches the client, and prepares for what is to come. */
static bool make_ready(struct plane *plane, struct session *session,
                       const struct listen_socket *listen, bool preface)
{
    struct notes *notes;

    if (preface) {
        notes = session_notes(session);
        if (notes == NULL) {
            return false;
        }
        notes->listen = listen;
    }
    return poller_add(&plane->loop.poller, session->sock[CLIENT].fd,
                      loop_token(PLANE_SESSION, session->index * 2 + CLIENT,
                                 session->instance)) == 0;
}

void session_accepted(struct plane *plane, struct session *session)
{
    session->accepted = true;
    counter_add(&counters_of(plane, session->service)->accepted, 1);
}

void session_begin(struct plane *plane, const struct listen_socket *listen,
                   const struct sock *sock, const struct addr *client,
                   bool preface, bool in_source)
{
    struct service *service = listen->service;
    uint32_t index;
    struct session *session = pool_borrow(&plane->sessions, &index);

    if (session == NULL) {
        turn_away(plane, service, sock, client, !preface, in_source);
        return;
    }
    describe(session, plane, service, sock, client);
    session->in_service = !preface;
    session->in_source = in_source;
    session->index = index;
    session->instance = plane->instance;
    /* The tokens of its attempts come after, and are not used again soon. */
    plane->instance += 1 + service->config->connect_attempts;
    plane_hold(plane, service->generation);
    if (!preface || listen->named_count == 0) {
        session_accepted(plane, session);
    }
    if (!make_ready(plane, session, listen, preface)) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
    } else if (preface) {
        session_arm(plane, session); /* until it has come */
    } else {
        preface_admitted(plane, session);
    }
}

void session_proceed(struct plane *plane, struct session *session)
{
    if (!make_throttle(session)) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
        return;
    }
    session->state = SESSION_CONNECT;
    attempt_begin(plane, session);
}

void session_forget(struct session *session)
{
    if (session->notes != NULL) {
        free(session->notes->long_header);
        free(session->notes);
        session->notes = NULL;
    }
}

struct notes *session_notes(struct session *session)
{
    size_t words = (session->service->upstream_count + 63) / 64;

    if (session->notes == NULL) {
        session->notes =
            calloc(1, sizeof(struct notes) + words * sizeof(uint64_t));
    }
    return session->notes;
}

void session_refuse(struct plane *plane, struct service *service,
                    struct sock *sock, const struct addr *client,
                    enum cause cause)
{
    struct session refused = {.instance = 0};

    describe(&refused, plane, service, sock, client);
    counter_add(&counters_of(plane, service)->accepted, 1);
    counter_add(&counters_of(plane, service)->ended[cause], 1);
    log_end(plane, &refused, cause);
    sock_reset(sock);
}

/* Tokens that a relay waited for may be there. */
static void resume_throttled(struct plane *plane, struct session *session)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        if (session->state == SESSION_RELAY &&
            session->relay[i].wait == RELAY_TOKENS &&
            session->throttle[i].resume_ns <= plane->loop.now_ns) {
            pump(plane, session, i);
        }
    }
}

/* The timer rang for something that is to be done now. */
static void proceed(struct plane *plane, struct session *session)
{
    if (session->state == SESSION_CONNECT) {
        attempt_begin(plane, session);
    } else {
        if (session->stage_ns + SESSION_SETTLE_NS <= plane->loop.now_ns) {
            settle(session);
        }
        resume_throttled(plane, session);
    }
    if (session->state != SESSION_CLOSED) {
        session_arm(plane, session);
    }
}

void session_timer(struct plane *plane, struct wheel_timer *timer)
{
    struct session *session = container_of(timer, struct session, timer);
    struct deadline now;

    if (session->state == SESSION_LINGER) {
        look_again(plane, session);
        return;
    }
    now = deadline_earliest(session, plane->loop.now_ns);
    if (now.at_ns > plane->loop.now_ns) {
        session_arm(plane, session);
    } else if (now.cause == CAUSE_NONE) {
        proceed(plane, session);
    } else if (now.cause == CAUSE_CONNECT_TIMEOUT) {
        attempt_timeout(plane, session);
    } else {
        session_close(plane, session, now.cause);
    }
}

static struct session *session_of(struct relay *relay)
{
    return container_of(relay - relay->direction, struct session, relay);
}

void session_handshake_due(struct plane *plane, struct session *session)
{
    struct list *link = &session->relay[UP].link;

    if (!list_linked(link)) {
        list_append(&plane->loop.runnable[0], link);
    }
}

void session_handshake_later(struct plane *plane, struct session *session)
{
    list_append(&plane->retry, &session->relay[UP].link);
    plane_retry_later(plane);
}

void session_complain(struct plane *plane, const struct session *session,
                      const char *side, const char *address)
{
    uint32_t count = plane_complain(plane, &plane->shared->tls_errors);
    char name[ADDR_HOST_MAX + 16];

    if (count > 0) {
        log_write(LOG_WARN, "tls error service=%s %s=%s reason=\"%s\" count=%u",
                  session->service->config->name, side,
                  log_quote(address, name, sizeof(name)), sock_tls_error(),
                  count);
    }
}

/* Before a session is established, what waits for its turn is a handshake. */
static void run_handshake(struct plane *plane, struct session *session)
{
    if (plane->handshakes >= HANDSHAKES_MAX) {
        session_handshake_due(plane, session);
        return;
    }
    plane->handshakes++;
    if (session->state == SESSION_PREFACE) {
        preface_run(plane, session);
    } else {
        attempt_run(plane, session);
    }
}

void session_run(struct plane *plane, struct list *link)
{
    struct relay *relay = container_of(link, struct relay, link);
    struct session *session = session_of(relay);

    if (session->state != SESSION_RELAY) {
        run_handshake(plane, session);
        return;
    }
    settle(session); /* one visit was not enough for it */
    pump(plane, session, (enum direction)relay->direction);
}

void session_memory_granted(struct plane *plane, enum direction direction)
{
    struct plane_memory *memory = &plane->memory[direction];
    struct list turn = {0};
    struct list *link;

    list_splice(&turn, &memory->queue);
    while ((link = list_pop(&turn)) != NULL) {
        struct relay *relay = container_of(link, struct relay, link);

        pump(plane, session_of(relay), direction);
        if (relay->wait == RELAY_MEMORY) {
            /* There was none for it, so the cache is in line again; those who
             * have not had their turn go before those who have. */
            list_splice(&turn, &memory->queue);
            list_splice(&memory->queue, &turn);
            return;
        }
    }
    slab_pass_on(&memory->cache);
}
