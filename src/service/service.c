#include "service/service.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the state ----------------------------------------------------------- */

/* All-zero, and on separate cache lines if its type is aligned so. */
static void *aligned_calloc(size_t alignment, size_t count, size_t size)
{
    void *memory = aligned_alloc(alignment, count * size);

    if (memory != NULL) {
        memset(memory, 0, count * size);
    }
    return memory;
}

static void state_destroy(struct service_state *state)
{
    queue_fini(&state->queue);
    source_table_destroy(state->sources);
    census_destroy(state->census);
    free(state->memory);
    free(state->history);
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
    state->counters = aligned_calloc(_Alignof(struct service_counters),
                                     workers + 1, sizeof(*state->counters));
    state->memory = aligned_calloc(_Alignof(struct service_memory), workers,
                                   sizeof(*state->memory));
    if (state->name == NULL || state->counters == NULL ||
        state->memory == NULL) {
        state_destroy(state);
        errno = ENOMEM;
        return NULL;
    }
    for (unsigned i = 1; i < workers; i++) {
        for (enum direction j = UP; j < DIRECTIONS; j++) {
            slab_account_add(&state->memory[0].blocks[j].account,
                             &state->memory[i].blocks[j].account);
        }
    }
    return state;
}

/* ---- an index of upstreams by their text --------------------------------- */

struct index_slot {
    struct upstream *upstream; /* NULL: free */
    bool listed;               /* by the service that is initialised */
};

/* Open addressing, at most half full. */
struct index {
    struct index_slot *slots;
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

/* The slot of the upstream with that text, or a free one for it. */
static struct index_slot *index_find(const struct index *index,
                                     const char *text)
{
    size_t i = hash_bytes(text, strlen(text), 0);
    struct index_slot *slot = &index->slots[i & (index->size - 1)];

    while (slot->upstream != NULL && strcmp(slot->upstream->text, text) != 0) {
        slot = &index->slots[++i & (index->size - 1)];
    }
    return slot;
}

/* ---- the upstreams ------------------------------------------------------- */

/* The array is made for the first one. */
static int set_target(struct service *service, uint32_t i, size_t count,
                      const struct resolved *resolved)
{
    if (resolved->record == NULL) {
        return 0;
    }
    if (service->targets == NULL) {
        service->targets = calloc(count, sizeof(char *));
        if (service->targets == NULL) {
            return -1;
        }
    }
    service->targets[i] = strdup(resolved->record->target);
    return service->targets[i] == NULL ? -1 : 0;
}

static int add_upstream(struct service *service, const struct index *index,
                        const struct resolved *resolved,
                        struct balance_node *nodes)
{
    const struct endpoint *endpoint =
        resolved->endpoint.length == 0 ? NULL : &resolved->endpoint;
    uint32_t i = service->upstream_count;
    char text[UPSTREAM_TEXT_MAX];
    struct index_slot *slot;

