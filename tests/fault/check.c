/* What became of connections that reached their service. */
#include "rig.h"
#include "upgrades.h"

#include "control.h"
#include "planes.h"

#include <stdio.h>
#include <string.h>

/* The server that the session was with; NULL if none took it. */
static struct peer *server_of(const struct conn *conn)
{
    return conn->server_count == 0 ? NULL
                                   : conn->servers[conn->server_count - 1];
}

bool check_local_trouble(void)
{
    const struct kernel_record *record = kernel_record();

    return record->descriptors + record->watches + record->locals +
               record->memory >
           0;
}

/* Bytes that are passed on, of those that it sent, got, or had sent when it was
 * reset. */
static uint32_t sent_payload(const struct peer *peer)
{
    return peer_payload(&peer->sends, peer->sent);
}

static uint32_t due_payload(const struct peer *peer)
{
    return peer_payload(&peer->sends, peer_total(peer));
}

static uint32_t delivered_payload(const struct peer *peer)
{
    return peer_payload(&peer->sends, peer->delivered);
}

static uint32_t got_payload(const struct peer *peer)
{
    return peer_payload(&peer->gets, peer->got);
}

static bool got_all(const struct peer *peer, uint32_t due, const char *who)
{
    return got_payload(peer) == due ||
           rig_fail("the %s got %u of %u bytes", who, got_payload(peer), due);
}

static bool is_reset(enum cause cause)
{
    return cause == CAUSE_CLIENT_RESET || cause == CAUSE_UPSTREAM_RESET;
}

/* A timeout that the service has. */
static bool is_timeout(const struct conn *conn)
{
    switch (conn->cause) {
    case CAUSE_IDLE_TIMEOUT:
    case CAUSE_WRITE_TIMEOUT:
    case CAUSE_HALF_CLOSE_TIMEOUT:
        return true;
    case CAUSE_READ_TIMEOUT:
        return conn->service->read_ms != 0;
    case CAUSE_MAX_LIFETIME:
        return conn->service->lifetime_ms != 0;
    default:
        return false;
    }
}

static bool check_flow(const struct conn *conn)
{
    const struct peer *client = &conn->client_peer;
    const struct peer *server = server_of(conn);

    if (conn->cause != CAUSE_CLIENT_FIN && conn->cause != CAUSE_UPSTREAM_FIN) {
        return rig_fail("both streams ended, but the cause is %s",
                        cause_name(conn->cause));
    }
    if (client->plan.ending == PEER_FIN_AFTER &&
        conn->cause != CAUSE_UPSTREAM_FIN) {
        return rig_fail("the upstream ended first, but the cause is %s",
                        cause_name(conn->cause));
    }
    if (server->plan.ending == PEER_FIN_AFTER &&
        conn->cause != CAUSE_CLIENT_FIN) {
        return rig_fail("the client ended first, but the cause is %s",
                        cause_name(conn->cause));
    }
    if (!client->got_fin || !server->got_fin) {
        return rig_fail("a FIN was not passed on: client %d server %d",
                        client->got_fin, server->got_fin);
    }
    if (conn->bytes[UP] != due_payload(client) ||
        conn->bytes[DOWN] != due_payload(server)) {
        return rig_fail("%lu bytes up and %lu down were counted",
                        conn->bytes[UP], conn->bytes[DOWN]);
    }
    return got_all(client, due_payload(server), "client") &&
           got_all(server, due_payload(client), "server");
}

/* One side was reset; the other must get the bytes before that, and a reset. */
static bool check_reset(const struct conn *conn, const struct peer *from,
                        const struct peer *to, enum cause cause)
{
    if (conn->cause != cause) {
        return rig_fail("the cause is %s, not %s", cause_name(conn->cause),
                        cause_name(cause));
    }
    if (!to->got_reset || to->got_fin) {
        return rig_fail("a reset was not passed on as one: FIN %d reset %d",
                        to->got_fin, to->got_reset);
    }
    if (to->ended_ns > from->ended_ns + PROMPT_NS + upgrades_ms() * NS_PER_MS) {
        return rig_fail("a reset took %lu ms to be passed on",
                        (to->ended_ns - from->ended_ns) / NS_PER_MS);
    }
    return got_all(to, delivered_payload(from),
                   to == &conn->client_peer ? "client" : "server");
}

