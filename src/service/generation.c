#include "service/generation.h"

#include "base/hash.h"
#include "config/array.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Zeroed, each on cache lines of its own if its type is aligned so. */
static void *aligned_calloc(size_t alignment, size_t count, size_t size)
{
    void *memory = aligned_alloc(alignment, count * size);

    if (memory != NULL) {
        memset(memory, 0, count * size);
    }
    return memory;
}

/* The states. */

static void state_destroy(struct service_state *state)
{
    limits_destroy(state->limits);
    free(state->counters);
    free(state->name);
    free(state);
}

static struct service_state *state_create(const char *name, unsigned workers)
{
    struct service_state *state;

    state = aligned_calloc(_Alignof(struct service_state), 1, sizeof(*state));
    if (state == NULL) {
        return NULL;
    }
    state->workers = workers;
    state->name = strdup(name);
    state->counters = aligned_calloc(_Alignof(struct service_counters), workers,
                                     sizeof(*state->counters));
    if (state->name == NULL || state->counters == NULL) {
        state_destroy(state);
        errno = ENOMEM;
        return NULL;
    }
    return state;
}

static void state_drop(struct service_state *state)
{
    if (state != NULL && --state->holders == 0) {
        state_destroy(state);
    }
}

static void upstream_drop(struct upstream *upstream)
{
    if (--upstream->holders == 0) {
        upstream_destroy(upstream);
    }
}

/* The upstreams of a service: first where its lines lead, then what is there
 * already, so that what is new can be told from what is carried over. */

struct target {
    const struct config_upstream *line;
    struct endpoint endpoint; /* length 0: unresolved */
};

struct targets {
    struct target *list;
    size_t count;
};

static int targets_add(struct targets *targets,
                       const struct config_upstream *line,
                       const struct endpoint *endpoint)
{
    struct target *target;

    target = array_push(&targets->list, &targets->count, sizeof(*target));
    if (target == NULL) {
        return -1;
    }
    target->line = line;
    if (endpoint != NULL) {
        target->endpoint = *endpoint;
    }
    return 0;
}

static int targets_resolve(struct targets *targets,
                           const struct config_upstream *line,
                           generation_resolve_fn resolve)
{
    struct endpoint *found = NULL;
    size_t count = resolve(line->address.host, line->address.port, &found);
    int result = 0;

    if (count == 0) {
        result = targets_add(targets, line, NULL);
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        result = targets_add(targets, line, &found[i]);
    }
    free(found);
    return result;
}

