#include "rig.h"

#include "peer.h"
#include "proxy/listener.h"
#include "proxy/plane.h"
#include "proxy/session.h"
#include "proxy/worker.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORIES_MAX      4
#define ATTEMPTS_MAX     3
#define PLANES_MAX       2
#define BLOCK_BYTES      4096u
#define RATE_LEAST_BYTES 8192u
#define PORT_FIRST       1000
#define UPSTREAM_PORT    80
/* A run that takes longer hangs: only the default idle_timeout is longer. */
#define RUN_MOST_NS (900 * NS_PER_S)
/* Within this a session ends when its peers have gone, and a reset is passed
 * on. Shorter than any timeout that would cover up for a lost edge. */
#define PROMPT_NS (25 * NS_PER_S)

enum story_kind {
    STORY_FLOW,
    STORY_CLIENT_RESETS,
    STORY_SERVER_RESETS,
    STORY_BOTH_RESET,
    STORY_LATE_RESET, /* after a FIN */
    STORY_STALL,
    STORY_SILENCE,
};

enum fate { FATE_ACCEPT, FATE_REFUSE, FATE_SILENCE, FATE_RESET };

struct story {
    enum story_kind kind;
    bool throttled;
    bool lone; /* one upstream, and not as many as attempts */
    struct peer client;
    struct peer servers[ATTEMPTS_MAX];
    struct peer_plan server_plan;
    enum fate fates[ATTEMPTS_MAX];
    unsigned tried;    /* bit n: its upstream n */
    unsigned attempts; /* that reached the network */
    unsigned server_count;
    enum fate last_fate;
    enum cause cause;
    bool accepted;
    bool established;
};

static struct rig {
    enum rig_theme theme;
    struct story stories[STORIES_MAX];
    unsigned count;
    bool narrow;     /* the process may have few connections */
    bool flood;      /* one moves more than a visit's budget */
    bool stalled;    /* some story holds blocks until a timeout */
    char text[8192]; /* the configuration */
    size_t length;
    struct generation *generation;
    struct generation *before; /* a reload's */
    unsigned reload_turn;      /* of the loop, when that happens; 0: not */
    unsigned drain_turn;
    unsigned reset_turn;
    unsigned drained; /* reports of it */
    unsigned done;    /* reports of generations */
    struct worker_shared shared;
    struct mailbox control;
    struct plane planes[PLANES_MAX];
    unsigned plane_count;
    char complaint[256];
} rig;

static bool complain(const char *format, ...) PRINTF(1, 2);

/* The first complaint counts. Answers false. */
static bool complain(const char *format, ...)
{
    va_list args;

    if (rig.complaint[0] == 0) {
        va_start(args, format);
        vsnprintf(rig.complaint, sizeof(rig.complaint), format, args);
        va_end(args);
    }
    return false;
}

/* ---- what happens ------------------------------------------------------ */

static uint64_t between(uint64_t least, uint64_t most)
{
    return least + kernel_below(most - least + 1);
}

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

