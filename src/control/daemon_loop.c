#include "control/daemon_loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/signals.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct daemon *daemon_of(struct loop *loop)
{
    return container_of(loop, struct daemon, loop);
}

/* ---- reload ---- */

void daemon_loop_configure(struct daemon *daemon)
{
    const struct config *config = changes_current(&daemon->changes)->config;

    log_set_level(config->log_level);
    report_configure(&daemon->reporter, config->stats_interval_ns);
    heartbeat_configure(&daemon->heartbeat,
                        http_server_listens(&daemon->http.server));
    daemon->http.facts.reloaded_unix_ns = clock_unix_ns();
}

static void report_refusal(struct daemon *daemon, const char *reason)
{
    char status[LOG_LINE_MAX];

    log_write(LOG_ERROR, "reload refused: %s", reason);
    snprintf(status, sizeof(status), "reload refused: %s", reason);
    systemd_ready(&daemon->systemd, status);
}

/* During an upgrade nothing may change: the new process reads the configuration
 * anew, or this one does afterwards. */
static void reload(struct daemon *daemon)
{
    uint64_t *counts = daemon->http.facts.reloads;
    const struct generation *current;
    const char *reason;

    if (upgrade_under_way(&daemon->upgrade)) {
        daemon->reload_later = true;
        return;
    }
    /* The loop's time may be before the signal, and is ignored then. */
    systemd_reloading(&daemon->systemd, clock_now_ns());
    reason = changes_reload(&daemon->changes);
    counts[reason == NULL ? RELOADED_OK : RELOADED_REFUSED]++;
    if (reason != NULL) {
        report_refusal(daemon, reason);
        return;
    }
    daemon_loop_configure(daemon);
    current = changes_current(&daemon->changes);
    log_write(LOG_INFO,
              "reloaded generation=%" PRIu64 " services=%zu upstreams=%" PRIu32,
              current->number, current->service_count,
              generation_upstreams(current));
    systemd_ready(&daemon->systemd, "running");
}

/* ---- stop ---- */

static void stop(struct daemon *daemon, int signal)
{
    if (shutdown_begun(&daemon->shutdown)) {
        (void)log_stop();
        _exit(0);
    }
    daemon->http.facts.stopping = true;
    upgrade_abandon(&daemon->upgrade, "the old process was told to stop");
    shutdown_begin(&daemon->shutdown, signal);
}

/* ---- upgrade ---- */

static void upgrade(struct daemon *daemon)
{
    if (shutdown_begun(&daemon->shutdown) || daemon->left) {
        return;
    }
    daemon->changes.held = true;
    upgrade_begin(&daemon->upgrade);
    if (!upgrade_under_way(&daemon->upgrade)) {
        changes_resume(&daemon->changes);
    }
}

/* What the process before has left is told to the next one by this one, unless
 * that was told to stop. */
static bool awaits_old(const struct daemon *daemon)
{
    return daemon->left && takeover_is_open(&daemon->takeover) &&
           !shutdown_begun(&daemon->shutdown);
}

/* The process ends once no session is left. */
static void end_if_done(struct daemon *daemon)
{
    if (daemon->drained && !awaits_old(daemon) &&
        upgrade_finish(&daemon->upgrade)) {
        http_server_finish(&daemon->http.server);
    }
}

/* What is left here needs neither checks nor names nor lines of its own. */
static void leave(struct daemon *daemon)
{
    if (daemon->reload_later && daemon->upgrade.process.pid > 0) {
        kill(daemon->upgrade.process.pid, SIGHUP);
    }
    changes_stop(&daemon->changes);
    health_stop(daemon->health);
    report_configure(&daemon->reporter, 0);
}

void daemon_loop_upgraded(void *arg, bool left)
{
    struct daemon *daemon = arg;
    bool later = daemon->reload_later;

    if (left) {
        if (!daemon->left) {
            leave(daemon);
        }
        daemon->left = true;
        end_if_done(daemon);
        return;
    }
    changes_resume(&daemon->changes);
    daemon->reload_later = false;
    if (later && !shutdown_begun(&daemon->shutdown)) {
        reload(daemon);
    }
}

/* ---- handlers of the loop ---- */

static void handle_signal(struct daemon *daemon, int signal)
{
    switch (signal) {
    case SIGHUP:
        if (!shutdown_begun(&daemon->shutdown) && !daemon->left) {
            reload(daemon);
        }
        break;
    case SIGUSR2:
        upgrade(daemon);
        break;
    case SIGUSR1:
        if (!daemon->left) { /* the other process counts what is left here */
            report_write(&daemon->reporter);
        }
        break;
    default:
        stop(daemon, signal);
        break;
    }
}

