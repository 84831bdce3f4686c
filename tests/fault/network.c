#include "rig.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

#define SERVERS_MAX (CONNS_MAX * ANSWERS_MAX)
/* So much shows who is at the other end. */
#define LOOK_BYTES 256

static struct peer servers[SERVERS_MAX];
static unsigned server_count;

static struct rig_service *service_of(const struct endpoint *upstream)
{
    return &rig.services[ntohl(upstream->u.in.sin_addr.s_addr) >> 16 & 255];
}

static unsigned place_of(const struct endpoint *upstream)
{
    return ntohl(upstream->u.in.sin_addr.s_addr) & 65535;
}

/* The only connection that asks for the service; NULL: several do. */
static struct conn *only_conn(const struct rig_service *service)
{
    if (service->clients != 1) {
        return NULL;
    }
    for (unsigned i = 0; i < rig.count; i++) {
        if (rig.conns[i].service == service) {
            return &rig.conns[i];
        }
    }
    return NULL;
}

unsigned network_told(const struct rig_service *service, unsigned upstream)
{
    return service->told == TOLD_MIXED ? upstream % 3 : (unsigned)service->told;
}

/* ---- what connects meet ------------------------------------------------ */

/* Notes an attempt of the only connection that may make one. Without memory
 * nobody may know which upstreams were tried. */
static void note_attempt(struct conn *conn, unsigned upstream)
{
    uint64_t bit = UINT64_C(1) << (upstream % 64);
    bool again =
        conn->service->upstreams > 1 && conn->tried[upstream / 64] & bit;

    if (conn->entry != ENTRY_ROUTED) {
        rig_fail("an upstream is asked for one that was to be turned away");
    }
    if (conn->attempts == conn->service->attempts) {
        rig_fail("more than %u connects", conn->attempts);
    }
    if (again && kernel_record()->memory == 0) {
        rig_fail("upstream %u was tried again", upstream);
    }
    if (conn->attempts > 0 && conn->last_answer == ANSWER_SILENCE) {
        check_connect_timeout(conn);
    }
    conn->tried[upstream / 64] |= bit;
    conn->attempts++;
    conn->asked_ns = kernel_now_ns();
}

static enum answer answer_of(const struct conn *conn, unsigned upstream)
{
    if (conn->one_by_one) {
        return (int)upstream == conn->good ? ANSWER_ACCEPT : ANSWER_REFUSE;
    }
    return conn->answers[(conn->attempts - 1) % ANSWERS_MAX];
}

static enum verdict route(void *arg, const struct endpoint *to)
{
    struct rig_service *service = service_of(to);
    struct conn *conn = only_conn(service);

    (void)arg;
    if (ntohs(to->u.in.sin_port) != UPSTREAM_PORT) {
        return VERDICT_REFUSE; /* a listener that is no more */
    }
    if (service->clients == 0) {
        rig_fail("an upstream is asked whose service nobody asked for");
    }
    service->connects++;
    if (conn == NULL) {
        if (service->connects > service->clients * service->attempts) {
            rig_fail("more connects than attempts of all connections");
        }
        return VERDICT_ACCEPT;
    }
    note_attempt(conn, place_of(to));
    conn->last_answer = answer_of(conn, place_of(to));
    kernel_trace("connect  attempt %u of connection %td: answer %d",
                 conn->attempts, conn - rig.conns, conn->last_answer);
    switch (conn->last_answer) {
    case ANSWER_REFUSE:
        return VERDICT_REFUSE;
    case ANSWER_SILENCE:
        return VERDICT_SILENCE;
    default:
        return VERDICT_ACCEPT;
    }
}

/* ---- which server is whose --------------------------------------------- */

/* What the server must get in front of the pattern. */
static struct peer_front front_at(const struct conn *conn,
                                  const struct endpoint *upstream)
{
    unsigned told = network_told(service_of(upstream), place_of(upstream));
    struct peer_front front = conn->client_peer.sends;

    front.head = told == 0 ? NULL : conn->told[told - 1];
    front.head_bytes = told == 0 ? 0 : conn->told_bytes[told - 1];
    return front;
}

static void become_server_of(struct peer *server, struct conn *conn)
{
    if (conn->server_count == ANSWERS_MAX) {
        rig_fail("more servers than attempts");
        return;
    }
    conn->servers[conn->server_count++] = server;
    conn->taken_ns = kernel_now_ns();
    server->plan = conn->server_plan;
    server->gets = front_at(conn, &server->stream->local);
    server->pattern = conn->client_peer.expects;
    server->expects = conn->client_peer.pattern;
    server->identify = NULL;
}

/* Whether so many bytes may be the first that the server gets from it. */
static bool may_be(const struct peer *server, const struct conn *conn,
                   const unsigned char *bytes, size_t count)
{
    struct peer_front front = front_at(conn, &server->stream->local);
    unsigned char due[LOOK_BYTES];

    if (conn->service != service_of(&server->stream->local) ||
        conn->entry != ENTRY_ROUTED) {
        return false;
    }
    peer_copy(&front, conn->client_peer.pattern, 0, due, count);
    return memcmp(bytes, due, count) == 0;
}

/* Looks whose connection this is by the bytes that have come. */
static bool identify(struct peer *server)
{
    unsigned char bytes[LOOK_BYTES];
    ssize_t count =
        stream_recv(server->stream, bytes, LOOK_BYTES, MSG_PEEK, LOOK_BYTES);
    struct conn *found = NULL;
    unsigned candidates = 0;

    if (count < 0 && errno == EAGAIN) {
        return false;
    }
    for (unsigned i = 0; count > 0 && i < rig.count; i++) {
        if (may_be(server, &rig.conns[i], bytes, (size_t)count)) {
            found = &rig.conns[i];
            candidates++;
        }
    }
    if (candidates > 1) {
        return false;
    }
    if (candidates == 0) {
        if (count > 0) {
            rig_fail("a server got wrong bytes first");
        }
        peer_stop(server);
        return false;
    }
    become_server_of(server, found);
    return true;
}

static void accepted(void *arg, struct stream *stream)
{
    struct conn *conn = only_conn(service_of(&stream->local));
    struct peer *server = &servers[server_count++];

    (void)arg;
    assert(server_count <= SERVERS_MAX);
    *server = (struct peer){.stream = stream, .plan.pause_ns = 1};
    if (conn == NULL) {
        server->identify = identify;
    } else {
        become_server_of(server, conn);
        if (conn->last_answer == ANSWER_RESET) {
            server->plan.total = 0;
            server->plan.ending = PEER_RESET;
            server->plan.reset_at = 0;
            server->plan.hasty = true;
        }
    }
    peer_begin(server, stream);
}

void network_open(void)
{
    static const struct world world = {.route = route, .accepted = accepted};

    server_count = 0;
    stream_set_world(&world);
}

void network_stop_servers(void)
{
    for (unsigned i = 0; i < server_count; i++) {
        peer_stop(&servers[i]);
    }
}