/* As fast as it can be, until the budget of a visit is spent. */
static void plan_flood(struct peer_plan *plan)
{
    *plan = (struct peer_plan){
        .total = 700000, .read_most = UINT32_MAX, .pause_ns = 1, .hasty = true};
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
    if (!story->lone && story->tried & which) {
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

/* ---- the plane --------------------------------------------------------- */

static void write_text(size_t *length, const char *format, ...) PRINTF(2, 3);

static void write_text(size_t *length, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    *length += (size_t)vsnprintf(rig.text + *length, sizeof(rig.text) - *length,
                                 format, args);
    va_end(args);
    assert(*length < sizeof(rig.text));
}

static void write_rates(struct story *story, size_t *length)
{
    static const char *const keys[] = {"rate_up", "rate_down",
                                       "service_rate_up", "service_rate_down"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (kernel_chance(2)) {
            write_text(length, "%s = %luK\n", keys[i],
                       between(RATE_LEAST_BYTES / 1024, 400));
            story->throttled = true;
        }
    }
    write_text(length, "rate_burst = %luK\n", between(1, 8));
}

static void write_timeouts(const struct story *story, size_t *length)
{
    write_text(length, "connect_timeout = %lums\n", between(200, 2000));
    if (story->kind != STORY_STALL && story->kind != STORY_SILENCE) {
        return;
    }
    write_text(length,
               "write_timeout = %lums\nidle_timeout = %lums\n"
               "half_close_timeout = %lums\n",
               between(1000, 3000), between(1000, 4000), between(1000, 4000));
    if (kernel_chance(2)) {
        write_text(length, "read_timeout = %lums\n", between(1000, 3000));
    }
}

static void write_service(unsigned i, size_t *length)
{
    static const char *const balances[] = {"roundrobin", "leastconn", "random"};
    struct story *story = &rig.stories[i];

    story->lone = kernel_chance(2);
    write_text(length,
               "[service s%u]\nlisten = 127.0.0.1:%u\nbalance = %s\n"
               "connect_attempts = %u\nfail_threshold = 0\n",
               i, PORT_FIRST + i, balances[kernel_below(ARRAY_LEN(balances))],
               ATTEMPTS_MAX);
    for (unsigned j = 0; j < (story->lone ? 1u : ATTEMPTS_MAX); j++) {
        write_text(length, "upstream = 10.0.%u.%u:%u\n", i, j, UPSTREAM_PORT);
    }
    write_timeouts(story, length);
    if (kernel_chance(5)) {
        write_rates(story, length);
    }
}

static void write_config(void)
{
    rig.length = 0;
    for (unsigned i = 0; i < rig.count; i++) {
        write_service(i, &rig.length);
    }
}

static struct config *parse_text(void)
{
    struct config_errors errors = {0};
    struct config *config = config_parse(rig.text, rig.length, &errors);

    if (config == NULL) {
        fprintf(stderr, "line %u: %s\n%s", errors.list[0].line,
                errors.list[0].message, rig.text);
        abort();
    }
    config_errors_fini(&errors);
    return config;
}

static void must(bool it)
{
    if (!it) {
        abort(); /* the rig's own doing */
    }
}

static int open_listener(const struct listen_socket *listen)
{
    struct sock_options options = {.backlog = 16};
    int fd = sock_bind(&listen->endpoint);

    must(fd >= 0);
    must(sock_listen(fd, &options) == 0);
    return fd;
}

static void open_listeners(struct generation *generation)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        struct listen_socket *listen = &generation->listens[i];

        listen->fds = malloc(rig.plane_count * sizeof(int));
        must(listen->fds != NULL);
        for (unsigned j = 0; j < rig.plane_count; j++) {
            listen->fds[j] = rig.before != NULL ? rig.before->listens[i].fds[j]
                                                : open_listener(listen);
        }
    }
}

static void apply_to(struct plane *plane)
{
    struct plane_tenancy *tenancy = calloc(1, sizeof(*tenancy));

    must(tenancy != NULL);
    tenancy->done = calloc(1, sizeof(*tenancy->done));
    must(tenancy->done != NULL);
    tenancy->generation = rig.generation;
    plane_apply(plane, tenancy);
}

/* What is in rig.text from now on. */
static void apply_config(void)
{
    rig.before = rig.generation;
    rig.generation =
        generation_create(parse_text(), rig.before, rig.plane_count, 64, NULL);
    must(rig.generation != NULL);
    open_listeners(rig.generation);
    for (unsigned i = 0; i < rig.plane_count; i++) {
        apply_to(&rig.planes[i]);
    }
}

static void open_planes(void)
{
    uint64_t blocks = kernel_chance(3) ? 64 : between(1, 4);

    rig.generation = NULL;
    must(mailbox_open(&rig.control) == 0);
    must(worker_shared_init(&rig.shared, BLOCK_BYTES, 2 * blocks * BLOCK_BYTES,
                            &rig.control) == 0);
    rig.narrow = kernel_chance(8);
    atomic_store(&rig.shared.max_connections, rig.narrow ? between(1, 3) : 64);
    for (unsigned i = 0; i < rig.plane_count; i++) {
        must(plane_open(&rig.planes[i], i, &rig.shared, NULL) == 0);
    }
    apply_config();
}

