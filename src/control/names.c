#include "control/names.h"

#include "config/array.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- the table ---- */

static size_t find_addresses(const struct resolution_names *known,
                             const char *host, const struct endpoint **found)
{
    const struct name *name = names_find(
        container_of(known, struct names, known), ADDRESS_NAME, host);

    *found = name == NULL ? NULL : name->addresses;
    return name == NULL ? 0 : name->count;
}

static size_t find_records(const struct resolution_names *known,
                           const char *host, const struct srv_record **found)
{
    const struct name *name =
        names_find(container_of(known, struct names, known), ADDRESS_SRV, host);

    *found = name == NULL ? NULL : name->records;
    return name == NULL ? 0 : name->count;
}

void names_init(struct names *names)
{
    *names = (struct names){
        .known = {.find = find_addresses, .find_records = find_records}};
}

static void name_free(struct name *name)
{
    free(name->host);
    free(name->items);
    free(name->missed);
    free(name);
}

static struct name *name_create(enum address_kind kind, const char *host)
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
    name->kind = kind;
    name->ttl_ns = UINT64_MAX;
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

    return (*left)->kind != (*right)->kind
               ? (int)(*left)->kind - (int)(*right)->kind
               : strcasecmp((*left)->host, (*right)->host);
}

struct name *names_find(const struct names *names, enum address_kind kind,
                        const char *host)
{
    struct name wanted = {.kind = kind, .host = (char *)host};
    struct name *key = &wanted, **found;

    if (names->count == 0) {
        return NULL;
    }
    found = bsearch(&key, names->list, names->count, sizeof(struct name *),
                    by_host);
    return found == NULL ? NULL : *found;
}

/* ---- names that come and go ---- */

