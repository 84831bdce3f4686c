#include "control/lineage.h"

#include "base/log.h"
#include "control/credentials.h"
#include "control/descriptors.h"
#include "control/listeners.h"
#include "control/resolver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct generation *lineage_current(const struct lineage *lineage)
{
    return lineage->count == 0 ? NULL : lineage->alive[lineage->count - 1];
}

/* Room for one more, so that lineage_commit cannot fail for want of it. */
static int reserve(struct lineage *lineage)
{
    size_t size = lineage->size == 0 ? 4 : 2 * lineage->size;
    struct generation **alive;

    if (lineage->count < lineage->size) {
        return 0;
    }
    alive = realloc(lineage->alive, size * sizeof(struct generation *));
    if (alive == NULL) {
        return -1;
    }
    lineage->alive = alive;
    lineage->size = size;
    return 0;
}

static int make_plan(struct reload_plan *plan, const struct generation *running,
                     const struct config *wanted)
{
    struct reload_address *open = NULL;
    int result;

    if (running == NULL) {
        return reload_plan(plan, NULL, 0, wanted);
    }
    open = listeners_addresses(running);
    if (open == NULL) {
        return -1;
    }
    result = reload_plan(plan, open, running->listen_count, wanted);
    free(open);
    return result;
}

static const char *cannot_listen(const struct endpoint *endpoint)
{
    static char sentence[ADDR_TEXT_MAX + 128];
    char text[ADDR_TEXT_MAX];
    int error = errno;

    snprintf(sentence, sizeof(sentence), "cannot listen on %s: %s",
             endpoint_format(endpoint, text), strerror(error));
    return sentence;
}

/* The first of them; takes all. */
static const char *cannot_load(struct config_errors *errors, unsigned *line)
{
    static char sentence[LOG_LINE_MAX];

    snprintf(sentence, sizeof(sentence), "%s",
             errors->count == 0 ? "no memory is left"
                                : errors->list[0].message);
    *line = errors->count == 0 ? 0 : errors->list[0].line;
    config_errors_fini(errors);
    return sentence;
}

static void warn_restart(void *arg, const char *key)
{
    (void)arg;
    log_write(LOG_WARN, "reload key=%s warning=\"a change needs a restart\"",
              key);
}

static int copy_text(char **to, const char *from)
{
    char *copy = from == NULL ? NULL : strdup(from);

    if (from != NULL && copy == NULL) {
        return -1;
    }
    free(*to);
    *to = copy;
    return 0;
}

/* Changes to keys that need a restart are not made, so that the snapshot says
 * what is, and the next reload is compared with that. */
static int keep_restart_keys(struct config *config,
                             const struct config *running)
{
    config_restart_keys(running, config, warn_restart, NULL);
    config->workers = running->workers;
    config->buffer_memory = running->buffer_memory;
    config->buffer_size = running->buffer_size;
    if (copy_text(&config->user, running->user) < 0) {
        return -1;
    }
    return copy_text(&config->group, running->group);
}

/* The generation that follows the running one, without sockets. Takes the
 * config if it answers one. */
static struct generation *create_next(struct config *config,
                                      struct generation *running,
                                      unsigned workers, uint32_t connections)
{
    if (running != NULL && keep_restart_keys(config, running->config) < 0) {
        return NULL;
    }
    if (config->max_connections == 0) {
        config->max_connections = connections;
    }
    return generation_create(config, running, workers, connections,
                             resolver_lookup);
}

const char *lineage_prepare(struct lineage *lineage, struct config *config,
                            unsigned workers, uint64_t limit, unsigned *line)
{
    struct generation *running = lineage_current(lineage), *next;
    struct config_errors errors = {0};
    const struct endpoint *failed;
    uint32_t connections;
    const char *error = descriptors_admit(limit, config, workers, &connections);

    *line = 0;
    if (error != NULL) {
        goto free_config;
    }
    error = "no memory is left";
    if (reserve(lineage) < 0 ||
        make_plan(&lineage->plan, running, config) < 0) {
        goto free_config;
    }
    next = create_next(config, running, workers, connections);
    if (next == NULL) {
        goto free_plan;
    }
    config = NULL;
    if (credentials_load(next, &errors) < 0) {
        error = cannot_load(&errors, line);
        goto free_generation;
    }
    if (listeners_open(next, running, &lineage->plan, &failed) < 0) {
        error = cannot_listen(failed);
        goto free_credentials;
    }
    next->holders = workers + 1;
    lineage->prepared = next;
    return NULL;

free_credentials:
    credentials_release(next);
free_generation:
    generation_destroy(next);
free_plan:
    reload_plan_fini(&lineage->plan);
free_config:
    config_destroy(config);
    return error;
}

void lineage_abandon(struct lineage *lineage)
{
    listeners_abandon(lineage->prepared, &lineage->plan);
    reload_plan_fini(&lineage->plan);
    credentials_release(lineage->prepared);
    generation_destroy(lineage->prepared);
    lineage->prepared = NULL;
}

int lineage_commit(struct lineage *lineage, struct crew *crew,
                   struct health *health)
{
    struct generation *running = lineage_current(lineage);
    struct generation *next = lineage->prepared;

    if (worker_apply(crew->workers[0], next) < 0) {
        return -1;
    }
    lineage->alive[lineage->count++] = next;
    lineage->parties = 1;
    lineage->prepared = NULL;
    listeners_settle(next, running, &lineage->plan);
    reload_plan_fini(&lineage->plan);
    lineage_spread(lineage, crew, health);
    return 0;
}

bool lineage_settled(const struct lineage *lineage)
{
    return lineage->parties == lineage_current(lineage)->workers + 1;
}

bool lineage_spread(struct lineage *lineage, struct crew *crew,
                    struct health *health)
{
    struct generation *current = lineage_current(lineage);

    if (lineage_settled(lineage)) {
        return true;
    }
    while (lineage->parties < current->workers) {
        if (worker_apply(crew->workers[lineage->parties], current) < 0) {
            return false;
        }
        lineage->parties++;
    }
    if (health_apply(health, current) < 0) {
        return false;
    }
    lineage->parties++;
    /* Health was the control plane's use of the one before. */
    if (lineage->count > 1) {
        lineage_done(lineage, lineage->alive[lineage->count - 2]);
    }
    return true;
}

/* Its services that no other generation names take their counters along. */
static void remember_counters(struct service_sums *gone,
                              const struct generation *generation)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        const struct service_state *state = generation->services[i].state;
        struct service_sums sums;

        if (state->holders > 1) {
            continue;
        }
        service_counters_sum(state->counters, state->workers, &sums);
        gone->accepted += sums.accepted;
        gone->bytes[UP] += sums.bytes[UP];
        gone->bytes[DOWN] += sums.bytes[DOWN];
    }
}

static void bury(struct generation *generation)
{
    listeners_release(generation);
    credentials_release(generation);
    generation_destroy(generation);
}

void lineage_done(struct lineage *lineage, struct generation *generation)
{
    size_t i = 0;

    if (--generation->holders > 0) {
        return;
    }
    while (lineage->alive[i] != generation) {
        i++;
    }
    lineage->count--;
    memmove(&lineage->alive[i], &lineage->alive[i + 1],
            (lineage->count - i) * sizeof(lineage->alive[0]));
    remember_counters(&lineage->gone, generation);
    bury(generation);
}

void lineage_fini(struct lineage *lineage)
{
    for (size_t i = 0; i < lineage->count; i++) {
        bury(lineage->alive[i]);
    }
    free(lineage->alive);
    *lineage = (struct lineage){.count = 0};
}
