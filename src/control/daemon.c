#include "control/daemon.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/changes.h"
#include "control/descriptors.h"
#include "control/health.h"
#include "control/heartbeat.h"
#include "control/http.h"
#include "control/inherited.h"
#include "control/privileges.h"
#include "control/report.h"
#include "control/shutdown.h"
#include "control/signals.h"
#include "control/systemd.h"
#include "control/tcp_memory.h"
#include "control/workers.h"
#include "net/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Kinds of events and timers in the control loop. */
enum {
    DAEMON_SIGNAL = LOOP_KIND_MAILBOX + 1,
    DAEMON_HEALTH,
    DAEMON_STATS,
    DAEMON_HEARTBEAT,
    DAEMON_SHUTDOWN,
    DAEMON_EXTEND,
    DAEMON_CHANGES,
    DAEMON_LOOKUPS,
    DAEMON_HTTP,
    DAEMON_TCP_MEMORY,
};

/* The control loop's queues: of TLS handshakes of checks, and of HTTP answers
 * that have more to write. */
enum { DAEMON_HANDSHAKES, DAEMON_ANSWERS };

/* Of messages, after those of the workers. */
enum { MESSAGE_LOOKUP = REPORT_TYPES };

struct daemon {
    struct loop loop;
    struct systemd systemd;
    struct workers workers;
    struct health *health;
    struct changes changes;
    struct inherited inherited;
    struct http http;
    int signal_fd;
    uint64_t started_ns;
    struct shutdown shutdown;
    struct reporter reporter;
    struct heartbeat heartbeat;
    struct tcp_memory tcp_memory;
};

static struct daemon *daemon_of(struct loop *loop)
{
    return container_of(loop, struct daemon, loop);
}

/* ---- reload ---- */

/* Applies what the control thread itself uses of a new configuration. */
static void apply_settings(struct daemon *daemon)
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

static void reload(struct daemon *daemon)
{
    uint64_t *counts = daemon->http.facts.reloads;
    const struct generation *current;
    const char *reason;

    systemd_reloading(&daemon->systemd, daemon->loop.now_ns);
    reason = changes_reload(&daemon->changes);
    counts[reason == NULL ? RELOADED_OK : RELOADED_REFUSED]++;
    if (reason != NULL) {
        report_refusal(daemon, reason);
        return;
    }
    apply_settings(daemon);
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
    shutdown_begin(&daemon->shutdown, signal);
}

/* ---- handlers of the loop ---- */

