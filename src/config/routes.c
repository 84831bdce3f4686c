#include "config/routes.h"

#include "config/array.h"
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How many lines of a ring its sentence names. */
#define LINES_SHOWN 8

/* Where a service listens. Sorted by mode and endpoint. */
struct place {
    enum config_mode mode;
    struct endpoint endpoint;
    size_t service;
    unsigned line;
};

/* Services that listen at one address. */
struct group {
    const struct place *first;
    size_t count;
};

struct edge {
    size_t to;
    unsigned line;
    size_t next; /* of the same service; index + 1, 0: none */
};

/* What a search knows of a service. */
struct node {
    size_t edges;    /* the first of its edges; index + 1, 0: none */
    unsigned search; /* that reached it last */
    size_t from;     /* the service that it was reached from */
    unsigned line;   /* by the upstream in that line */
};

struct routes {
    const struct config *config;
    struct place *places;
    size_t place_count;
    struct endpoint *local; /* sorted, with port 0 */
    size_t local_count;
    struct edge *edges;
    size_t edge_count;
    struct node *nodes; /* one for each service */
    size_t *queue;      /* of the search; likewise */
    unsigned searches;
};

/* ---- addresses ---- */

static uint32_t zone_of(const struct endpoint *endpoint)
{
    return endpoint->u.any.sa_family == AF_INET6 ? endpoint->u.in6.sin6_scope_id
                                                 : 0;
}

/* Any order in which only equal ones are equal. */
static int compare_endpoints(const void *a, const void *b)
{
    const struct endpoint *one = a;
    const struct endpoint *two = b;
    uint32_t zone = zone_of(one);
    uint32_t other_zone = zone_of(two);
    struct addr x, y;
    int order;

    addr_from_sockaddr(&x, &one->u.any);
    addr_from_sockaddr(&y, &two->u.any);
    if (x.port != y.port) {
        return x.port < y.port ? -1 : 1;
    }
    order = addr_compare_ip(&x, &y);
    if (order == 0 && x.family == AF_UNIX) {
        return strcmp(one->u.un.sun_path, two->u.un.sun_path);
    }
    return order != 0 ? order : (zone > other_zone) - (zone < other_zone);
}

static int compare_places(const void *a, const void *b)
{
    const struct place *one = a;
    const struct place *two = b;

    return one->mode != two->mode
               ? (one->mode < two->mode ? -1 : 1)
               : compare_endpoints(&one->endpoint, &two->endpoint);
}

static struct endpoint with_port(const struct endpoint *endpoint, uint16_t port)
{
    struct endpoint changed = *endpoint;

    if (changed.u.any.sa_family == AF_INET) {
        changed.u.in.sin_port = htons(port);
    } else {
        changed.u.in6.sin6_port = htons(port);
    }
    return changed;
}

static struct endpoint endpoint_of(int family, const uint8_t ip[16],
                                   uint16_t port)
{
    struct addr addr = {.family = (uint16_t)family, .port = port};
    struct endpoint endpoint;

    memcpy(addr.ip, ip, sizeof(addr.ip));
    endpoint_from_addr(&endpoint, &addr);
    return endpoint;
}

static const uint8_t unspecified[16];
static const uint8_t loopback_4[16] = {127, 0, 0, 1};
static const uint8_t loopback_6[16] = {[15] = 1};

static bool is_local(const struct routes *routes,
                     const struct endpoint *endpoint, const struct addr *addr)
{
    struct endpoint wanted;

    if ((addr->family == AF_INET && addr->ip[0] == 127) ||
        (addr->family == AF_INET6 && memcmp(addr->ip, loopback_6, 16) == 0)) {
        return true;
    }
    wanted = with_port(endpoint, 0);
    return routes->local_count > 0 &&
           bsearch(&wanted, routes->local, routes->local_count, sizeof(wanted),
                   compare_endpoints) != NULL;
}

/* ---- where a connection arrives ---- */

static struct group find_group(const struct routes *routes,
                               enum config_mode mode,
                               const struct endpoint *endpoint)
{
    const struct place wanted = {.mode = mode, .endpoint = *endpoint};
    const struct place *end, *found;
    struct group group = {.count = 1};

    if (routes->place_count == 0) { /* places may be NULL */
        return (struct group){.count = 0};
    }
    end = routes->places + routes->place_count;
    found = bsearch(&wanted, routes->places, routes->place_count,
                    sizeof(wanted), compare_places);
    if (found == NULL) {
        return (struct group){.count = 0};
    }
    while (found > routes->places && compare_places(found - 1, &wanted) == 0) {
        found--;
    }
    while (found + group.count < end &&
           compare_places(found + group.count, &wanted) == 0) {
        group.count++;
    }
    group.first = found;
    return group;
}