static bool check_both_reset(const struct conn *conn)
{
    return is_reset(conn->cause) ||
           rig_fail("both were reset, but the cause is %s",
                    cause_name(conn->cause));
}

/* A reset behind a FIN: all bytes must arrive, and an end of either kind. */
static bool check_late_reset(const struct conn *conn)
{
    const struct peer *client = &conn->client_peer;
    const struct peer *server = server_of(conn);
    bool by_client = client->plan.ending == PEER_FIN_RESET;
    const struct peer *from = by_client ? client : server;
    const struct peer *to = by_client ? server : client;

    if (!from->sent_reset && !from->got_reset) {
        return check_flow(conn);
    }
    if (!from->fin_delivered) {
        return check_reset(conn, from, to,
                           by_client ? CAUSE_CLIENT_RESET
                                     : CAUSE_UPSTREAM_RESET);
    }
    if (to->plan.ending == PEER_SILENCE && !is_reset(conn->cause)) {
        return rig_fail("a reset was not noticed: %s", cause_name(conn->cause));
    }
    if (!to->got_fin && !to->got_reset) {
        return rig_fail("neither FIN nor reset was passed on");
    }
    return got_all(to, due_payload(from), by_client ? "server" : "client");
}

static bool check_silence(const struct conn *conn)
{
    const struct peer *client = &conn->client_peer;
    const struct peer *server = server_of(conn);

    if (!is_timeout(conn)) {
        return rig_fail("one is silent, but the cause is %s",
                        cause_name(conn->cause));
    }
    /* A relay that waits for a block may time out before it has one. One side
     * may be silent for too long while the other still sends. A lifetime ends
     * in any case. */
    return rig.stalled || conn->cause == CAUSE_READ_TIMEOUT ||
           conn->cause == CAUSE_MAX_LIFETIME ||
           (got_all(client, sent_payload(server), "client") &&
            got_all(server, sent_payload(client), "server"));
}

static bool check_stall(const struct conn *conn)
{
    return is_timeout(conn) || rig_fail("one has stalled, but the cause is %s",
                                        cause_name(conn->cause));
}

/* ---- without an upstream ------------------------------------------------ */

/* No upstream took it: the cause must say why. */
static bool check_unconnected(const struct conn *conn)
{
    enum cause cause = conn->cause;

    if (check_local_trouble() &&
        (cause == CAUSE_LOCAL_RESOURCE || cause == CAUSE_NO_UPSTREAM)) {
        return true;
    }
    if (conn->client_peer.sent_reset && cause == CAUSE_CLIENT_RESET) {
        return true;
    }
    if (cause == CAUSE_LOCAL_RESOURCE && conn->service->told != TOLD_NONE &&
        kernel_record()->busy > 0) {
        return true; /* the header could not be sent */
    }
    if (cause == CAUSE_HEADER_TIMEOUT && conn->needed > 0 &&
        kernel_record()->busy > 0) {
        return true; /* the opening could not be read */
    }
    if (cause == CAUSE_MAX_LIFETIME && is_timeout(conn)) {
        return true;
    }
    if (conn->attempts < conn_attempts(conn) && !check_local_trouble()) {
        return rig_fail("given up after %u of %u attempts: %s", conn->attempts,
                        conn_attempts(conn), cause_name(cause));
    }
    return cause == CAUSE_CONNECT_REFUSED || cause == CAUSE_CONNECT_TIMEOUT ||
           cause == CAUSE_UPSTREAM_RESET ||
           rig_fail("no upstream took it, but the cause is %s",
                    cause_name(cause));
}

/* It ended before an upstream took it. */
static bool check_unestablished(const struct conn *conn)
{
    const struct peer *server = server_of(conn);

    if (server != NULL && server->got > 0) {
        return rig_fail("bytes without a connection");
    }
    if (conn->last_answer == ANSWER_SILENCE && conn->attempts > 0 &&
        conn->cause == CAUSE_CONNECT_TIMEOUT) {
        check_connect_timeout(conn);
    }
    return check_unconnected(conn);
}

/* Bytes of a server that accepted, sent them and reset the connection must be
 * delivered: no other server is asked. */
