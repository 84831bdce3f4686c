#include "rig.h"

#include <stdio.h>
#include <string.h>

/* Within this a session ends when its peers have gone, and a reset is passed
 * on. Shorter than any timeout that would cover up for a lost edge. */
#define PROMPT_NS (25 * NS_PER_S)

/* The server that the session was with; NULL if none took it. */
static struct peer *server_of(struct story *story)
{
    return story->server_count == 0 ? NULL
                                    : &story->servers[story->server_count - 1];
}

static bool local_trouble(void)
{
    const struct kernel_record *record = kernel_record();

    return record->descriptors + record->watches + record->locals > 0;
}

static bool got_all(const struct peer *peer, uint32_t due, const char *who)
{
    return peer->got == due ||
           complain("the %s got %u of %u bytes", who, peer->got, due);
}

static bool is_reset(enum cause cause)
{
    return cause == CAUSE_CLIENT_RESET || cause == CAUSE_UPSTREAM_RESET;
}

static bool is_timeout(enum cause cause)
{
    return cause == CAUSE_IDLE_TIMEOUT || cause == CAUSE_READ_TIMEOUT ||
           cause == CAUSE_WRITE_TIMEOUT || cause == CAUSE_HALF_CLOSE_TIMEOUT;
}

static bool judge_flow(struct story *story)
{
    struct peer *client = &story->client;
    struct peer *server = server_of(story);

    if (story->cause != CAUSE_CLIENT_FIN &&
        story->cause != CAUSE_UPSTREAM_FIN) {
        return complain("both streams ended, but the cause is %s",
                        cause_name(story->cause));
    }
    if (client->plan.ending == PEER_FIN_AFTER &&
        story->cause != CAUSE_UPSTREAM_FIN) {
        return complain("the upstream ended first, but the cause is %s",
                        cause_name(story->cause));
    }
    if (server->plan.ending == PEER_FIN_AFTER &&
        story->cause != CAUSE_CLIENT_FIN) {
        return complain("the client ended first, but the cause is %s",
                        cause_name(story->cause));
    }
    if (!client->got_fin || !server->got_fin) {
        return complain("a FIN was not passed on: client %d server %d",
                        client->got_fin, server->got_fin);
    }
    return got_all(client, server->plan.total, "client") &&
           got_all(server, client->plan.total, "server");
}

/* One side was reset; the other is owed the bytes before that, and a reset. */
static bool judge_reset(struct story *story, struct peer *from, struct peer *to,
                        enum cause cause)
{
    if (story->cause != cause) {
        return complain("the cause is %s, not %s", cause_name(story->cause),
                        cause_name(cause));
    }
    if (!to->got_reset || to->got_fin) {
        return complain("a reset was not passed on as one: FIN %d reset %d",
                        to->got_fin, to->got_reset);
    }
    if (to->ended_ns > from->ended_ns + PROMPT_NS) {
        return complain("a reset took %lu ms to be passed on",
                        (to->ended_ns - from->ended_ns) / NS_PER_MS);
    }
    return got_all(to, from->delivered,
                   to == &story->client ? "client" : "server");
}

static bool judge_both_reset(const struct story *story)
{
    return is_reset(story->cause) ||
           complain("both were reset, but the cause is %s",
                    cause_name(story->cause));
}

/* A reset behind a FIN: the bytes are owed, and an end of either kind. */
static bool judge_late_reset(struct story *story)
{
    struct peer *client = &story->client;
    struct peer *server = server_of(story);
    bool by_client = client->plan.ending == PEER_FIN_RESET;
    struct peer *from = by_client ? client : server;
    struct peer *to = by_client ? server : client;

    if (!from->sent_reset && !from->got_reset) {
        return judge_flow(story);
    }
    if (!from->fin_delivered) {
        return judge_reset(story, from, to,
                           by_client ? CAUSE_CLIENT_RESET
                                     : CAUSE_UPSTREAM_RESET);
    }
    if (to->plan.ending == PEER_SILENCE && !is_reset(story->cause)) {
        return complain("a reset was not noticed: %s",
                        cause_name(story->cause));
    }
    if (!to->got_fin && !to->got_reset) {
        return complain("neither FIN nor reset was passed on");
    }
    return got_all(to, from->plan.total, by_client ? "server" : "client");
}

