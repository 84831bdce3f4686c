#include "control/health_check.h"

#include "base/hash.h"
#include "base/log.h"
#include "control/outages.h"
#include "net/connect.h"

#include <errno.h>

/* The timeout or the interval of a recovery check if its key is off. */
#define HEALTH_DEFAULT_NS (30 * NS_PER_S)

void health_check_init(struct health_check *check, struct upstream *upstream,
                       uint32_t index)
{
    check->upstream = upstream;
    check->index = index;
    check->sock.fd = -1;
}

/* ---- when a check is due ---- */

static uint32_t down_reasons(const struct health_check *check)
{
    return atomic_load_explicit(&check->upstream->down, memory_order_relaxed);
}

static bool is_wanted(const struct health_check *check)
{
    if (check->upstream->endpoint.length == 0) {
        return false;
    }
    return check->service->config->health_check ||
           (down_reasons(check) & UPSTREAM_FAILED);
}

static bool is_connecting(const struct health_check *check)
{
    return check->sock.fd >= 0;
}

static uint64_t interval_ns(const struct health_check *check)
{
    const struct config_service *config = check->service->config;
    uint64_t interval =
        config->health_check ? config->health_interval_ns : UINT64_MAX;

    if ((down_reasons(check) & UPSTREAM_FAILED) && config->fail_window_ns > 0 &&
        config->fail_window_ns < interval) {
        interval = config->fail_window_ns;
    }
    return interval == 0 || interval == UINT64_MAX ? HEALTH_DEFAULT_NS
                                                   : interval;
}

static uint64_t timeout_ns(const struct health_check *check)
{
    const struct config_service *config = check->service->config;
    uint64_t timeout = config->health_check ? config->health_timeout_ns
                                            : config->connect_timeout_ns;

    return timeout > 0 ? timeout : HEALTH_DEFAULT_NS;
}

static void arm(struct health_checks *checks, struct health_check *check,
                uint64_t due_ns)
{
    check->timer.kind = checks->kind;
    wheel_arm(&checks->loop->wheel, &check->timer, due_ns);
}

/* ---- what a result changes ---- */

static void log_up(const struct health_check *check)
{
    char name[ADDR_HOST_MAX], address[ADDR_HOST_MAX + 16];

    log_write(LOG_INFO, "upstream service=%s address=%s state=up",
              log_quote(check->service->config->name, name, sizeof(name)),
              log_quote(check->upstream->text, address, sizeof(address)));
    outages_check(check->service);
}

static void log_down(const struct health_check *check, enum cause cause,
                     int error)
{
    char name[ADDR_HOST_MAX], address[ADDR_HOST_MAX + 16];
    char reason[CONNECT_REASON_MAX];

    log_write(LOG_WARN, "upstream service=%s address=%s state=down cause=%s%s",
              log_quote(check->service->config->name, name, sizeof(name)),
              log_quote(check->upstream->text, address, sizeof(address)),
              cause_name(cause), connect_format_reason(error, reason));
    outages_check(check->service);
}

static void clear_down(struct health_check *check, uint32_t reason)
{
    if (upstream_clear_down(check->upstream, reason)) {
        log_up(check);
    }
}

static void count_success(struct health_check *check)
{
    const struct config_service *config = check->service->config;

    clear_down(check, UPSTREAM_FAILED);
    if (!(down_reasons(check) & UPSTREAM_UNHEALTHY)) {
        check->streak = 0;
    } else if (++check->streak >= config->health_rise) {
        check->streak = 0;
        clear_down(check, UPSTREAM_UNHEALTHY);
    }
}

static void count_failure(struct health_check *check, int error)
{
    const struct config_service *config = check->service->config;

    if (!config->health_check || (down_reasons(check) & UPSTREAM_UNHEALTHY)) {
        check->streak = 0;
    } else if (++check->streak >= config->health_fall) {
        check->streak = 0;
        if (upstream_set_down(check->upstream, UPSTREAM_UNHEALTHY)) {
            log_down(check,
                     error == ETIMEDOUT ? CAUSE_CONNECT_TIMEOUT
                                        : CAUSE_CONNECT_REFUSED,
                     error);
        }
    }
}

/* error: errno of the check; 0: it has passed. A shortage of this machine says
 * nothing of the upstream, but for ports: clients have none either then. */
static void apply_result(struct health_check *check, int error)
{
    if (error == 0) {
        count_success(check);
    } else if (!connect_error_is_shortage(error) || error == EADDRNOTAVAIL) {
        count_failure(check, error);
    }
}

/* ---- one check ---- */

