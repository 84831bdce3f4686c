#include "control/health_check.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/check_schedule.h"
#include "control/outages.h"
#include "net/connect.h"
#include "service/check_cause.h"

#include <stdio.h>
#include <string.h>
#include <sys/param.h>

/* The timeout or the interval of a recovery check if its key is off. */
#define HEALTH_DEFAULT_NS (30 * NS_PER_S)

uint32_t health_checks_most(uint64_t descriptor_limit)
{
    uint64_t most = MIN(descriptor_limit / 8, HEALTH_CHECKS_MAX);

    return (uint32_t)MAX(most, HEALTH_CHECKS_MIN);
}

void health_check_init(struct health_check *check, struct upstream *upstream,
                       uint32_t index)
{
    check->upstream = upstream;
    check->index = index;
    check->due_ns[HEALTH_ACTIVE] = check->due_ns[HEALTH_RECOVERY] = UINT64_MAX;
    check->talk.sock.fd = -1;
}

/* ---- when a check is due ---- */

static const struct config_service *config_of(const struct health_check *check)
{
    return check->service->config;
}

static uint32_t down_reasons(const struct health_check *check)
{
    return atomic_load_explicit(&check->upstream->down, memory_order_relaxed);
}

static bool has_failed(const struct health_check *check)
{
    return down_reasons(check) & UPSTREAM_FAILED;
}

/* Whether an active check that passes shows that clients could connect. */
static bool serves_as_both(const struct health_check *check)
{
    return config_of(check)->health_check != HEALTH_OFF &&
           config_of(check)->health_port == 0;
}

static bool is_wanted(const struct health_check *check,
                      enum health_purpose purpose)
{
    if (check->upstream->endpoint.length == 0) {
        return false;
    }
    return purpose == HEALTH_ACTIVE
               ? config_of(check)->health_check != HEALTH_OFF
               : has_failed(check) && !serves_as_both(check);
}

static uint64_t interval_ns(const struct health_check *check,
                            enum health_purpose purpose)
{
    const struct config_service *config = config_of(check);
    uint64_t window_ns =
        config->fail_window_ns > 0 ? config->fail_window_ns : HEALTH_DEFAULT_NS;

    if (purpose == HEALTH_RECOVERY) {
        return window_ns;
    }
    return has_failed(check) && serves_as_both(check)
               ? MIN(window_ns, config->health_interval_ns)
               : config->health_interval_ns;
}

static uint64_t timeout_ns(const struct health_check *check)
{
    uint64_t timeout = check->purpose == HEALTH_ACTIVE
                           ? config_of(check)->health_timeout_ns
                           : config_of(check)->connect_timeout_ns;

    return timeout > 0 ? timeout : HEALTH_DEFAULT_NS;
}

static enum health_purpose first_purpose(const struct health_check *check)
{
    return check->due_ns[HEALTH_ACTIVE] <= check->due_ns[HEALTH_RECOVERY]
               ? HEALTH_ACTIVE
               : HEALTH_RECOVERY;
}

static bool is_idle(const struct health_check *check)
{
    return !check->under_way && !list_linked(&check->link);
}

static void arm(struct health_checks *checks, struct health_check *check,
                uint64_t at_ns)
{
    check->timer.kind = checks->kind;
    wheel_arm(&checks->loop->wheel, &check->timer, at_ns);
}

/* The check is idle: the timer is for what is due first. */
static void await_due(struct health_checks *checks, struct health_check *check)
{
    enum health_purpose first = first_purpose(check);
    uint64_t due_ns = check->due_ns[first];

    if (due_ns == UINT64_MAX) {
        wheel_disarm(&checks->loop->wheel, &check->timer);
    } else {
        due_ns = check_slot_ns(due_ns, interval_ns(check, first));
        arm(checks, check, MAX(due_ns, checks->loop->now_ns));
    }
}

/* Drops what is not wanted any more, and sets a time for what newly is. */
static void plan(struct health_checks *checks, struct health_check *check)
{
    uint64_t now_ns = checks->loop->now_ns;

    for (unsigned i = 0; i < HEALTH_PURPOSES; i++) {
        uint64_t interval = interval_ns(check, i);

        if (!is_wanted(check, i)) {
            check->due_ns[i] = UINT64_MAX;
        } else if (check->due_ns[i] > check_latest_ns(now_ns, interval)) {
            check->due_ns[i] =
                i == HEALTH_RECOVERY
                    ? check_next_ns(now_ns, interval, &checks->random)
                    : check_first_ns(now_ns, interval, &checks->random);
        }
    }
}

/* ---- what a result changes ---- */

static void log_up(const struct health_check *check)
{
    char name[LOG_QUOTED_MAX(CONFIG_NAME_MAX)];
    char address[LOG_QUOTED_MAX(UPSTREAM_TEXT_MAX)];

    log_write(LOG_INFO, "upstream service=%s address=%s state=up",
              log_quote(config_of(check)->name, name, sizeof(name)),
              log_quote(check->upstream->text, address, sizeof(address)));
    outages_check(check->service);
}

