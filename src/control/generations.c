#include "control/generations.h"

#include "base/direction.h"
#include "base/log.h"
#include "config/errors.h"
#include "control/credentials.h"
#include "control/descriptors.h"
#include "control/holder.h"
#include "control/kernel_drops.h"
#include "control/listeners.h"
#include "control/loops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct generation *generations_current(const struct generations *generations)
{
    return generations->count == 0 ? NULL
                                   : generations->alive[generations->count - 1];
}

/* Makes room for one more, so that generations_commit needs no memory. */
static int reserve(struct generations *generations)
{
    size_t size = generations->size == 0 ? 4 : 2 * generations->size;
    struct generation **alive;

    if (generations->count < generations->size) {
        return 0;
    }
    alive = realloc(generations->alive, size * sizeof(struct generation *));
    if (alive == NULL) {
        return -1;
    }
    generations->alive = alive;
    generations->size = size;
    return 0;
}

static const char *cannot_listen(const struct listen_socket *listen)
{
    static char sentence[ADDR_TEXT_MAX + 128];
    char text[ADDR_TEXT_MAX], who[HOLDER_TEXT_MAX];
    struct holder holder = {.kind = HOLDER_UNKNOWN};
    int error = errno;

    if (error == EADDRINUSE) {
        holder_find(&listen->endpoint,
                    listen->service->config->mode == CONFIG_UDP ? SOCK_DGRAM
                                                                : SOCK_STREAM,
                    &holder);
    }
    snprintf(sentence, sizeof(sentence), "cannot listen on %s: %s%s",
             endpoint_format(&listen->endpoint, text), strerror(error),
             holder_format(&holder, who));
    return sentence;
}

/* The sentence of the first error. Takes all errors. */
static const char *cannot_load(struct config_errors *errors, unsigned *line)
{
    static char sentence[LOG_LINE_MAX];

    snprintf(sentence, sizeof(sentence), "%s",
             errors->count == 0 ? "out of memory" : errors->list[0].message);
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

/* The generation after the running one, without sockets. Takes the config
 * unless it returns NULL. */
static struct generation *create_next(struct generations *generations,
                                      struct config *config, unsigned workers,
                                      uint32_t connections)
{
    struct generation *running = generations_current(generations), *next;

    if (names_add(generations->names, config) < 0) {
        return NULL;
    }
    if (running != NULL && config_keep_restart_keys(config, running->config,
                                                    warn_restart, NULL) < 0) {
        return NULL;
    }
    if (config->max_connections == 0) {
        config->max_connections = connections;
    }
    next = generation_create(config, running, workers, connections,
                             &generations->names->known);
    if (next != NULL && running == NULL && generations->first_number != 0) {
        next->number = generations->first_number;
    }
    return next;
}

const char *generations_prepare(struct generations *generations,
                                struct config *config, unsigned workers,
                                uint64_t limit, unsigned *line)
{
    struct generation *running = generations_current(generations), *next;
    struct config_errors errors = {0};
    const struct listen_socket *failed;
    uint32_t connections;
    const char *error =
        descriptors_capacity(limit, config, workers, &connections);

    *line = 0;
    if (error != NULL) {
        *line = connections == 0 ? 0 : config->max_connections_line;
        goto free_config;
    }
    if ((running == NULL || running->config != config) &&
        loops_check(config, NULL, &errors) < 0) {
        error = cannot_load(&errors, line);
        goto free_config;
    }
    error = "out of memory";
    if (reserve(generations) < 0 ||
        listeners_plan(&generations->plan, running, config) < 0) {
        goto free_config;
    }
    next = create_next(generations, config, workers, connections);
    if (next == NULL) {
        error = errno == E2BIG ? "a service has too many upstreams" : error;
        goto free_plan;
    }
    config = NULL;
    if (credentials_load(next, running, &errors) < 0) {
        error = cannot_load(&errors, line);
        goto free_generation;
    }
    if (listeners_open(next, running, &generations->plan, &generations->origin,
                       &failed) < 0) {
        error = cannot_listen(failed);
        goto free_credentials;
    }
    next->holders = workers + 1;
    generations->prepared = next;
    return NULL;

free_credentials:
    credentials_release(next);
free_generation:
    generation_destroy(next);
free_plan:
    reload_plan_fini(&generations->plan);
free_config:
    config_destroy(config);
    return error;
}

void generations_abandon(struct generations *generations)
{
    listeners_abandon(generations->prepared, &generations->plan);
    reload_plan_fini(&generations->plan);
    credentials_release(generations->prepared);
    generation_destroy(generations->prepared);
    generations->prepared = NULL;
}

int generations_commit(struct generations *generations, struct workers *workers,
                       struct health *health)
{
    struct generation *running = generations_current(generations);
    struct generation *next = generations->prepared;

    for (size_t i = 0; i < generations->plan.close_count; i++) {
        kernel_drops_count(running, generations->plan.closes[i]);
    }
    if (worker_apply(workers->list[0], next) < 0) {
        return -1;
    }
    generations->alive[generations->count++] = next;
    generations->applied = 1;
    generations->prepared = NULL;
    listeners_commit(next, running, &generations->plan);
    reload_plan_fini(&generations->plan);
    loops_take_out(next);
    generations_distribute(generations, workers, health);
    return 0;
}

bool generations_distributed(const struct generations *generations)
{
    return generations->applied ==
           generations_current(generations)->workers + 1;
}

void generations_distribute(struct generations *generations,
                            struct workers *workers, struct health *health)
{
    struct generation *current = generations_current(generations);

    if (generations_distributed(generations)) {
        return;
    }
    while (generations->applied < current->workers) {
        if (worker_apply(workers->list[generations->applied], current) < 0) {
            return;
        }
        generations->applied++;
    }
    if (health_apply(health, current) < 0) {
        return;
    }
    generations->applied++;
    /* Health was the control thread's use of the one before. */
    if (generations->count > 1) {
        generations_release(generations,
                            generations->alive[generations->count - 2]);
    }
}

/* Adds up the counters of services that go with the generation. */
static void add_removed(struct service_sums *removed,
                        const struct generation *generation)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        const struct service_state *state = generation->services[i].state;
        struct service_sums sums;

        if (state->holders > 1) {
            continue;
        }
        service_counters_sum(state->counters, state->workers + 1, &sums);
        removed->accepted += sums.accepted;
        removed->bytes[UP] += sums.bytes[UP];
        removed->bytes[DOWN] += sums.bytes[DOWN];
        for (unsigned cause = 0; cause < CAUSES; cause++) {
            removed->ended[cause] += sums.ended[cause];
        }
    }
}

static void destroy(struct generation *generation)
{
    listeners_release(generation);
    credentials_release(generation);
    generation_destroy(generation);
}

void generations_hold(struct generation *generation)
{
    generation->holders++;
}

void generations_release(struct generations *generations,
                         struct generation *generation)
{
    size_t i = 0;

    if (--generation->holders > 0) {
        return;
    }
    while (generations->alive[i] != generation) {
        i++;
    }
    generations->count--;
    memmove(&generations->alive[i], &generations->alive[i + 1],
            (generations->count - i) * sizeof(generations->alive[0]));
    add_removed(&generations->removed, generation);
    destroy(generation);
}

void generations_fini(struct generations *generations)
{
    for (size_t i = 0; i < generations->count; i++) {
        destroy(generations->alive[i]);
    }
    free(generations->alive);
    *generations = (struct generations){.count = 0};
}