static void read_reports(void)
{
    struct letter *letter;

    while ((letter = mailbox_take(&rig.control)) != NULL) {
        rig.drained += letter->subject == WORKER_DRAINED;
        rig.done += letter->subject == WORKER_GENERATION_DONE;
        free(container_of(letter, struct worker_report, letter));
    }
}

static void destroy_generation(struct generation *generation)
{
    for (size_t i = 0; generation != NULL && i < generation->listen_count;
         i++) {
        free(generation->listens[i].fds);
    }
    if (generation != NULL) {
        generation_destroy(generation);
    }
}

static void close_planes(void)
{
    for (unsigned i = 0; i < rig.plane_count; i++) {
        plane_close(&rig.planes[i]);
    }
    read_reports();
    mailbox_close(&rig.control);
    worker_shared_fini(&rig.shared);
    destroy_generation(rig.before);
    destroy_generation(rig.generation);
}

/* ---- the judgement ----------------------------------------------------- */

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

static void judge_all(void)
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
    if (!list_empty(&plane->retry) || !list_empty(&plane->loop.runnable)) {
        complain("a relay is still queued");
    }
    pool_check(&plane->sessions);
    wheel_check(&plane->loop.wheel);
}

static void judge_leftovers(void)
{
    for (unsigned i = 0; i < rig.plane_count; i++) {
        judge_plane(&rig.planes[i]);
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

/* ---- the run ----------------------------------------------------------- */

static bool client_settled(const struct story *story)
{
    return story->client.began &&
           (story->client.stream == NULL ||
            story->client.stream->state != STREAM_CONNECTING);
}

/* How many connections the planes have taken. */
static uint64_t accepts(void)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < rig.count; i++) {
        for (unsigned j = 0; j < rig.plane_count; j++) {
            count += counter_read(
                &rig.generation->services[i].state->counters[j].accepted);
        }
    }
    return count;
}

