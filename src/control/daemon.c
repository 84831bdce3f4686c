#include "control/daemon.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/daemon_loop.h"
#include "control/descriptors.h"
#include "control/privileges.h"
#include "control/signals.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct changes_kinds changes_kinds = {
    .timer = DAEMON_CHANGES,
    .lookups_timer = DAEMON_LOOKUPS,
    .lookups_message = MESSAGE_LOOKUP,
};

/* What looks at the workers and at the machine again and again. */
static void connect_watches(struct daemon *daemon)
{
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
}

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
    connect_watches(daemon);
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
    daemon->upgrade.loop = &daemon->loop;
    daemon->upgrade.changes = &daemon->changes;
    daemon->upgrade.workers = &daemon->workers;
    daemon->upgrade.http = &daemon->http;
    daemon->upgrade.systemd = &daemon->systemd;
    daemon->upgrade.inherited = &daemon->inherited;
    daemon->upgrade.ended = daemon_loop_upgraded;
    daemon->upgrade.arg = daemon;
    daemon->upgrade.kind = DAEMON_UPGRADE;
    upgrade_init(&daemon->upgrade);
    daemon->takeover.loop = &daemon->loop;
    daemon->takeover.workers = &daemon->workers;
    daemon->changes.loop = &daemon->loop;
    daemon->changes.workers = &daemon->workers;
    daemon->changes.http = &daemon->http;
}

/* A check has taken out an upstream with on_down = reset. */
static void on_down(void *workers)
{
    workers_sweep(workers);
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
    if (loop_open(&daemon->loop, &daemon_loop_owner) < 0) {
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

/* Starts the workers with the prepared generation. Returns NULL, or a sentence.
 */
static const char *start_workers(struct daemon *daemon,
                                 const struct identity *identity)
{
    static char sentence[128];
    const struct config *config = daemon->changes.generations.prepared->config;
    bool takes_over = takeover_is_open(&daemon->takeover);
    const char *error = privileges_drop(identity);

    if (error != NULL) {
        return error;
    }
    if (log_start() < 0 ||
        workers_start(&daemon->workers, config, &daemon->loop.mailbox) < 0) {
        goto fail;
    }
    if (takes_over) {
        error = takeover_freeze(&daemon->takeover);
    }
    if (error == NULL && changes_begin(&daemon->changes) < 0) {
        goto fail;
    }
    if (error == NULL && takes_over) {
        error = takeover_move(&daemon->takeover, daemon->health);
    }
    return error;

fail:
    snprintf(sentence, sizeof(sentence), "cannot start the workers: %s",
             strerror(errno));
    return sentence;
}

/* Prepares the first generation. Takes the config. Returns NULL, or a sentence
 * with the line that it is about. */
static const char *prepare(struct daemon *daemon, struct config *config,
                           unsigned *line)
{
    struct generations *generations = &daemon->changes.generations;
    struct takeover *takeover = &daemon->takeover;
    bool takes_over = takeover_is_open(takeover);
    const char *error = NULL;

    if (takes_over) {
        error = takeover_begin(takeover, &daemon->changes.lookups.names,
                               &daemon->inherited);
        if (error != NULL) {
            config_destroy(config);
            return error;
        }
        takeover_configure(takeover, config);
        log_go_on(takeover->old.log_lost);
        generations->first_number = takeover->old.generation + 1;
        generations->origin.handed = &takeover->handed;
    }
    error =
        changes_prepare(&daemon->changes, config, workers_wanted(config), line);
    generations->origin.handed = NULL;
    return error == NULL && takes_over ? takeover_read(takeover, generations)
                                       : error;
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
    error = prepare(daemon, config, line);
    if (error == NULL) {
        error = start_workers(daemon, &identity);
    }
    if (error == NULL) {
        inherited_close_unused(&daemon->inherited);
        daemon_loop_configure(daemon);
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

/* The old process goes on with all that this one was given. Nothing is undone
 * here: it would undo what is the other one's, such as the paths of sockets. */
static _Noreturn void give_back(struct daemon *daemon, const char *sentence)
{
    takeover_fail(&daemon->takeover, sentence);
    (void)log_stop();
    _exit(1);
}

/* Counters go on, and so does the time that they are about. */
static void go_on_from(struct daemon *daemon, const struct hello *old)
{
    struct sample_facts *facts = &daemon->http.facts;

    if (old->started_ns == 0) {
        return;
    }
    facts->started_ns = daemon->started_ns = daemon->reporter.started_ns =
        old->started_ns;
    atomic_fetch_add_explicit(&daemon->workers.shared.accept_paused,
                              old->accept_paused, memory_order_relaxed);
    facts->reloads[RELOADED_OK] = old->reloaded;
    facts->reloads[RELOADED_REFUSED] = old->refused;
}

/* All that was taken over is this process's own. Connections that the old one
 * was about to reset are found again. */
static void own(struct daemon *daemon)
{
    go_on_from(daemon, &daemon->takeover.old);
    takeover_start(&daemon->takeover);
    workers_sweep(&daemon->workers);
    listeners_own(changes_current(&daemon->changes));
    http_server_own(&daemon->http.server);
    systemd_watchdog(&daemon->systemd);
    if (poller_add_level(&daemon->loop.poller, daemon->takeover.channel,
                         loop_token(DAEMON_TAKEOVER, 0, 0), false) < 0) {
        log_write(LOG_WARN, "the old process cannot be heard: %s",
                  strerror(errno));
    }
}

static int run(struct daemon *daemon, struct config *config)
{
    unsigned line = 0;
    const char *error = start(daemon, config, &line);

    if (error != NULL) {
        source_print_failure(daemon->changes.source, error, line);
        if (takeover_is_open(&daemon->takeover)) {
            give_back(daemon, error);
        }
        http_fini(&daemon->http);
        changes_fini(&daemon->changes);
        return 1;
    }
    if (takeover_is_open(&daemon->takeover)) {
        own(daemon);
    }
    report_ready(daemon);
    loop_run(&daemon->loop);
    workers_join(&daemon->workers);
    upgrade_fini(&daemon->upgrade);
    takeover_fini(&daemon->takeover);
    http_fini(&daemon->http);
    changes_fini(&daemon->changes);
    workers_fini(&daemon->workers);
    log_write(LOG_INFO, "stopped");
    return 0;
}

int daemon_run(const struct source *source, struct config *config,
               char **arguments)
{
    /* Static: if a start fails, its workers use it until the process ends. */
    static struct daemon daemon;
    const char *error = privileges_freeze();
    int status;

    takeover_open(&daemon.takeover);
    spawn_remember_path();
    daemon.upgrade.arguments = arguments;
    daemon.changes.source = source;
    daemon.started_ns = clock_now_ns();
    log_open(STDERR_FILENO, systemd_journal_is(STDERR_FILENO));
    log_set_level(config->log_level);
    if (error == NULL &&
        (inherited_open(&daemon.inherited) < 0 || open_control(&daemon) < 0)) {
        error = strerror(errno);
    }
    if (error != NULL) {
        log_write(LOG_ERROR, "evproxy: cannot start: %s", error);
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