static bool check_forgotten(const struct conn *conn)
{
    unsigned kept = conn->established ? 1 : 0;

    for (unsigned i = 0; i + kept < conn->server_count; i++) {
        if (conn->servers[i]->delivered > 0 && !check_local_trouble() &&
            !conn->client_peer.sent_reset) {
            return rig_fail("bytes of a server were forgotten");
        }
    }
    return true;
}

/* ---- every end ---------------------------------------------------------- */

static bool check_end(const struct conn *conn)
{
    struct peer *server = server_of(conn);

    if (!check_forgotten(conn)) {
        return false;
    }
    if (!conn->established) {
        return check_unestablished(conn);
    }
    if (conn->cause == CAUSE_MAX_LIFETIME && is_timeout(conn)) {
        return true;
    }
    if (conn->last_answer == ANSWER_RESET) {
        return conn->client_peer.plan.ending == PEER_RESET ||
               conn->client_peer.plan.ending == PEER_FIN_RESET ||
               conn->client_peer.plan.read_most != UINT32_MAX ||
               (rig.stalled && is_timeout(conn)) ||
               check_reset(conn, server, &conn->client_peer,
                           CAUSE_UPSTREAM_RESET);
    }
    switch (conn->kind) {
    case CONN_FLOW:
        return check_flow(conn);
    case CONN_CLIENT_RESETS:
        return check_reset(conn, &conn->client_peer, server,
                           CAUSE_CLIENT_RESET);
    case CONN_SERVER_RESETS:
        return check_reset(conn, server, &conn->client_peer,
                           CAUSE_UPSTREAM_RESET);
    case CONN_BOTH_RESET:
        return check_both_reset(conn);
    case CONN_LATE_RESET:
        return check_late_reset(conn);
    case CONN_STALL:
        return check_stall(conn);
    default:
        return check_silence(conn);
    }
}

/* What holds for every connection. */
static bool check_bytes(const struct conn *conn)
{
    if (conn->client_peer.wrong) {
        return rig_fail("the client got wrong bytes");
    }
    for (unsigned i = 0; i < conn->server_count; i++) {
        if (conn->servers[i]->wrong) {
            return rig_fail("server %u got wrong bytes", i);
        }
        if (i + 1 < conn->server_count && conn->servers[i]->got > 0) {
            return rig_fail("bytes were sent to two servers");
        }
    }
    return true;
}

/* A client may have gone, or not have looked, and so not know. */
static bool died_in_queue(const struct peer *client)
{
    return client->refused_by_fault ||
           (client->sent_reset && kernel_record()->aborted > 0) ||
           (client->stream != NULL && client->stream->refused_by_fault);
}

/* It ended before its complete opening was read. */
static bool ended_early(const struct conn *conn)
{
    return !conn->established && (conn->cause == CAUSE_HEADER_TIMEOUT ||
                                  (conn->cause == CAUSE_CLIENT_RESET &&
                                   conn->client_peer.sent_reset) ||
                                  check_local_trouble());
}

static bool check_conn(const struct conn *conn)
{
    if (!check_bytes(conn)) {
        return false;
    }
    if (rig.drain_turn != 0) {
        return true; /* it may have been cut short anywhere */
    }
    if (rig.down_turn != 0) {
        return down_check(conn);
    }
    if (conn->ends == 0) {
        return died_in_queue(&conn->client_peer) ||
               rig_fail("a client was never accepted");
    }
    if (check_source_waits(conn)) {
        return true;
    }
    if (conn->entry != ENTRY_ROUTED) {
        return check_turned_away(conn);
    }
    if (conn->client_peer.sent_reset && !conn->established &&
        conn->client_peer.delivered < conn->needed) {
        return conn->cause == CAUSE_CLIENT_RESET || check_turned_away(conn);
    }
    if (conn->ended_in != conn->service && !ended_early(conn)) {
        return rig_fail("it ended in another service: %s",
                        cause_name(conn->cause));
    }
    if (conn->cause == CAUSE_LIMIT_CONNECTIONS ||
        conn->cause == CAUSE_LIMIT_SOURCE ||
        (conn->cause == CAUSE_NO_UPSTREAM && conn->service->clients > 1)) {
        return check_refused(conn);
    }
    return check_deadlines(conn) && check_end(conn);
}