static int targets_collect(struct targets *targets,
                           const struct config_service *config,
                           generation_resolve_fn resolve)
{
    for (size_t i = 0; i < config->upstream_count; i++) {
        const struct config_upstream *line = &config->upstreams[i];
        int result;

        if (line->address.kind == ADDRESS_NAME) {
            result = targets_resolve(targets, line, resolve);
        } else {
            result = targets_add(targets, line, &line->address.endpoint);
        }
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

#define TARGET_TEXT_MAX sizeof(((struct upstream *)NULL)->text)

static void target_format(const struct target *target,
                          char text[TARGET_TEXT_MAX])
{
    if (target->endpoint.length == 0) {
        snprintf(text, TARGET_TEXT_MAX, "%s:%" PRIu16,
                 target->line->address.host, target->line->address.port);
    } else {
        endpoint_format(&target->endpoint, text);
    }
}

/* Upstreams by their text: open addressing, at most half full. */
struct known {
    struct upstream *upstream;
    bool listed; /* by the service that is being made */
};

struct index {
    struct known *slots;
    size_t size; /* a power of two */
};

static int index_init(struct index *index, size_t count)
{
    index->size = 2;
    while (index->size < 2 * count) {
        index->size *= 2;
    }
    index->slots = calloc(index->size, sizeof(*index->slots));
    return index->slots == NULL ? -1 : 0;
}

/* Where it is, or is to be. */
static struct known *index_find(const struct index *index, const char *text)
{
    size_t i = hash_bytes(text, strlen(text), 0);
    struct known *slot = &index->slots[i & (index->size - 1)];

    while (slot->upstream != NULL && strcmp(slot->upstream->text, text) != 0) {
        slot = &index->slots[++i & (index->size - 1)];
    }
    return slot;
}

static int service_add_upstream(struct service *service,
                                const struct index *index,
                                const struct target *target,
                                struct balance_node *nodes)
{
    const struct config_upstream *line = target->line;
    uint32_t i = service->upstream_count;
    char text[TARGET_TEXT_MAX];
    struct known *known;

    target_format(target, text);
    known = index_find(index, text);
    if (known->listed) {
        return 0;
    }
    if (i == CONFIG_UPSTREAMS_MAX) {
        errno = E2BIG;
        return -1;
    }
    if (known->upstream == NULL) {
        known->upstream = upstream_create(
            target->endpoint.length == 0 ? NULL : &target->endpoint, text,
            service->state->workers);
    }
    if (known->upstream == NULL) {
        return -1;
    }
    known->listed = true;
    known->upstream->holders++;
    service->upstreams[i] = known->upstream;
    service->lines[i] = line;
    service->sends_proxy |= line->proxy_protocol != PROXY_OFF;
    nodes[i] = (struct balance_node){.id = known->upstream->id,
                                     .weight = line->weight,
                                     .backup = line->backup};
    service->upstream_count++;
    return 0;
}

static int service_add_targets(struct service *service,
                               const struct service *previous,
                               const struct targets *targets)
{
    size_t old_count = previous == NULL ? 0 : previous->upstream_count;
    struct balance_node *nodes = calloc(targets->count, sizeof(*nodes));
    struct index index = {0};
    int result = -1;

    service->upstreams = calloc(targets->count, sizeof(struct upstream *));
    service->lines =
        calloc(targets->count, sizeof(const struct config_upstream *));
    if (nodes == NULL || service->upstreams == NULL || service->lines == NULL ||
        index_init(&index, old_count + targets->count) < 0) {
        goto free_scratch;
    }
    for (size_t i = 0; i < old_count; i++) {
        struct upstream *upstream = previous->upstreams[i];

        index_find(&index, upstream->text)->upstream = upstream;
    }
    for (size_t i = 0; i < targets->count; i++) {
        if (service_add_upstream(service, &index, &targets->list[i], nodes) <
            0) {
            goto free_scratch;
        }
    }
    result = balance_init(&service->balance, service->config->balance, nodes,
                          service->upstream_count);
free_scratch:
    free(index.slots);
    free(nodes);
    return result;
}

/* The services. */

static struct rate_limit limit_of(uint64_t per_s, uint64_t burst)
{
    return (struct rate_limit){.per_s = per_s, .burst = burst > 0 ? burst : 1};
}

static void service_set_rates(struct service *service)
{
    const struct config_service *config = service->config;
    uint64_t burst = config->rate_burst;

    service->rate[UP] = limit_of(config->rate_up, burst);
    service->rate[DOWN] = limit_of(config->rate_down, burst);
    service->service_rate[UP] = limit_of(config->service_rate_up, burst);
    service->service_rate[DOWN] = limit_of(config->service_rate_down, burst);
    service->accept_rate = limit_of(config->accept_rate, config->accept_rate);
    service->throttled =
        (config->rate_up | config->rate_down | config->service_rate_up |
         config->service_rate_down) != 0;
}

static const struct service *find_in(const struct generation *generation,
                                     const char *name)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        if (strcmp(generation->services[i].state->name, name) == 0) {
            return &generation->services[i];
        }
    }
    return NULL;
}

/* The newest service of that name in a generation that lives. */
static const struct service *find_service(const struct generation *newest,
                                          const char *name)
{
    const struct generation *generation = newest;
    const struct service *found = NULL;

    if (newest == NULL) {
        return NULL;
    }
    do {
        found = find_in(generation, name);
        generation =
            container_of(generation->by_age.prev, struct generation, by_age);
    } while (found == NULL && generation != newest);
    return found;
}

/* Links a new generation behind the newest. */
static void join_by_age(struct generation *generation,
                        struct generation *newest)
{
    struct list *link = &generation->by_age;
    struct list *before = newest == NULL ? link : &newest->by_age;
    struct list *after = newest == NULL ? link : newest->by_age.next;

    link->prev = before;
    link->next = after;
    before->next = link;
    after->prev = link;
}

static int service_init(struct service *service,
                        const struct config_service *config,
                        const struct service *previous, unsigned workers,
                        generation_resolve_fn resolve)
{
    struct targets targets = {0};
    int result = -1;

    service->config = config;
    service->state = previous != NULL ? previous->state
                                      : state_create(config->name, workers);
    if (service->state == NULL) {
        return -1;
    }
    service->state->holders++;
    service_set_rates(service);
    if (targets_collect(&targets, config, resolve) == 0) {
        result = service_add_targets(service, previous, &targets);
    }
    free(targets.list);
    return result;
}

/* Of whatever service_init got done. */
static void service_fini(struct service *service)
{
    for (uint32_t i = 0; i < service->upstream_count; i++) {
        upstream_drop(service->upstreams[i]);
    }
    balance_fini(&service->balance);
    free(service->lines);
    free(service->upstreams);
    state_drop(service->state);
}

/* The generation. */

