#include "proxy/session_relay.h"

#include <string.h>
#include <sys/epoll.h>

/* Bytes; what a peer has not acknowledged is compared in such steps. */
#define OWED_STEP 256

/* The upstream sends nothing more: the session is no load for it. */
static void finish_upstream(struct session *session)
{
    if (!session->finished) {
        session->finished = true;
        upstream_finish(session->upstream);
    }
}

/* ---- lingering ---- */

/* Everything that the kernel took for the peer has reached it, or never will:
 * the queue of a socket that was reset keeps its length for ever. */
static bool nothing_is_owed(struct sock *sock, uint32_t owed)
{
    return sock->ready & SOCK_RESET || owed == 0 || sock_error(sock) != 0;
}

/* Whether the peer, whom so many bytes are owed, has acknowledged some since
 * the look before. */
static bool has_taken(struct session *session, enum direction side,
                      uint32_t owed)
{
    uint32_t steps = owed / OWED_STEP;
    uint16_t before = session->owed_steps[side];

    session->owed_steps[side] = (uint16_t)MIN(steps, UINT16_MAX);
    return steps < before;
}

static enum direction side_of(const struct session *session, enum cause cause)
{
    return cause == CAUSE_CLIENT_RESET ||
                   (cause == CAUSE_TLS_ERROR &&
                    session->sock[CLIENT].tls & SOCK_TLS_VIOLATED)
               ? CLIENT
               : UPSTREAM;
}

/* One side was reset, and what it sent before is written to the other: that one
 * is reset too, once its kernel has delivered it. */
static void linger(struct plane *plane, struct session *session,
                   enum cause cause)
{
    enum direction gone = side_of(session, cause);
    enum direction left = direction_other(gone);
    uint32_t owed;

    if (gone == CLIENT) { /* its socket knows the round trip */
        session_log_end(plane, session, cause);
    }
    (void)session_leave_phase(plane, session);
    session_close_side(plane, session, gone, true);
    if (gone == UPSTREAM) {
        finish_upstream(session);
    }
    session->cause = (uint8_t)cause;
    session->lingering = (uint8_t)left;
    owed = sock_unacknowledged(&session->sock[left]);
    (void)has_taken(session, left, owed);
    session_enter(plane, session, SESSION_LINGER);
    if (nothing_is_owed(&session->sock[left], owed)) {
        session_close(plane, session, cause);
    } else {
        session_arm(plane, session);
    }
}

void session_relay_linger(struct plane *plane, struct session *session)
{
    enum direction left = (enum direction)session->lingering;
    uint32_t owed = sock_unacknowledged(&session->sock[left]);

    if (has_taken(session, left, owed)) {
        session->entered_ns = plane->loop.now_ns;
    }
    if (nothing_is_owed(&session->sock[left], owed) ||
        plane->loop.now_ns >= session_linger_end_ns(session)) {
        session_close(plane, session, (enum cause)session->cause);
    } else {
        session_arm(plane, session);
    }
}

/* ---- relaying ---- */

/* What follows from the tunnel's answer. */
static void follow(struct plane *plane, struct session *session,
                   enum cause cause)
{
    switch (cause) {
    case CAUSE_NONE:
        /* What it sent before its end is here, however slowly it is passed on.
         */
        if (session->sock[UPSTREAM].ready & (SOCK_HANGUP | SOCK_ENDED)) {
            finish_upstream(session);
        }
        session_arm(plane, session);
        break;
    case CAUSE_CLIENT_RESET:
    case CAUSE_UPSTREAM_RESET:
    case CAUSE_TLS_ERROR:
        linger(plane, session, cause);
        break;
    default:
        session_close(plane, session, cause);
        break;
    }
}

/* The first look after a write has nothing to compare with. */
void session_relay_look(struct plane *plane, struct session *session)
{
    uint64_t step_ns =
        session->service->config->write_timeout_ns / TUNNEL_LOOKS;

    for (enum direction i = UP; i < DIRECTIONS; i++) {
        enum direction to = direction_other(i);
        struct relay *relay = &session->relay[i];
        uint64_t past_ns = plane->loop.now_ns - relay->moved_ns;

        if (step_ns != 0 && relay->wait == RELAY_SINK && past_ns >= step_ns &&
            has_taken(session, to, sock_unacknowledged(&session->sock[to])) &&
            past_ns >= 2 * step_ns) {
            relay->moved_ns = plane->loop.now_ns;
        }
    }
}

