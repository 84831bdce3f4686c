#include "proxy/session.h"

#include "proxy/access_log.h"
#include "proxy/admission.h"

#include <stdlib.h>
#include <sys/param.h>

/* LINGER asks the kernel again after a quarter of the time it has waited. */
#define LINGER_FIRST_NS   (5 * NS_PER_MS)
#define LINGER_DEFAULT_NS (30 * NS_PER_S)

/* ---- the beginning ---- */

struct session *session_create(struct plane *plane, struct service *service,
                               const struct addr *client)
{
    uint32_t index;
    struct session *session = pool_borrow(&plane->sessions, &index);

    if (session == NULL) {
        return NULL;
    }
    session->index = index;
    session->sock[CLIENT].fd = session->sock[UPSTREAM].fd = -1;
    session->service = service;
    session->client = *client;
    session->born_ns = plane->loop.now_ns;
    session->timer.kind = PLANE_SESSION;
    plane_hold(plane, service->generation);
    spread_begin(plane->load, plane->loop.now_ns);
    return session;
}

int session_watch(struct plane *plane, struct session *session,
                  enum direction side)
{
    session->instance[side] = plane_next_instance(plane);
    return poller_add(&plane->loop.poller, session->sock[side].fd,
                      loop_token(PLANE_SESSION, session->index * 2 + side,
                                 session->instance[side]));
}

bool session_make_throttle(struct session *session)
{
    struct rate *source;

    if (!session->service->throttled) {
        return true;
    }
    session->throttle = calloc(DIRECTIONS, sizeof(*session->throttle));
    if (session->throttle == NULL ||
        !throttle_find_source(session->service, &session->client,
                              session->in_source, &source)) {
        return false;
    }
    for (enum direction i = UP; i < DIRECTIONS && source != NULL; i++) {
        session->throttle[i].source = &source[i];
    }
    return true;
}

/* ---- time ---- */

uint64_t session_linger_end_ns(const struct session *session)
{
    uint64_t most_ns = session->service->config->write_timeout_ns;

    return session->entered_ns + (most_ns != 0 ? most_ns : LINGER_DEFAULT_NS);
}

static void consider_linger(const struct session *session, uint64_t now_ns,
                            struct deadline *earliest)
{
    uint64_t next_ns =
        now_ns + MAX(LINGER_FIRST_NS, (now_ns - session->entered_ns) / 4);

    deadline_consider(earliest, 0, MIN(next_ns, session_linger_end_ns(session)),
                      CAUSE_NONE);
}

struct deadline session_deadline(struct plane *plane, struct session *session)
{
    const struct config_service *config = session->service->config;
    struct deadline earliest = deadline_none();
    struct tunnel tunnel;

    switch ((enum session_phase)session->phase) {
    case SESSION_PREFACE:
    case SESSION_HANDSHAKE:
        /* From accept, whatever has come: a header in drops is no header. */
        deadline_consider(&earliest, session->born_ns,
                          config->header_timeout_ns, CAUSE_HEADER_TIMEOUT);
        if (!session->nameless) { /* else the service is not known yet */
            deadline_consider_lifetime(&earliest, config, session->born_ns,
                                       session->instance[CLIENT]);
        }
        break;
    case SESSION_CONNECT:
        attempt_deadline(&session->opening.attempt, &earliest);
        deadline_consider_lifetime(&earliest, config, session->born_ns,
                                   session->instance[CLIENT]);
        break;
    case SESSION_RELAY:
        tunnel = session_tunnel(plane, session);
        tunnel_deadline(&tunnel, &earliest);
        deadline_consider_lifetime(&earliest, config, session->born_ns,
                                   session->instance[CLIENT]);
        break;
    case SESSION_LINGER:
        consider_linger(session, plane->loop.now_ns, &earliest);
        break;
    case SESSION_FROZEN:
    case SESSION_CLOSED:
        break;
    }
    return earliest;
}

void session_arm(struct plane *plane, struct session *session)
{
    struct deadline next = session_deadline(plane, session);
    struct wheel_timer *timer = &session->timer;

    /* Firing early is harmless; moving the timer at each change is not. */
    if (next.at_ns != UINT64_MAX &&
        (!wheel_armed(timer) || next.at_ns < wheel_due_ns(timer))) {
        wheel_arm(&plane->loop.wheel, timer, next.at_ns);
    }
}

void session_enter(struct plane *plane, struct session *session,
                   enum session_phase phase)
{
    session->phase = (uint8_t)phase;
    session->entered_ns = plane->loop.now_ns;
}

/* ---- the end ---- */

/* A stream that ended, or a quiet one that ran out of time, may end in a FIN.
 * So may a failed handshake with a client, who reads the alert. Any other end
 * must not look like the end of a stream. */
