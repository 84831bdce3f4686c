#include "proxy/udp_relay.h"

#include "proxy/throttle.h"
#include "proxy/udp_eviction.h"
#include "wire/proxy_header.h"

#include <errno.h>
#include <sys/param.h>

/* Replies taken by one call, and calls in one turn. */
#define RECEIVE_MOST  8u
#define RECEIVE_CALLS 8u

void udp_relay_drop(struct plane *plane, const struct service *service,
                    enum drop drop, unsigned count)
{
    counter_add(&plane_counters(plane, service)->dropped[drop], count);
}

/* ---- replies that are due ---- */

/* The upstream gets so many datagrams, which it answers by udp_responses
 * each. */
static void expect_replies(struct udp_session *session, uint32_t count)
{
    uint64_t due = session->replies_due +
                   (uint64_t)count * session->service->config->udp_responses;

    session->replies_due = (uint32_t)MIN(due, UINT32_MAX);
}

/* So many datagrams of the client are not sent, and have no answer. */
static void lose(struct plane *plane, struct udp_session *session,
                 uint32_t count)
{
    uint64_t answers =
        (uint64_t)count * session->service->config->udp_responses;

    session->replies_due -= (uint32_t)MIN(answers, session->replies_due);
    udp_relay_drop(plane, session->service, DROP_SEND, count);
}

/* ---- in ---- */

/* How many segments the rates let pass. An empty datagram costs nothing. */
static uint32_t count_within_rates(const struct plane *plane,
                                   struct udp_session *session,
                                   enum direction direction,
                                   const struct datagram *datagram)
{
    uint32_t count = datagram_segments(datagram);
    struct rate *source = session->source_rate;

    if (!session->service->throttled) {
        return count;
    }
    source = source == NULL ? NULL : &source[direction];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bytes = datagram_segment_size(datagram, i);

        if (bytes > 0 && !throttle_take_whole(&session->rate[direction], source,
                                              session->service, direction,
                                              plane->loop.now_ns, bytes)) {
            return i;
        }
    }
    return count;
}

bool udp_relay_admit(struct plane *plane, struct udp_session *session,
                     enum direction direction, struct datagram *datagram)
{
    struct service_counters *service = plane_counters(plane, session->service);
    struct upstream_counters *upstream =
        plane_upstream_counters(plane, session->upstream);
    uint32_t all = datagram_segments(datagram);
    uint32_t pass = count_within_rates(plane, session, direction, datagram);

    udp_eviction_touch(plane, session);
    if (pass < all) {
        udp_relay_drop(plane, session->service, DROP_RATE, all - pass);
    }
    if (pass == 0) {
        return false;
    }
    datagram_keep_first(datagram, pass);
    if (direction == UP) {
        expect_replies(session, pass);
    }
    datagram->no_gso = session->no_gso;
    session->bytes[direction] += datagram->size;
    counter_add(&service->bytes[direction], datagram->size);
    counter_add(&upstream->bytes[direction], datagram->size);
    return true;
}

/* ---- up ---- */

static uint32_t count_all(struct datagram *const *list, unsigned count)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        sum += datagram_segments(list[i]);
    }
    return sum;
}

