#include "control/daemon.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/descriptors.h"
#include "control/generations.h"
#include "control/health.h"
#include "control/listeners.h"
#include "control/privileges.h"
#include "control/report.h"
#include "control/signals.h"
#include "control/systemd.h"
#include "control/workers.h"
#include "net/loop.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Until a generation that some had no memory for is distributed again. */
#define DISTRIBUTE_RETRY_NS (100 * NS_PER_MS)

#define REASON_MAX 512

/* Kinds of events and timers in the control loop. */
enum {
    DAEMON_SIGNAL = LOOP_KIND_MAILBOX + 1,
    DAEMON_HEALTH,
    DAEMON_STATS,
    DAEMON_WATCHDOG,
    DAEMON_DRAIN,
    DAEMON_DISTRIBUTE,
};

struct daemon {
    struct loop loop;
    const struct source *source;
    struct systemd systemd;
    struct workers workers;
    struct generations generations;
    struct health *health;
    int signal_fd;
    uint64_t limit; /* RLIMIT_NOFILE */
    uint64_t started_ns;
    bool stopping;
    struct wheel_timer stats_timer;
    struct wheel_timer watchdog_timer;
    struct wheel_timer drain_timer;
    struct wheel_timer distribute_timer;
};

static struct daemon *daemon_of(struct loop *loop)
{
    return container_of(loop, struct daemon, loop);
}

/* ---- applying a configuration ---- */

static uint32_t count_upstreams(const struct generation *generation)
{
    uint32_t count = 0;

    for (size_t i = 0; i < generation->service_count; i++) {
        count += generation->services[i].upstream_count;
    }
    return count;
}

static void arm_stats(struct daemon *daemon)
{
    uint64_t interval =
        generations_current(&daemon->generations)->config->stats_interval_ns;

    wheel_disarm(&daemon->loop.wheel, &daemon->stats_timer);
    if (interval > 0) {
        wheel_arm(&daemon->loop.wheel, &daemon->stats_timer,
                  daemon->loop.now_ns + interval);
    }
}

static void arm_distribute(struct daemon *daemon)
{
    if (!generations_distributed(&daemon->generations)) {
        wheel_arm(&daemon->loop.wheel, &daemon->distribute_timer,
                  daemon->loop.now_ns + DISTRIBUTE_RETRY_NS);
    }
}

/* Makes the prepared generation the current one. -1 with errno. */
static int commit(struct daemon *daemon)
{
    const struct config *config;

    if (generations_commit(&daemon->generations, &daemon->workers,
                           daemon->health) < 0) {
        return -1;
    }
    config = generations_current(&daemon->generations)->config;
    log_set_level(config->log_level);
    atomic_store_explicit(&daemon->workers.shared.max_connections,
                          config->max_connections, memory_order_relaxed);
    arm_stats(daemon);
    arm_distribute(daemon);
    return 0;
}

/* ---- reload ---- */

/* Replaces the current generation. Takes the config. Returns NULL, or a
 * sentence with the line that it is about. */
static const char *replace_generation(struct daemon *daemon,
                                      struct config *config, unsigned *line)
{
    struct generations *generations = &daemon->generations;
    const char *error;

    if (!generations_distributed(generations)) {
        config_destroy(config);
        return "the previous reload is not complete yet";
    }
    error = generations_prepare(generations, config, daemon->workers.count,
                                daemon->limit, line);
    if (error == NULL && commit(daemon) < 0) {
        generations_abandon(generations);
        error = "out of memory";
    }
    return error;
}

/* Reads the configuration again and replaces the current generation. Returns
 * NULL, or why nothing has changed, with the place in the configuration. */
static const char *try_reload(struct daemon *daemon)
{
    static char reason[REASON_MAX];
    struct config_errors errors = {0};
    struct config_error error = {.line = 0};
    struct config *config = source_load(daemon->source, &errors);

    if (config != NULL) {
        error.message = (char *)replace_generation(daemon, config, &error.line);
    } else if (errors.count > 0) {
        error = errors.list[0];
    } else {
        error.message = (char *)"out of memory";
    }
    if (error.message != NULL) {
        source_format_error(daemon->source, &error, reason, sizeof(reason));
    }
    config_errors_fini(&errors);
    return error.message != NULL ? reason : NULL;
}