/* Appends to the names that are being added. */
static int append(struct names *added, enum address_kind kind, const char *host)
{
    struct name **element;
    struct name *name = name_create(kind, host);

    if (name == NULL) {
        return -1;
    }
    element = array_push(&added->list, &added->count, sizeof(*element));
    if (element == NULL) {
        name_free(name);
        return -1;
    }
    *element = name;
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

static bool has(const struct names *names, const struct name *name)
{
    return names_find(names, name->kind, name->host) != NULL;
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
        if (!has(names, added->list[i])) {
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

/* Moves what the table lacks into it, unless result is -1, and returns what has
 * become of it. */
static int take_added(struct names *names, struct names *added, int result)
{
    if (result == 0 && added->count > 0) {
        qsort(added->list, added->count, sizeof(struct name *), by_host);
        remove_equal(added);
        result = take_new(names, added);
    }
    names_fini(added);
    if (result < 0) {
        errno = ENOMEM;
    }
    return result;
}

static void shorten(uint64_t *interval_ns, uint64_t to_ns)
{
    if (*interval_ns == 0 || *interval_ns > to_ns) {
        *interval_ns = to_ns;
    }
}

/* From one look-up of the SRV name to the next. */
static uint64_t period_ns(const struct name *name)
{
    return name->ttl_ns < name->interval_ns ? name->ttl_ns : name->interval_ns;
}

/* Gives each name the shortest interval of its services and of the SRV names
 * whose target it is, and forgets those that have none. */
static void settle(struct names *names)
{
    size_t kept = 0;

    for (size_t i = 0; i < names->count; i++) {
        names->list[i]->interval_ns = names->list[i]->service_ns;
    }
    for (size_t i = 0; i < names->count; i++) {
        const struct name *name = names->list[i];

        for (size_t j = 0; name->kind == ADDRESS_SRV && name->service_ns > 0 &&
                           j < name->count;
             j++) {
            struct name *target =
                names_find(names, ADDRESS_NAME, name->records[j].target);

            if (target != NULL) {
                shorten(&target->interval_ns, period_ns(name));
            }
        }
    }
    for (size_t i = 0; i < names->count; i++) {
        if (names->list[i]->interval_ns == 0) {
            name_free(names->list[i]);
        } else {
            names->list[kept++] = names->list[i];
        }
    }
    names->count = kept;
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
            if (address_is_name(&service->upstreams[j].address) &&
                fn(names, service, &service->upstreams[j]) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int append_line(struct names *added,
                       const struct config_service *service,
                       const struct config_upstream *line)
{
    (void)service;
    return append(added, line->address.kind, line->address.host);
}

int names_add(struct names *names, const struct config *config)
{
    struct names added = {.count = 0};

    return take_added(names, &added, each_line(&added, config, append_line));
}

static int use(struct names *names, const struct config_service *service,
               const struct config_upstream *line)
{
    struct name *name =
        names_find(names, line->address.kind, line->address.host);

    shorten(&name->service_ns, service->resolve_interval_ns);
    return 0;
}

void names_keep(struct names *names, const struct config *config,
                uint64_t now_ns)
{
    for (size_t i = 0; i < names->count; i++) {
        names->list[i]->service_ns = 0;
        names->list[i]->due_ns = now_ns;
    }
    (void)each_line(names, config, use);
    settle(names);
}

/* ---- answers ---- */

/* What is merged: the sorted items of a name with those of an answer. */
struct merge {
    struct name *name;
    const char *found;
    size_t found_count;
    size_t size; /* of an item */
    int (*compare)(const void *a, const void *b);
    char *items; /* what the name will have */
    bool *missed;
    size_t count;
};

static void put(struct merge *merge, const char *item, bool missed)
{
    memcpy(merge->items + merge->count * merge->size, item, merge->size);
    merge->missed[merge->count++] = missed;
}

static bool is_other(const struct srv_record *a, const struct srv_record *b)
{
    return a->priority != b->priority || a->weight != b->weight;
}

static void merge_items(struct merge *merge)
{
    struct name *name = merge->name;
    size_t i = 0, j = 0;

    while (i < name->count || j < merge->found_count) {
        const char *old = (char *)name->items + i * merge->size;
        const char *new = merge->found + j * merge->size;
        int order = i == name->count          ? 1
                    : j == merge->found_count ? -1
                                              : merge->compare(old, new);

        if (order >= 0) {
            put(merge, new, false);
            name->added += order > 0;
            name->changed |= order == 0 && name->kind == ADDRESS_SRV &&
                             is_other((const void *)old, (const void *)new);
        } else if (!name->missed[i]) {
            put(merge, old, true);
        } else {
            name->removed++;
        }
        i += order <= 0;
        j += order >= 0;
    }
}

/* Fills the rest of merge. */
static int take_answer(struct merge *merge)
{
    struct name *name = merge->name;
    size_t most = name->count + merge->found_count;

    merge->items = calloc(most, merge->size);
    merge->missed = calloc(most, sizeof(bool));
    if (merge->items == NULL || merge->missed == NULL) {
        free(merge->items);
        free(merge->missed);
        errno = ENOMEM;
        return -1;
    }
    merge_items(merge);
    free(name->items);
    free(name->missed);
    name->items = merge->items;
    name->missed = merge->missed;
    name->count = merge->count;
    name->answered = true;
    name->failures = 0;
    return 0;
}

static int by_ip(const void *a, const void *b)
{
    return endpoint_compare_ip(a, b);
}

int names_answer(struct name *name, const struct endpoint *found, size_t count,
                 uint64_t now_ns)
{
    struct merge merge = {
        .name = name,
        .found = (const char *)found,
        .found_count = count,
        .size = sizeof(*found),
        .compare = by_ip,
    };
    int result = take_answer(&merge);

    name->due_ns = now_ns + name->interval_ns;
    return result;
}

static int by_target(const void *a, const void *b)
{
    return srv_record_compare(a, b);
}

/* An answer may have thousands: they leave threads to other names. */
static int add_targets(struct names *names, const struct srv_record *records,
                       size_t count)
{
    struct names added = {.count = 0};
    int result = 0;

    for (size_t i = 0; i < count && result == 0; i++) {
        result = append(&added, ADDRESS_NAME, records[i].target);
    }
    for (size_t i = 0; i < added.count; i++) {
        added.list[i]->slow = true; /* until it is known */
    }
    return take_added(names, &added, result);
}

/* Those that were asked for on their own just before are not due again, and
 * those that fail keep their pace. */
static void ask_targets(struct names *names, const struct name *name,
                        uint64_t now_ns)
{
    for (size_t i = 0; i < name->count; i++) {
        struct name *target =
            names_find(names, ADDRESS_NAME, name->records[i].target);

        if (target != NULL && target->failures == 0 &&
            target->due_ns < now_ns + target->interval_ns / 2) {
            target->due_ns = now_ns;
        }
    }
}

int names_answer_records(struct names *names, struct name *name,
                         const struct srv_record *found, size_t count,
                         uint64_t ttl_ns, uint64_t now_ns)
{
    struct merge merge = {
        .name = name,
        .found = (const char *)found,
        .found_count = count,
        .size = sizeof(*found),
        .compare = by_target,
    };
    int result = add_targets(names, found, count);

    name->ttl_ns = ttl_ns > NAMES_TTL_MIN_NS ? ttl_ns : NAMES_TTL_MIN_NS;
    name->due_ns = now_ns + period_ns(name);
    if (result == 0) {
        result = take_answer(&merge);
    }
    settle(names);
    ask_targets(names, name, now_ns);
    return result;
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

int names_restore(struct names *names, enum address_kind kind, const char *host,
                  const void *items, size_t count)
{
    size_t width = kind == ADDRESS_SRV ? sizeof(struct srv_record)
                                       : sizeof(struct endpoint);
    struct names added;
    struct name *name;

    names_init(&added);
    if (append(&added, kind, host) < 0) {
        return take_added(names, &added, -1);
    }
    name = added.list[0];
    name->items = calloc(count, width);
    name->missed = calloc(count, sizeof(*name->missed));
    if (name->items == NULL || name->missed == NULL) {
        return take_added(names, &added, -1);
    }
    memcpy(name->items, items, count * width);
    name->count = count;
    name->answered = true;
    return take_added(names, &added, 0);
}