static bool judge_silence(struct story *story)
{
    struct peer *client = &story->client;
    struct peer *server = server_of(story);

    if (!is_timeout(story->cause)) {
        return complain("one is silent, but the cause is %s",
                        cause_name(story->cause));
    }
    /* Who waits for a block may meet its timeouts before it has one, and one
     * may be silent for too long while the other still sends. */
    return rig.stalled || story->cause == CAUSE_READ_TIMEOUT ||
           (got_all(client, server->sent, "client") &&
            got_all(server, client->sent, "server"));
}

static bool judge_stall(struct story *story)
{
    return is_timeout(story->cause) ||
           complain("one has stalled, but the cause is %s",
                    cause_name(story->cause));
}

/* No upstream took it for good. */
static bool judge_unconnected(struct story *story)
{
    enum cause cause = story->cause;

    if (local_trouble() &&
        (cause == CAUSE_LOCAL_RESOURCE || cause == CAUSE_NO_UPSTREAM)) {
        return true;
    }
    if (story->client.sent_reset && cause == CAUSE_CLIENT_RESET) {
        return true;
    }
    if (story->attempts < ATTEMPTS_MAX && !local_trouble()) {
        return complain("given up after %u attempts: %s", story->attempts,
                        cause_name(cause));
    }
    return cause == CAUSE_CONNECT_REFUSED || cause == CAUSE_CONNECT_TIMEOUT ||
           cause == CAUSE_UPSTREAM_RESET ||
           complain("no upstream took it, but the cause is %s",
                    cause_name(cause));
}

/* A client that went away, or a machine that had nothing left, before there was
 * an upstream. */
static bool judge_unestablished(struct story *story)
{
    struct peer *server = server_of(story);

    if (server != NULL && server->got > 0) {
        return complain("bytes without a connection");
    }
    return judge_unconnected(story);
}

/* A server that took the connection and sent bytes before it reset it is owed
 * their delivery: no other is asked. */
static bool judge_forgotten(const struct story *story)
{
    unsigned kept = story->established ? 1 : 0;

    for (unsigned i = 0; i + kept < story->server_count; i++) {
        if (story->servers[i].delivered > 0 && !local_trouble() &&
            !story->client.sent_reset) {
            return complain("bytes of a server were forgotten");
        }
    }
    return true;
}

static bool judge_end(struct story *story)
{
    struct peer *server = server_of(story);

    if (!judge_forgotten(story)) {
        return false;
    }
    if (!story->established) {
        return judge_unestablished(story);
    }
    if (story->last_fate == FATE_RESET) {
        return story->client.plan.ending == PEER_RESET ||
               story->client.plan.ending == PEER_FIN_RESET ||
               story->client.plan.read_most != UINT32_MAX ||
               (rig.stalled && is_timeout(story->cause)) ||
               judge_reset(story, server, &story->client, CAUSE_UPSTREAM_RESET);
    }
    switch (story->kind) {
    case STORY_FLOW:
        return judge_flow(story);
    case STORY_CLIENT_RESETS:
        return judge_reset(story, &story->client, server, CAUSE_CLIENT_RESET);
    case STORY_SERVER_RESETS:
        return judge_reset(story, server, &story->client, CAUSE_UPSTREAM_RESET);
    case STORY_BOTH_RESET:
        return judge_both_reset(story);
    case STORY_LATE_RESET:
        return judge_late_reset(story);
    case STORY_STALL:
        return judge_stall(story);
    default:
        return judge_silence(story);
    }
}

/* What holds for every story. */
static bool judge_bytes(struct story *story)
{
    if (story->client.wrong) {
        return complain("the client got wrong bytes");
    }
    for (unsigned i = 0; i < story->server_count; i++) {
        if (story->servers[i].wrong) {
            return complain("server %u got wrong bytes", i);
        }
        if (i + 1 < story->server_count && story->servers[i].got > 0) {
            return complain("bytes were sent to two servers");
        }
    }
    return true;
}

