#include "proxy/choice.h"

#include "base/hash.h"
#include "base/log.h"
#include "service/check_cause.h"

#include <errno.h>
#include <stdlib.h>

/* Local addresses tried for one connect while the ports of each are used up. */
#define SOURCES_TRIED_MAX 4u

/* ---- the pick ---- */

struct view {
    const struct choice *choice;
    uint64_t now_ns;
};

static bool upstream_usable(void *arg, uint32_t i)
{
    const struct choice *choice = ((const struct view *)arg)->choice;
    const struct upstream *upstream = choice->service->upstreams[i];
    const struct config_upstream *line = choice->service->lines[i];

    if (line->drain) {
        return false;
    }
    if (choice->tried != NULL && (choice->tried[i / 64] >> (i % 64) & 1)) {
        return false;
    }
    return upstream_up(upstream) &&
           !upstream_full(upstream, line->max_connections);
}

bool choice_may_get_place(const struct service *service)
{
    for (uint32_t i = 0; i < service->upstream_count; i++) {
        if (!service->lines[i]->drain && upstream_up(service->upstreams[i])) {
            return true;
        }
    }
    return false;
}

bool choice_has_place(const struct service *service)
{
    for (uint32_t i = 0; i < service->upstream_count; i++) {
        const struct upstream *upstream = service->upstreams[i];

        if (!service->lines[i]->drain && atomic_load(&upstream->down) == 0 &&
            !upstream_full(upstream, service->lines[i]->max_connections)) {
            return true;
        }
    }
    return false;
}

/* The share of its weight, while some upstream is in slow_start. */
static uint32_t share_of_weight(void *arg, uint32_t i)
{
    const struct view *view = arg;
    const struct service *service = view->choice->service;

    return upstream_share(atomic_load_explicit(&service->upstreams[i]->since_ns,
                                               memory_order_relaxed),
                          service->config->slow_start_ns, view->now_ns);
}

static uint32_t load_of(void *arg, uint32_t i)
{
    const struct choice *choice = ((const struct view *)arg)->choice;

    return upstream_load(choice->service->upstreams[i]);
}

static uint32_t active_of(void *arg, uint32_t i)
{
    const struct choice *choice = ((const struct view *)arg)->choice;

    return atomic_load_explicit(&choice->service->upstreams[i]->active,
                                memory_order_relaxed);
}

/* Sets the place of the next upstream. False: no upstream is usable. */
static bool pick(struct choice *choice, const struct choice_request *request)
{
    struct service *service = choice->service;
    uint64_t now_ns = request->plane->loop.now_ns;
    struct view arg = {.choice = choice, .now_ns = now_ns};
    struct balance_view view = {
        .usable = upstream_usable, .load = load_of, .arg = &arg};
    uint64_t hash = addr_hash(request->client, service->config->hash_prefix_v4,
                              service->config->hash_prefix_v6);
    ssize_t place;

    if (atomic_load_explicit(&service->state->slow_until_ns,
                             memory_order_relaxed) > now_ns) {
        view.share = share_of_weight;
    }
    if (service->config->balance_bound != 0) {
        view.active = active_of;
        view.bound = service->config->balance_bound;
        view.total =
            atomic_load_explicit(&service->state->active, memory_order_relaxed);
    }
    place = balance_pick(&service->balance, hash,
                         hash_random(&request->plane->random), &view);

    if (place >= 0) {
        choice->place = (uint32_t)place;
    }
    return place >= 0;
}

/* The upstream is not picked again for this client. A single one may be: it may
 * be starting again. */
static void mark_tried(struct choice *choice)
{
    size_t count = choice->service->upstream_count;

    if (count == 1) {
        return;
    }
    if (choice->tried == NULL) {
        choice->tried = calloc((count + 63) / 64, sizeof(uint64_t));
    }
    if (choice->tried == NULL) {
        choice->cause = CAUSE_LOCAL_RESOURCE;
        choice->stopped = true;
    } else {
        choice->tried[choice->place / 64] |= UINT64_C(1)
                                             << (choice->place % 64);
    }
}

/* ---- the connect ---- */