/* What a line adds for a failure that its cause does not tell. */
static const char *format_reason(const struct health_talk *talk,
                                 char text[CONNECT_REASON_MAX])
{
    if (talk->reason != NULL) {
        snprintf(text, CONNECT_REASON_MAX, " reason=\"%s\"", talk->reason);
        return text;
    }
    return talk->error == 0 || talk->cause != CHECK_REFUSED
               ? ""
               : connect_format_reason(talk->error, text);
}

static void log_down(const struct health_check *check)
{
    char name[LOG_QUOTED_MAX(CONFIG_NAME_MAX)];
    char address[LOG_QUOTED_MAX(UPSTREAM_TEXT_MAX)];
    char text[CHECK_CAUSE_MAX], reason[CONNECT_REASON_MAX];
    const char *cause = check_cause_format(check->talk.cause, text);
    const char *quote = strchr(cause, ' ') != NULL ? "\"" : "";

    log_write(LOG_WARN,
              "upstream service=%s address=%s state=down cause=%s%s%s%s",
              log_quote(config_of(check)->name, name, sizeof(name)),
              log_quote(check->upstream->text, address, sizeof(address)), quote,
              cause, quote, format_reason(&check->talk, reason));
    outages_check(check->service);
}

static void clear_down(struct health_checks *checks, struct health_check *check,
                       uint32_t reason)
{
    if (service_clear_down(check->service, check->upstream, reason,
                           checks->loop->now_ns)) {
        log_up(check);
    }
}

static void go_down(struct health_checks *checks, struct health_check *check)
{
    struct upstream *upstream = check->upstream;

    if (upstream_set_down(upstream, UPSTREAM_UNHEALTHY, checks->loop->now_ns)) {
        log_down(check);
    }
    if (config_of(check)->on_down == ON_DOWN_RESET && checks->on_down != NULL) {
        /* Not the loop's time: workers have picked it until now. */
        atomic_store_explicit(&upstream->reset_ns, clock_now_ns(),
                              memory_order_relaxed);
        checks->on_down(checks->arg);
    }
}

static void note_result(struct health_check *check, bool passed)
{
    uint64_t took_ns = clock_now_ns() - check->started_ns;

    atomic_store_explicit(&check->upstream->check_ns, MAX(took_ns, 1),
                          memory_order_relaxed);
    atomic_store_explicit(&check->upstream->cause,
                          passed ? CHECK_PASSED : check->talk.cause,
                          memory_order_relaxed);
}

static void apply_result(struct health_checks *checks,
                         struct health_check *check, bool passed)
{
    const struct config_service *config = config_of(check);
    bool active = check->purpose == HEALTH_ACTIVE;

    if (passed && (!active || serves_as_both(check))) {
        clear_down(checks, check, UPSTREAM_FAILED);
    }
    if (!active) {
        return;
    }
    note_result(check, passed);
    switch (check_count(&check->streak,
                        down_reasons(check) & UPSTREAM_UNHEALTHY, passed,
                        config->health_rise, config->health_fall)) {
    case CHECK_COMES_UP:
        clear_down(checks, check, UPSTREAM_UNHEALTHY);
        break;
    case CHECK_GOES_DOWN:
        go_down(checks, check);
        break;
    case CHECK_STAYS:
        break;
    }
}

/* ---- one check ---- */

/* Nothing is due afterwards. */
static void end(struct health_checks *checks, struct health_check *check)
{
    if (check->under_way) {
        health_talk_end(&check->talk);
        check->under_way = check->settled = false;
        checks->under_way--;
    }
    list_remove(&check->link);
    wheel_disarm(&checks->loop->wheel, &check->timer);
}

void health_check_stop(struct health_checks *checks, struct health_check *check)
{
    end(checks, check);
    check->due_ns[HEALTH_ACTIVE] = check->due_ns[HEALTH_RECOVERY] = UINT64_MAX;
}

static void finish(struct health_checks *checks, struct health_check *check)
{
    end(checks, check);
    check->due_ns[check->purpose] = check_next_ns(
        check->begun_ns, interval_ns(check, check->purpose), &checks->random);
    plan(checks, check);
    await_due(checks, check);
}

/* The check is decided. Of http the rest of the answer is awaited, since the
 * other end would log a reset. */
static void settle(struct health_checks *checks, struct health_check *check,
                   enum talk answer)
{
    bool more = false;

    if (answer != TALK_SHORTAGE) {
        apply_result(checks, check, answer == TALK_PASSED);
    }
    if (check->talk.phase == TALK_LISTEN) {
        more = health_talk_linger(&check->talk);
    }
    check->settled = true;
    if (!more || check->talk.kind != HEALTH_HTTP || answer == TALK_SHORTAGE) {
        finish(checks, check);
    }
}

static void advance(struct health_checks *checks, struct health_check *check,
                    enum talk answer)
{
    switch (answer) {
    case TALK_WAITS:
        break;
    case TALK_HANDSHAKE:
        if (!list_linked(&check->link)) {
            loop_run_later(checks->loop, checks->queue, &check->link);
        }
        break;
    default:
        settle(checks, check, answer);
        break;
    }
}