    resolution_format(resolved, text);
    slot = index_find(index, text);
    if (slot->listed) {
        return 0;
    }
    if (i == CONFIG_UPSTREAMS_MAX) {
        errno = E2BIG;
        return -1;
    }
    if (slot->upstream == NULL) {
        slot->upstream =
            upstream_create(endpoint, text, service->state->workers);
        if (slot->upstream == NULL) {
            return -1;
        }
        slot->upstream->queue = &service->state->queue;
        list_append(&service->state->upstreams, &slot->upstream->link);
    }
    slot->listed = true;
    slot->upstream->holders++;
    service->upstreams[i] = slot->upstream;
    service->lines[i] = resolved->line;
    nodes[i] = (struct balance_node){.id = slot->upstream->id,
                                     .weight = resolved->weight,
                                     .backup = resolved->backup};
    service->upstream_count++;
    return 0;
}

/* All that live, also those that only older generations have. */
static int index_living(struct index *index, const struct service_state *state,
                        size_t more)
{
    const struct list *all = &state->upstreams;
    size_t count = 0;

    for (const struct list *i = list_first(all); i != NULL && i != all;
         i = i->next) {
        count++;
    }
    if (index_init(index, count + more) < 0) {
        return -1;
    }
    for (struct list *i = list_first(all); i != NULL && i != all; i = i->next) {
        struct upstream *upstream = container_of(i, struct upstream, link);

        index_find(index, upstream->text)->upstream = upstream;
    }
    return 0;
}

static int add_upstreams(struct service *service,
                         const struct resolution *resolution)
{
    size_t count = resolution->count;
    struct balance_node *nodes = calloc(count, sizeof(*nodes));
    struct index index = {0};
    int result = -1;

    service->upstreams = calloc(count, sizeof(struct upstream *));
    service->lines = calloc(count, sizeof(const struct config_upstream *));
    if (nodes == NULL || service->upstreams == NULL || service->lines == NULL ||
        index_living(&index, service->state, count) < 0) {
        goto free_scratch;
    }
    for (size_t i = 0; i < count; i++) {
        const struct resolved *resolved = &resolution->list[i];
        uint32_t at = service->upstream_count;

        if (add_upstream(service, &index, resolved, nodes) < 0 ||
            (service->upstream_count > at &&
             set_target(service, at, count, resolved) < 0)) {
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

/* ---- the service --------------------------------------------------------- */

static struct rate_limit limit_of(uint64_t per_s, uint64_t burst)
{
    return (struct rate_limit){.per_s = per_s, .burst = burst > 0 ? burst : 1};
}

static void set_rates(struct service *service)
{
    const struct config_service *config = service->config;
    uint64_t up =
        config->rate_burst_up > 0 ? config->rate_burst_up : config->rate_burst;
    uint64_t down = config->rate_burst_down > 0 ? config->rate_burst_down
                                                : config->rate_burst;

    service->rate[UP] = limit_of(config->rate_up, up);
    service->rate[DOWN] = limit_of(config->rate_down, down);
    service->service_rate[UP] = limit_of(config->service_rate_up, up);
    service->service_rate[DOWN] = limit_of(config->service_rate_down, down);
    service->accept_rate = limit_of(config->accept_rate, config->accept_rate);
    service->source_rate[UP] = limit_of(config->rate_up_per_source, up);
    service->source_rate[DOWN] = limit_of(config->rate_down_per_source, down);
    service->by_source =
        (config->max_connections_per_source | config->accept_rate_per_source |
         config->rate_up_per_source | config->rate_down_per_source) != 0;
    service->throttled =
        (config->rate_up | config->rate_down | config->service_rate_up |
         config->service_rate_down | config->rate_up_per_source |
         config->rate_down_per_source) != 0;
}

static bool tells_tls(const struct config_service *config)
{
    for (size_t i = 0; i < config->upstream_count; i++) {
        if (config->upstreams[i].proxy_protocol == PROXY_V2) {
            return true;
        }
    }
    return false;
}

int service_init(struct service *service, const struct config_service *config,
                 const struct service *previous, unsigned workers,
                 const struct resolution_names *names)
{
    struct resolution resolution;
    int result = -1;

    service->config = config;
    service->state = previous != NULL ? previous->state
                                      : state_create(config->name, workers);
    if (service->state == NULL) {
        return -1;
    }
    service->state->holders++;
    set_rates(service);
    service->tells_tls = tells_tls(config);
    if (config->mode == CONFIG_UDP && service->state->census == NULL) {
        /* Services that have the state already are TCP: none reads it. */
        service->state->census = census_create(workers);
        if (service->state->census == NULL) {
            errno = ENOMEM;
            return -1;
        }
    }
    if (config->queue_timeout_ns != 0 &&
        queue_init(&service->state->queue, workers) < 0) {
        return -1;
    }
    if (resolution_init(&resolution, config, names) == 0) {
        result = add_upstreams(service, &resolution);
    }
    if (previous != NULL) {
        balance_continue(&service->balance, &previous->balance);
    }
    resolution_fini(&resolution);
    return result;
}

bool service_clear_down(const struct service *service,
                        struct upstream *upstream, uint32_t reason,
                        uint64_t now_ns)
{
    uint64_t slow_ns = service->config->slow_start_ns;

    if (slow_ns > 0 && !upstream_up(upstream)) {
        atomic_store_explicit(&service->state->slow_until_ns, now_ns + slow_ns,
                              memory_order_relaxed);
    }
    return upstream_clear_down(upstream, reason, now_ns);
}

void service_fini(struct service *service)
{
    for (uint32_t i = 0; i < service->upstream_count; i++) {
        if (--service->upstreams[i]->holders == 0) {
            list_remove(&service->upstreams[i]->link);
            upstream_destroy(service->upstreams[i]);
        }
    }
    for (uint32_t i = 0;
         service->targets != NULL && i < service->upstream_count; i++) {
        free(service->targets[i]);
    }
    balance_fini(&service->balance);
    free(service->targets);
    free(service->lines);
    free(service->upstreams);
    if (service->state != NULL && --service->state->holders == 0) {
        state_destroy(service->state);
    }
}

const char *service_host(const struct service *service, uint32_t upstream)
{
    const struct address *address = &service->lines[upstream]->address;

    if (service->targets != NULL && service->targets[upstream] != NULL) {
        return service->targets[upstream];
    }
    return address_is_name(address) ? address->host : NULL;
}

const char *service_upstream_name(const struct service *service, uint32_t place,
                                  char text[ADDR_TEXT_MAX])
{
    const char *configured = service->config->upstream_tls_name;
    const char *host = service_host(service, place);
    struct addr addr;

    if (configured != NULL || host != NULL) {
        return configured != NULL ? configured : host;
    }
    addr_from_sockaddr(&addr, &service->upstreams[place]->endpoint.u.any);
    return addr.family == AF_UNIX ? NULL : addr_format_ip(&addr, text);
}
