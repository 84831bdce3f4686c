/* Which clients are refused before an upstream is tried, and by the limits and
 * timeouts of which service. */
#include "rig.h"
#include "upgrades.h"

#include <string.h>

/* What the clock of the loop, the wheel and the network may add to a time. */
#define SLACK_MS 100

static const struct rig_service *front_of(const struct conn *conn)
{
    return rig.listens[conn->listen].front;
}

/* ---- turned away --------------------------------------------------------- */

static enum cause cause_of(const struct conn *conn)
{
    switch (conn->entry) {
    case ENTRY_NOT_ALLOWED:
    case ENTRY_DENIED:
        return CAUSE_DENIED;
    case ENTRY_BAD_HEADER:
    case ENTRY_CUT_OFF:
        return CAUSE_BAD_HEADER;
    case ENTRY_SILENT:
        return CAUSE_HEADER_TIMEOUT;
    default:
        return CAUSE_NO_ROUTE;
    }
}

/* Ends that faults, or the client itself, bring about earlier. */
static bool is_excused(const struct conn *conn)
{
    switch (conn->cause) {
    case CAUSE_CLIENT_RESET:
        return conn->client_peer.sent_reset;
    case CAUSE_LOCAL_RESOURCE:
        return check_local_trouble();
    case CAUSE_HEADER_TIMEOUT:
        return kernel_record()->busy > 0;
    default:
        return false;
    }
}

static bool check_header_timeout(const struct conn *conn)
{
    unsigned due_ms = front_of(conn)->header_ms;

    return (conn->duration_ms >= due_ms &&
            conn->duration_ms <= due_ms + SLACK_MS + upgrades_ms()) ||
           rig_fail("header_timeout after %lu ms, not %u", conn->duration_ms,
                    due_ms);
}

/* Its lifetime may be over before its header is due. */
static bool check_lifetime_before_entry(const struct conn *conn)
{
    unsigned most_ms = front_of(conn)->lifetime_ms;

    return (most_ms != 0 && conn->duration_ms >= most_ms * 9 / 10 &&
            conn->duration_ms <= most_ms + SLACK_MS + upgrades_ms()) ||
           rig_fail("max_lifetime after %lu ms, not %u", conn->duration_ms,
                    most_ms);
}

/* A client that no service of the address lets in need not say which one it
 * wants. */
static bool denied_by_all(const struct conn *conn)
{
    for (unsigned i = 0; i < rig.service_count; i++) {
        if (rig.services[i].listen == conn->listen &&
            !layout_denies(&rig.services[i], conn->source)) {
            return false;
        }
    }
    return true;
}

bool check_turned_away(const struct conn *conn)
{
    const struct peer *client = &conn->client_peer;

    if (conn->server_count > 0 || conn->attempts > 0) {
        return rig_fail("it reached an upstream all the same");
    }
    if (is_excused(conn)) {
        return true;
    }
    if (conn->cause == CAUSE_MAX_LIFETIME) {
        return check_lifetime_before_entry(conn);
    }
    if (conn->cause == CAUSE_DENIED && conn->ended_in == front_of(conn) &&
        denied_by_all(conn)) {
        return true;
    }
    if (conn->cause != cause_of(conn)) {
        return rig_fail("turned away by %s, not %s", cause_name(conn->cause),
                        cause_name(cause_of(conn)));
    }
    if (conn->ended_in !=
        (conn->entry == ENTRY_DENIED ? conn->service : front_of(conn))) {
        return rig_fail("turned away by the wrong service: %s",
                        cause_name(conn->cause));
    }
    if (client->got_fin || (!client->sent_reset && !client->got_reset)) {
        return rig_fail("turned away, but not by a reset");
    }
    return conn->entry != ENTRY_SILENT || check_header_timeout(conn);
}

/* ---- limits -------------------------------------------------------------- */

static bool same_service(const struct conn *a, const struct conn *b)
{
    return a != b && a->service == b->service && b->entry == ENTRY_ROUTED;
}

/* After the client's reset it lingers, for its bytes to the upstream, and its
 * end has been told. */