static void handle_signal(struct daemon *daemon, int signal)
{
    switch (signal) {
    case SIGHUP:
        if (!shutdown_begun(&daemon->shutdown)) {
            reload(daemon);
        }
        break;
    case SIGUSR1:
        report_write(&daemon->reporter);
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

/* A check has taken out an upstream with on_down = reset. */
static void on_down(void *workers)
{
    workers_sweep(workers);
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
            http_server_finish(&daemon->http.server);
        }
        break;
    case REPORT_BEAT:
        workers_answered(&daemon->workers, report->worker);
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

static const struct loop_owner daemon_owner = {
    .event =
        {
            [DAEMON_SIGNAL] = on_signal,
            [DAEMON_HEALTH] = on_health_event,
            [DAEMON_HTTP] = on_http_event,
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
        },
    .run =
        {[DAEMON_HANDSHAKES] = on_handshake, [DAEMON_ANSWERS] = on_http_link},
    .message = on_message,
};

/* ---- start and end ---- */

static const struct changes_kinds changes_kinds = {
    .timer = DAEMON_CHANGES,
    .lookups_timer = DAEMON_LOOKUPS,
    .lookups_message = MESSAGE_LOOKUP,
};

/* Tells the rooms of each other. */
static void connect_rooms(struct daemon *daemon)
{
    struct generations *generations = &daemon->changes.generations;

    daemon->reporter = (struct reporter){
        .loop = &daemon->loop,
        .generations = generations,
        .workers = &daemon->workers,
        .started_ns = daemon->started_ns,
        .timer = {.kind = DAEMON_STATS},
    };
    daemon->heartbeat = (struct heartbeat){
        .loop = &daemon->loop,
        .workers = &daemon->workers,
        .systemd = &daemon->systemd,
        .timer = {.kind = DAEMON_HEARTBEAT},
    };
    daemon->tcp_memory = (struct tcp_memory){
        .loop = &daemon->loop,
        .is_short = &daemon->workers.shared.tcp_short,
        .proc = MACHINE_PROC,
        .timer = {.kind = DAEMON_TCP_MEMORY},
    };
    daemon->shutdown = (struct shutdown){
        .loop = &daemon->loop,
        .changes = &daemon->changes,
        .workers = &daemon->workers,
        .systemd = &daemon->systemd,
    };
    shutdown_init(&daemon->shutdown, DAEMON_SHUTDOWN, DAEMON_EXTEND);
    http_init(&daemon->http, &daemon->loop, DAEMON_HTTP, DAEMON_ANSWERS,
              generations, &daemon->workers, &daemon->heartbeat.stuck);
    daemon->http.facts.started_ns = daemon->started_ns;
    daemon->http.facts.started_unix_ns = clock_unix_ns();
    daemon->changes.loop = &daemon->loop;
    daemon->changes.workers = &daemon->workers;
    daemon->changes.http = &daemon->http;
}

/* Opens the loop, the signals, health and changes. -1 with errno. */
static int open_control(struct daemon *daemon)
{
    const struct health_options checks = {
        .kind = DAEMON_HEALTH,
        .queue = DAEMON_HANDSHAKES,
        .on_down = on_down,
        .arg = &daemon->workers,
    };

    connect_rooms(daemon);
    if (loop_open(&daemon->loop, &daemon_owner) < 0) {
        return -1;
    }
    daemon->signal_fd = signals_open();
    if (daemon->signal_fd < 0 ||
        poller_add_level(&daemon->loop.poller, daemon->signal_fd,
                         loop_token(DAEMON_SIGNAL, 0, 0), false) < 0) {
        goto fail;
    }
    daemon->health = health_create(&daemon->loop, &checks);
    if (daemon->health == NULL) {
        goto fail;
    }
    daemon->changes.health = daemon->health;
    if (changes_open(&daemon->changes, &changes_kinds) == 0) {
        return 0;
    }
    health_destroy(daemon->health);
fail:
    if (daemon->signal_fd >= 0) {
        close(daemon->signal_fd);
    }
    loop_close(&daemon->loop);
    return -1;
}

static void close_control(struct daemon *daemon)
{
    struct message *message;

    while ((message = mailbox_next(&daemon->loop.mailbox)) != NULL) {
        if (message->type == MESSAGE_LOOKUP) {
            lookup_free(lookup_of(message));
        } else {
            free(container_of(message, struct report, message));
        }
    }
    health_destroy(daemon->health);
    close(daemon->signal_fd);
    loop_close(&daemon->loop);
}

static const char *start_workers(struct daemon *daemon,
                                 const struct identity *identity)
{
    static char sentence[128];
    const struct config *config = daemon->changes.generations.prepared->config;
    const char *error = privileges_drop(identity);

    if (error != NULL) {
        return error;
    }
    if (log_start() < 0 ||
        workers_start(&daemon->workers, config, &daemon->loop.mailbox) < 0 ||
        changes_begin(&daemon->changes) < 0) {
        snprintf(sentence, sizeof(sentence), "cannot start the workers: %s",
                 strerror(errno));
        return sentence;
    }
    return NULL;
}

/* Takes the config. Returns NULL, or a sentence with the line that it is about.
 * After an error, workers that run already end with the process. */
static const char *start(struct daemon *daemon, struct config *config,
                         unsigned *line)
{
    struct identity identity;
    const char *error = privileges_find(config, &identity, line);

    if (error != NULL) {
        config_destroy(config);
        return error;
    }
    daemon->changes.limit = descriptors_raise();
    daemon->changes.generations.origin = (struct listeners_origin){
        .owner = identity.uid, .inherited = &daemon->inherited};
    daemon->http.facts.descriptors_limit = daemon->changes.limit;
    error =
        changes_prepare(&daemon->changes, config, workers_wanted(config), line);
    if (error == NULL) {
        error = start_workers(daemon, &identity);
    }
    if (error == NULL) {
        inherited_close_unused(&daemon->inherited);
        apply_settings(daemon);
        tcp_memory_start(&daemon->tcp_memory);
    }
    return error;
}

static void report_ready(struct daemon *daemon)
{
    const struct generation *current = changes_current(&daemon->changes);

    log_write(
        LOG_INFO,
        "ready version=%s services=%zu workers=%u max_connections=%" PRIu32,
        EVPROXY_VERSION, current->service_count, daemon->workers.count,
        current->config->max_connections);
    systemd_ready(&daemon->systemd, "running");
}

static int run(struct daemon *daemon, struct config *config)
{
    unsigned line = 0;
    const char *error = start(daemon, config, &line);

    if (error != NULL) {
        source_print_failure(daemon->changes.source, error, line);
        http_fini(&daemon->http);
        changes_fini(&daemon->changes);
        return 1;
    }
    report_ready(daemon);
    loop_run(&daemon->loop);
    workers_join(&daemon->workers);
    http_fini(&daemon->http);
    changes_fini(&daemon->changes);
    workers_fini(&daemon->workers);
    log_write(LOG_INFO, "stopped");
    return 0;
}

int daemon_run(const struct source *source, struct config *config)
{
    /* Static: if a start fails, its workers use it until the process ends. */
    static struct daemon daemon;
    int status;

    daemon.changes.source = source;
    daemon.started_ns = clock_now_ns();
    log_open(STDERR_FILENO, systemd_journal_is(STDERR_FILENO));
    log_set_level(config->log_level);
    if (inherited_open(&daemon.inherited) < 0 || open_control(&daemon) < 0) {
        log_write(LOG_ERROR, "evproxy: cannot start: %s", strerror(errno));
        config_destroy(config);
        return 1;
    }
    systemd_open(&daemon.systemd);
    status = run(&daemon, config);
    systemd_close(&daemon.systemd);
    close_control(&daemon);
    inherited_fini(&daemon.inherited);
    (void)log_stop();
    return status;
}