/* As the kernel chooses: the socket of just this address, then that of all
 * addresses of its family, then that of both families. */
static struct group find_listens(const struct routes *routes,
                                 enum config_mode mode,
                                 const struct endpoint *endpoint)
{
    struct endpoint at = *endpoint;
    struct group group;
    struct addr addr;

    addr_from_sockaddr(&addr, &at.u.any);
    if (addr_is_ip(&addr) && memcmp(addr.ip, unspecified, 16) == 0) {
        /* A connect to no address goes to the loopback one. */
        at = endpoint_of(addr.family,
                         addr.family == AF_INET ? loopback_4 : loopback_6,
                         addr.port);
        addr_from_sockaddr(&addr, &at.u.any);
    }
    group = find_group(routes, mode, &at);
    if (group.count > 0 || !addr_is_ip(&addr) ||
        !is_local(routes, &at, &addr)) {
        return group;
    }
    if (addr.family == AF_INET) {
        at = endpoint_of(AF_INET, unspecified, addr.port);
        group = find_group(routes, mode, &at);
    }
    if (group.count == 0) {
        at = endpoint_of(AF_INET6, unspecified, addr.port);
        group = find_group(routes, mode, &at);
    }
    return group;
}

/* Whether whatever the service sends there reaches the service of the place.
 * Its own server names lead back to it, unless it asks for another name. */
static bool reaches(const struct routes *routes, size_t from,
                    const struct group *group, const struct place *place)
{
    const struct config_service *services = routes->config->services;

    if (config_is_named(&services[place->service])) {
        return place->service == from && !services[from].upstream_tls;
    }
    return group->count == 1 || !services[from].upstream_tls;
}

/* ---- rings ---- */

/* Searches breadth-first, so that the way is a shortest one. */
static bool find_way(struct routes *routes, size_t from, size_t to)
{
    unsigned search = ++routes->searches;
    size_t head = 0, tail = 0;

    routes->nodes[from].search = search;
    routes->queue[tail++] = from;
    while (head < tail && routes->nodes[to].search != search) {
        size_t at = routes->queue[head++];

        for (size_t i = routes->nodes[at].edges; i != 0;) {
            const struct edge *edge = &routes->edges[i - 1];
            struct node *node = &routes->nodes[edge->to];

            i = edge->next;
            if (node->search != search) {
                *node = (struct node){node->edges, search, at, edge->line};
                routes->queue[tail++] = edge->to;
            }
        }
    }
    return routes->nodes[to].search == search;
}

/* The lines of the upstreams on the way that was found. */
static void describe_way(const struct routes *routes, size_t from, size_t to,
                         char text[ROUTES_TEXT_MAX])
{
    unsigned lines[LINES_SHOWN];
    size_t count = 0, used;

    for (size_t at = to; at != from; at = routes->nodes[at].from) {
        lines[count++ % LINES_SHOWN] = routes->nodes[at].line;
    }
    used = (size_t)snprintf(text, ROUTES_TEXT_MAX,
                            "leads back to this service, by line%s",
                            count == 1 ? "" : "s");
    for (size_t i = 0; i < count && i < LINES_SHOWN; i++) {
        used += (size_t)snprintf(text + used, ROUTES_TEXT_MAX - used, "%s %u",
                                 i == 0 ? "" : ",",
                                 lines[(count - 1 - i) % LINES_SHOWN]);
    }
    snprintf(text + used, ROUTES_TEXT_MAX - used, "%s: a loop",
             count > LINES_SHOWN ? ", ..." : "");
}

static bool leads_back(struct routes *routes, size_t service,
                       const struct place *place, char text[ROUTES_TEXT_MAX])
{
    if (place->service == service) {
        snprintf(text, ROUTES_TEXT_MAX,
                 "is where this service listens (line %u): a loop",
                 place->line);
        return true;
    }
    if (!find_way(routes, place->service, service)) {
        return false;
    }
    describe_way(routes, place->service, service, text);
    return true;
}