static uint64_t lingers_ns(const struct conn *conn)
{
    return conn->cause != CAUSE_CLIENT_RESET || conn->service == NULL
               ? 0
               : (conn->service->write_ms + SLACK_MS) * NS_PER_MS;
}

/* Whether it may have been counted at that time. */
static bool may_be_in(const struct conn *conn, uint64_t at_ns)
{
    return conn->client_peer.began && conn->client_peer.began_ns <= at_ns &&
           (conn->ends == 0 || conn->ended_ns + lingers_ns(conn) >= at_ns);
}

/* Others of the service at that time, as many as there may have been. */
static unsigned others_at(const struct conn *conn, uint64_t at_ns,
                          bool same_source)
{
    unsigned count = 0;

    for (unsigned i = 0; i < rig.count; i++) {
        const struct conn *other = &rig.conns[i];

        count += same_service(conn, other) && may_be_in(other, at_ns) &&
                 (!same_source || strcmp(conn->source, other->source) == 0);
    }
    /* Both processes of an upgrade count what is on its way, and here they
     * count in one place. */
    return conn->upgrading ? 2 * count : count;
}

static bool check_room(const struct conn *conn, unsigned limit,
                       bool same_source)
{
    return (limit != 0 &&
            others_at(conn, conn->ended_ns, same_source) >= limit) ||
           rig_fail("refused by %s, but there was room",
                    cause_name(conn->cause));
}

/* What all services of its address together let one source have; 0: no limit.
 */
static unsigned source_sum(const struct conn *conn)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < rig.service_count; i++) {
        if (rig.services[i].listen == conn->listen) {
            if (rig.services[i].per_source == 0) {
                return 0;
            }
            sum += rig.services[i].per_source;
        }
    }
    return sum;
}

bool check_source_waits(const struct conn *conn)
{
    unsigned sum = source_sum(conn), count = 0;

    if (conn->cause != CAUSE_LIMIT_SOURCE || conn->ended_in != front_of(conn)) {
        return false;
    }
    for (unsigned i = 0; i < rig.count; i++) {
        const struct conn *other = &rig.conns[i];

        count += other != conn && other->listen == conn->listen &&
                 may_be_in(other, conn->ended_ns) &&
                 strcmp(conn->source, other->source) == 0;
    }
    return sum != 0 && count >= sum;
}

bool check_refused(const struct conn *conn)
{
    const struct rig_service *service = conn->service;

    switch (conn->cause) {
    case CAUSE_LIMIT_CONNECTIONS:
        return check_room(conn, service->max_connections, false);
    case CAUSE_LIMIT_SOURCE:
        return check_room(conn, service->per_source, true);
    default:
        return check_local_trouble() ||
               check_room(conn, service->upstream_max * service->upstreams,
                          false);
    }
}

/* Whether the other was certainly counted when a server accepted this one. */
static bool was_in(const struct conn *conn, const struct conn *other)
{
    return same_service(conn, other) && other->taken_ns != 0 &&
           other->taken_ns <= conn->taken_ns &&
           (other->ends == 0 || other->ended_ns > conn->taken_ns);
}

static bool check_limits_of(const struct conn *conn)
{
    const struct rig_service *service = conn->service;
    unsigned all = 1, source = 1, upstream = 1;

    for (unsigned i = 0; i < rig.count; i++) {
        const struct conn *other = &rig.conns[i];

        if (was_in(conn, other)) {
            all++;
            source += strcmp(conn->source, other->source) == 0;
            upstream += conn->upstream == other->upstream;
        }
    }
    if (service->max_connections != 0 && all > service->max_connections) {
        return rig_fail("%u connections where %u may be", all,
                        service->max_connections);
    }
    if (service->per_source != 0 && source > service->per_source) {
        return rig_fail("%u connections of a source that may have %u", source,
                        service->per_source);
    }
    return service->upstream_max == 0 || upstream <= service->upstream_max ||
           rig_fail("%u connections to an upstream that takes %u", upstream,
                    service->upstream_max);
}

bool check_limits(void)
{
    for (unsigned i = 0; i < rig.count; i++) {
        const struct conn *conn = &rig.conns[i];

        if (conn->service != NULL && conn->taken_ns != 0 && conn->ends == 1 &&
            !check_limits_of(conn)) {
            return false;
        }
    }
    return true;
}

