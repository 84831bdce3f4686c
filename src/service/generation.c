#include "service/generation.h"

#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

_Static_assert(sizeof(struct generation_sessions) == CACHE_LINE_BYTES,
               "what two workers write would share a line");

/* ---- services ------------------------------------------------------------ */

static const struct service *
find_service_in(const struct generation *generation, const char *name)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        if (strcmp(generation->services[i].state->name, name) == 0) {
            return &generation->services[i];
        }
    }
    return NULL;
}

/* The newest service of that name in a living generation. newest: NULL, or the
 * newest generation. */
static const struct service *find_service(const struct generation *newest,
                                          const char *name)
{
    const struct generation *generation = newest;
    const struct service *found = NULL;

    if (newest == NULL) {
        return NULL;
    }
    do {
        found = find_service_in(generation, name);
        generation =
            container_of(generation->link.prev, struct generation, link);
    } while (found == NULL && generation != newest);
    return found;
}

/* Links a new generation after the newest. */
static void join_ring(struct generation *generation, struct generation *newest)
{
    struct list *link = &generation->link;
    struct list *before = newest == NULL ? link : &newest->link;
    struct list *after = newest == NULL ? link : newest->link.next;

    link->prev = before;
    link->next = after;
    before->next = link;
    after->prev = link;
}

static int make_services(struct generation *generation,
                         const struct generation *previous,
                         const struct resolution_names *names)
{
    const struct config *config = generation->config;
    size_t bytes = config->service_count * sizeof(struct service);

    generation->services = aligned_alloc(_Alignof(struct service), bytes);
    if (generation->services == NULL) {
        return -1;
    }
    memset(generation->services, 0, bytes);
    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *wanted = &config->services[i];
        struct service *service = &generation->services[i];

        generation->service_count++;
        service->generation = generation;
        if (service_init(service, wanted, find_service(previous, wanted->name),
                         generation->workers, names) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- listeners ----------------------------------------------------------- */

/* *from: where to begin, and behind what was found: ranges of ports that are
 * shared are in one order. */
static struct listen_socket *find_listen(struct generation *generation,
                                         const struct endpoint *endpoint,
                                         enum config_mode mode, size_t *from)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        size_t at = (*from + i) % generation->listen_count;
        struct listen_socket *listen = &generation->listens[at];

        if (listen->service->config->mode == mode &&
            endpoint_equal(&listen->endpoint, endpoint)) {
            *from = at + 1;
            return listen;
        }
    }
    return NULL;
}

static uint64_t hash_endpoint(const struct endpoint *endpoint)
{
    char text[ADDR_TEXT_MAX];

    endpoint_format(endpoint, text);
    return hash_bytes(text, strlen(text), 0);
}

/* Adds the service to those that share the address. */
static int join_listen(struct listen_socket *listen, struct service *service)
{
    const struct config_service *config = service->config;
    uint32_t source_max = config->max_connections_per_source;
    struct service **named;

    listen->source_max =
        source_max == 0 ? UINT32_MAX
                        : MIN(UINT32_MAX - listen->source_max, source_max) +
                              listen->source_max;
    listen->source_prefixes.v4 =
        (uint8_t)MAX(listen->source_prefixes.v4, config->source_prefix_v4);
    listen->source_prefixes.v6 =
        (uint8_t)MAX(listen->source_prefixes.v6, config->source_prefix_v6);
    listen->freebind |= config->freebind;
    listen->multipath |= config->mptcp;
    if (listen->service == NULL || !config_is_named(config)) {
        listen->service = service;
    }
    if (!config_is_named(config)) {
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

static int make_ports(struct generation *generation, size_t index,
                      const struct config_listen *ports)
{
    struct service *service = &generation->services[index];
    size_t from = 0;

    for (size_t i = 0; i < config_listen_ports(ports); i++) {
        struct endpoint endpoint = config_listen_at(ports, i);
        struct listen_socket *listen;

        if (config_listen_is_first(generation->config, index, &endpoint)) {
            listen = &generation->listens[generation->listen_count++];
            listen->endpoint = endpoint;
            listen->key = hash_endpoint(&endpoint);
        } else {
            listen = find_listen(generation, &endpoint, service->config->mode,
                                 &from);
        }
        if (join_listen(listen, service) < 0) {
            return -1;
        }
    }
    return 0;
}

static int make_service_listens(struct generation *generation, size_t index)
{
    const struct config_service *config = generation->services[index].config;

    for (size_t i = 0; i < config->listen_count; i++) {
        if (make_ports(generation, index, &config->listens[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static int make_listens(struct generation *generation)
{
    size_t count = 0;

    for (size_t i = 0; i < generation->service_count; i++) {
        count += config_count_ports(generation->services[i].config);
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

/* ---- limits -------------------------------------------------------------- */

static bool needs_limits(const struct service *service)
{
    return service->state->sources == NULL && service->by_source;
}

/*
 * Changes states that other generations have. So it comes last, when nothing
 * else can fail, and sets no table before all are created.
 */
static int make_limits(struct generation *generation, uint32_t connections)
{
    size_t count = generation->service_count;
    struct source_table **created =
        calloc(count, sizeof(struct source_table *));
    size_t i;

    if (created == NULL) {
        return -1;
    }
    for (i = 0; i < count; i++) {
        if (needs_limits(&generation->services[i])) {
            created[i] = source_table_create(connections);
            if (created[i] == NULL) {
                goto destroy_created;
            }
        }
    }
    for (i = 0; i < count; i++) {
        if (created[i] != NULL) {
            generation->services[i].state->sources = created[i];
        }
    }
    free(created);
    return 0;

destroy_created:
    while (i-- > 0) {
        source_table_destroy(created[i]);
    }
    free(created);
    errno = ENOMEM;
    return -1;
}

/* ---- the generation ------------------------------------------------------ */

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

static int make_sessions(struct generation *generation)
{
    size_t bytes = generation->workers * sizeof(*generation->sessions);

    generation->sessions =
        aligned_alloc(_Alignof(struct generation_sessions), bytes);
    if (generation->sessions == NULL) {
        return -1;
    }
    memset(generation->sessions, 0, bytes);
    return 0;
}

struct generation *generation_create(struct config *config,
                                     struct generation *previous,
                                     unsigned workers, uint32_t connections,
                                     const struct resolution_names *names)
{
    struct generation *generation = calloc(1, sizeof(*generation));

    assert(previous == NULL || previous->workers == workers);
    if (generation == NULL) {
        return NULL;
    }
    generation->number = previous == NULL ? 1 : previous->number + 1;
    generation->config = config;
    generation->workers = workers;
    if (make_sessions(generation) < 0 ||
        make_services(generation, previous, names) < 0 ||
        make_listens(generation) < 0 ||
        make_limits(generation, connections) < 0) {
        int error = errno;

        generation_free(generation);
        errno = error;
        return NULL;
    }
    join_ring(generation, previous);
    return generation;
}

uint32_t generation_upstreams(const struct generation *generation)
{
    uint32_t count = 0;

    for (size_t i = 0; i < generation->service_count; i++) {
        count += generation->services[i].upstream_count;
    }
    return count;
}

void generation_destroy(struct generation *generation)
{
    struct config *config;

    if (generation == NULL) {
        return;
    }
    config = generation->config;
    list_remove(&generation->link);
    generation_free(generation);
    config_destroy(config);
}