/* The relays' waits, to see whether a deadline may have changed. */
static unsigned waits_of(const struct session *session)
{
    return session->relay[UP].wait << 8 | session->relay[DOWN].wait;
}

void session_relay_event(struct plane *plane, struct session *session,
                         enum direction side, uint32_t events)
{
    struct tunnel tunnel = session_tunnel(plane, session);
    unsigned waits = waits_of(session);
    enum cause cause = tunnel_event(&tunnel, side, events);

    /* While bytes just move, no deadline comes earlier. */
    if (cause != CAUSE_NONE || waits_of(session) != waits ||
        events & (EPOLLRDHUP | EPOLLHUP)) {
        follow(plane, session, cause);
    }
}

static void run_relay(struct plane *plane, struct session *session,
                      enum direction direction)
{
    struct tunnel tunnel = session_tunnel(plane, session);

    follow(plane, session, tunnel_run(&tunnel, direction));
}

static struct session *session_of(struct relay *relay)
{
    return container_of(relay - relay->direction, struct session, relay);
}

void session_relay_run(struct loop *loop, struct list *link)
{
    struct relay *relay = container_of(link, struct relay, link);

    run_relay(plane_of(loop), session_of(relay),
              (enum direction)relay->direction);
}

bool session_relay_may_run(struct loop *loop)
{
    struct plane *plane = plane_of(loop);

    if (!plane->tls_queue) {
        plane->tls_queue = true;
        plane->tls_work = PLANE_TLS_WORK;
    }
    return plane->tls_work > 0;
}

/* A block was granted to the service's waiting relays, which go on in order.
 * The caller holds a generation of the service. */
static void run_waiting(struct plane *plane, enum direction direction,
                        struct service_blocks *blocks)
{
    struct list turn = {0};
    struct list *link;

    list_splice(&turn, &blocks->queue);
    while ((link = list_pop(&turn)) != NULL) {
        struct relay *relay = container_of(link, struct relay, link);
        struct session *session = session_of(relay);

        run_relay(plane, session, direction);
        if (session->phase == SESSION_RELAY && relay->wait == RELAY_MEMORY) {
            /* There was no block for it, so the account waits again. Those that
             * had no turn yet go before those that had one. */
            list_splice(&turn, &blocks->queue);
            list_splice(&blocks->queue, &turn);
            return;
        }
    }
    slab_pass_on(&blocks->account);
}

void session_relay_granted(struct plane *plane, enum direction direction)
{
    struct list granted = {0};
    struct list *link;

    slab_take_granted(&plane->memory[direction].cache, &granted);
    while ((link = list_first(&granted)) != NULL) {
        struct waiter *waiter = container_of(link, struct waiter, link);
        struct service_blocks *blocks =
            container_of(waiter, struct service_blocks, account.waiter);
        struct relay *first =
            container_of(list_first(&blocks->queue), struct relay, link);
        struct generation *generation = session_of(first)->service->generation;

        plane_hold(plane, generation);
        run_waiting(plane, direction, blocks);
        plane_release(plane, generation);
    }
}

void session_relay_begin(struct plane *plane, struct session *session)
{
    struct attempt *attempt = &session->opening.attempt;
    uint64_t now_ns = plane->loop.now_ns;
    struct tunnel tunnel;

    session->connect_us = (uint32_t)((now_ns - attempt->begun_ns) / 1000);
    histogram_add(&plane_counters(plane, session->service)->connect,
                  &histogram_connect, now_ns - attempt->begun_ns);
    session->upstream = choice_keep(&attempt->choice, plane);
    (void)session_leave_phase(plane, session);
    memset(session->relay, 0, sizeof(session->relay));
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        session->relay[i].direction = (uint8_t)i;
        session->relay[i].moved_ns = now_ns;
    }
    session_enter(plane, session, SESSION_RELAY);
    tunnel = session_tunnel(plane, session);
    follow(plane, session, tunnel_begin(&tunnel));
}

void session_relay_resume(struct plane *plane, struct session *session)
{
    struct tunnel tunnel = session_tunnel(plane, session);

    follow(plane, session, tunnel_resume(&tunnel));
}

void session_relay_timer(struct plane *plane, struct session *session)
{
    struct tunnel tunnel = session_tunnel(plane, session);

    follow(plane, session, tunnel_timer(&tunnel));
}
