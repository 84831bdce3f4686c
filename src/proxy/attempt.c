#include "proxy/attempt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

/* A single upstream that refused may be starting: it is tried again after
 * this. */
#define PAUSE_NS (100 * NS_PER_MS)
/* How long a connect may still take when the client has left. */
#define ABANDONED_NS (100 * NS_PER_MS)

/* Of max_connections: so many may wait for places at upstreams. */
#define QUEUED_PART 2

static enum step failed(struct attempt *attempt, enum cause cause)
{
    attempt->cause = (uint8_t)cause;
    return STEP_FAILED;
}

/* ---- connected ---- */

/* Sends the PROXY header that the upstream's line asks for. Not inlined: a
 * connection without one would save registers for it. */
__attribute__((noinline)) static enum step
send_header(struct attempt *attempt, const struct attempt_context *context)
{
    const struct upstream_header what = {
        .version = choice_line(&attempt->choice)->proxy_protocol,
        .client = context->client,
        .client_addr = context->client_addr,
        .header = context->header,
        .tlvs = context->tlvs,
    };
    enum cause cause = CAUSE_NONE;
    enum step step;

    if (!attempt->sending) {
        attempt->sent = 0;
    }
    step =
        upstream_header_send(&what, context->upstream, &attempt->sent, &cause);
    attempt->sending = step == STEP_WAITS;
    return step == STEP_FAILED ? failed(attempt, cause) : step;
}

static int start_tls(const struct choice *choice,
                     const struct attempt_context *context)
{
    char text[ADDR_TEXT_MAX];
    const struct sock_peer peer = {
        .name = service_upstream_name(choice->service, choice->place, text),
        .place = choice->place,
        .other = context->client,
    };

    return sock_start_tls(context->upstream, choice->service->tls_client,
                          &peer);
}

/* The step waits in the loop's queue until we have time for it. */
static enum step queue_step(struct attempt *attempt,
                            const struct attempt_context *context,
                            enum step step)
{
    if (!attempt->queued && !attempt->abandoned) {
        attempt->queued = true;
        attempt->begun_ns = context->plane->loop.now_ns - attempt->begun_ns;
    }
    return step;
}

static enum step pass_over(struct attempt *attempt,
                           const struct attempt_context *context);

/* Whether a check has taken the upstream out since the connect began, and
 * connections there end: this one would escape that. begun_ns is later than
 * that where the attempt was queued; one that is down still is no upstream. */
static bool is_reset(const struct attempt *attempt)
{
    const struct upstream *upstream = attempt->choice.upstream;

    return upstream_resets(upstream, attempt->begun_ns) ||
           upstream_is_emptied(upstream);
}

static enum step connected(struct attempt *attempt,
                           const struct attempt_context *context)
{
    enum step step;

    if (is_reset(attempt)) {
        return pass_over(attempt, context);
    }
    if (choice_line(&attempt->choice)->proxy_protocol != PROXY_OFF) {
        step = send_header(attempt, context);
        if (step != STEP_DONE) {
            return step;
        }
    }
    if (attempt->choice.service->tls_client == NULL) {
        return STEP_DONE;
    }
    if (start_tls(&attempt->choice, context) < 0) {
        return failed(attempt, CAUSE_LOCAL_RESOURCE);
    }
    attempt->securing = true;
    return queue_step(attempt, context, STEP_RUNNABLE);
}

/* ---- connecting ---- */

static struct queue_part *queue_part(const struct attempt *attempt,
                                     const struct plane *plane)
{
    return &attempt->choice.service->state->queue.parts[plane->number];
}

static void leave_queue(struct attempt *attempt, struct plane *plane)
{
    struct queue_part *part = queue_part(attempt, plane);

    queue_leave(&attempt->choice.service->state->queue, part, attempt->place);
    if (list_empty(&part->places)) {
        list_remove(&part->link);
    }
    free(attempt->place);
    attempt->waiting = false;
    attempt->begun_ns = plane->loop.now_ns;
    atomic_fetch_sub_explicit(&plane->shared->queued, 1, memory_order_relaxed);
}

static void wake(void *arg)
{
    struct plane *plane = arg;

    mailbox_post(&plane->loop.mailbox, &plane->place_free);
}

/* All who wait have a share of the process, so that one service cannot take
 * the connections of the others. */
static bool may_wait(struct plane *plane)
{
    struct shared *shared = plane->shared;
    uint32_t most =
        atomic_load_explicit(&shared->max_connections, memory_order_relaxed) /
        QUEUED_PART;

    if (atomic_fetch_add_explicit(&shared->queued, 1, memory_order_relaxed) <
        MAX(most, 1)) {
        return true;
    }
    atomic_fetch_sub_explicit(&shared->queued, 1, memory_order_relaxed);
    return false;
}