static int make_services(struct generation *generation,
                         const struct generation *previous,
                         generation_resolve_fn resolve)
{
    const struct config *config = generation->config;

    generation->services =
        aligned_calloc(_Alignof(struct service), config->service_count,
                       sizeof(*generation->services));
    if (generation->services == NULL) {
        return -1;
    }
    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *wanted = &config->services[i];
        struct service *service = &generation->services[i];

        generation->service_count++;
        service->generation = generation;
        if (service_init(service, wanted, find_service(previous, wanted->name),
                         generation->workers, resolve) < 0) {
            return -1;
        }
    }
    return 0;
}

static struct listen_socket *find_listen(struct generation *generation,
                                         const struct endpoint *endpoint,
                                         enum config_mode mode)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        struct listen_socket *listen = &generation->listens[i];

        if (listen->service->config->mode == mode &&
            endpoint_equal(&listen->endpoint, endpoint)) {
            return listen;
        }
    }
    return NULL;
}

/* The service takes its part of what comes to the address. */
static int join_listen(struct listen_socket *listen, struct service *service)
{
    struct service **named;

    if (listen->service == NULL || service->config->sni_count == 0) {
        listen->service = service;
    }
    if (service->config->sni_count == 0) {
        return 0;
    }
    named = realloc(listen->named,
                    (listen->named_count + 1) * sizeof(struct service *));
    if (named == NULL) {
        return -1;
    }
    listen->named = named;
    named[listen->named_count++] = service;
    return 0;
}

static int make_service_listens(struct generation *generation, size_t index)
{
    struct service *service = &generation->services[index];

    for (size_t j = 0; j < service->config->listen_count; j++) {
        const struct endpoint *endpoint =
            &service->config->listens[j].address.endpoint;
        struct listen_socket *listen;

        if (config_listen_is_first(generation->config, index, j)) {
            listen = &generation->listens[generation->listen_count++];
            listen->endpoint = *endpoint;
        } else {
            listen = find_listen(generation, endpoint, service->config->mode);
        }
        if (join_listen(listen, service) < 0) {
            return -1;
        }
    }
    return 0;
}

static int make_listens(struct generation *generation)
{
    size_t count = 0;

    for (size_t i = 0; i < generation->service_count; i++) {
        count += generation->services[i].config->listen_count;
    }
    generation->listens = calloc(count, sizeof(*generation->listens));
    if (generation->listens == NULL) {
        return -1;
    }
    for (size_t i = 0; i < generation->service_count; i++) {
        if (make_service_listens(generation, i) < 0) {
            return -1;
        }
    }
    return 0;
}

static bool wants_limits(const struct service *service)
{
    return service->state->limits == NULL &&
           (service->config->max_connections_per_source != 0 ||
            service->config->accept_rate_per_source != 0);
}

/*
 * The one thing that is changed in what is carried over, so it comes last, and
 * no table is hung in before all are made.
 */
static int make_limits(struct generation *generation, uint32_t connections)
{
    size_t count = generation->service_count;
    struct limits **made = calloc(count, sizeof(struct limits *));
    size_t i;

    if (made == NULL) {
        return -1;
    }
    for (i = 0; i < count; i++) {
        if (wants_limits(&generation->services[i])) {
            made[i] = limits_create(connections);
            if (made[i] == NULL) {
                goto destroy_made;
            }
        }
    }
    for (i = 0; i < count; i++) {
        if (made[i] != NULL) {
            generation->services[i].state->limits = made[i];
        }
    }
    free(made);
    return 0;

destroy_made:
    while (i-- > 0) {
        limits_destroy(made[i]);
    }
    free(made);
    errno = ENOMEM;
    return -1;
}

/* All but the config. */
static void generation_free(struct generation *generation)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        service_fini(&generation->services[i]);
    }
    free(generation->services);
    for (size_t i = 0; i < generation->listen_count; i++) {
        free(generation->listens[i].named);
    }
    free(generation->listens);
    free(generation->sessions);
    free(generation);
}

struct generation *generation_create(struct config *config,
                                     struct generation *previous,
                                     unsigned workers, uint32_t connections,
                                     generation_resolve_fn resolve)
{
    struct generation *generation = calloc(1, sizeof(*generation));

    assert(previous == NULL || previous->workers == workers);
    if (generation == NULL) {
        return NULL;
    }
    generation->number = previous == NULL ? 1 : previous->number + 1;
    generation->config = config;
    generation->workers = workers;
    generation->sessions = calloc(workers, sizeof(*generation->sessions));
    if (generation->sessions == NULL ||
        make_services(generation, previous, resolve) < 0 ||
        make_listens(generation) < 0 ||
        make_limits(generation, connections) < 0) {
        int error = errno;

        generation_free(generation);
        errno = error;
        return NULL;
    }
    join_by_age(generation, previous);
    return generation;
}

void generation_destroy(struct generation *generation)
{
    struct config *config;

    if (generation == NULL) {
        return;
    }
    config = generation->config;
    list_remove(&generation->by_age);
    generation_free(generation);
    config_destroy(config);
}
