#include "proxy/udp_session.h"

#include "proxy/admission.h"
#include "proxy/choice.h"
#include "proxy/deadline.h"
#include "proxy/listener.h"
#include "proxy/record.h"
#include "wire/proxy_header.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/param.h>

/* Replies taken by one call, and calls in one visit before others have their
 * turn. */
#define RECEIVE_MOST  8u
#define RECEIVE_CALLS 8u

static struct service_counters *counters_of(const struct plane *plane,
                                            const struct service *service)
{
    return &service->state->counters[plane->number];
}

static void count_dropped(struct plane *plane, const struct service *service,
                          unsigned count)
{
    counter_add(&counters_of(plane, service)->dropped, count);
}

/* ---- who has been idle for how long ---- */

static struct udp_group *group_of(struct udp *udp, struct service_state *state)
{
    struct udp_group *group;

    for (struct list *link = list_first(&udp->groups);
         link != NULL && link != &udp->groups; link = link->next) {
        group = container_of(link, struct udp_group, link);
        if (group->state == state) {
            return group;
        }
    }
    group = calloc(1, sizeof(*group));
    if (group != NULL) {
        group->state = state;
        list_append(&udp->groups, &group->link);
    }
    return group;
}

static void group_leave(struct udp_session *session)
{
    struct udp_group *group = session->group;

    list_remove(&session->age);
    session->group = NULL;
    if (--group->sessions == 0) {
        list_remove(&group->link);
        free(group);
    }
}

/* A datagram has come. */
static void touch(struct plane *plane, struct udp_session *session)
{
    if (session->moved_ns != plane->loop.now_ns) {
        session->moved_ns = plane->loop.now_ns;
        list_remove(&session->age);
        list_append(&session->group->idle, &session->age);
    }
}

/* ---- the end ---- */

static void log_end(const struct plane *plane,
                    const struct udp_session *session, enum cause cause)
{
    struct record record = {
        .service = session->service,
        .upstream = session->upstream,
        .client = &session->flow.key.client,
        .cause = cause,
        .bytes = {session->bytes[UP], session->bytes[DOWN]},
        .duration_ns = plane->loop.now_ns - session->born_ns,
    };

    if (record_wanted(session->service)) {
        record_write(&record);
    }
}

/* What the session counted in, it counts out. */
static void leave(struct plane *plane, struct udp_session *session)
{
    if (session->in_table) {
        flow_remove(&plane->udp->flows, &session->flow);
    }
    if (session->group != NULL) {
        group_leave(session);
    }
    if (session->in_upstream) {
        upstream_leave(session->upstream);
    }
    session->listener->sessions--;
    admission_leave_service(session->service, &session->flow.key.client,
                            session->in_source);
    admission_leave_process(plane);
    plane_release(plane, session->service->generation);
}

/* No datagram of it is in the batch down. */
static void end(struct plane *plane, struct udp_session *session,
                enum cause cause)
{
    struct sock sock = {.fd = session->fd};

    counter_add(&counters_of(plane, session->service)->ended[cause], 1);
    log_end(plane, session, cause);
    sock_close(&sock);
    wheel_disarm(&plane->loop.wheel, &session->timer);
    session->closed = true;
    list_remove(&session->link);
    list_append(&plane->udp->dead, &session->link);
    leave(plane, session);
}

void udp_session_close(struct plane *plane, struct udp_session *session,
                       enum cause cause)
{
    udp_session_flush(plane);
    if (!session->closed) {
        end(plane, session, cause);
    }
}

void udp_session_free_deferred(struct plane *plane)
{
    struct list *link;

    while ((link = list_pop(&plane->udp->dead)) != NULL) {
        pool_return(&plane->udp->sessions,
                    container_of(link, struct udp_session, link)->index);
    }
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

    counter_add(&counters_of(plane, service)->ended[cause], 1);
    log_end(plane, &refused, cause);
}

/* Above max_sessions the longest idle one goes. False: it is not ours. */
static bool make_room(struct plane *plane, struct udp_session *session)
{
    const struct service_state *state = session->service->state;
    uint32_t max = session->service->config->max_sessions;
    struct list *oldest;

    if (max == 0 ||
        atomic_load_explicit(&state->active, memory_order_relaxed) <= max) {
        return true;
    }
    udp_session_flush(plane); /* some may end by that */
    if (atomic_load_explicit(&state->active, memory_order_relaxed) <= max) {
        return true;
    }
    oldest = list_first(&session->group->idle);
    if (oldest == &session->age) {
        return false;
    }
    udp_session_close(plane, container_of(oldest, struct udp_session, age),
                      CAUSE_LIMIT_CONNECTIONS);
    return true;
}

