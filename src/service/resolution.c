#include "service/resolution.h"

#include "base/gcd.h"
#include "config/array.h"

#include <stdio.h>
#include <stdlib.h>

#define WEIGHT_MAX 256

/* ---- addresses and host names ---- */

/* Adds the entry, with this endpoint. NULL: the name has none. */
static int add(struct resolution *resolution, const struct resolved *entry,
               const struct endpoint *endpoint)
{
    struct resolved *resolved;

    resolved =
        array_push(&resolution->list, &resolution->count, sizeof(*resolved));
    if (resolved == NULL) {
        return -1;
    }
    *resolved = *entry;
    if (endpoint != NULL) {
        resolved->endpoint = *endpoint;
    }
    return 0;
}

/* Adds the entry for each address of the host, with the port. */
static int add_host(struct resolution *resolution, const struct resolved *entry,
                    const struct resolution_names *names, const char *host,
                    uint16_t port)
{
    const struct endpoint *found = NULL;
    size_t count = names->find(names, host, &found);
    int result = 0;

    if (count == 0) {
        result = add(resolution, entry, NULL);
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        struct endpoint endpoint = found[i];

        endpoint_set_port(&endpoint, port);
        result = add(resolution, entry, &endpoint);
    }
    return result;
}

/* ---- SRV names ---- */

/* The records of one name, and what their weights are divided by. */
struct records {
    const struct srv_record *list;
    size_t count;
    uint16_t lowest;     /* priority */
    uint32_t divisor[2]; /* of primaries, of backups */
    uint32_t most[2];    /* the greatest weight, divided */
};

static bool is_backup(const struct records *records, size_t i)
{
    return records->list[i].priority > records->lowest;
}

static uint32_t weight_of(const struct srv_record *record)
{
    return record->weight == 0 ? 1 : record->weight;
}

static void find_lowest(struct records *records)
{
    records->lowest = UINT16_MAX;
    for (size_t i = 0; i < records->count; i++) {
        if (records->list[i].priority < records->lowest) {
            records->lowest = records->list[i].priority;
        }
    }
}

static void find_scale(struct records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        bool backup = is_backup(records, i);
        uint32_t weight = weight_of(&records->list[i]);

        records->divisor[backup] = gcd(weight, records->divisor[backup]);
        if (weight > records->most[backup]) {
            records->most[backup] = weight;
        }
    }
    for (int backup = 0; backup < 2; backup++) {
        if (records->most[backup] <= WEIGHT_MAX) {
            records->divisor[backup] = 1;
        }
        records->most[backup] /= records->divisor[backup];
    }
}

static uint32_t scaled_weight(const struct records *records, size_t i)
{
    bool backup = is_backup(records, i);
    uint32_t most = records->most[backup];
    uint32_t weight = weight_of(&records->list[i]) / records->divisor[backup];

    if (most > WEIGHT_MAX) {
        weight = (weight * WEIGHT_MAX + most / 2) / most;
    }
    return weight == 0 ? 1 : weight;
}

/* Primaries come first: of two entries with one address the first counts. */
static int add_srv(struct resolution *resolution, const struct resolved *entry,
                   const struct resolution_names *names)
{
    struct records records = {.list = NULL};
    int result = 0;

    records.count =
        names->find_records(names, entry->line->address.host, &records.list);
    if (records.count == 0) {
        return add(resolution, entry, NULL);
    }
    find_lowest(&records);
    find_scale(&records);
    for (size_t i = 0; i < 2 * records.count && result == 0; i++) {
        size_t at = i % records.count;
        const struct srv_record *record = &records.list[at];
        struct resolved found = *entry;

        if (is_backup(&records, at) != (i >= records.count)) {
            continue;
        }
        found.record = record;
        found.weight = scaled_weight(&records, at);
        found.backup |= is_backup(&records, at);
        result =
            add_host(resolution, &found, names, record->target, record->port);
    }
    return result;
}

/* ---- the whole ---- */

static int add_line(struct resolution *resolution,
                    const struct config_upstream *line,
                    const struct resolution_names *names)
{
    const struct address *address = &line->address;
    const struct resolved entry = {
        .line = line, .weight = line->weight, .backup = line->backup};

    switch (address->kind) {
    case ADDRESS_NAME:
        return add_host(resolution, &entry, names, address->host,
                        address->port);
    case ADDRESS_SRV:
        return add_srv(resolution, &entry, names);
    default:
        return add(resolution, &entry, &address->endpoint);
    }
}

int resolution_init(struct resolution *resolution,
                    const struct config_service *config,
                    const struct resolution_names *names)
{
    int result = 0;

    *resolution = (struct resolution){0};
    for (size_t i = 0; i < config->upstream_count && result == 0; i++) {
        result = add_line(resolution, &config->upstreams[i], names);
    }
    return result;
}

void resolution_fini(struct resolution *resolution)
{
    free(resolution->list);
    *resolution = (struct resolution){0};
}

void resolution_format(const struct resolved *resolved,
                       char text[UPSTREAM_TEXT_MAX])
{
    if (resolved->endpoint.length != 0) {
        endpoint_format(&resolved->endpoint, text);
    } else if (resolved->record != NULL) {
        snprintf(text, UPSTREAM_TEXT_MAX, "%s:%u", resolved->record->target,
                 resolved->record->port);
    } else {
        address_format_name(&resolved->line->address, text);
    }
}