/* How many of the rest are dropped for an error that is not the peer's. */
static unsigned given_up(int error, unsigned rest)
{
    bool full = error == EAGAIN || error == ENOBUFS || error == ENOMEM;

    return full ? rest : 1;
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

/* Sends the next datagram with the header. Answers how many entries are done:
 * of a batch the first segment is, and the rest of the entry stays. */
static unsigned send_with_header(struct udp_session *session,
                                 struct datagram *const *list, int *error)
{
    uint8_t bytes[PROXY_HEADER_V2_MAX];
    size_t size = write_header(session, bytes);

    *error = datagram_send_with_header(session->fd, bytes, size, list[0]);
    if (*error != 0) {
        return 0;
    }
    session->header_due = session->header_each;
    if (datagram_segments(list[0]) == 1) {
        return 1;
    }
    datagram_drop_first(list[0]);
    return 0;
}

static unsigned send_some(struct udp_session *session,
                          struct datagram *const *list, unsigned count,
                          int *error)
{
    unsigned done;

    if (session->header_due) {
        return send_with_header(session, list, error);
    }
    done = datagram_send_connected(session->fd, list, count, error);
    session->no_gso |= list[0]->no_gso;
    return done;
}

enum udp_relay udp_relay_send(struct plane *plane, struct udp_session *session,
                              struct datagram *const *list, unsigned count)
{
    unsigned done;
    int error;

    while (count > 0) {
        done = send_some(session, list, count, &error);
        list += done;
        count -= done;
        if (datagram_refused(error)) {
            udp_relay_drop(plane, session->service, DROP_GONE,
                           count_all(list, count));
            return UDP_RELAY_GONE;
        }
        if (error != 0) {
            unsigned lost = given_up(error, count);

            lose(plane, session, count_all(list, lost));
            list += lost;
            count -= lost;
        }
    }
    return UDP_RELAY_EMPTY;
}

/* ---- down ---- */

/* Addresses a reply in the batch down to the client. */
static void address_reply(struct plane *plane, struct udp_session *session,
                          unsigned place)
{
    struct udp *udp = plane->udp;
    struct datagram *reply = &udp->down.list[place];
    const struct flow_key *key = &session->flow.key;

    udp->owner[place] = NULL;
    session->replies_due -= session->replies_due > 0;
    if (udp_relay_admit(plane, session, DOWN, reply)) {
        udp->owner[place] = session;
        reply->peer = key->client;
        reply->scope = key->scope;
        reply->local = key->local;
    }
}

/* Takes at most *asked replies, which it sets. Answers as datagram_receive. */
static int take_replies(struct plane *plane, struct udp_session *session,
                        unsigned *asked)
{
    uint32_t responses = session->service->config->udp_responses;
    struct udp *udp = plane->udp;
    unsigned first;
    int got;

    if (udp->down.count == DATAGRAM_BATCH) {
        udp_relay_flush(plane);
    }
    first = udp->down.count;
    *asked = MIN(RECEIVE_MOST, DATAGRAM_BATCH - first);
    if (responses != 0) { /* or one that nobody asked for */
        *asked = MIN(*asked, MAX(session->replies_due, 1u));
    }
    got = datagram_receive_connected(&udp->down, session->fd, *asked);
    for (int i = 0; i < got; i++) {
        address_reply(plane, session, first + (unsigned)i);
    }
    if (responses != 0 && got > 0 && session->replies_due == 0) {
        session->finished = true;
        list_remove(&session->link);
        list_append(&udp->finished, &session->link);
    }
    return got;
}

/* The session is a flow: GRO pays. Not where replies are counted, which come
 * one by one then. */
static void enable_gro(struct udp_session *session)
{
    if (!session->takes_gro && session->service->config->udp_responses == 0) {
        session->takes_gro = true;
        datagram_enable_gro(session->fd);
    }
}

enum udp_relay udp_relay_receive(struct plane *plane,
                                 struct udp_session *session)
{
    unsigned asked;
    int got;

    plane_trim_later(plane);
    for (unsigned i = 0; i < RECEIVE_CALLS; i++) {
        got = take_replies(plane, session, &asked);
        if (got < 0 && datagram_refused(errno)) {
            return UDP_RELAY_GONE;
        }
        if (session->finished) {
            return UDP_RELAY_FINISHED;
        }
        if (got < (int)asked) {
            return UDP_RELAY_EMPTY;
        }
        enable_gro(session);
    }
    return UDP_RELAY_MORE;
}

void udp_relay_receive_last(struct plane *plane, struct udp_session *session)
{
    unsigned asked;

    for (unsigned i = 0; i < RECEIVE_CALLS && !session->finished; i++) {
        if (take_replies(plane, session, &asked) <= 0) {
            break;
        }
    }
}

/* Sends replies that leave by the same socket. */
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
            udp_relay_drop(plane, owners[done]->service, DROP_SEND,
                           datagram_segments(list[done]));
        }
    }
    for (unsigned i = 0; i < count; i++) {
        owners[i]->no_gso |= list[i]->no_gso;
    }
}

/* Sends the replies from first on that leave by the same socket. Answers the
 * place after the last. */
static unsigned flush_some(struct plane *plane, unsigned first)
{
    struct udp *udp = plane->udp;
    struct datagram *list[DATAGRAM_BATCH];
    struct udp_session *owners[DATAGRAM_BATCH];
    const struct listener *listener = NULL;
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
        send_replies(plane, &listener->datagram, list, owners, count);
    }
    return first;
}

void udp_relay_flush(struct plane *plane)
{
    struct udp *udp = plane->udp;

    for (unsigned place = 0; place < udp->down.count;) {
        place = flush_some(plane, place);
    }
    udp->down.count = 0;
}