static enum step enter_queue(struct attempt *attempt, struct plane *plane)
{
    const struct service *service = attempt->choice.service;
    struct queue *queue = &service->state->queue;
    struct queue_part *part = queue_part(attempt, plane);
    struct queue_place *place;

    if (!may_wait(plane)) {
        return failed(attempt, CAUSE_NO_UPSTREAM);
    }
    place = calloc(1, sizeof(*place));
    if (place == NULL) {
        atomic_fetch_sub_explicit(&plane->shared->queued, 1,
                                  memory_order_relaxed);
        return failed(attempt, CAUSE_LOCAL_RESOURCE);
    }
    place->owner = attempt;
    attempt->place = place;
    attempt->waiting = true;
    if (part->wake == NULL) {
        part->wake = wake;
        part->arg = plane;
    }
    if (!list_linked(&part->link)) {
        list_append(&plane->queues, &part->link);
    }
    queue_enter(queue, part, place, plane->loop.now_ns);
    if (choice_has_place(service)) {
        queue_call(queue);
    }
    return STEP_WAITS;
}

/* Whether others wait, who come first. */
static bool is_behind(const struct choice *choice)
{
    const struct service *service = choice->service;

    return service->config->queue_timeout_ns != 0 && choice->attempts == 0 &&
           !queue_empty(&service->state->queue) &&
           choice_may_get_place(service);
}

/* Notes the connection, so that it is known if it comes back to us. So is each
 * connection for a client that is noted by now: that note may have come after
 * we had accepted the client. */
static void note(const struct attempt *attempt,
                 const struct attempt_context *context)
{
    struct plane *plane = context->plane;
    struct loop_guard *loops = &plane->shared->loops;
    struct upstream *upstream = attempt->choice.upstream;
    struct loop_ends ends, client;
    bool due;

    addr_from_sockaddr(&ends.to, &upstream->endpoint.u.any);
    if (!addr_is_ip(&ends.to)) {
        return;
    }
    due = loop_guard_is_due(upstream, plane_upstream_counters(plane, upstream),
                            plane->loop.now_ns);
    if (!due && !loop_guard_may_know(loops, context->client_addr->port)) {
        return;
    }
    sock_remote(context->client, &client.from); /* not the PROXY header's */
    sock_local(context->client, &client.to);
    if (!due && !loop_guard_knows(loops, &client)) {
        return;
    }
    sock_local(context->upstream, &ends.from);
    if (memcmp(ends.to.ip, (const uint8_t[16]){0}, sizeof(ends.to.ip)) == 0) {
        /* A connect to no address goes from the loopback one to itself. */
        memcpy(ends.to.ip, ends.from.ip, sizeof(ends.to.ip));
    }
    *context->note = loop_guard_note(loops, upstream, &ends, &client);
}

/* What follows from the choice of the next upstream. */
static enum step connect_next(struct attempt *attempt,
                              const struct attempt_context *context)
{
    const struct choice_request request = {
        .plane = context->plane,
        .client = context->client_addr,
        .kind = PLANE_SESSION,
        .index = context->index,
        .port = context->port,
    };
    enum choice_answer answer = choice_connect(
        &attempt->choice, &request, context->upstream, context->instance);

    if (answer != CHOICE_FULL && attempt->waiting) {
        leave_queue(attempt, context->plane);
    }
    switch (answer) {
    case CHOICE_CONNECTED:
        context->upstream->ready |= SOCK_WRITABLE;
        note(attempt, context);
        return connected(attempt, context);
    case CHOICE_CONNECTING:
        note(attempt, context);
        return STEP_WAITS;
    case CHOICE_PAUSE:
        attempt->pausing = true;
        return STEP_WAITS;
    case CHOICE_FULL:
        return attempt->waiting ? STEP_WAITS
                                : enter_queue(attempt, context->plane);
    default:
        return failed(attempt, choice_cause(&attempt->choice));
    }
}

static enum step try_next(struct attempt *attempt,
                          const struct attempt_context *context)
{
    /* The attempt before has failed, and may have gone round. */
    if (loop_guard_forget(&context->plane->shared->loops, context->note)) {
        return failed(attempt, CAUSE_LOOP);
    }
    if (attempt->abandoned) {
        return failed(attempt, CAUSE_CLIENT_RESET);
    }
    attempt->begun_ns = context->plane->loop.now_ns;
    attempt->queued = false;
    attempt->pausing = false;
    attempt->securing = false;
    attempt->sending = false;
    if (is_behind(&attempt->choice)) {
        return enter_queue(attempt, context->plane);
    }
    return connect_next(attempt, context);
}

