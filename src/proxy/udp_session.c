#include "proxy/udp_session.h"

#include "proxy/access_log.h"
#include "proxy/admission.h"
#include "proxy/choice.h"
#include "proxy/deadline.h"
#include "proxy/throttle.h"
#include "proxy/udp_eviction.h"
#include "proxy/udp_relay.h"

#include <errno.h>
#include <sys/epoll.h>

/* Sessions ended for one new client while ports or descriptors are used up: of
 * several source addresses not each one's ports help. */
#define END_INSTEAD_MAX 4u
/* Sessions ended at once above a limit; a reload may have lowered it by many.
 */
#define EVICT_MAX 64

/* ---- the end ---- */

static void log_end(const struct plane *plane,
                    const struct udp_session *session, enum cause cause)
{
    struct access_log_entry entry;

    if (!access_log_wanted(session->service)) {
        return;
    }
    entry = (struct access_log_entry){
        .service = session->service,
        .upstream = session->upstream,
        .client = &session->flow.key.client,
        .cause = cause,
        .bytes = {session->bytes[UP], session->bytes[DOWN]},
        .duration_ns = plane->loop.now_ns - session->born_ns,
    };

    access_log_write(&entry);
}

/* No datagram of it is in the batch down. */
static void end(struct plane *plane, struct udp_session *session,
                enum cause cause)
{
    struct udp *udp = plane->udp;
    struct listener *listener = session->listener;
    struct sock sock = {.fd = session->fd};

    /* Before the peers can see the end, as for a connection. */
    admission_leave_service(session->service, &session->flow.key.client,
                            session->in_source);
    service_counters_end(plane_counters(plane, session->service), cause,
                         plane->loop.now_ns - session->born_ns);
    log_end(plane, session, cause);
    sock_close(&sock);
    wheel_disarm(&plane->loop.wheel, &session->timer);
    session->closed = true;
    list_remove(&session->link);
    loop_free_later(&plane->loop, PLANE_UDP, &session->link);
    if (session->in_table) {
        flow_remove(&udp->flows, &session->flow);
    }
    udp_eviction_leave(plane, session);
    if (session->in_upstream) {
        upstream_leave(session->upstream);
    }
    listener->sessions--;
    udp->listener_unused |= listener->sessions == 0 && !listener->kept;
    admission_leave_udp(plane);
    plane_release(plane, session->service->generation);
}

void udp_session_flush(struct plane *plane)
{
    struct list *link;

    udp_relay_flush(plane);
    while ((link = list_pop(&plane->udp->finished)) != NULL) {
        end(plane, container_of(link, struct udp_session, link),
            CAUSE_UPSTREAM_FIN);
    }
}

void udp_session_close(struct plane *plane, struct udp_session *session,
                       enum cause cause)
{
    udp_session_flush(plane);
    if (!session->closed) {
        end(plane, session, cause);
    }
}

/* What the upstream sent before is still passed on. */
static void upstream_is_gone(struct plane *plane, struct udp_session *session)
{
    udp_relay_receive_last(plane, session);
    choice_blame(plane, session->service, session->upstream,
                 CAUSE_CONNECT_REFUSED, ECONNREFUSED);
    udp_session_close(plane, session, CAUSE_CONNECT_REFUSED);
}

void udp_session_free_deferred(struct loop *loop, struct list *link)
{
    pool_return(&plane_of(loop)->udp->sessions,
                container_of(link, struct udp_session, link)->index);
}

/* ---- time ---- */

/* When it ends, as far as is known now, and why. */
static struct deadline find_deadline(const struct plane *plane,
                                     const struct udp_session *session)
{
    const struct config_service *config = session->service->config;
    struct deadline earliest = deadline_none();

    deadline_consider(&earliest, session->moved_ns, config->idle_timeout_ns,
                      CAUSE_IDLE_TIMEOUT);
    deadline_consider_lifetime(&earliest, config, session->born_ns,
                               session->instance);
    if (plane->draining) {
        deadline_consider(&earliest, session->moved_ns, UDP_DRAIN_QUIET_NS,
                          CAUSE_DRAIN);
    }
    return earliest;
}

static void arm(struct plane *plane, struct udp_session *session)
{
    uint64_t at_ns = find_deadline(plane, session).at_ns;

    if (at_ns != UINT64_MAX) {
        wheel_arm(&plane->loop.wheel, &session->timer, at_ns);
    }
}

/* ---- too many ---- */