static bool ends_with_fin(const struct session *session, enum cause cause)
{
    switch (cause) {
    case CAUSE_TLS_ERROR:
        return session->phase == SESSION_HANDSHAKE;
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

void session_count_nameless(struct plane *plane, struct session *session)
{
    session->nameless = true;
    atomic_fetch_add_explicit(&plane->shared->waiting.nameless, 1,
                              memory_order_relaxed);
}

void session_count_accepted(struct plane *plane, struct session *session)
{
    if (session->nameless) {
        /* First, so that no reader counts it twice: see control/report.c. */
        session->nameless = false;
        atomic_fetch_sub_explicit(&plane->shared->waiting.nameless, 1,
                                  memory_order_relaxed);
    }
    session->accepted = true;
    counter_add(&plane_counters(plane, session->service)->accepted, 1);
    if (session->sock[CLIENT].options & SOCK_OPTION_MULTIPATH) {
        counter_add(&plane_counters(plane, session->service)->multipath, 1);
    }
}

void session_log_end(const struct plane *plane, const struct session *session,
                     enum cause cause)
{
    bool opening = session->phase < SESSION_RELAY;
    struct access_log_entry entry;

    if (!access_log_wanted(session->service)) {
        return;
    }
    entry = (struct access_log_entry){
        .service = session->service,
        .upstream = session->phase == SESSION_CONNECT
                        ? session->opening.attempt.choice.upstream
                        : session->upstream,
        .client = session_client(session),
        .sock = &session->sock[CLIENT],
        .cause = cause,
        .bytes = {opening ? 0 : session->relay[UP].bytes,
                  opening ? 0 : session->relay[DOWN].bytes},
        .connect_us = session->connect_us,
        .duration_ns = plane->loop.now_ns - session->born_ns,
    };

    access_log_write(&entry);
}

void session_stop_waiting(struct plane *plane, struct session *session)
{
    struct waiting *waiting = &plane->shared->waiting;
    struct waiting_place *place = &session->opening.waiting;

    struct network source;

    if (place->in_source) {
        place->in_source = false;
        source = network_of(session_client(session), WAITING_PREFIXES);
        waiting_leave_source(waiting, &source, 0);
    }
    if (place->in_address) {
        const struct listen_socket *listen = session->opening.preface.listen;

        place->in_address = false;
        source = network_of(session_client(session), listen->source_prefixes);
        waiting_leave_source(waiting, &source, listen->key);
    }
    waiting_leave(waiting, &plane->waiting, place);
}

bool session_leave_phase(struct plane *plane, struct session *session)
{
    struct tunnel tunnel;

    if (session->phase == SESSION_RELAY) {
        tunnel = session_tunnel(plane, session);
        return tunnel_drop(&tunnel);
    }
    if (session->phase == SESSION_CONNECT) {
        attempt_end(&session->opening.attempt, plane);
    } else if (session->phase < SESSION_CONNECT) {
        session_stop_waiting(plane, session);
    }
    if (session->phase <= SESSION_CONNECT) {
        preface_end(&session->opening.preface);
        list_remove(&session->opening.link);
    }
    return false;
}

void session_release(struct plane *plane, struct session *session)
{
    struct generation *generation = session->service->generation;

    wheel_disarm(&plane->loop.wheel, &session->timer);
    free(session->throttle);
    session_enter(plane, session, SESSION_CLOSED);
    session->deferred = (struct list){NULL, NULL};
    loop_free_later(&plane->loop, PLANE_RELAYS, &session->deferred);
    plane_trim_later(plane);
    spread_end(plane->load, session->born_ns, plane->loop.now_ns);
    plane_release(plane, generation);
}

/* The buckets of the source are ours until it no longer counts us. */
static void leave_source_rates(struct session *session)
{
    for (enum direction i = UP; i < DIRECTIONS && session->throttle != NULL;
         i++) {
        throttle_cancel(&session->throttle[i], session->service, i);
        session->throttle[i].source = NULL;
    }
}

void session_close_side(struct plane *plane, struct session *session,
                        enum direction side, bool fin)
{
    struct sock *sock = &session->sock[side];

    if (sock->options & SOCK_OPTION_SHARED) {
        poller_remove(&plane->loop.poller, sock->fd);
    }
    if (fin) {
        sock_close(sock);
    } else {
        sock_reset(sock);
    }
}

void session_close(struct plane *plane, struct session *session,
                   enum cause cause)
{
    bool fin;

    if (session->phase == SESSION_LINGER) {
        cause = (enum cause)session->cause; /* what ends it now is a detail */
    }
    if (loop_guard_forget(&plane->shared->loops, &session->note) &&
        cause == CAUSE_UPSTREAM_RESET) {
        cause = CAUSE_LOOP;
    }
    fin = ends_with_fin(session, cause);
    if (!session->accepted) {
        session_count_accepted(plane, session);
    }
    /* Before the peers can see the end: a client may connect again at once. */
    if (session->in_service) {
        leave_source_rates(session);
        admission_leave_service(session->service, &session->client,
                                session->in_source);
    }
    service_counters_end(plane_counters(plane, session->service), cause,
                         plane->loop.now_ns - session->born_ns);
    if (session->phase != SESSION_LINGER || session->lingering == CLIENT) {
        session_log_end(plane, session, cause);
    } /* else it was logged with the client's socket still open */
    fin = !session_leave_phase(plane, session) && fin;
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        session_close_side(plane, session, i, fin);
    }
    if (session->finished) {
        upstream_leave_finished(session->upstream);
    } else if (session->upstream != NULL) {
        upstream_leave(session->upstream);
    }
    admission_leave_process(plane);
    session_release(plane, session);
}

uint32_t session_reset_some(struct plane *plane, uint32_t *next, uint32_t count)
{
    struct session *session;
    uint32_t ended = 0;

    for (;
         ended < count && (session = pool_next(&plane->sessions, next)) != NULL;
         ++*next) {
        if (session->phase != SESSION_FROZEN &&
            session->phase != SESSION_CLOSED) {
            session_close(plane, session, CAUSE_DRAIN);
            ended++;
        }
    }
    return ended;
}

void session_free_deferred(struct loop *loop, struct list *link)
{
    const struct session *session =
        container_of(link, struct session, deferred);

    pool_return(&plane_of(loop)->sessions, session->index);
}