/* Puts it where it can be found. */
static enum cause enrol(struct plane *plane, struct udp_session *session)
{
    session->group = group_of(plane->udp, session->service->state);
    if (session->group == NULL) {
        return CAUSE_LOCAL_RESOURCE;
    }
    session->group->sessions++;
    list_append(&session->group->idle, &session->age);
    if (flow_insert(&plane->udp->flows, &session->flow) < 0) {
        return CAUSE_LOCAL_RESOURCE;
    }
    session->in_table = true;
    return make_room(plane, session) ? CAUSE_NONE : CAUSE_LIMIT_CONNECTIONS;
}

/* Opens the socket to the upstream that was entered. */
static enum cause connect_one(struct plane *plane, struct udp_session *session)
{
    uint64_t token =
        loop_token(PLANE_UDP_SESSION, session->index, session->instance);
    struct sock sock;

    switch (choice_connect(session->service, session->upstream, &sock,
                           connect_datagram)) {
    case CONNECT_DONE:
        break;
    case CONNECT_LOCAL:
        listener_pause_exhausted(plane, errno);
        return CAUSE_LOCAL_RESOURCE;
    default:
        choice_blame(plane, session->service, session->upstream,
                     CAUSE_CONNECT_REFUSED);
        return CAUSE_CONNECT_REFUSED;
    }
    session->fd = sock.fd;
    if (poller_add_datagram(&plane->loop.poller, sock.fd, token) < 0) {
        return CAUSE_LOCAL_RESOURCE;
    }
    counter_add(&session->upstream->counters[plane->number].total, 1);
    return CAUSE_NONE;
}