/* Ends the longest idle sessions above the limit, or has it done. */
static void evict(struct plane *plane, struct census *census, uint32_t max,
                  const struct udp_session *spared)
{
    struct udp_session *session;

    if (census_count(census) <= max) {
        return;
    }
    udp_session_flush(plane); /* some may end by that */
    for (unsigned n = 0; n < EVICT_MAX; n++) {
        session = udp_eviction_pick(plane, census, max, spared);
        if (session == NULL) {
            break;
        }
        udp_session_close(plane, session, CAUSE_LIMIT_CONNECTIONS);
    }
}

/* Makes room for a new one. */
static void make_room(struct plane *plane, const struct udp_session *session)
{
    const struct service *service = session->service;
    uint32_t max = service->config->max_sessions;

    if (max != 0) {
        evict(plane, service->state->census, max, session);
    }
    evict(plane, plane->shared->census, admission_udp_max(plane), session);
}

void udp_session_asked(struct plane *plane, struct message *message)
{
    struct udp_request *request =
        container_of(message, struct udp_request, message);

    evict(plane, request->census, request->max, NULL);
    udp_eviction_answer(request);
}

void udp_session_answered(struct plane *plane, struct message *message)
{
    struct udp_request request = udp_eviction_take_back(
        plane, container_of(message, struct udp_request, message));

    evict(plane, request.census, request.max, NULL);
    plane_release(plane, request.generation);
}

/* ---- the beginning ---- */

/* Counts and logs one that gets no session. */
static void refuse(struct plane *plane, struct service *service,
                   const struct flow_key *key, enum cause cause)
{
    const struct udp_session refused = {
        .flow.key = *key,
        .service = service,
        .born_ns = plane->loop.now_ns,
    };

    admission_leave_udp(plane);
    service_counters_end(plane_counters(plane, service), cause, 0);
    log_end(plane, &refused, cause);
}

/* Puts it where it is found. */
static enum cause enrol(struct plane *plane, struct udp_session *session)
{
    if (udp_eviction_enter(plane, session) < 0 ||
        flow_insert(&plane->udp->flows, &session->flow) < 0) {
        return CAUSE_LOCAL_RESOURCE;
    }
    session->in_table = true;
    return CAUSE_NONE;
}

/* Ends the longest idle session so that this one may have its port or its
 * descriptor. False: there is none, or enough have ended for it. */
static bool end_instead(struct plane *plane, const struct udp_session *session,
                        unsigned *ended)
{
    struct udp_session *other = udp_eviction_pick_instead(plane, session);

    if (other == NULL || *ended == END_INSTEAD_MAX) {
        return false;
    }
    ++*ended;
    udp_session_close(plane, other, CAUSE_LOCAL_RESOURCE);
    return true;
}

static enum cause connect_upstream(struct plane *plane,
                                   struct udp_session *session)
{
    const struct choice_request request = {
        .plane = plane,
        .client = &session->flow.key.client,
        .kind = PLANE_UDP_SESSION,
        .index = session->index,
        .port = endpoint_port(&session->listener->endpoint),
    };
    enum choice_answer answer;
    struct choice choice;
    unsigned ended = 0;
    struct sock sock;

    choice_begin(&choice, session->service);
    do {
        answer = choice_connect(&choice, &request, &sock, &session->instance);
        if (answer != CHOICE_CONNECTED &&
            choice_cause(&choice) == CAUSE_LOCAL_RESOURCE &&
            end_instead(plane, session, &ended)) {
            choice_drop(&choice);
            choice_begin(&choice, session->service);
            answer = CHOICE_PAUSE;
        }
    } while (answer == CHOICE_PAUSE); /* no datagram waits for an upstream */
    session->upstream = choice.upstream;
    if (answer == CHOICE_NONE) {
        choice_drop(&choice);
        return choice_cause(&choice);
    }
    session->fd = sock.fd;
    session->header_due = choice_line(&choice)->proxy_protocol != PROXY_OFF;
    session->header_each =
        choice_line(&choice)->proxy_protocol == PROXY_V2_EACH;
    session->upstream = choice_keep(&choice, plane);
    session->in_upstream = true;
    return CAUSE_NONE;
}

/* A record, held and counted in. NULL: no memory. */
static struct udp_session *create(struct plane *plane,
                                  struct listener *listener,
                                  const struct flow_key *key, bool in_source)
{
    uint32_t index;
    struct udp_session *session = pool_borrow(&plane->udp->sessions, &index);

    if (session == NULL) {
        return NULL;
    }
    session->index = index;
    session->flow.key = *key;
    session->service = listener->service;
    session->listener = listener;
    session->in_source = in_source;
    session->born_ns = session->moved_ns = plane->loop.now_ns;
    session->fd = -1;
    session->timer.kind = PLANE_UDP_SESSION;
    listener->sessions++;
    plane_hold(plane, session->service->generation);
    return session;
}