static void report_refusal(struct daemon *daemon, const char *reason)
{
    char status[REASON_MAX + 32];

    log_write(LOG_ERROR, "reload refused: %s", reason);
    snprintf(status, sizeof(status), "reload refused: %s", reason);
    systemd_ready(&daemon->systemd, status);
}

static void reload(struct daemon *daemon)
{
    const struct generation *current;
    const char *reason;

    systemd_reloading(&daemon->systemd, daemon->loop.now_ns);
    reason = try_reload(daemon);
    if (reason != NULL) {
        report_refusal(daemon, reason);
        return;
    }
    current = generations_current(&daemon->generations);
    log_write(LOG_INFO,
              "reloaded generation=%" PRIu64 " services=%zu upstreams=%" PRIu32,
              current->number, current->service_count,
              count_upstreams(current));
    systemd_ready(&daemon->systemd, "running");
}

/* ---- stop ---- */

static void stop(struct daemon *daemon, int signal)
{
    const struct generation *current =
        generations_current(&daemon->generations);
    uint64_t timeout_ns = current->config->drain_timeout_ns;

    if (daemon->stopping) {
        (void)log_stop();
        _exit(0);
    }
    daemon->stopping = true;
    log_write(LOG_INFO,
              "stopping signal=SIG%s connections=%" PRIu32
              " drain_timeout_ms=%" PRIu64,
              sigabbrev_np(signal), shared_active(&daemon->workers.shared),
              timeout_ns / NS_PER_MS);
    systemd_stopping(&daemon->systemd);
    listeners_unlink(current);
    wheel_disarm(&daemon->loop.wheel, &daemon->distribute_timer);
    workers_drain(&daemon->workers);
    if (timeout_ns == 0) {
        workers_reset_all(&daemon->workers);
    } else {
        wheel_arm(&daemon->loop.wheel, &daemon->drain_timer,
                  daemon->loop.now_ns + timeout_ns);
    }
}

/* ---- handlers of the loop ---- */

static void write_stats(struct daemon *daemon)
{
    report_write(&daemon->generations, &daemon->workers,
                 daemon->loop.now_ns - daemon->started_ns);
}

static void handle_signal(struct daemon *daemon, int signal)
{
    switch (signal) {
    case SIGHUP:
        if (!daemon->stopping) {
            reload(daemon);
        }
        break;
    case SIGUSR1:
        write_stats(daemon);
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

static void on_stats_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    write_stats(daemon_of(loop));
    arm_stats(daemon_of(loop));
}

static void on_watchdog_timer(struct loop *loop, struct wheel_timer *timer)
{
    struct daemon *daemon = daemon_of(loop);

    if (workers_beat(&daemon->workers)) {
        systemd_watchdog(&daemon->systemd);
    }
    wheel_arm(&loop->wheel, timer,
              loop->now_ns + daemon->systemd.watchdog_ns / 2);
}

static void on_drain_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)timer;
    workers_reset_all(&daemon_of(loop)->workers);
}

static void on_distribute_timer(struct loop *loop, struct wheel_timer *timer)
{
    struct daemon *daemon = daemon_of(loop);

    (void)timer;
    generations_distribute(&daemon->generations, &daemon->workers,
                           daemon->health);
    arm_distribute(daemon);
}

static void on_message(struct loop *loop, struct message *message)
{
    struct daemon *daemon = daemon_of(loop);
    struct report *report = container_of(message, struct report, message);

    switch ((enum report_type)message->type) {
    case REPORT_GENERATION_DONE:
        generations_release(&daemon->generations, report->generation);
        break;
    case REPORT_UPSTREAM_FAILED:
        health_upstream_failed(daemon->health, report->upstream);
        break;
    case REPORT_DRAINED:
        if (workers_drained(&daemon->workers)) {
            loop_stop(loop);
        }
        break;
    case REPORT_BEAT:
        workers_answered(&daemon->workers, report->worker);
        break;
    }
    free(report);
}

static const struct loop_owner daemon_owner = {
    .event =
        {
            [DAEMON_SIGNAL] = on_signal,
            [DAEMON_HEALTH] = on_health_event,
        },
    .timer =
        {
            [DAEMON_HEALTH] = on_health_timer,
            [DAEMON_STATS] = on_stats_timer,
            [DAEMON_WATCHDOG] = on_watchdog_timer,
            [DAEMON_DRAIN] = on_drain_timer,
            [DAEMON_DISTRIBUTE] = on_distribute_timer,
        },
    .message = on_message,
};