/* Every client has come, and every session has gone again. */
static bool over(void)
{
    for (unsigned i = 0; i < rig.count; i++) {
        if (!client_settled(&rig.stories[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < rig.plane_count; i++) {
        if (rig.planes[i].sessions.lent > 0) {
            return false;
        }
    }
    return rig.drain_turn != 0
               ? rig.drained == rig.plane_count
               : accepts() + kernel_record()->aborted >= rig.count;
}

/* What the control thread orders. */
static void command(unsigned turn)
{
    if (turn == rig.reload_turn && !rig.planes[0].draining) {
        kernel_trace("command  reload");
        apply_config();
    }
    for (unsigned i = 0; i < rig.plane_count && turn == rig.drain_turn; i++) {
        kernel_trace("command  drain");
        plane_drain(&rig.planes[i]);
    }
    for (unsigned i = 0; i < rig.plane_count && turn == rig.reset_turn; i++) {
        kernel_trace("command  reset all");
        plane_reset_all(&rig.planes[i]);
    }
    read_reports();
}

/* One plane's loop comes round. A lone one sleeps as long as it wants, but for
 * commands, which come by turns. */
static void turn_one(void)
{
    unsigned which = (unsigned)kernel_below(rig.plane_count);
    int limit_ms = rig.theme == RIG_DRAIN ? 50 : -1;

    if (rig.plane_count > 1) {
        kernel_trace("plane    %u", which);
        limit_ms = 1;
    }
    loop_turn(&rig.planes[which].loop, limit_ms);
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

static void turn_until_over(void)
{
    uint64_t begin_ns = kernel_now_ns();
    uint64_t over_ns;

    for (unsigned turn = 1; !over(); turn++) {
        turn_one();
        command(turn);
        if (kernel_now_ns() > begin_ns + RUN_MOST_NS) {
            complain("the run does not come to an end");
            return;
        }
    }
    over_ns = kernel_now_ns();
    /* What the peers still have to read. */
    while (kernel_step()) {
    }
    if (rig.theme == RIG_FLOW && over_ns > begin_ns + flow_most_ns()) {
        complain("it took %lu ms", (over_ns - begin_ns) / NS_PER_MS);
    }
    if (prompt_theme() && over_ns > last_peer_ns() + PROMPT_NS) {
        complain("a session outlives its peers");
    }
}

static void stop_peers(void)
{
    for (unsigned i = 0; i < rig.count; i++) {
        peer_stop(&rig.stories[i].client);
        for (unsigned j = 0; j < rig.stories[i].server_count; j++) {
            peer_stop(&rig.stories[i].servers[j]);
        }
    }
}

static uint32_t odds(uint32_t most)
{
    return kernel_chance(2) ? 0 : (uint32_t)between(2, most);
}

static void begin_faults(void)
{
    static const uint64_t latencies_ns[] = {1000, 20000, 300000,
                                            20 * NS_PER_MS};
    struct kernel_faults faults = {
        .again = odds(40),
        .interrupted = odds(40),
        .short_io = odds(20),
        .busy = kernel_chance(4) ? odds(100) : 0,
        .spurious = odds(20),
        .latency_ns = latencies_ns[kernel_below(ARRAY_LEN(latencies_ns))],
    };

    if (rig.theme == RIG_SHORTAGE) {
        faults.descriptor = odds(30);
        faults.watch = odds(30);
        faults.local = odds(10);
        faults.aborted = odds(10);
        if (kernel_chance(2)) {
            kernel_limit_files(kernel_open_files() + (unsigned)between(1, 6));
        }
    }
    if (rig.flood) {
        faults = (struct kernel_faults){.latency_ns = 200};
    }
    kernel_set_faults(&faults);
}

static void plan_commands(void)
{
    rig.drained = rig.done = 0;
    rig.plane_count = kernel_chance(4) ? 2 : 1;
    rig.reload_turn = kernel_chance(4) ? (unsigned)between(1, 60) : 0;
    rig.drain_turn = rig.reset_turn = 0;
    if (rig.theme == RIG_DRAIN) {
        rig.drain_turn = (unsigned)between(1, 80);
        rig.reset_turn = rig.drain_turn + (unsigned)kernel_below(40);
    }
}

static void plan_stories(void)
{
    memset(rig.stories, 0, sizeof(rig.stories));
    rig.stalled = false;
    rig.count = (unsigned)between(1, STORIES_MAX);
    for (unsigned i = 0; i < rig.count; i++) {
        rig.stories[i].client.pattern = 1 + 2 * i;
        rig.stories[i].client.expects = 2 + 2 * i;
        plan_story(&rig.stories[i]);
    }
    rig.flood = rig.theme == RIG_FLOW && kernel_chance(256);
    if (rig.flood) {
        rig.count = 1;
        plan_flood(either(&rig.stories[0]));
        stream_set_queues(STREAM_QUEUE_MAX, STREAM_QUEUE_MAX);
    }
}

static void begin_clients(void)
{
    static const uint64_t spreads_ns[] = {1, 100000, 10 * NS_PER_MS};
    uint64_t spread_ns = spreads_ns[kernel_below(ARRAY_LEN(spreads_ns))];

    for (unsigned i = 0; i < rig.count; i++) {
        kernel_after(kernel_below(spread_ns), begin_client, &rig.stories[i], i);
    }
}

const char *rig_run(uint64_t seed, enum rig_theme theme, bool trace)
{
    static const struct world world = {.route = route, .accepted = accepted};
    struct kernel_faults none = {.latency_ns = 1};

    rig.theme = theme;
    rig.complaint[0] = 0;
    kernel_start(seed, &none);
    kernel_set_trace(trace);
    stream_set_world(&world);
    stream_set_queues(256, kernel_chance(2) ? 2048 : STREAM_QUEUE_MAX);
    plan_stories();
    plan_commands();
    write_config();
    open_planes();
    begin_faults();
    begin_clients();
    kernel_trace("config\n%s", rig.text);
    turn_until_over();
    if (rig.complaint[0] == 0) {
        judge_all();
        judge_leftovers();
    }
    stop_peers();
    close_planes();
    if (kernel_open_files() != 0) {
        complain("%u descriptors are still open", kernel_open_files());
    }
    kernel_stop();
    return rig.complaint[0] == 0 ? NULL : rig.complaint;
}