static int add_edge(struct routes *routes, size_t from, size_t to,
                    unsigned line)
{
    size_t last = routes->nodes[from].edges;
    struct edge *edge;

    /* By another port of a range. */
    if (last != 0 && routes->edges[last - 1].to == to) {
        return 0;
    }
    edge = array_push(&routes->edges, &routes->edge_count, sizeof(*edge));

    if (edge == NULL) {
        return -1;
    }
    *edge = (struct edge){to, line, last};
    routes->nodes[from].edges = routes->edge_count;
    return 0;
}

static int add_endpoint(struct routes *routes, size_t service,
                        const struct endpoint *endpoint, unsigned line,
                        char text[ROUTES_TEXT_MAX])
{
    struct group group =
        find_listens(routes, routes->config->services[service].mode, endpoint);

    for (size_t i = 0; i < group.count; i++) {
        if (reaches(routes, service, &group, &group.first[i]) &&
            leads_back(routes, service, &group.first[i], text)) {
            return ROUTES_LOOP;
        }
    }
    for (size_t i = 0; i < group.count; i++) {
        if (reaches(routes, service, &group, &group.first[i]) &&
            add_edge(routes, service, group.first[i].service, line) < 0) {
            return -1;
        }
    }
    return ROUTES_ADDED;
}

/* To the ports that clients come to. */
static int add_any_port(struct routes *routes, size_t service,
                        const struct endpoint *endpoint, unsigned line,
                        char text[ROUTES_TEXT_MAX])
{
    const struct config_service *config = &routes->config->services[service];
    int result = ROUTES_ADDED;

    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listens[i];
        uint32_t port = listen->address.port;

        for (; result == ROUTES_ADDED && port != 0 && port <= listen->last_port;
             port++) {
            struct endpoint one = with_port(endpoint, (uint16_t)port);

            result = add_endpoint(routes, service, &one, line, text);
        }
    }
    return result;
}

int routes_add(struct routes *routes, size_t service,
               const struct endpoint *endpoint, unsigned line,
               char text[ROUTES_TEXT_MAX])
{
    return endpoint->u.any.sa_family != AF_UNIX && endpoint_port(endpoint) == 0
               ? add_any_port(routes, service, endpoint, line, text)
               : add_endpoint(routes, service, endpoint, line, text);
}

/* ---- the graph ---- */

static int add_ports(struct routes *routes, size_t service,
                     const struct config_listen *listen)
{
    for (size_t i = 0; i < config_listen_ports(listen); i++) {
        struct place *place =
            array_push(&routes->places, &routes->place_count, sizeof(*place));

        if (place == NULL) {
            return -1;
        }
        *place =
            (struct place){routes->config->services[service].mode,
                           config_listen_at(listen, i), service, listen->line};
    }
    return 0;
}

static int add_places(struct routes *routes)
{
    const struct config *config = routes->config;

    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];

        for (size_t j = 0; j < service->listen_count; j++) {
            if (add_ports(routes, i, &service->listens[j]) < 0) {
                return -1;
            }
        }
    }
    if (routes->place_count > 0) {
        qsort(routes->places, routes->place_count, sizeof(*routes->places),
              compare_places);
    }
    return 0;
}

static int add_local(struct routes *routes, const struct endpoint *local,
                     size_t count)
{
    routes->local = calloc(count + 1, sizeof(*local));
    if (routes->local == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        routes->local[i] = with_port(&local[i], 0);
    }
    routes->local_count = count;
    qsort(routes->local, count, sizeof(*local), compare_endpoints);
    return 0;
}

struct routes *routes_create(const struct config *config,
                             const struct endpoint *local, size_t count)
{
    struct routes *routes = calloc(1, sizeof(*routes));
    size_t services = config->service_count + 1;

    if (routes == NULL) {
        return NULL;
    }
    routes->config = config;
    routes->nodes = calloc(services, sizeof(*routes->nodes));
    routes->queue = calloc(services, sizeof(*routes->queue));
    if (routes->nodes == NULL || routes->queue == NULL ||
        add_places(routes) < 0 || add_local(routes, local, count) < 0) {
        routes_destroy(routes);
        errno = ENOMEM;
        return NULL;
    }
    return routes;
}

void routes_destroy(struct routes *routes)
{
    if (routes == NULL) {
        return;
    }
    free(routes->places);
    free(routes->local);
    free(routes->edges);
    free(routes->nodes);
    free(routes->queue);
    free(routes);
}