static enum connect_result connect_from(const struct choice *choice,
                                        const struct choice_request *request,
                                        struct sock *sock,
                                        const struct addr *source)
{
    const struct endpoint *endpoint = &choice->upstream->endpoint;
    struct endpoint at;

    if (upstream_has_any_port(choice->upstream)) {
        at = *endpoint;
        endpoint_set_port(&at, request->port);
        endpoint = &at;
    }
    return request->kind == PLANE_SESSION
               ? connect_stream(sock, endpoint, source)
               : connect_datagram(sock, endpoint, source);
}

/* Connects from one of the service's source addresses, and from the next one
 * when the local ports of the first are used up. */
static enum connect_result
connect_upstream(const struct choice *choice,
                 const struct choice_request *request, struct sock *sock)
{
    struct service *service = choice->service;
    int family = choice->upstream->endpoint.u.any.sa_family;
    enum connect_result result = CONNECT_SHORTAGE;
    struct addr source;

    if (service->config->source_count == 0 || family == AF_UNIX) {
        return connect_from(choice, request, sock, NULL);
    }
    for (unsigned i = 0; i < SOURCES_TRIED_MAX; i++) {
        uint32_t turn = atomic_fetch_add_explicit(&service->source_cursor, 1,
                                                  memory_order_relaxed);

        if (!config_source(service->config, family, turn, &source)) {
            return connect_from(choice, request, sock, NULL);
        }
        result = connect_from(choice, request, sock, &source);
        /* Ports are used up: EADDRNOTAVAIL of a stream, EAGAIN of datagrams. */
        if (result != CONNECT_SHORTAGE ||
            (errno != EADDRNOTAVAIL && errno != EAGAIN)) {
            break;
        }
    }
    return result;
}

static int watch(const struct choice_request *request, const struct sock *sock,
                 uint32_t *instance)
{
    struct poller *poller = &request->plane->loop.poller;
    uint64_t token;

    *instance = plane_next_instance(request->plane);
    token = loop_token(request->kind, request->index, *instance);
    return request->kind == PLANE_SESSION
               ? poller_add(poller, sock->fd, token)
               : poller_add_datagram(poller, sock->fd, token);
}

static void leave(struct choice *choice)
{
    if (choice->entered) {
        upstream_leave(choice->upstream);
        choice->entered = false;
    }
}

/* Connects to the upstream that was picked. False: it failed at once. */
static bool begin_attempt(struct choice *choice,
                          const struct choice_request *request,
                          struct sock *sock, uint32_t *instance,
                          enum choice_answer *answer)
{
    enum connect_result result;

    choice->attempts++;
    result = connect_upstream(choice, request, sock);
    switch (result) {
    case CONNECT_PENDING:
    case CONNECT_DONE:
        if (watch(request, sock, instance) < 0) {
            choice_fail(choice, request->plane, sock, ENOMEM);
            return false;
        }
        *answer = result == CONNECT_DONE ? CHOICE_CONNECTED : CHOICE_CONNECTING;
        return true;
    case CONNECT_BUSY:
        /* The backlog of a unix socket is full: no fault of the upstream. */
        choice->cause = CAUSE_CONNECT_TIMEOUT;
        leave(choice);
        mark_tried(choice);
        return false;
    default:
        choice_fail(choice, request->plane, sock, errno);
        return false;
    }
}

void choice_begin(struct choice *choice, struct service *service)
{
    *choice = (struct choice){.service = service};
}

enum choice_answer choice_connect(struct choice *choice,
                                  const struct choice_request *request,
                                  struct sock *sock, uint32_t *instance)
{
    struct service *service = choice->service;
    enum choice_answer answer;

    while (!choice->stopped &&
           choice->attempts < service->config->connect_attempts &&
           pick(choice, request)) {
        if (service->upstream_count == 1 && choice->attempts > 0 &&
            !choice->paused) {
            choice->paused = true;
            return CHOICE_PAUSE;
        }
        choice->paused = false;
        choice->upstream = service->upstreams[choice->place];
        choice->entered = upstream_enter(choice->upstream,
                                         choice_line(choice)->max_connections);
        /* If it filled up since the pick, the next pick sees that. */
        if (choice->entered &&
            begin_attempt(choice, request, sock, instance, &answer)) {
            return answer;
        }
    }
    return choice->attempts == 0 && service->config->queue_timeout_ns != 0 &&
                   choice_may_get_place(service)
               ? CHOICE_FULL
               : CHOICE_NONE;
}

