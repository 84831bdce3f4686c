#include "control/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ---- */

static size_t find_addresses(const struct resolution_names *known,
                             const char *host, const struct endpoint **found)
{
    const struct name *name =
        names_find(container_of(known, struct names, known), host);

    *found = name == NULL ? NULL : name->addresses;
    return name == NULL ? 0 : name->count;
}

void names_init(struct names *names)
{
    *names = (struct names){.known.find = find_addresses};
}

static void name_free(struct name *name)
{
    free(name->host);
    free(name->addresses);
    free(name->missed);
    free(name);
}

static struct name *name_create(const char *host)
{
    struct name *name = calloc(1, sizeof(*name));

    if (name == NULL) {
        return NULL;
    }
    name->host = strdup(host);
    if (name->host == NULL) {
        free(name);
        return NULL;
    }
    return name;
}

void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        name_free(names->list[i]);
    }
    free(names->list);
    names_init(names);
}

static int by_host(const void *a, const void *b)
{
    const struct name *const *left = a, *const *right = b;

    return strcasecmp((*left)->host, (*right)->host);
}

struct name *names_find(const struct names *names, const char *host)
{
    struct name wanted = {.host = (char *)host};
    struct name *key = &wanted, **found;

    if (names->count == 0) {
        return NULL;
    }
    found = bsearch(&key, names->list, names->count, sizeof(struct name *),
                    by_host);
    return found == NULL ? NULL : *found;
}

/* ---- the names of a configuration ---- */

typedef int (*line_fn)(struct names *names,
                       const struct config_service *service,
                       const struct config_upstream *line);

/* Calls fn with each upstream line that has a name, until it answers -1. */
static int each_line(struct names *names, const struct config *config,
                     line_fn fn)
{
    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];

        for (size_t j = 0; j < service->upstream_count; j++) {
            if (service->upstreams[j].address.kind == ADDRESS_NAME &&
                fn(names, service, &service->upstreams[j]) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Appends to the names that are being added. */
static int append(struct names *added, const struct config_service *service,
                  const struct config_upstream *line)
{
    struct name **list;

    (void)service;
    if ((added->count & (added->count - 1)) == 0) { /* 0, 1, 2, 4, ... */
        size_t size = added->count == 0 ? 1 : 2 * added->count;

        list = realloc(added->list, size * sizeof(struct name *));
        if (list == NULL) {
            return -1;
        }
        added->list = list;
    }
    added->list[added->count] = name_create(line->address.host);
    if (added->list[added->count] == NULL) {
        return -1;
    }
    added->count++;
    return 0;
}

/* Of equal names the first stays. */
static void remove_equal(struct names *names)
{
    size_t kept = 0;

    for (size_t i = 0; i < names->count; i++) {
        if (kept > 0 && by_host(&names->list[kept - 1], &names->list[i]) == 0) {
            name_free(names->list[i]);
        } else {
            names->list[kept++] = names->list[i];
        }
    }
    names->count = kept;
}

/* Moves those that the table lacks into it. -1: no memory. */
static int take_new(struct names *names, struct names *added)
{
    size_t old = names->count, total = old;
    struct name **list =
        realloc(names->list, (old + added->count + 1) * sizeof(struct name *));

    if (list == NULL) {
        return -1;
    }
    names->list = list;
    for (size_t i = 0; i < added->count; i++) {
        if (names_find(names, added->list[i]->host) == NULL) {
            list[total++] = added->list[i];
        } else {
            name_free(added->list[i]);
        }
    }
    added->count = 0;
    names->count = total;
    qsort(list, total, sizeof(struct name *), by_host);
    return 0;
}

int names_add(struct names *names, const struct config *config)
{
    struct names added = {.count = 0};
    int result = each_line(&added, config, append);

    if (result == 0 && added.count > 0) {
        qsort(added.list, added.count, sizeof(struct name *), by_host);
        remove_equal(&added);
        result = take_new(names, &added);
    }
    names_fini(&added);
    if (result < 0) {
        errno = ENOMEM;
    }
    return result;
}

static int use(struct names *names, const struct config_service *service,
               const struct config_upstream *line)
{
    struct name *name = names_find(names, line->address.host);

    if (name->interval_ns == 0 ||
        name->interval_ns > service->resolve_interval_ns) {
        name->interval_ns = service->resolve_interval_ns;
    }
    return 0;
}

void names_keep(struct names *names, const struct config *config,
                uint64_t now_ns)
{
    size_t kept = 0;

    for (size_t i = 0; i < names->count; i++) {
        names->list[i]->interval_ns = 0;
        names->list[i]->due_ns = now_ns;
    }
    (void)each_line(names, config, use);
    for (size_t i = 0; i < names->count; i++) {
        if (names->list[i]->interval_ns == 0) {
            name_free(names->list[i]);
        } else {
            names->list[kept++] = names->list[i];
        }
    }
    names->count = kept;
}

/* ---- answers ---- */

/* What a name becomes. */
struct merged {
    struct endpoint *addresses;
    bool *missed;
    size_t count;
};

static void put(struct merged *merged, const struct endpoint *address,
                bool missed)
{
    merged->addresses[merged->count] = *address;
    merged->missed[merged->count++] = missed;
}

/* Merges the sorted lists of the name and of the answer. */
static void merge(struct merged *merged, struct name *name,
                  const struct endpoint *found, size_t count)
{
    size_t i = 0, j = 0;

    while (i < name->count || j < count) {
        int order = i == name->count ? 1
                    : j == count
                        ? -1
                        : endpoint_compare_ip(&name->addresses[i], &found[j]);

        if (order >= 0) {
            put(merged, &found[j++], false);
            name->added += order > 0;
        } else if (!name->missed[i]) {
            put(merged, &name->addresses[i], true);
        } else {
            name->removed++;
        }
        i += order <= 0;
    }
}

int names_answer(struct name *name, const struct endpoint *found, size_t count,
                 uint64_t now_ns)
{
    size_t most = name->count + count;
    struct merged merged = {
        .addresses = calloc(most, sizeof(struct endpoint)),
        .missed = calloc(most, sizeof(bool)),
    };

    name->due_ns = now_ns + name->interval_ns;
    if (merged.addresses == NULL || merged.missed == NULL) {
        free(merged.addresses);
        free(merged.missed);
        errno = ENOMEM;
        return -1;
    }
    merge(&merged, name, found, count);
    free(name->addresses);
    free(name->missed);
    name->addresses = merged.addresses;
    name->missed = merged.missed;
    name->count = merged.count;
    name->answered = true;
    name->failures = 0;
    return 0;
}

void names_fail(struct name *name, const char *error, uint64_t now_ns)
{
    uint64_t retry_ns = NAMES_RETRY_NS;

    for (uint32_t i = 0; i < name->failures && retry_ns < name->interval_ns;
         i++) {
        retry_ns *= 2;
    }
    if (retry_ns > name->interval_ns) {
        retry_ns = name->interval_ns;
    }
    snprintf(name->error, sizeof(name->error), "%s", error);
    name->failures += name->failures < UINT32_MAX;
    name->due_ns = now_ns + retry_ns;
}