/* ---- start and end ---- */

/* Opens the loop, the signals and health. -1 with errno. */
static int open_control(struct daemon *daemon)
{
    daemon->stats_timer.kind = DAEMON_STATS;
    daemon->watchdog_timer.kind = DAEMON_WATCHDOG;
    daemon->drain_timer.kind = DAEMON_DRAIN;
    daemon->distribute_timer.kind = DAEMON_DISTRIBUTE;
    if (loop_open(&daemon->loop, &daemon_owner) < 0) {
        return -1;
    }
    daemon->signal_fd = signals_open();
    if (daemon->signal_fd < 0 ||
        poller_add_level(&daemon->loop.poller, daemon->signal_fd,
                         loop_token(DAEMON_SIGNAL, 0, 0), false) < 0) {
        goto fail;
    }
    daemon->health = health_create(&daemon->loop, DAEMON_HEALTH);
    if (daemon->health == NULL) {
        goto fail;
    }
    return 0;

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
        free(container_of(message, struct report, message));
    }
    health_destroy(daemon->health);
    close(daemon->signal_fd);
    loop_close(&daemon->loop);
}

static const char *start_workers(struct daemon *daemon)
{
    static char sentence[128];
    const struct config *config = daemon->generations.prepared->config;
    const char *error = privileges_drop(config->user, config->group);

    if (error != NULL) {
        return error;
    }
    if (log_start() < 0 ||
        workers_start(&daemon->workers, config, &daemon->loop.mailbox) < 0 ||
        commit(daemon) < 0) {
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
    const char *error;

    daemon->limit = descriptors_raise();
    error = generations_prepare(&daemon->generations, config,
                                workers_wanted(config), daemon->limit, line);
    if (error != NULL) {
        return error;
    }
    error = start_workers(daemon);
    if (error != NULL) {
        generations_abandon(&daemon->generations);
    }
    return error;
}

static void report_ready(struct daemon *daemon)
{
    const struct generation *current =
        generations_current(&daemon->generations);

    log_write(
        LOG_INFO,
        "ready version=%s services=%zu workers=%u max_connections=%" PRIu32,
        EVPROXY_VERSION, current->service_count, daemon->workers.count,
        current->config->max_connections);
    systemd_ready(&daemon->systemd, "running");
    if (daemon->systemd.watchdog_ns > 0) {
        wheel_arm(&daemon->loop.wheel, &daemon->watchdog_timer,
                  daemon->loop.now_ns);
    }
}

static void report_failure(const struct daemon *daemon, const char *sentence,
                           unsigned line)
{
    const struct config_error error = {.line = line,
                                       .message = (char *)sentence};
    char text[LOG_LINE_MAX];

    if (line == 0) {
        log_write(LOG_ERROR, "evproxy: %s", sentence);
    } else {
        source_format_error(daemon->source, &error, text, sizeof(text));
        log_write(LOG_ERROR, "%s", text);
    }
}

static int run(struct daemon *daemon, struct config *config)
{
    unsigned line = 0;
    const char *error = start(daemon, config, &line);

    if (error != NULL) {
        report_failure(daemon, error, line);
        generations_fini(&daemon->generations);
        return 1;
    }
    report_ready(daemon);
    loop_run(&daemon->loop);
    workers_join(&daemon->workers);
    generations_fini(&daemon->generations);
    workers_fini(&daemon->workers);
    log_write(LOG_INFO, "stopped");
    return 0;
}

int daemon_run(const struct source *source, struct config *config)
{
    /* Static: if a start fails, its workers use it until the process ends. */
    static struct daemon daemon;
    int status;

    daemon.source = source;
    daemon.started_ns = clock_now_ns();
    log_open(STDERR_FILENO, systemd_journal_is(STDERR_FILENO));
    log_set_level(config->log_level);
    if (open_control(&daemon) < 0) {
        log_write(LOG_ERROR, "evproxy: cannot start: %s", strerror(errno));
        config_destroy(config);
        return 1;
    }
    systemd_open(&daemon.systemd);
    status = run(&daemon, config);
    systemd_close(&daemon.systemd);
    close_control(&daemon);
    (void)log_stop();
    return status;
}