/* Upstream i will not be picked again for this client. A single one may be. */
static void mark_tried(const struct service *service, uint64_t **tried,
                       size_t i)
{
    size_t count = service->upstream_count;

    if (count > 1 && *tried == NULL) {
        *tried = calloc((count + 63) / 64, sizeof(uint64_t));
    }
    if (*tried != NULL) {
        (*tried)[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

/* Tries the upstreams in turn. */
static enum cause connect_any(struct plane *plane, struct udp_session *session)
{
    struct service *service = session->service;
    enum cause cause = CAUSE_NO_UPSTREAM;
    uint64_t *tried = NULL;

    for (uint32_t n = 0; n < service->config->connect_attempts; n++) {
        ssize_t i =
            choice_pick(plane, service, &session->flow.key.client, tried);

        if (i < 0) {
            break;
        }
        session->upstream = service->upstreams[i];
        session->in_upstream = upstream_enter(
            session->upstream, service->lines[i]->max_connections);
        if (session->in_upstream) {
            cause = connect_one(plane, session);
            if (cause == CAUSE_NONE || session->fd >= 0) {
                session->header_due =
                    service->lines[i]->proxy_protocol != PROXY_OFF;
                break;
            }
            upstream_leave(session->upstream);
            session->in_upstream = false;
        }
        mark_tried(service, &tried, (size_t)i);
    }
    free(tried);
    return cause;
}

/* Sees to it that the timer rings in time. */
static void arm(struct plane *plane, struct udp_session *session,
                uint64_t due_ns)
{
    if (due_ns != UINT64_MAX) {
        wheel_arm(&plane->loop.wheel, &session->timer, due_ns);
    }
}

static uint64_t idle_end_ns(const struct udp_session *session)
{
    uint64_t timeout_ns = session->service->config->idle_timeout_ns;

    return timeout_ns == 0 ? UINT64_MAX : session->moved_ns + timeout_ns;
}

/* Nothing says that its peers have done, but that they are quiet. */
static uint64_t drain_end_ns(const struct plane *plane,
                             const struct udp_session *session)
{
    return plane->draining ? session->moved_ns + UDP_DRAIN_QUIET_NS
                           : UINT64_MAX;
}

static uint64_t life_end_ns(const struct udp_session *session)
{
    uint64_t lifetime_ns = deadline_lifetime_ns(
        session->service->config, session->born_ns, session->instance);

    return lifetime_ns == 0 ? UINT64_MAX : session->born_ns + lifetime_ns;
}

/* When it ends, as far as is known now, and why. */
static struct deadline end_of(const struct plane *plane,
                              const struct udp_session *session)
{
    const struct deadline ends[] = {
        {idle_end_ns(session), CAUSE_IDLE_TIMEOUT},
        {life_end_ns(session), CAUSE_MAX_LIFETIME},
        {drain_end_ns(plane, session), CAUSE_DRAIN},
    };
    struct deadline earliest = ends[0];

    for (size_t i = 1; i < ARRAY_LEN(ends); i++) {
        if (ends[i].at_ns < earliest.at_ns) {
            earliest = ends[i];
        }
    }
    return earliest;
}

static void describe(struct plane *plane, struct udp_session *session,
                     struct udp_listener *listener, const struct flow_key *key)
{
    session->flow.key = *key;
    session->service = listener->service;
    session->listener = listener;
    session->born_ns = session->moved_ns = plane->loop.now_ns;
    session->instance = plane->udp->instance++;
    session->fd = -1;
    session->timer.kind = PLANE_UDP_SESSION;
    listener->sessions++;
    plane_hold(plane, session->service->generation);
}

/* For a client who was let in. */
static struct udp_session *create(struct plane *plane,
                                  struct udp_listener *listener,
                                  const struct flow_key *key, bool in_source)
{
    struct service *service = listener->service;
    uint32_t index;
    struct udp_session *session = pool_borrow(&plane->udp->sessions, &index);
    enum cause cause;

    if (session == NULL) {
        admission_leave_service(service, &key->client, in_source);
        admission_leave_process(plane);
        refuse(plane, service, key, CAUSE_LOCAL_RESOURCE);
        return NULL;
    }
    session->index = index;
    session->in_source = in_source;
    describe(plane, session, listener, key);
    cause = enrol(plane, session);
    if (cause == CAUSE_NONE) {
        cause = connect_any(plane, session);
    }
    if (cause != CAUSE_NONE) {
        udp_session_close(plane, session, cause);
        return NULL;
    }
    arm(plane, session, end_of(plane, session).at_ns);
    return session;
}

struct udp_session *udp_session_begin(struct plane *plane,
                                      struct udp_listener *listener,
                                      const struct flow_key *key)
{
    struct service *service = listener->service;
    enum cause cause;
    bool in_source;

    if (service == NULL || !admission_enter_process(plane)) {
        return NULL;
    }
    counter_add(&counters_of(plane, service)->accepted, 1);
    cause = admission_enter_service(plane, service, &key->client, &in_source);
    if (cause != CAUSE_NONE) {
        admission_leave_process(plane);
        refuse(plane, service, key, cause);
        return NULL;
    }
    return create(plane, listener, key, in_source);
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

/* Whole datagrams pass, or do not. */
static bool within_rates(struct plane *plane, struct udp_session *session,
                         enum direction direction, uint32_t bytes)
{
    struct service *service = session->service;
    uint64_t now_ns = plane->loop.now_ns;

    if (!service->throttled || bytes == 0) {
        return true;
    }
    if (!rate_take(&session->rate[direction], &service->rate[direction], now_ns,
                   bytes)) {
        return false;
    }
    if (rate_take(&service->state->rate[direction],
                  &service->service_rate[direction], now_ns, bytes)) {
        return true;
    }
    rate_refund(&session->rate[direction], &service->rate[direction], bytes);
    return false;
}

/* How many of them pass. */
static uint32_t count_within_rates(struct plane *plane,
                                   struct udp_session *session,
                                   enum direction direction,
                                   const struct datagram *datagram)
{
    uint32_t count = datagram_segments(datagram);

    if (!session->service->throttled) {
        return count;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!within_rates(plane, session, direction,
                          datagram_segment_size(datagram, i))) {
            return i;
        }
    }
    return count;
}

bool udp_session_admit(struct plane *plane, struct udp_session *session,
                       enum direction direction, struct datagram *datagram)
{
    struct service_counters *counters = counters_of(plane, session->service);
    uint32_t all = datagram_segments(datagram);
    uint32_t pass = count_within_rates(plane, session, direction, datagram);

    touch(plane, session);
    if (pass < all) {
        counter_add(&counters->dropped, all - pass);
    }
    if (pass == 0) {
        return false;
    }
    datagram_keep_first(datagram, pass);
    datagram->no_gso = session->singly;
    session->bytes[direction] += datagram->size;
    counter_add(&counters->bytes[direction], datagram->size);
    counter_add(&session->upstream->counters[plane->number].bytes[direction],
                datagram->size);
    return true;
}

static uint32_t count_all(struct datagram *const *list, unsigned count)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        sum += datagram_segments(list[i]);
    }
    return sum;
}

/* How many of the rest are given up for an error that is not the peer's. */
static unsigned given_up(int error, unsigned rest)
{
    bool full = error == EAGAIN || error == ENOBUFS || error == ENOMEM;

    return full ? rest : 1;
}

static int take_replies(struct plane *plane, struct udp_session *session,
                        unsigned *asked);

/* The network says that nobody takes datagrams there. What the upstream sent
 * before is still passed on. */
static void upstream_is_gone(struct plane *plane, struct udp_session *session)
{
    unsigned asked;

    for (unsigned i = 0; i < RECEIVE_CALLS && !session->finished; i++) {
        if (take_replies(plane, session, &asked) <= 0) {
            break;
        }
    }
    choice_blame(plane, session->service, session->upstream,
                 CAUSE_CONNECT_REFUSED);
    udp_session_close(plane, session, CAUSE_CONNECT_REFUSED);
}

/* What an upstream is told about the client. */
static size_t write_header(const struct udp_session *session,
                           uint8_t bytes[PROXY_HEADER_V2_MAX])
{
    struct proxy_header header = {.source = session->flow.key.client};

    addr_from_sockaddr(&header.destination, &session->listener->endpoint.u.any);
    if (session->flow.key.local.family != 0) {
        uint16_t port = header.destination.port;

        header.destination = session->flow.key.local;
        header.destination.port = port;
    }
    return proxy_header_format_v2(&header, bytes, true);
}

/* Sends the first datagram with the header. Answers how many entries are done,
 * or gone into what is left of the first. */
static unsigned send_headed(struct udp_session *session,
                            struct datagram *const *list, int *error)
{
    uint8_t bytes[PROXY_HEADER_V2_MAX];
    size_t size = write_header(session, bytes);

    *error = datagram_send_with_header(session->fd, bytes, size, list[0]);
    if (*error != 0) {
        return 0;
    }
    session->header_due = false;
    if (datagram_segments(list[0]) == 1) {
        return 1;
    }
    datagram_drop_first(list[0]);
    return 0;
}

static unsigned send_up(struct udp_session *session,
                        struct datagram *const *list, unsigned count,
                        int *error)
{
    unsigned done;

    if (session->header_due) {
        return send_headed(session, list, error);
    }
    done = datagram_send_connected(session->fd, list, count, error);
    session->singly |= list[0]->no_gso;
    return done;
}

void udp_session_send(struct plane *plane, struct udp_session *session,
                      struct datagram *const *list, unsigned count)
{
    unsigned done;
    int error;

    while (count > 0) {
        done = send_up(session, list, count, &error);
        list += done;
        count -= done;
        if (datagram_refused(error)) {
            count_dropped(plane, session->service, count_all(list, count));
            upstream_is_gone(plane, session);
            return;
        }
        if (error != 0) {
            unsigned lost = given_up(error, count);

            count_dropped(plane, session->service, count_all(list, lost));
            list += lost;
            count -= lost;
        }
    }
}

/* Addresses a reply, which stands in the batch down, to the client. */
static void address_reply(struct plane *plane, struct udp_session *session,
                          unsigned place)
{
    struct udp *udp = plane->udp;
    struct datagram *reply = &udp->down.list[place];
    const struct flow_key *key = &session->flow.key;

    udp->owner[place] = NULL;
    session->replies++;
    if (udp_session_admit(plane, session, DOWN, reply)) {
        udp->owner[place] = session;
        reply->peer = key->client;
        reply->scope = key->scope;
        reply->local = key->local;
    }
}

/* Takes at most *asked, which it sets. Answers as datagram_receive. */
static int take_replies(struct plane *plane, struct udp_session *session,
                        unsigned *asked)
{
    uint32_t responses = session->service->config->udp_responses;
    struct udp *udp = plane->udp;
    unsigned first;
    int got;

    if (udp->down.count == DATAGRAM_BATCH) {
        udp_session_flush(plane);
    }
    first = udp->down.count;
    *asked = MIN(RECEIVE_MOST, DATAGRAM_BATCH - first);
    if (responses != 0) {
        *asked = MIN(*asked, responses - session->replies);
    }
    got = datagram_receive_connected(&udp->down, session->fd, *asked);
    for (int i = 0; i < got; i++) {
        address_reply(plane, session, first + (unsigned)i);
    }
    if (responses != 0 && session->replies >= responses) {
        session->finished = true;
        list_remove(&session->link);
        list_append(&udp->finished, &session->link);
    }
    return got;
}

/* It is a flow. Not where replies are counted: there is no half a train. */
static void take_trains(struct udp_session *session)
{
    if (!session->in_trains && session->service->config->udp_responses == 0) {
        session->in_trains = true;
        datagram_enable_gro(session->fd);
    }
}

/* It has more than is its turn. */
static void go_on_later(struct plane *plane, struct udp_session *session)
{
    struct udp *udp = plane->udp;

    if (!list_linked(&session->link)) {
        list_append(&udp->more, &session->link);
    }
    if (!list_linked(&udp->turn)) {
        list_append(&plane->loop.runnable[0], &udp->turn);
    }
}

void udp_session_receive(struct plane *plane, struct udp_session *session)
{
    unsigned asked;
    int got;

    plane_memory_used(plane);
    for (unsigned i = 0; i < RECEIVE_CALLS; i++) {
        got = take_replies(plane, session, &asked);
        if (got < 0 && datagram_refused(errno)) {
            upstream_is_gone(plane, session);
            return;
        }
        if (session->finished || got < (int)asked) {
            return;
        }
        take_trains(session);
    }
    go_on_later(plane, session);
}

/* Sends replies, which leave by the same socket. */
static void send_replies(struct plane *plane,
                         const struct datagram_socket *socket,
                         struct datagram *const *list,
                         struct udp_session *const *owners, unsigned count)
{
    unsigned done = 0;
    int error;

    while (done < count) {
        done += datagram_send(socket, &list[done], count - done, &error);
        for (unsigned lost = error == 0 ? 0 : given_up(error, count - done);
             lost > 0; lost--, done++) {
            count_dropped(plane, owners[done]->service,
                          datagram_segments(list[done]));
        }
    }
    for (unsigned i = 0; i < count; i++) {
        owners[i]->singly |= list[i]->no_gso;
    }
}

/* Sends the replies from first on that leave by the same socket. Answers the
 * place after the last. */
static unsigned flush_some(struct plane *plane, unsigned first)
{
    struct udp *udp = plane->udp;
    struct datagram *list[DATAGRAM_BATCH];
    struct udp_session *owners[DATAGRAM_BATCH];
    const struct udp_listener *listener = NULL;
    unsigned count = 0;

    for (; first < udp->down.count; first++) {
        struct udp_session *owner = udp->owner[first];

        if (owner == NULL) {
            continue;
        }
        if (listener != NULL && owner->listener != listener) {
            break;
        }
        listener = owner->listener;
        owners[count] = owner;
        list[count++] = &udp->down.list[first];
    }
    if (count > 0) {
        send_replies(plane, &listener->socket, list, owners, count);
    }
    return first;
}

void udp_session_flush(struct plane *plane)
{
    struct udp *udp = plane->udp;
    struct list *link;

    for (unsigned place = 0; place < udp->down.count;) {
        place = flush_some(plane, place);
    }
    udp->down.count = 0;
    while ((link = list_pop(&udp->finished)) != NULL) {
        end(plane, container_of(link, struct udp_session, link),
            CAUSE_UPSTREAM_FIN);
    }
}

/* ---- events ---- */

void udp_session_event(struct plane *plane, uint32_t index, uint32_t instance,
                       uint32_t events)
{
    struct udp_session *session = pool_at(&plane->udp->sessions, index);

    if (session == NULL || session->instance != instance || session->closed ||
        session->finished) {
        return; /* of this batch, about one that is no more */
    }
    udp_session_receive(plane, session);
    if (events & EPOLLERR && !session->closed && !session->finished &&
        datagram_refused(datagram_error(session->fd))) {
        upstream_is_gone(plane, session);
    }
}

void udp_session_timer(struct plane *plane, struct wheel_timer *timer)
{
    struct udp_session *session =
        container_of(timer, struct udp_session, timer);
    struct deadline end = end_of(plane, session);

    if (end.at_ns > plane->loop.now_ns) {
        arm(plane, session, end.at_ns);
    } else {
        udp_session_close(plane, session, end.cause);
    }
}

void udp_session_drain(struct plane *plane, struct udp_session *session)
{
    if (!session->closed) {
        arm(plane, session, end_of(plane, session).at_ns);
    }
}