/* ---- counters ------------------------------------------------------------ */

static const struct service *run_service(const struct rig_service *service)
{
    size_t place = (size_t)(service - rig.services);

    return &control_current()
                ->services[rig.reversed ? rig.service_count - 1 - place
                                        : place];
}

/* Whether an upstream of the service has taken a connection. */
static bool took_one(const struct service *service)
{
    struct upstream_sums taken = {0};

    for (uint32_t i = 0; i < service->upstream_count; i++) {
        upstream_counters_sum(service->upstreams[i]->counters, planes_count(),
                              &taken);
        if (taken.total > 0) {
            return true;
        }
    }
    return false;
}

/* The counters of a service and its lines of the log. */
static bool check_service(const struct rig_service *service)
{
    const struct service *running = run_service(service);
    struct service_sums sums = {0};
    uint64_t ends = 0;

    service_counters_sum(running->state->counters, planes_count(), &sums);
    for (enum cause i = CAUSE_NONE; i < CAUSES; i++) {
        ends += sums.ended[i];
        if (sums.ended[i] != service->ends[i]) {
            return rig_fail("%lu ended by %s, but the log has %u",
                            sums.ended[i], cause_name(i), service->ends[i]);
        }
    }
    if (sums.accepted != ends || sums.active != 0) {
        return rig_fail("accepted %lu, ended %lu, active %lu", sums.accepted,
                        ends, sums.active);
    }
    return (sums.bytes[UP] == service->bytes[UP] &&
            sums.bytes[DOWN] == service->bytes[DOWN]) ||
           rig_fail("the bytes of a service are not those of its connections");
}

/* A connection is established if an upstream counted it, or, where others have
 * the same service, if a server heard of it. */
static void find_established(struct conn *conn)
{
    if (conn->service != NULL && conn->entry == ENTRY_ROUTED) {
        conn->established = conn->service->clients == 1
                                ? took_one(run_service(conn->service))
                                : conn->server_count > 0;
    }
}

void check_all(void)
{
    for (unsigned i = 0; i < rig.service_count; i++) {
        if (!check_service(&rig.services[i])) {
            return;
        }
    }
    for (unsigned i = 0; i < rig.count && rig.failure[0] == 0; i++) {
        size_t length;

        find_established(&rig.conns[i]);
        if (!check_conn(&rig.conns[i])) {
            length = strlen(rig.failure);
            snprintf(rig.failure + length, sizeof(rig.failure) - length,
                     " (connection %u of kind %d, entry %d)", i,
                     rig.conns[i].kind, rig.conns[i].entry);
        }
    }
    if (rig.failure[0] == 0 && rig.drain_turn == 0 && rig.down_turn == 0) {
        check_limits();
    }
}

/* What is counted of connections that are all gone. */
static void check_counts(const struct service *service)
{
    if (atomic_load(&service->state->active) != 0) {
        rig_fail("connections of a service are still counted");
    }
    for (uint32_t i = 0; i < service->upstream_count; i++) {
        if (atomic_load(&service->upstreams[i]->active) != 0 ||
            atomic_load(&service->upstreams[i]->finished) != 0) {
            rig_fail("connections of an upstream are still counted");
        }
    }
    if (service->state->sources != NULL &&
        source_table_used(service->state->sources, kernel_now_ns()) != 0) {
        rig_fail("connections of a source are still counted");
    }
}

void check_leftovers(void)
{
    const struct generation *generation = control_current();
    const char *left_over = planes_left_over();

    if (left_over != NULL) {
        rig_fail("%s", left_over);
    }
    for (size_t i = 0; i < generation->service_count; i++) {
        check_counts(&generation->services[i]);
    }
    if (control_alive() != 1) {
        rig_fail("%u generations are alive", control_alive());
    }
    if (rig.theme == RIG_DRAIN && !rig.narrow && kernel_record()->dropped > 0) {
        rig_fail("a connection in an accept queue was lost");
    }
    if (kernel_record()->tokens_used_twice > 0) {
        rig_fail("a token was used twice");
    }
    if (rig.drained != (rig.drain_turn != 0 ? planes_count() : 0)) {
        rig_fail("%u reports of a drained plane", rig.drained);
    }
}