/* -1: the kernel has no memory for it. */
static int watch(struct health_checks *checks, struct health_check *check)
{
    struct poller *poller = &checks->loop->poller;
    uint64_t token = loop_token(checks->kind, check->index, check->instance);

    return config_of(check)->mode == CONFIG_UDP
               ? poller_add_datagram(poller, check->talk.sock.fd, token)
               : poller_add(poller, check->talk.sock.fd, token);
}

static enum talk begin_talk(struct health_checks *checks,
                            struct health_check *check)
{
    bool active = check->purpose == HEALTH_ACTIVE;
    enum talk answer;

    if (config_of(check)->mode == CONFIG_UDP && !active) {
        /* Only a client's datagram can show whether it answers again. */
        return TALK_PASSED;
    }
    answer =
        health_talk_begin(&check->talk, check->service, check->place,
                          active ? config_of(check)->health_check : HEALTH_OFF);
    if ((answer == TALK_WAITS || answer == TALK_HANDSHAKE) &&
        watch(checks, check) < 0) {
        return TALK_SHORTAGE;
    }
    return answer;
}

static void begin(struct health_checks *checks, struct health_check *check)
{
    check->instance++;
    check->under_way = true;
    checks->under_way++;
    check->started_ns = clock_now_ns();
    arm(checks, check, checks->loop->now_ns + timeout_ns(check));
    advance(checks, check, begin_talk(checks, check));
}

void health_check_begin_waiting(struct health_checks *checks)
{
    while (checks->under_way < checks->most) {
        struct list *link = list_pop(&checks->waiting);

        if (link == NULL) {
            return;
        }
        begin(checks, container_of(link, struct health_check, link));
    }
}

/* ---- handlers ---- */

void health_check_event(struct health_checks *checks,
                        struct health_check *check, uint32_t instance,
                        uint32_t events)
{
    if (!check->under_way || check->instance != instance) {
        return;
    }
    sock_event(&check->talk.sock, events);
    if (!check->settled) {
        advance(checks, check, health_talk_continue(&check->talk));
    } else if (!health_talk_linger(&check->talk)) {
        finish(checks, check);
    }
    health_check_begin_waiting(checks);
}

void health_check_run(struct health_checks *checks, struct list *link)
{
    struct health_check *check = container_of(link, struct health_check, link);

    if (checks->turn_ns != checks->loop->now_ns) {
        checks->turn_ns = checks->loop->now_ns;
        checks->handshakes = 0;
    }
    if (checks->handshakes == HEALTH_HANDSHAKES_MAX) {
        loop_run_later(checks->loop, checks->queue, link);
        return;
    }
    checks->handshakes++;
    advance(checks, check, health_talk_step(&check->talk));
    health_check_begin_waiting(checks);
}

void health_check_timer(struct health_checks *checks, struct wheel_timer *timer)
{
    struct health_check *check =
        container_of(timer, struct health_check, timer);

    if (check->settled) {
        finish(checks, check);
    } else if (check->under_way) {
        health_talk_expire(&check->talk);
        apply_result(checks, check, false);
        finish(checks, check);
    } else {
        check->purpose = (uint8_t)first_purpose(check);
        check->begun_ns = checks->loop->now_ns;
        list_append(&checks->waiting, &check->link);
    }
    health_check_begin_waiting(checks);
}

/* ---- changes from outside ---- */

/* A check that is under way stands on the service of before. It can stand on
 * the new one if that has the same configuration, as after new answers for
 * names; but TLS stores its session in the old one. */
static bool can_go_on(const struct health_check *check,
                      const struct service *service)
{
    return check->service->config == service->config &&
           service->tls_check == NULL;
}

static void begin_again(struct health_checks *checks,
                        struct health_check *check)
{
    bool decided = check->settled;

    end(checks, check);
    if (!decided) {
        check->due_ns[check->purpose] = checks->loop->now_ns;
    }
}

void health_check_configure(struct health_checks *checks,
                            struct health_check *check,
                            const struct service *service, uint32_t place)
{
    if (check->under_way && can_go_on(check, service)) {
        check->talk.service = service;
        check->talk.place = place;
    } else if (check->under_way) {
        begin_again(checks, check);
    }
    check->service = service;
    check->place = place;
    if (service->config->health_check == HEALTH_OFF) {
        check->streak = 0;
        atomic_store_explicit(&check->upstream->check_ns, 0,
                              memory_order_relaxed);
        clear_down(checks, check, UPSTREAM_UNHEALTHY);
    }
    plan(checks, check);
    if (!is_wanted(check, check->purpose)) {
        list_remove(&check->link); /* of those that wait */
    }
    if (is_idle(check)) {
        await_due(checks, check);
    }
}

void health_check_upstream_failed(struct health_checks *checks,
                                  struct health_check *check)
{
    outages_check(check->service);
    plan(checks, check);
    if (is_idle(check)) {
        await_due(checks, check);
    }
}