/* The client goes on to the next upstream: no byte of it has been sent. */
static enum step pass_over(struct attempt *attempt,
                           const struct attempt_context *context)
{
    choice_pass_over(&attempt->choice, context->upstream);
    return try_next(attempt, context);
}

static enum step fail(struct attempt *attempt,
                      const struct attempt_context *context, int error)
{
    choice_fail(&attempt->choice, context->plane, context->upstream, error);
    return try_next(attempt, context);
}

enum step attempt_begin(struct attempt *attempt, struct service *service,
                        const struct attempt_context *context)
{
    enum step step;

    *attempt = (struct attempt){.begun_ns = 0};
    choice_begin(&attempt->choice, service);
    step = try_next(attempt, context);
    /* A reset that an earlier phase was told of is not told again. */
    return context->client->ready & SOCK_ERROR && step != STEP_FAILED &&
                   step != STEP_DONE
               ? attempt_client_left(attempt, context)
               : step;
}

enum step attempt_event(struct attempt *attempt,
                        const struct attempt_context *context)
{
    struct sock *sock = context->upstream;
    int error = 0;

    if (attempt->securing) {
        return queue_step(attempt, context, STEP_RUNNABLE);
    }
    if (!(sock->ready & (SOCK_WRITABLE | SOCK_HANGUP))) {
        return STEP_WAITS;
    }
    if (sock->ready & SOCK_HANGUP && !attempt->sending) {
        error = sock_error(sock);
    }
    /* The upstream took the connection if it sent a FIN before the reset
     * (EPIPE), or bytes, which are owed to the client. */
    if (error == 0 || error == EPIPE ||
        (error == ECONNRESET && sock_has_bytes(sock))) {
        return connected(attempt, context);
    }
    return fail(attempt, context, error);
}

enum step attempt_client_left(struct attempt *attempt,
                              const struct attempt_context *context)
{
    if (attempt->waiting || !sock_has_bytes(context->client)) {
        return failed(attempt, CAUSE_CLIENT_RESET);
    }
    if (!attempt->abandoned) {
        attempt->abandoned = true;
        attempt->queued = false;
        attempt->begun_ns = context->plane->loop.now_ns;
    }
    return STEP_WAITS;
}

enum step attempt_called(struct attempt *attempt,
                         const struct attempt_context *context)
{
    return connect_next(attempt, context);
}

void attempt_move(struct attempt *attempt, struct service *service)
{
    attempt->choice.service = service;
}

enum step attempt_handshake(struct attempt *attempt,
                            const struct attempt_context *context)
{
    const struct choice *choice = &attempt->choice;
    enum step step;

    if (!attempt->securing) {
        return STEP_WAITS; /* it failed while it stood in the queue */
    }
    if (attempt->queued) {
        attempt->queued = false;
        attempt->begun_ns = context->plane->loop.now_ns - attempt->begun_ns;
    }
    step = handshake_step(context->upstream);
    if (step == STEP_DONE && is_reset(attempt)) {
        return pass_over(attempt, context);
    }
    if (step == STEP_RETRY) {
        return queue_step(attempt, context, step);
    }
    if (step != STEP_FAILED) {
        return step;
    }
    if (errno == EPROTO) {
        handshake_report_failure(context->plane, choice->service, "upstream",
                                 choice->upstream->text, sock_tls_error());
    }
    return fail(attempt, context, errno);
}

/* ---- time ---- */

void attempt_deadline(const struct attempt *attempt, struct deadline *earliest)
{
    const struct config_service *config = attempt->choice.service->config;

    if (attempt->waiting) {
        deadline_consider(earliest, attempt->place->since_ns,
                          config->queue_timeout_ns, CAUSE_QUEUE_TIMEOUT);
    } else if (attempt->abandoned) {
        deadline_consider(earliest, attempt->begun_ns, ABANDONED_NS,
                          CAUSE_NONE);
    } else if (attempt->pausing) {
        deadline_consider(earliest, attempt->begun_ns, PAUSE_NS, CAUSE_NONE);
    } else if (!attempt->queued) {
        deadline_consider(earliest, attempt->begun_ns,
                          config->connect_timeout_ns, CAUSE_NONE);
    }
}

enum step attempt_timeout(struct attempt *attempt,
                          const struct attempt_context *context)
{
    if (attempt->abandoned || attempt->pausing) {
        return try_next(attempt, context);
    }
    return fail(attempt, context, ETIMEDOUT);
}

void attempt_end(struct attempt *attempt, struct plane *plane)
{
    if (attempt->waiting) {
        leave_queue(attempt, plane);
    }
    choice_drop(&attempt->choice);
}
