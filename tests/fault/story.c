#include "rig.h"

#include <arpa/inet.h>
#include <string.h>

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

/* As fast as it can be, until the budget of a visit is spent, and long enough
 * to go by a pipe. */
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

/* Who does it: either. */
static struct peer_plan *either(struct story *story)
{
    return kernel_chance(2) ? &story->client.plan : &story->server_plan;
}

static struct peer_plan *other_plan(struct story *story,
                                    const struct peer_plan *plan)
{
    return plan == &story->server_plan ? &story->client.plan
                                       : &story->server_plan;
}

static enum story_kind pick_kind(void)
{
    switch (rig.theme) {
    case RIG_FLOW:
        return STORY_FLOW;
    case RIG_RESETS:
        return (enum story_kind)between(STORY_FLOW, STORY_LATE_RESET);
    case RIG_STALLS:
        return kernel_chance(3)
                   ? STORY_FLOW
                   : (enum story_kind)between(STORY_STALL, STORY_SILENCE);
    default:
        return (enum story_kind)between(STORY_FLOW, STORY_SILENCE);
    }
}

static void plan_fates(struct story *story)
{
    bool trouble = rig.theme != RIG_FLOW && kernel_chance(3);

    for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
        story->fates[i] =
            trouble ? (enum fate)kernel_below(FATE_RESET + 1) : FATE_ACCEPT;
    }
}

static void plan_story(struct story *story)
{
    struct peer_plan *who;

    story->kind = pick_kind();
    plan_peer(&story->client.plan);
    plan_peer(&story->server_plan);
    plan_fates(story);
    who = either(story);
    switch (story->kind) {
    case STORY_FLOW:
        who->ending = kernel_chance(2) ? PEER_FIN_AFTER : PEER_FIN;
        break;
    case STORY_CLIENT_RESETS:
        plan_reset(&story->client.plan);
        break;
    case STORY_SERVER_RESETS:
        plan_reset(&story->server_plan);
        break;
    case STORY_BOTH_RESET:
        plan_reset(&story->client.plan);
        plan_reset(&story->server_plan);
        break;
    case STORY_LATE_RESET:
        who->ending = PEER_FIN_RESET;
        if (kernel_chance(2)) {
            other_plan(story, who)->ending = PEER_SILENCE;
        }
        break;
    case STORY_STALL:
        who->read_most = some_bytes();
        rig.stalled = true;
        who->ending = PEER_SILENCE;
        break;
    case STORY_SILENCE:
        who->ending = PEER_SILENCE;
        break;
    }
}

/* ---- the network ------------------------------------------------------- */

/* Upstreams of story i are 10.0.i.x. */
static struct story *story_of(const struct endpoint *endpoint)
{
    uint32_t ip = ntohl(endpoint->u.in.sin_addr.s_addr);

    return &rig.stories[ip >> 8 & 255];
}

static enum verdict route(void *arg, const struct endpoint *to)
{
    struct story *story = story_of(to);
    unsigned which = 1u << (ntohl(to->u.in.sin_addr.s_addr) & 7);

    (void)arg;
    if (ntohs(to->u.in.sin_port) != UPSTREAM_PORT) {
        return VERDICT_REFUSE; /* a listener that is no more */
    }
    if (story->attempts == ATTEMPTS_MAX) {
        complain("more than %d connects", ATTEMPTS_MAX);
        return VERDICT_REFUSE;
    }
    if (!story->single && story->tried & which) {
        complain("an upstream was tried again");
    }
    story->tried |= which;
    story->last_fate = story->fates[story->attempts++];
    kernel_trace("connect  attempt %u of story %td: fate %d", story->attempts,
                 story - rig.stories, story->last_fate);
    switch (story->last_fate) {
    case FATE_REFUSE:
        return VERDICT_REFUSE;
    case FATE_SILENCE:
        return VERDICT_SILENCE;
    default:
        return VERDICT_ACCEPT;
    }
}

static void accepted(void *arg, struct stream *stream)
{
    struct story *story = story_of(&stream->local);
    struct peer *server = &story->servers[story->server_count++];

    (void)arg;
    server->plan = story->server_plan;
    server->pattern = story->client.expects;
    server->expects = story->client.pattern;
    if (story->last_fate == FATE_RESET) {
        server->plan.total = 0;
        server->plan.ending = PEER_RESET;
        server->plan.reset_at = 0;
        server->plan.hasty = true;
    }
    peer_begin(server, stream);
}

static void begin_client(void *arg, uint64_t tag)
{
    struct story *story = arg;
    struct stream *stream = stream_open();
    struct endpoint to = {.length = sizeof(to.u.in)};

    stream->local.length = sizeof(stream->local.u.in);
    stream->local.u.in = (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)(40000 + tag)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)tag)};
    to.u.in =
        (struct sockaddr_in){.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)(PORT_FIRST + tag)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)stream_connect(stream, &to);
    peer_begin(&story->client, stream);
}

void story_plan_all(void)
{
    memset(rig.stories, 0, sizeof(rig.stories));
    rig.stalled = false;
    rig.count = (unsigned)between(1, STORIES_MAX);
    for (unsigned i = 0; i < rig.count; i++) {
        rig.stories[i].client.pattern = 1 + 2 * i;
        rig.stories[i].client.expects = 2 + 2 * i;
        plan_story(&rig.stories[i]);
    }
    rig.flood = rig.theme <= RIG_RESETS && kernel_chance(8);
    if (rig.flood) {
        rig.count = 1;
        plan_flood(either(&rig.stories[0]));
        stream_set_queues(QUEUE_BYTES_USUAL, QUEUE_BYTES_USUAL);
    }
}

void story_begin_clients(void)
{
    static const uint64_t spreads_ns[] = {1, 100000, 10 * NS_PER_MS};
    uint64_t spread_ns = spreads_ns[kernel_below(ARRAY_LEN(spreads_ns))];

    for (unsigned i = 0; i < rig.count; i++) {
        kernel_after(kernel_below(spread_ns), begin_client, &rig.stories[i], i);
    }
}

void story_stop_all(void)
{
    for (unsigned i = 0; i < rig.count; i++) {
        peer_stop(&rig.stories[i].client);
        for (unsigned j = 0; j < rig.stories[i].server_count; j++) {
            peer_stop(&rig.stories[i].servers[j]);
        }
    }
}

void story_set_world(void)
{
    static const struct world world = {.route = route, .accepted = accepted};

    stream_set_world(&world);
}
