#include "control/local_ports.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

/* Source addresses to one upstream, or to any. */
struct path {
    uint64_t upstream; /* a hash of its address; UDP: 0 */
    struct addr first; /* no family: the address that the kernel chooses */
    struct addr last;
};

struct paths {
    struct path *list;
    size_t count;
    size_t size;
};

static int add(struct paths *paths, const struct path *path)
{
    if (paths->count == paths->size) {
        size_t size = paths->size == 0 ? 64 : 2 * paths->size;
        struct path *list =
            reallocarray(paths->list, size, sizeof(struct path));

        if (list == NULL) {
            errno = ENOMEM;
            return -1;
        }
        paths->list = list;
        paths->size = size;
    }
    paths->list[paths->count++] = *path;
    return 0;
}

/* Adds the service's source addresses to that upstream. A name without
 * addresses has no family, and counts with that of the first source. */
static int add_sources(struct paths *paths, const struct config_service *config,
                       uint64_t upstream, int family)
{
    struct path path = {.upstream = upstream};
    bool listed = false;

    for (size_t i = 0; i < config->source_count; i++) {
        const struct config_range *range = &config->sources[i];

        if (family == AF_UNSPEC) {
            family = range->first.family;
        }
        if (range->first.family == family) {
            path.first = range->first;
            path.last = range->last;
            listed = true;
            if (add(paths, &path) < 0) {
                return -1;
            }
        }
    }
    return listed ? 0 : add(paths, &path);
}

static int compare(const void *a, const void *b)
{
    const struct path *one = a, *other = b;

    if (one->upstream != other->upstream) {
        return one->upstream < other->upstream ? -1 : 1;
    }
    if (one->first.family != other->first.family) {
        return one->first.family < other->first.family ? -1 : 1;
    }
    return addr_compare_ip(&one->first, &other->first);
}

/* How many pairs of a source address and an upstream the paths have; each is
 * counted once, in however many ranges it is. *chosen: of them those whose
 * address the kernel chooses. Sorts the paths. */
static uint64_t count_pairs(struct paths *paths, uint64_t *chosen)
{
    const struct path *before = NULL; /* has the greatest last one so far */
    uint64_t count = 0;

    *chosen = 0;
    if (paths->count > 0) {
        qsort(paths->list, paths->count, sizeof(struct path), compare);
    }
    for (size_t i = 0; i < paths->count; i++) {
        const struct path *path = &paths->list[i];
        bool apart = before == NULL || before->upstream != path->upstream ||
                     before->first.family != path->first.family;

        if (!addr_is_ip(&path->first)) {
            count += apart;
            *chosen += apart;
            before = path;
        } else if (apart || addr_compare_ip(&path->first, &before->last) > 0) {
            count += addr_range_size(&path->first, &path->last);
            before = path;
        } else if (addr_compare_ip(&path->last, &before->last) > 0) {
            count += addr_range_size(&before->last, &path->last) - 1;
            before = path;
        }
    }
    return count;
}

/* Whether it holds connections when all is well. */
static bool is_used(const struct resolved *upstream, bool backups)
{
    return !upstream->line->drain && upstream->backup == backups;
}

static bool has_only_backups(const struct resolution *resolution)
{
    for (size_t i = 0; i < resolution->count; i++) {
        if (is_used(&resolution->list[i], false)) {
            return false;
        }
    }
    return true;
}

static uint64_t hash(const struct resolved *upstream)
{
    const struct endpoint *endpoint = &upstream->endpoint;
    char text[UPSTREAM_TEXT_MAX];

    if (endpoint->length > 0) {
        return hash_bytes(&endpoint->u, endpoint->length, 0);
    }
    resolution_format(upstream, text);
    return hash_bytes(text, strlen(text), 1);
}

static int add_upstream(struct local_ports *ports, struct paths *tcp,
                        struct paths *udp, const struct config_service *config,
                        const struct resolved *upstream)
{
    int family = upstream->endpoint.length == 0
                     ? AF_UNSPEC
                     : upstream->endpoint.u.any.sa_family;

    if (family == AF_UNIX) {
        ports->unix_sockets = true;
        return 0;
    }
    if (config->mode == CONFIG_UDP) {
        return add_sources(udp, config, 0, family);
    }
    return add_sources(tcp, config, hash(upstream), family);
}

static int add_service(struct local_ports *ports, struct paths *tcp,
                       struct paths *udp, const struct config_service *config,
                       const struct resolution_names *names)
{
    struct resolution resolution;
    int result = resolution_init(&resolution, config, names);
    bool backups = has_only_backups(&resolution);

    for (size_t i = 0; i < resolution.count && result == 0; i++) {
        if (is_used(&resolution.list[i], backups)) {
            result = add_upstream(ports, tcp, udp, config, &resolution.list[i]);
        }
    }
    resolution_fini(&resolution);
    return result;
}

int local_ports_count(struct local_ports *ports, const struct config *config,
                      const struct resolution_names *names)
{
    struct paths tcp = {.list = NULL}, udp = {.list = NULL};
    uint64_t chosen;
    int result = 0;

    *ports = (struct local_ports){.pairs = 0};
    for (size_t i = 0; i < config->service_count && result == 0; i++) {
        result = add_service(ports, &tcp, &udp, &config->services[i], names);
    }
    if (result == 0) {
        ports->pairs = count_pairs(&tcp, &chosen);
        ports->sources = count_pairs(&udp, &chosen);
        if (ports->sources > chosen) {
            ports->sources -= chosen;
        }
    }
    free(tcp.list);
    free(udp.list);
    return result;
}