struct udp_session *udp_session_begin(struct plane *plane,
                                      struct listener *listener,
                                      const struct flow_key *key)
{
    struct service *service = listener->service;
    struct udp_session *session;
    enum cause cause;
    bool in_source;

    if (service == NULL || !admission_enter_udp(plane)) {
        return NULL;
    }
    counter_add(&plane_counters(plane, service)->accepted, 1);
    cause = admission_enter_service(plane, service, &key->client, &in_source);
    if (cause != CAUSE_NONE) {
        refuse(plane, service, key, cause);
        return NULL;
    }
    session = create(plane, listener, key, in_source);
    if (session == NULL) {
        admission_leave_service(service, &key->client, in_source);
        refuse(plane, service, key, CAUSE_LOCAL_RESOURCE);
        return NULL;
    }
    cause = throttle_find_source(service, &key->client, in_source,
                                 &session->source_rate)
                ? enrol(plane, session)
                : CAUSE_LOCAL_RESOURCE;
    if (cause == CAUSE_NONE) {
        cause = connect_upstream(plane, session);
    }
    if (cause != CAUSE_NONE) {
        udp_session_close(plane, session, cause);
        return NULL;
    }
    arm(plane, session);
    make_room(plane, session);
    return session;
}

struct udp_session *udp_session_find(struct plane *plane,
                                     const struct flow_key *key)
{
    struct flow *flow = flow_find(&plane->udp->flows, key);
    struct udp_session *session;

    if (flow == NULL) {
        return NULL;
    }
    session = container_of(flow, struct udp_session, flow);
    if (session->finished) {
        udp_session_flush(plane); /* which ends it */
        return NULL;
    }
    return session;
}

/* ---- datagrams ---- */

void udp_session_send(struct plane *plane, struct udp_session *session,
                      struct datagram *const *list, unsigned count)
{
    if (udp_relay_send(plane, session, list, count) == UDP_RELAY_GONE) {
        upstream_is_gone(plane, session);
    }
}

static void receive(struct plane *plane, struct udp_session *session)
{
    switch (udp_relay_receive(plane, session)) {
    case UDP_RELAY_EMPTY:
    case UDP_RELAY_FINISHED:
        break;
    case UDP_RELAY_MORE:
        if (!list_linked(&session->link)) {
            loop_run_later(&plane->loop, PLANE_UDP, &session->link);
        }
        break;
    case UDP_RELAY_GONE:
        upstream_is_gone(plane, session);
        break;
    }
}

/* ---- handlers ---- */

void udp_session_event(struct loop *loop, uint32_t index, uint32_t instance,
                       uint32_t events)
{
    struct plane *plane = plane_of(loop);
    struct udp_session *session = pool_at(&plane->udp->sessions, index);

    if (session == NULL || session->instance != instance || session->closed ||
        session->finished) {
        return; /* of this batch, about one that has ended */
    }
    receive(plane, session);
    if (events & EPOLLERR && !session->closed && !session->finished &&
        datagram_refused(datagram_error(session->fd))) {
        upstream_is_gone(plane, session);
    }
}

void udp_session_timer(struct loop *loop, struct wheel_timer *timer)
{
    struct udp_session *session =
        container_of(timer, struct udp_session, timer);
    struct plane *plane = plane_of(loop);
    struct deadline deadline = find_deadline(plane, session);

    if (deadline.at_ns > plane->loop.now_ns) {
        arm(plane, session);
    } else {
        udp_session_close(plane, session, deadline.cause);
    }
}

void udp_session_run(struct loop *loop, struct list *link)
{
    receive(plane_of(loop), container_of(link, struct udp_session, link));
}

void udp_session_drain_all(struct plane *plane)
{
    struct udp_session *session;

    for (uint32_t i = 0;
         (session = pool_next(&plane->udp->sessions, &i)) != NULL; i++) {
        if (!session->closed) {
            arm(plane, session);
        }
    }
}

uint32_t udp_session_reset_some(struct plane *plane, uint32_t *next,
                                uint32_t count)
{
    struct udp_session *session;
    uint32_t ended = 0;

    udp_session_flush(plane);
    for (; ended < count &&
           (session = pool_next(&plane->udp->sessions, next)) != NULL;
         ++*next) {
        if (!session->closed) {
            end(plane, session, CAUSE_DRAIN);
            ended++;
        }
    }
    return ended;
}
