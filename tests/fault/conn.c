#include "rig.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/param.h>

static uint32_t some_bytes(void)
{
    switch (kernel_below(4)) {
    case 0:
        return (uint32_t)kernel_below(3);
    case 1:
        return (uint32_t)kernel_below(600);
    case 2:
        return (uint32_t)between(4000, 4200);
    default:
        return (uint32_t)kernel_below(kernel_chance(8) ? 60000 : 12000);
    }
}

static void plan_peer(struct peer_plan *plan)
{
    static const uint64_t pauses_ns[] = {0, 1000, 50000,  NS_PER_MS,
                                         0, 1000, 200000, 20 * NS_PER_MS};

    *plan = (struct peer_plan){
        .total = some_bytes(),
        .ending = PEER_FIN,
        .read_most = UINT32_MAX,
        .pause_ns = 1 + pauses_ns[kernel_below(ARRAY_LEN(pauses_ns))],
        .urgent = kernel_chance(4) ? 4 : 0,
        .hasty = kernel_chance(4),
    };
}

/* Fast enough to spend the budget of a visit, and long enough to go by a pipe.
 */
static void plan_flood(struct peer_plan *plan)
{
    plan->total = (uint32_t)between(200000, 500000);
    plan->pause_ns = 1;
    plan->hasty = true;
    plan->urgent = kernel_chance(2) ? 64 : 0;
    plan->reset_at = (uint32_t)kernel_below(plan->total);
}

static void plan_reset(struct peer_plan *plan)
{
    plan->ending = PEER_RESET;
    plan->reset_at = (uint32_t)kernel_below(plan->total + 1);
}

/* The plan of the client or of the server, at random. */
static struct peer_plan *either(struct conn *conn)
{
    return kernel_chance(2) ? &conn->client_peer.plan : &conn->server_plan;
}

static struct peer_plan *other_plan(struct conn *conn,
                                    const struct peer_plan *plan)
{
    return plan == &conn->server_plan ? &conn->client_peer.plan
                                      : &conn->server_plan;
}

static enum conn_kind pick_kind(void)
{
    switch (rig.theme) {
    case RIG_FLOW:
        return CONN_FLOW;
    case RIG_RESETS:
        return (enum conn_kind)between(CONN_FLOW, CONN_LATE_RESET);
    case RIG_STALLS:
        return kernel_chance(3)
                   ? CONN_FLOW
                   : (enum conn_kind)between(CONN_STALL, CONN_SILENCE);
    default:
        return (enum conn_kind)between(CONN_FLOW, CONN_SILENCE);
    }
}

static void plan_conn(struct conn *conn)
{
    struct peer_plan *who;

    conn->kind = pick_kind();
    plan_peer(&conn->client_peer.plan);
    plan_peer(&conn->server_plan);
    who = either(conn);
    switch (conn->kind) {
    case CONN_FLOW:
        who->ending = kernel_chance(2) ? PEER_FIN_AFTER : PEER_FIN;
        break;
    case CONN_CLIENT_RESETS:
        plan_reset(&conn->client_peer.plan);
        break;
    case CONN_SERVER_RESETS:
        plan_reset(&conn->server_plan);
        break;
    case CONN_BOTH_RESET:
        plan_reset(&conn->client_peer.plan);
        plan_reset(&conn->server_plan);
        break;
    case CONN_LATE_RESET:
        who->ending = PEER_FIN_RESET;
        if (kernel_chance(2)) {
            other_plan(conn, who)->ending = PEER_SILENCE;
        }
        break;
    case CONN_STALL:
        who->read_most = some_bytes();
        rig.stalled = true;
        who->ending = PEER_SILENCE;
        break;
    case CONN_SILENCE:
        who->ending = PEER_SILENCE;
        break;
    }
}

/* ---- what upstreams answer --------------------------------------------- */

unsigned conn_attempts(const struct conn *conn)
{
    const struct rig_service *service = conn->service;

    return service->upstreams == 1 ? service->attempts
                                   : MIN(service->attempts, service->upstreams);
}

/* The first attempts are refused, and one is accepted if there are more. */
static void refuse_first(struct conn *conn, unsigned most)
{
    unsigned refused = (unsigned)kernel_below(most + 1);

    for (unsigned i = 0; i < ANSWERS_MAX; i++) {
        conn->answers[i] = i < refused ? ANSWER_REFUSE : ANSWER_ACCEPT;
    }
}

static void plan_answers(struct conn *conn)
{
    const struct rig_service *service = conn->service;
    bool must_get_in = rig.theme == RIG_FLOW;

    if (service == NULL || service->clients > 1) {
        return; /* all accept */
    }
    if (conn_attempts(conn) > ANSWERS_MAX) {
        conn->one_by_one = true;
        conn->good = must_get_in || kernel_chance(2)
                         ? (int)kernel_below(service->upstreams)
                         : -1;
    } else if (service->upstreams > ANSWERS_MAX || kernel_chance(8)) {
        refuse_first(conn, conn_attempts(conn) - must_get_in);
    } else if (!must_get_in && kernel_chance(3)) {
        for (unsigned i = 0; i < ANSWERS_MAX; i++) {
            conn->answers[i] = (enum answer)kernel_below(ANSWER_RESET + 1);
        }
    }
}

/* ---- all of them ------------------------------------------------------- */

void conn_plan_all(void)
{
    memset(rig.conns, 0, sizeof(rig.conns));
    rig.stalled = false;
    rig.count = (unsigned)between(1, CONNS_MAX);
    for (unsigned i = 0; i < rig.count; i++) {
        rig.conns[i].client_peer.pattern = 1 + 2 * i;
        rig.conns[i].client_peer.expects = 2 + 2 * i;
        plan_conn(&rig.conns[i]);
    }
    rig.flood = rig.theme <= RIG_RESETS && kernel_chance(8);
    if (rig.flood) {
        rig.count = 1;
        plan_flood(either(&rig.conns[0]));
        stream_set_queues(QUEUE_BYTES_USUAL, QUEUE_BYTES_USUAL);
    }
    layout_plan();
    for (unsigned i = 0; i < rig.count; i++) {
        plan_answers(&rig.conns[i]);
    }
}

static void begin_client(void *arg, uint64_t tag)
{
    struct conn *conn = arg;
    struct stream *stream = stream_open();
    struct endpoint to = {.length = sizeof(to.u.in)};

    stream->local.length = sizeof(stream->local.u.in);
    stream->local.u.in = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)(CLIENT_PORT + tag)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + conn->local)};
    to.u.in = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)(LISTEN_PORT + conn->listen)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)stream_connect(stream, &to);
    peer_begin(&conn->client_peer, stream);
}

void conn_begin_clients(void)
{
    static const uint64_t spreads_ns[] = {1, 100000, 10 * NS_PER_MS, NS_PER_S};
    uint64_t spread_ns = spreads_ns[kernel_below(ARRAY_LEN(spreads_ns))];

    for (unsigned i = 0; i < rig.count; i++) {
        kernel_after(kernel_below(spread_ns), begin_client, &rig.conns[i], i);
    }
}

void conn_stop_all(void)
{
    for (unsigned i = 0; i < rig.count; i++) {
        peer_stop(&rig.conns[i].client_peer);
    }
    network_stop_servers();
}
