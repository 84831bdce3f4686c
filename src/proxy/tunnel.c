#include "proxy/tunnel.h"

#include "proxy/socket_options.h"

#include <sys/epoll.h>
#include <sys/param.h>

static enum cause fin_of(enum direction side)
{
    return side == CLIENT ? CAUSE_CLIENT_FIN : CAUSE_UPSTREAM_FIN;
}

static enum cause reset_of(const struct tunnel *tunnel, enum direction side)
{
    if (tunnel->sock[side].tls & SOCK_TLS_VIOLATED) {
        return CAUSE_TLS_ERROR;
    }
    return side == CLIENT ? CAUSE_CLIENT_RESET : CAUSE_UPSTREAM_RESET;
}

/* ---- options ---- */

static void set_options(const struct tunnel *tunnel)
{
    struct sock *sock = &tunnel->sock[UPSTREAM];

    if (!sock_has_options(sock)) {
        struct sock_options options =
            socket_options_of(tunnel->service->config);

        sock_set_options(sock, &options);
    }
}

/* Before the client's bytes are moved. A second request shows a connection that
 * lasts; the first one, or an end, does not. */
static void set_options_if_lasting(const struct tunnel *tunnel)
{
    if (tunnel->relay[UP].bytes > 0 &&
        !(tunnel->sock[CLIENT].ready & SOCK_HANGUP)) {
        set_options(tunnel);
    }
}

static bool options_are_due(const struct tunnel *tunnel)
{
    return tunnel->begun_ns + TUNNEL_OPTIONS_NS <= tunnel->plane->loop.now_ns;
}

/* ---- pumping ---- */

static enum cause pump(const struct tunnel *tunnel, enum direction direction);

/* Every byte of the source is written. */
static enum cause stream_ended(const struct tunnel *tunnel,
                               enum direction direction)
{
    enum direction back = direction_other(direction);

    if (tunnel->relay[back].wait == RELAY_ENDED) {
        return fin_of(back); /* closing sends our FIN */
    }
    sock_shutdown(&tunnel->sock[back]);
    return CAUSE_NONE;
}

/* Writing to the sink failed. What it sent before is still to be delivered; its
 * own relay tells when that is done. */
static enum cause sink_was_reset(const struct tunnel *tunnel,
                                 enum direction direction)
{
    enum direction sink = direction_other(direction);

    switch (tunnel->relay[sink].wait) {
    case RELAY_ENDED:
    case RELAY_BROKEN:
        return reset_of(tunnel, sink);
    case RELAY_SOURCE:
        return pump(tunnel, sink);
    default:
        return CAUSE_NONE; /* it is queued and comes to the end by itself */
    }
}

static enum cause pump(const struct tunnel *tunnel, enum direction direction)
{
    struct relay_context context = tunnel_context(tunnel, direction);
    size_t budget = sock_has_options(context.to)
                        ? RELAY_BUDGET_BYTES
                        : context.memory->cache.slab->block_bytes;

    if (context.from->tls & SOCK_TLS_READ) {
        budget = MIN(budget, context.plane->tls_work);
    }
    plane_trim_later(context.plane);
    switch (relay_pump(&tunnel->relay[direction], &context, budget)) {
    case PUMP_ENDED:
        return stream_ended(tunnel, direction);
    case PUMP_NO_SOURCE:
        return reset_of(tunnel, direction);
    case PUMP_NO_SINK:
        return sink_was_reset(tunnel, direction);
    default:
        return CAUSE_NONE;
    }
}

static bool is_over(const struct relay *relay)
{
    return relay->wait == RELAY_ENDED || relay->wait == RELAY_BROKEN;
}

/* Nothing reads this side any more, so nothing else meets its error. */
static enum cause unread_reset(const struct tunnel *tunnel, enum direction side)
{
    return sock_error(&tunnel->sock[side]) != 0 ? reset_of(tunnel, side)
                                                : CAUSE_NONE;
}

enum cause tunnel_begin(const struct tunnel *tunnel)
{
    enum cause cause;

    if (tunnel->service->config->tcp_user_timeout_ns > 0) {
        set_options(tunnel); /* it holds for the first bytes too */
    }
    cause = tunnel_event(tunnel, CLIENT, 0);
    return cause == CAUSE_NONE ? tunnel_event(tunnel, UPSTREAM, 0) : cause;
}

enum cause tunnel_resume(const struct tunnel *tunnel)
{
    enum cause cause = CAUSE_NONE;

    for (enum direction i = UP; i < DIRECTIONS && cause == CAUSE_NONE; i++) {
        if (!is_over(&tunnel->relay[i])) {
            cause = pump(tunnel, i);
        } else if (tunnel->sock[i].ready & SOCK_ERROR) {
            cause = unread_reset(tunnel, i); /* its event came meanwhile */
        }
    }
    return cause;
}