/* ---- the end ---- */

/* Tells the log and the control thread that an upstream was taken out. */
static void report_failed(struct plane *plane, const struct service *service,
                          struct upstream *upstream, enum cause cause,
                          int error)
{
    char reason[CONNECT_REASON_MAX];
    struct report *report =
        report_create(REPORT_UPSTREAM_FAILED, plane->number);
    char name[LOG_QUOTED_MAX(CONFIG_NAME_MAX)];
    char address[LOG_QUOTED_MAX(UPSTREAM_TEXT_MAX)];

    if (report == NULL) {
        /* Without a report no check would find it back, so it stays in use. */
        (void)upstream_clear_down(upstream, UPSTREAM_FAILED,
                                  plane->loop.now_ns);
        return;
    }
    log_write(LOG_WARN, "upstream service=%s address=%s state=down cause=%s%s",
              log_quote(service->config->name, name, sizeof(name)),
              log_quote(upstream->text, address, sizeof(address)),
              cause_name(cause), connect_format_reason(error, reason));
    report->upstream = upstream;
    atomic_store_explicit(&upstream->cause, check_cause_of_connect(cause),
                          memory_order_relaxed);
    shared_report(plane->shared, report);
}

void choice_blame(struct plane *plane, const struct service *service,
                  struct upstream *upstream, enum cause cause, int error)
{
    const struct config_service *config = service->config;

    counter_add(
        &plane_upstream_counters(plane, upstream)->failed[failure_of(cause)],
        1);
    /* It took the connection and reset it, as it may do to one client, or after
     * one that went away. It is there, and a lone reset proves nothing. Nor
     * does one port of many that is closed. */
    if (cause == CAUSE_UPSTREAM_RESET || upstream_has_any_port(upstream)) {
        return;
    }
    if (upstream_connect_failed(upstream, config->fail_threshold,
                                config->fail_window_ns, plane->loop.now_ns)) {
        report_failed(plane, service, upstream, cause, error);
    }
}

static enum cause cause_of(int error)
{
    switch (error) {
    case ETIMEDOUT:
        return CAUSE_CONNECT_TIMEOUT;
    case ECONNRESET:
        return CAUSE_UPSTREAM_RESET;
    case EPROTO:
        return CAUSE_TLS_ERROR;
    default:
        return CAUSE_CONNECT_REFUSED;
    }
}

void choice_fail(struct choice *choice, struct plane *plane, struct sock *sock,
                 int error)
{
    if (connect_error_is_shortage(error)) {
        choice->cause = CAUSE_LOCAL_RESOURCE;
        plane_report_shortage(plane, error);
    } else {
        choice->cause = (uint8_t)cause_of(error);
        choice_blame(plane, choice->service, choice->upstream,
                     (enum cause)choice->cause, error);
    }
    sock_close(sock);
    leave(choice);
    mark_tried(choice);
}

void choice_pass_over(struct choice *choice, struct sock *sock)
{
    choice->cause = CAUSE_UPSTREAM_DOWN;
    sock_close(sock);
    leave(choice);
    mark_tried(choice);
}

enum cause choice_cause(const struct choice *choice)
{
    return choice->cause == CAUSE_NONE ? CAUSE_NO_UPSTREAM
                                       : (enum cause)choice->cause;
}

struct upstream *choice_keep(struct choice *choice, struct plane *plane)
{
    counter_add(&plane_upstream_counters(plane, choice->upstream)->total, 1);
    free(choice->tried);
    choice->tried = NULL;
    choice->entered = false;
    return choice->upstream;
}

void choice_drop(struct choice *choice)
{
    leave(choice);
    free(choice->tried);
    choice->tried = NULL;
}
