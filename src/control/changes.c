#include "control/changes.h"

#include "base/direction.h"
#include "base/log.h"
#include "control/capacity.h"
#include "control/outages.h"

#include <errno.h>
#include <stdio.h>

#define REASON_MAX 512

/* Answers that come so soon after another one are taken together. */
#define GATHER_NS (20 * NS_PER_MS)

/* To the next try to distribute a generation that some had no memory for, and
 * to make one of new answers. */
#define DISTRIBUTE_RETRY_NS (100 * NS_PER_MS)
#define ANSWERS_RETRY_NS    NS_PER_S

int changes_open(struct changes *changes, const struct changes_kinds *kinds)
{
    changes->timer.kind = kinds->timer;
    changes->generations.names = &changes->lookups.names;
    return lookups_open(&changes->lookups, changes->loop, kinds->lookups_timer,
                        kinds->lookups_message);
}

void changes_stop(struct changes *changes)
{
    wheel_disarm(&changes->loop->wheel, &changes->timer);
    lookups_close(&changes->lookups);
}

static void abandon(struct changes *changes)
{
    generations_abandon(&changes->generations);
    http_abandon(changes->http);
}

void changes_fini(struct changes *changes)
{
    changes_stop(changes);
    if (changes->generations.prepared != NULL) {
        abandon(changes);
    }
    generations_fini(&changes->generations);
    lookups_fini(&changes->lookups);
}

struct generation *changes_current(const struct changes *changes)
{
    return generations_current(&changes->generations);
}

static void arm(struct changes *changes, uint64_t delay_ns)
{
    if (!wheel_armed(&changes->timer)) {
        wheel_arm(&changes->loop->wheel, &changes->timer,
                  changes->loop->now_ns + delay_ns);
    }
}

static void check_outages(const struct changes *changes)
{
    outages_check_all(changes_current(changes), &changes->lookups.names);
}

/* For those who ask for metrics: with 10,000 upstreams it takes milliseconds.
 */
static void count_capacity(const struct changes *changes)
{
    const struct config *config = changes_current(changes)->config;
    const struct workers *workers = changes->workers;
    struct capacity *capacity = &changes->http->facts.capacity;
    struct capacity_facts facts = {
        .workers = workers->count,
        .buffer_bytes = workers_buffer_limit(workers),
        .block_bytes = workers->shared.slab[UP].block_bytes,
    };

    capacity_clear(capacity);
    if (config->metrics_listen.address.endpoint.length == 0) {
        return;
    }
    machine_read(&facts.machine, MACHINE_PROC);
    if (capacity_count(capacity, config, &changes->lookups.names.known,
                       &facts) < 0) {
        capacity_clear(capacity);
    }
}

/* Makes the prepared generation the current one, or abandons it: -1 with errno.
 */
static int commit(struct changes *changes)
{
    struct generations *generations = &changes->generations;

    if (generations_commit(generations, changes->workers, changes->health) <
        0) {
        int error = errno;

        abandon(changes);
        errno = error;
        return -1;
    }
    http_commit(changes->http);
    lookups_applied(&changes->lookups);
    check_outages(changes);
    count_capacity(changes);
    if (!generations_distributed(generations)) {
        arm(changes, DISTRIBUTE_RETRY_NS);
    }
    return 0;
}

/* ---- by the configuration ---- */

const char *changes_prepare(struct changes *changes, struct config *config,
                            unsigned workers, unsigned *line)
{
    struct generations *generations = &changes->generations;
    const struct listeners_origin *origin = &generations->origin;
    const char *error =
        generations_prepare(generations, config, workers, changes->limit, line);

    if (error == NULL) {
        error =
            http_prepare(changes->http, generations->prepared->config, origin);
        if (error != NULL) {
            generations_abandon(generations);
        }
    }
    return error;
}

int changes_begin(struct changes *changes)
{
    const struct config *config = changes->generations.prepared->config;
    _Atomic uint32_t *limit = &changes->workers->shared.max_connections;
    uint32_t before = atomic_load_explicit(limit, memory_order_relaxed);

    /* Before a worker has its first clients, or it would refuse them. */
    atomic_store_explicit(limit, config->max_connections, memory_order_relaxed);
    if (commit(changes) < 0) {
        atomic_store_explicit(limit, before, memory_order_relaxed);
        return -1;
    }
    names_keep(&changes->lookups.names, config, changes->loop->now_ns);
    lookups_begin(&changes->lookups);
    return 0;
}

/* Takes the config. Returns NULL, or a sentence with the line that it is about.
 */
static const char *replace(struct changes *changes, struct config *config,
                           unsigned *line)
{
    const char *error;

    if (!generations_distributed(&changes->generations)) {
        config_destroy(config);
        return "the previous reload is not complete yet";
    }
    error = changes_prepare(changes, config, changes->workers->count, line);
    if (error == NULL && changes_begin(changes) < 0) {
        error = "out of memory";
    }
    return error;
}

const char *changes_reload(struct changes *changes)
{
    static char reason[REASON_MAX];
    struct config_errors errors = {0};
    struct config_error error = {.line = 0};
    struct config *config = source_load(changes->source, &errors);

    if (config != NULL) {
        source_print_warnings(changes->source, config);
        error.message = (char *)replace(changes, config, &error.line);
    } else if (errors.count > 0) {
        error = errors.list[0];
    } else {
        error.message = (char *)"out of memory";
    }
    if (error.message != NULL) {
        source_format_error(changes->source, &error, reason, sizeof(reason));
    }
    config_errors_fini(&errors);
    return error.message != NULL ? reason : NULL;
}

/* ---- by answers ---- */

/* The current configuration with the addresses of the table. Returns NULL, or a
 * sentence that says why nothing has changed. */
static const char *renew(struct changes *changes)
{
    struct generation *current = changes_current(changes);
    unsigned line;
    const char *error = changes_prepare(changes, config_share(current->config),
                                        changes->workers->count, &line);

    if (error == NULL && commit(changes) < 0) {
        error = "out of memory";
    }
    return error;
}

static void apply_answers(struct changes *changes)
{
    const char *error = renew(changes);

    if (error != NULL) {
        if (!changes->failing) {
            char text[LOG_LINE_MAX];

            log_write(LOG_WARN, "resolve error=\"%s\"",
                      log_escape(error, text, sizeof(text)));
        }
        arm(changes, ANSWERS_RETRY_NS);
    }
    changes->failing = error != NULL;
}

void changes_resume(struct changes *changes)
{
    changes->held = false;
    arm(changes, 0);
}

void changes_timer(struct changes *changes)
{
    struct generations *generations = &changes->generations;

    if (changes->held) {
        return;
    }
    generations_distribute(generations, changes->workers, changes->health);
    if (!generations_distributed(generations)) {
        arm(changes, DISTRIBUTE_RETRY_NS);
    } else if (changes->lookups.changed) {
        apply_answers(changes);
    }
}

void changes_answer(struct changes *changes, struct message *message)
{
    lookups_take(&changes->lookups, message);
    if (changes->lookups.failed) {
        changes->lookups.failed = false;
        check_outages(changes);
    }
    if (changes->lookups.changed) {
        arm(changes, GATHER_NS);
    }
}
