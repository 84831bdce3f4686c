#include "proxy/udp_listener.h"

#include "net/connect.h"
#include "proxy/udp_relay.h"
#include "proxy/udp_session.h"

/* Batches taken from one socket in one turn of the loop. */
#define RECEIVE_CALLS 8

/* ---- which sockets ---- */

/* Whose clients come to that address now; NULL: nobody's. A socket of one
 * address gets the datagrams of that address even if another socket has all. */
static struct service *service_at(const struct plane *plane,
                                  const struct endpoint *endpoint)
{
    const struct listener *listener =
        listener_at_port(plane, endpoint_port(endpoint));
    struct service *covering = NULL;

    for (; listener != NULL; listener = listener->by_port) {
        if (!listener->kept) {
            continue;
        }
        if (endpoint_equal(&listener->endpoint, endpoint)) {
            return listener->service;
        }
        if (endpoint_covers(&listener->endpoint, endpoint)) {
            covering = listener->service;
        }
    }
    return covering;
}

static bool has_tcp(const struct generation *generation)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        if (generation->services[i].config->mode != CONFIG_UDP) {
            return true;
        }
    }
    return false;
}

void udp_listener_apply(struct plane *plane,
                        const struct generation *generation)
{
    struct listener *listener = NULL;

    if (plane->udp != NULL) {
        plane->udp->alone = !has_tcp(generation);
    }
    while ((listener = listener_next(plane, listener)) != NULL) {
        if (!listener->udp) {
            continue;
        }
        if (!listener->kept) {
            /* The kernel may give it clients of an address that is back, or
             * that a wider one covers. */
            listener->service = service_at(plane, &listener->endpoint);
        }
        listener_watch(plane, listener);
    }
    udp_listener_close_unused(plane);
}

/* ---- from clients to upstreams ---- */

/* Datagrams of one session that follow one another. */
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

static struct flow_key key_of(const struct listener *listener,
                              const struct datagram *datagram)
{
    return (struct flow_key){
        .client = datagram->peer,
        .local = datagram->local,
        .scope = datagram->scope,
        .listener = listener->id,
    };
}

/* Every worker gets a copy of what is sent to a broadcast or multicast address:
 * one takes it. So does a socket that is not kept, which takes it only while
 * nobody else has its address, for the sessions that are left. */
static bool takes_copy(const struct plane *plane,
                       const struct listener *listener,
                       const struct datagram *datagram)
{
    uint64_t hash = addr_hash(&datagram->peer, 32, 128);

    return hash % plane->generation->workers == plane->number &&
           (listener->kept || listener->service == NULL);
}

static bool same_ip(const struct addr *a, const struct addr *b)
{
    return addr_is_ip(a) && addr_compare_ip(a, b) == 0;
}

/* Whether what is sent to the client arrives at this listener. */
static bool leads_to(const struct listener *listener,
                     const struct flow_key *key)
{
    struct addr addr;

    addr_from_sockaddr(&addr, &listener->endpoint.u.any);
    if (addr.port != key->client.port) {
        return false;
    }
    if (!listener->datagram.any_address) {
        return same_ip(&addr, &key->client);
    }
    if (key->client.family == AF_INET6 && addr.family == AF_INET) {
        return false;
    }
    return same_ip(&key->local, &key->client) ||
           connect_is_own(&key->client, key->scope);
}

/* Whether the source is an address of ours: the reply would come back as a
 * question, for ever. Only a forged datagram, or another process that shares
 * our port, has such a source. */
static bool comes_from_us(const struct plane *plane, const struct flow_key *key)
{
    const struct listener *listener = listener_at_port(plane, key->client.port);

    while (listener != NULL && !leads_to(listener, key)) {
        listener = listener->by_port;
    }
    return listener != NULL;
}

static struct udp_session *begin(struct plane *plane, struct listener *listener,
                                 const struct flow_key *key)
{
    return comes_from_us(plane, key) ? NULL
                                     : udp_session_begin(plane, listener, key);
}

static void pass_up(struct plane *plane, struct listener *listener,
                    struct run *run, struct datagram *datagram)
{
    struct flow_key key = key_of(listener, datagram);
    struct udp_session *session;

    if (datagram->group && !takes_copy(plane, listener, datagram)) {
        return;
    }
    session = udp_session_find(plane, &key);
    if (session == NULL || session != run->session) {
        run_end(plane, run);
        run->session = session != NULL ? session : begin(plane, listener, &key);
    }
    if (run->session == NULL) {
        if (listener->service != NULL) {
            udp_relay_drop(plane, listener->service, DROP_REFUSED,
                           datagram_segments(datagram));
        }
    } else if (udp_relay_admit(plane, run->session, UP, datagram)) {
        run->list[run->count++] = datagram;
    }
}

/* Takes what has arrived, as far as one turn may. */
static void receive(struct plane *plane, struct listener *listener)
{
    struct udp *udp = plane->udp;
    struct run run = {.session = NULL};
    unsigned count;

    plane_trim_later(plane);
    for (int call = 0; call < RECEIVE_CALLS; call++) {
        if (datagram_receive(&udp->up, &listener->datagram, DATAGRAM_BATCH) <
            0) {
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

void udp_listener_event(struct loop *loop, uint32_t id, uint32_t instance,
                        uint32_t events)
{
    struct plane *plane = plane_of(loop);
    struct listener *listener = listener_at(plane, id);

    (void)instance, (void)events;
    if (listener != NULL) {
        receive(plane, listener);
    }
}

/* ---- which sockets close ---- */

static bool is_unused(const struct listener *listener)
{
    return listener->udp && !listener->kept && listener->sessions == 0;
}

void udp_listener_leave_inherited(struct plane *plane)
{
    struct listener *listener = NULL;

    while ((listener = listener_next(plane, listener)) != NULL) {
        if (listener->udp && listener->inherited) {
            listener_unwatch(plane, listener);
        }
    }
}

void udp_listener_close_unused(struct plane *plane)
{
    struct listener *listener = listener_next(plane, NULL);

    while (listener != NULL) {
        struct listener *next = listener_next(plane, listener);

        /* Datagrams that arrived before its clients came to another socket
         * would be lost with it; they may begin a session. */
        if (is_unused(listener) && listener->service != NULL) {
            receive(plane, listener);
        }
        if (is_unused(listener)) {
            listener_close(plane, listener);
        }
        listener = next;
    }
}

void udp_listener_turn(struct plane *plane)
{
    udp_session_flush(plane);
    if (plane->udp->listener_unused) {
        plane->udp->listener_unused = false;
        udp_listener_close_unused(plane);
    }
}