static void on_signal(struct loop *loop, uint32_t index, uint32_t instance,
                      uint32_t events)
{
    struct daemon *daemon = daemon_of(loop);
    int signal;

    (void)index, (void)instance, (void)events;
    while ((signal = signals_next(daemon->signal_fd)) != 0) {
        handle_signal(daemon, signal);
    }
}

static void on_health_event(struct loop *loop, uint32_t index,
                            uint32_t instance, uint32_t events)
{
    health_event(daemon_of(loop)->health, index, instance, events);
}

static void on_health_timer(struct loop *loop, struct wheel_timer *timer)
{
    health_timer(daemon_of(loop)->health, timer);
}

static void on_handshake(struct loop *loop, struct list *link)
{
    health_run(daemon_of(loop)->health, link);
}

static void on_stats_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    report_timer(&daemon_of(loop)->reporter);
}

static void on_heartbeat_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    heartbeat_timer(&daemon_of(loop)->heartbeat);
}

static void on_tcp_memory_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    tcp_memory_timer(&daemon_of(loop)->tcp_memory);
}

static void on_shutdown_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    shutdown_timer(&daemon_of(loop)->shutdown);
}

static void on_extend_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    shutdown_extend(&daemon_of(loop)->shutdown);
}

static void on_changes_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    changes_timer(&daemon_of(loop)->changes);
}

static void on_lookups_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    lookups_begin(&daemon_of(loop)->changes.lookups);
}

static void on_http_event(struct loop *loop, uint32_t index, uint32_t instance,
                          uint32_t events)
{
    http_event(&daemon_of(loop)->http, index, instance, events);
}

static void on_http_timer(struct loop *loop, struct wheel_timer *timer)
{
    http_timer(&daemon_of(loop)->http, timer);
}

static void on_http_link(struct loop *loop, struct list *link)
{
    http_run(&daemon_of(loop)->http, link);
}

static void on_upgrade_event(struct loop *loop, uint32_t index,
                             uint32_t instance, uint32_t events)
{
    (void)instance, (void)events;
    upgrade_event(&daemon_of(loop)->upgrade, index);
}

static void on_upgrade_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    upgrade_timer(&daemon_of(loop)->upgrade);
}

static void on_takeover_event(struct loop *loop, uint32_t index,
                              uint32_t instance, uint32_t events)
{
    struct daemon *daemon = daemon_of(loop);

    (void)index, (void)instance, (void)events;
    takeover_event(&daemon->takeover);
    end_if_done(daemon);
}

static void on_report(struct loop *loop, struct report *report)
{
    struct daemon *daemon = daemon_of(loop);

    switch ((enum report_type)report->message.type) {
    case REPORT_GENERATION_DONE:
        generations_release(&daemon->changes.generations, report->generation);
        break;
    case REPORT_UPSTREAM_FAILED:
        health_upstream_failed(daemon->health, report->upstream);
        break;
    case REPORT_DRAINED:
        if (workers_drained(&daemon->workers)) {
            daemon->drained = true;
            end_if_done(daemon);
        }
        break;
    case REPORT_BEAT:
        workers_answered(&daemon->workers, report->worker);
        break;
    case REPORT_ANNOUNCED:
    case REPORT_FROZEN:
    case REPORT_THAWED:
        upgrade_reported(&daemon->upgrade, report);
        break;
    default:
        break;
    }
    free(report);
}

static void on_message(struct loop *loop, struct message *message)
{
    if (message->type == MESSAGE_LOOKUP) {
        changes_answer(&daemon_of(loop)->changes, message);
    } else {
        on_report(loop, container_of(message, struct report, message));
    }
}

const struct loop_owner daemon_loop_owner = {
    .event =
        {
            [DAEMON_SIGNAL] = on_signal,
            [DAEMON_HEALTH] = on_health_event,
            [DAEMON_HTTP] = on_http_event,
            [DAEMON_UPGRADE] = on_upgrade_event,
            [DAEMON_TAKEOVER] = on_takeover_event,
        },
    .timer =
        {
            [DAEMON_HEALTH] = on_health_timer,
            [DAEMON_STATS] = on_stats_timer,
            [DAEMON_HEARTBEAT] = on_heartbeat_timer,
            [DAEMON_SHUTDOWN] = on_shutdown_timer,
            [DAEMON_EXTEND] = on_extend_timer,
            [DAEMON_CHANGES] = on_changes_timer,
            [DAEMON_LOOKUPS] = on_lookups_timer,
            [DAEMON_HTTP] = on_http_timer,
            [DAEMON_TCP_MEMORY] = on_tcp_memory_timer,
            [DAEMON_UPGRADE] = on_upgrade_timer,
        },
    .run =
        {[DAEMON_HANDSHAKES] = on_handshake, [DAEMON_ANSWERS] = on_http_link},
    .message = on_message,
};