/* ---- times --------------------------------------------------------------- */

bool check_connect_timeout(const struct conn *conn)
{
    unsigned due_ms = conn->service->connect_ms;
    uint64_t took_ms = (kernel_now_ns() - conn->asked_ns) / NS_PER_MS;

    if (conn->ends > 0) {
        took_ms = (conn->ended_ns - conn->asked_ns) / NS_PER_MS;
    }
    /* A single upstream is asked again after a pause. */
    return rig.theme == RIG_SHORTAGE || rig.theme == RIG_DRAIN ||
           (took_ms + SLACK_MS >= due_ms &&
            took_ms <= due_ms + 2 * SLACK_MS + upgrades_ms()) ||
           rig_fail("connect_timeout after %lu ms, not %u", took_ms, due_ms);
}

/* So many bytes do not pass a bucket in less time. */
static uint64_t least_ms(const struct rig_service *service, unsigned rate,
                         uint64_t bytes)
{
    if (rate == 0 || bytes <= service->burst) {
        return 0;
    }
    return (bytes - service->burst) * 1000 / rate;
}

bool check_deadlines(const struct conn *conn)
{
    const struct rig_service *service = conn->service;

    for (enum direction i = UP; i < DIRECTIONS; i++) {
        uint64_t least = least_ms(service, service->rate[i], conn->bytes[i]);

        if (conn->duration_ms + 1 < least) {
            return rig_fail("%lu bytes took %lu ms, and not %lu",
                            conn->bytes[i], conn->duration_ms, least);
        }
    }
    if (service->lifetime_ms != 0 && conn->cause != CAUSE_CLIENT_RESET &&
        conn->cause != CAUSE_UPSTREAM_RESET &&
        conn->duration_ms > service->lifetime_ms + SLACK_MS +
                                front_of(conn)->header_ms + upgrades_ms()) {
        return rig_fail("it lived %lu ms, not %u", conn->duration_ms,
                        service->lifetime_ms);
    }
    return conn->cause != CAUSE_MAX_LIFETIME ||
           conn->duration_ms >= service->lifetime_ms * 9 / 10 ||
           rig_fail("max_lifetime after %lu ms, not %u", conn->duration_ms,
                    service->lifetime_ms);
}

/* At the lowest rate, one connection after the other, and the same again. */
static uint64_t flow_most_ns(void)
{
    uint64_t most_ns = 10 * NS_PER_S;

    for (unsigned i = 0; i < rig.count; i++) {
        const struct conn *conn = &rig.conns[i];
        uint64_t bytes =
            peer_total(&conn->client_peer) + conn->server_plan.total;

        most_ns += 2 * bytes * NS_PER_S / RATE_LEAST_BYTES;
        if (conn->entry != ENTRY_ROUTED || kernel_record()->busy > 0) {
            most_ns += layout_header_ns();
        }
    }
    return most_ns;
}

static uint64_t last_peer_ns(void)
{
    uint64_t last_ns = 0;

    for (unsigned i = 0; i < rig.count; i++) {
        const struct conn *conn = &rig.conns[i];

        if (conn->client_peer.ended_ns > last_ns) {
            last_ns = conn->client_peer.ended_ns;
        }
        for (unsigned j = 0; j < conn->server_count; j++) {
            if (conn->servers[j]->ended_ns > last_ns) {
                last_ns = conn->servers[j]->ended_ns;
            }
        }
    }
    return last_ns;
}

void check_time(uint64_t begin_ns, uint64_t over_ns)
{
    bool prompt = rig.theme == RIG_FLOW || rig.theme == RIG_RESETS;

    if (rig.theme == RIG_FLOW &&
        over_ns > begin_ns + flow_most_ns() + upgrades_ms() * NS_PER_MS) {
        rig_fail("it took %lu ms", (over_ns - begin_ns) / NS_PER_MS);
    }
    if (prompt &&
        over_ns > last_peer_ns() + PROMPT_NS + upgrades_ms() * NS_PER_MS) {
        rig_fail("a session outlives its peers");
    }
}