enum cause tunnel_event(const struct tunnel *tunnel, enum direction side,
                        uint32_t events)
{
    struct sock *sock = &tunnel->sock[side];
    enum direction other = direction_other(side);
    uint8_t wait = tunnel->relay[side].wait;
    enum cause cause = CAUSE_NONE;

    if (events & EPOLLERR && is_over(&tunnel->relay[side])) {
        cause = unread_reset(tunnel, side);
        if (cause != CAUSE_NONE) {
            return cause;
        }
    }
    if ((wait == RELAY_SOURCE && sock->ready & SOCK_READABLE) ||
        (wait == RELAY_MEMORY && sock->ready & SOCK_HANGUP)) {
        if (side == CLIENT) {
            set_options_if_lasting(tunnel);
        }
        cause = pump(tunnel, side);
    }
    if (cause == CAUSE_NONE && sock->ready & SOCK_WRITABLE &&
        tunnel->relay[other].wait == RELAY_SINK) {
        cause = pump(tunnel, other);
    }
    return cause;
}

enum cause tunnel_run(const struct tunnel *tunnel, enum direction direction)
{
    if (tunnel->relay[direction].wait == RELAY_TURN) {
        set_options(tunnel); /* one visit was not enough */
    }
    return pump(tunnel, direction);
}

enum cause tunnel_timer(const struct tunnel *tunnel)
{
    enum cause cause = CAUSE_NONE;

    if (options_are_due(tunnel)) {
        set_options(tunnel);
    }
    for (enum direction i = UP; i < DIRECTIONS && cause == CAUSE_NONE; i++) {
        if (tunnel->relay[i].wait == RELAY_TOKENS &&
            tunnel->throttle[i].resume_ns <= tunnel->plane->loop.now_ns) {
            cause = pump(tunnel, i);
        }
    }
    return cause;
}

/* ---- time ---- */

/* The next look at what the peer has taken, before write_timeout. */
static void consider_look(const struct tunnel *tunnel,
                          const struct relay *relay, struct deadline *earliest)
{
    uint64_t step_ns = tunnel->service->config->write_timeout_ns / TUNNEL_LOOKS;
    uint64_t past_ns = tunnel->plane->loop.now_ns - relay->moved_ns;

    if (step_ns != 0) {
        deadline_consider(earliest, relay->moved_ns,
                          (past_ns / step_ns + 1) * step_ns, CAUSE_NONE);
    }
}

static void consider_relay(const struct tunnel *tunnel,
                           enum direction direction, struct deadline *earliest)
{
    const struct config_service *config = tunnel->service->config;
    const struct relay *relay = &tunnel->relay[direction];

    switch (relay->wait) {
    case RELAY_SOURCE:
        deadline_consider(earliest, relay->moved_ns, config->read_timeout_ns,
                          CAUSE_READ_TIMEOUT);
        break;
    case RELAY_SINK:
        deadline_consider(earliest, relay->moved_ns, config->write_timeout_ns,
                          CAUSE_WRITE_TIMEOUT);
        consider_look(tunnel, relay, earliest);
        break;
    case RELAY_TOKENS:
        deadline_consider(earliest, 0, tunnel->throttle[direction].resume_ns,
                          CAUSE_NONE);
        break;
    default:
        break;
    }
}

void tunnel_deadline(const struct tunnel *tunnel, struct deadline *earliest)
{
    const struct config_service *config = tunnel->service->config;
    const struct relay *up = &tunnel->relay[UP];
    const struct relay *down = &tunnel->relay[DOWN];
    uint64_t moved_ns = MAX(up->moved_ns, down->moved_ns);

    deadline_consider(earliest, moved_ns, config->idle_timeout_ns,
                      CAUSE_IDLE_TIMEOUT);
    if (up->wait == RELAY_ENDED || down->wait == RELAY_ENDED) {
        deadline_consider(earliest, moved_ns, config->half_close_timeout_ns,
                          CAUSE_HALF_CLOSE_TIMEOUT);
    }
    if (!sock_has_options(&tunnel->sock[UPSTREAM])) {
        deadline_consider(earliest, tunnel->begun_ns, TUNNEL_OPTIONS_NS,
                          CAUSE_NONE);
    }
    consider_relay(tunnel, UP, earliest);
    consider_relay(tunnel, DOWN, earliest);
}

/* ---- the end ---- */

bool tunnel_drop(const struct tunnel *tunnel)
{
    bool lost = false;

    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct relay *relay = &tunnel->relay[i];
        struct relay_context context;

        lost |= relay_holds_bytes(relay, tunnel->plane) ||
                (relay->wait != RELAY_ENDED &&
                 tunnel->sock[i].ready & SOCK_READABLE);
        if (!relay_is_idle(relay) || tunnel->throttle != NULL) {
            context = tunnel_context(tunnel, i);
            relay_drop(relay, &context);
        }
    }
    return lost;
}