/* What the counters say of a story. */
static bool read_counters(struct story *story, const struct service *service)
{
    struct service_sums sums = {0};
    unsigned ends = 0;

    service_counters_sum(service->state->counters, rig.plane_count, &sums);
    for (enum cause i = CAUSE_NONE; i < CAUSES; i++) {
        ends += (unsigned)sums.ended[i];
        story->cause = sums.ended[i] > 0 ? i : story->cause;
    }
    story->accepted = sums.accepted > 0;
    story->established = false;
    for (uint32_t i = 0; i < service->upstream_count; i++) {
        struct upstream_sums taken = {0};

        upstream_counters_sum(service->upstreams[i]->counters, rig.plane_count,
                              &taken);
        story->established |= taken.total > 0;
    }
    if (sums.accepted > 1 || sums.accepted != ends || sums.active != 0) {
        return complain("accepted %lu, ended %u, active %lu", sums.accepted,
                        ends, sums.active);
    }
    return true;
}

/* A client may have gone, or not look, and so not know. */
static bool died_in_queue(const struct peer *client)
{
    return client->refused_by_fault ||
           (client->sent_reset && kernel_record()->aborted > 0) ||
           (client->stream != NULL && client->stream->refused_by_fault);
}

static bool judge(struct story *story, const struct service *service)
{
    if (!read_counters(story, service) || !judge_bytes(story)) {
        return false;
    }
    if (rig.drain_turn != 0) {
        return true; /* it may have been cut short anywhere */
    }
    if (!story->accepted) {
        return died_in_queue(&story->client) ||
               complain("a client was never accepted");
    }
    return judge_end(story);
}

void judge_all(void)
{
    for (unsigned i = 0; i < rig.count && rig.complaint[0] == 0; i++) {
        size_t length;

        if (!judge(&rig.stories[i], &rig.generation->services[i])) {
            length = strlen(rig.complaint);
            snprintf(rig.complaint + length, sizeof(rig.complaint) - length,
                     " (story %u of kind %d)", i, rig.stories[i].kind);
        }
    }
}

static void judge_plane(struct plane *plane)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        if (atomic_load(&plane->memory[i].cache.lent) != 0) {
            complain("a block is still lent");
        }
    }
    for (unsigned i = 0; i < PLANE_QUEUES; i++) {
        if (!list_empty(&plane->retry[i]) ||
            !list_empty(&plane->loop.runnable[i])) {
            complain("something is still queued");
        }
    }
    pool_check(&plane->sessions);
    wheel_check(&plane->loop.wheel);
}

void judge_leftovers(void)
{
    for (unsigned i = 0; i < rig.plane_count; i++) {
        judge_plane(&rig.planes[i].plane);
    }
    if (atomic_load(&rig.shared.active) != 0) {
        complain("%u connections are still counted",
                 atomic_load(&rig.shared.active));
    }
    if (rig.done != (rig.before != NULL ? rig.plane_count : 0)) {
        complain("%u reports of a generation's end", rig.done);
    }
    if (rig.theme == RIG_DRAIN && !rig.narrow && kernel_record()->dropped > 0) {
        complain("who had come was not let in");
    }
    if (rig.drained != (rig.drain_turn != 0 ? rig.plane_count : 0)) {
        complain("%u reports of a drained plane", rig.drained);
    }
    slab_check(&rig.shared.slab[UP]);
    slab_check(&rig.shared.slab[DOWN]);
}

/* At the lowest rate, one connection after the other, and the same again. */
static uint64_t flow_most_ns(void)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < rig.count; i++) {
        bytes +=
            rig.stories[i].client.plan.total + rig.stories[i].server_plan.total;
    }
    return 10 * NS_PER_S + 2 * bytes * NS_PER_S / RATE_LEAST_BYTES;
}

static bool prompt_theme(void)
{
    return rig.theme == RIG_FLOW || rig.theme == RIG_RESETS;
}

static uint64_t last_peer_ns(void)
{
    uint64_t last_ns = 0;

    for (unsigned i = 0; i < rig.count; i++) {
        const struct story *story = &rig.stories[i];

        if (story->client.ended_ns > last_ns) {
            last_ns = story->client.ended_ns;
        }
        for (unsigned j = 0; j < story->server_count; j++) {
            if (story->servers[j].ended_ns > last_ns) {
                last_ns = story->servers[j].ended_ns;
            }
        }
    }
    return last_ns;
}

void judge_time(uint64_t begin_ns, uint64_t over_ns)
{
    if (rig.theme == RIG_FLOW && over_ns > begin_ns + flow_most_ns()) {
        complain("it took %lu ms", (over_ns - begin_ns) / NS_PER_MS);
    }
    if (prompt_theme() && over_ns > last_peer_ns() + PROMPT_NS) {
        complain("a session outlives its peers");
    }
}