void health_check_stop(struct health_checks *checks, struct health_check *check)
{
    if (is_connecting(check)) {
        sock_close(&check->sock);
        checks->connecting--;
    }
    list_remove(&check->waiting);
    wheel_disarm(&checks->loop->wheel, &check->timer);
}

static void finish(struct health_checks *checks, struct health_check *check,
                   int error)
{
    uint64_t now_ns = checks->loop->now_ns;
    uint64_t next_ns;

    health_check_stop(checks, check);
    apply_result(check, error);
    if (is_wanted(check)) {
        next_ns = check->begun_ns + interval_ns(check);
        arm(checks, check, next_ns > now_ns ? next_ns : now_ns);
    }
}

static void await_connect(struct health_checks *checks,
                          struct health_check *check)
{
    uint64_t token = loop_token(checks->kind, check->index, ++check->instance);

    if (poller_add(&checks->loop->poller, check->sock.fd, token) < 0) {
        finish(checks, check, ENOMEM);
        return;
    }
    arm(checks, check, checks->loop->now_ns + timeout_ns(check));
}

static void begin_connect(struct health_checks *checks,
                          struct health_check *check)
{
    const struct config_service *config = check->service->config;
    const struct endpoint *endpoint = &check->upstream->endpoint;
    struct addr address;
    const struct addr *source =
        config_source(config, endpoint->u.any.sa_family, 0, &address) ? &address
                                                                      : NULL;
    enum connect_result answer = connect_stream(&check->sock, endpoint, source);
    int error = errno;

    checks->connecting += is_connecting(check);
    switch (answer) {
    case CONNECT_PENDING:
        await_connect(checks, check);
        break;
    case CONNECT_DONE:
        finish(checks, check, 0);
        break;
    case CONNECT_BUSY: /* a unix socket whose backlog is full */
        finish(checks, check, ETIMEDOUT);
        break;
    case CONNECT_FAILED:
    case CONNECT_SHORTAGE:
        finish(checks, check, error);
        break;
    }
}

void health_check_begin_waiting(struct health_checks *checks)
{
    while (checks->connecting < HEALTH_CHECKS_MAX) {
        struct list *link = list_pop(&checks->waiting);
        struct health_check *check;

        if (link == NULL) {
            return;
        }
        check = container_of(link, struct health_check, waiting);
        if (check->service->config->mode == CONFIG_UDP) {
            /* Only a client's datagram can show whether it answers again. */
            finish(checks, check, 0);
        } else {
            begin_connect(checks, check);
        }
    }
}

void health_check_event(struct health_checks *checks,
                        struct health_check *check, uint32_t instance,
                        uint32_t events)
{
    int error;

    if (!is_connecting(check) || check->instance != instance) {
        return;
    }
    sock_event(&check->sock, events);
    error = sock_error(&check->sock);
    if (error == 0 && !(check->sock.ready & SOCK_WRITABLE)) {
        return;
    }
    finish(checks, check, error);
    health_check_begin_waiting(checks);
}

void health_check_timer(struct health_checks *checks, struct wheel_timer *timer)
{
    struct health_check *check =
        container_of(timer, struct health_check, timer);

    if (is_connecting(check)) {
        finish(checks, check, ETIMEDOUT);
    } else if (is_wanted(check)) {
        check->begun_ns = checks->loop->now_ns;
        list_append(&checks->waiting, &check->waiting);
    }
    health_check_begin_waiting(checks);
}

/* ---- changes from outside ---- */

void health_check_configure(struct health_checks *checks,
                            struct health_check *check,
                            const struct service *service)
{
    uint64_t latest_ns;

    check->service = service;
    if (!service->config->health_check) {
        check->streak = 0;
        clear_down(check, UPSTREAM_UNHEALTHY);
    }
    if (is_connecting(check) || list_linked(&check->waiting)) {
        return;
    }
    if (!is_wanted(check)) {
        wheel_disarm(&checks->loop->wheel, &check->timer);
        return;
    }
    latest_ns = checks->loop->now_ns + interval_ns(check);
    if (!wheel_armed(&check->timer) ||
        wheel_due_ns(&check->timer) > latest_ns + NS_PER_MS) {
        arm(checks, check,
            latest_ns - hash_random(&checks->random) % interval_ns(check));
    }
}

void health_check_upstream_failed(struct health_checks *checks,
                                  struct health_check *check)
{
    uint64_t latest_ns = checks->loop->now_ns + interval_ns(check);

    outages_check(check->service);
    if (is_connecting(check) || list_linked(&check->waiting) ||
        !is_wanted(check)) {
        return;
    }
    if (!wheel_armed(&check->timer) ||
        wheel_due_ns(&check->timer) > latest_ns) {
        arm(checks, check, latest_ns);
    }
}
