#include "service/resolution.h"

#include "config/array.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* endpoint NULL: the name has none. */
static int add(struct resolution *resolution,
               const struct config_upstream *line,
               const struct endpoint *endpoint)
{
    struct resolved *resolved;

    resolved =
        array_push(&resolution->list, &resolution->count, sizeof(*resolved));
    if (resolved == NULL) {
        return -1;
    }
    resolved->line = line;
    if (endpoint != NULL) {
        resolved->endpoint = *endpoint;
    }
    return 0;
}

static int add_name(struct resolution *resolution,
                    const struct config_upstream *line,
                    const struct resolution_names *names)
{
    const struct endpoint *found = NULL;
    size_t count = names->find(names, line->address.host, &found);
    int result = 0;

    if (count == 0) {
        result = add(resolution, line, NULL);
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        struct endpoint endpoint = found[i];

        endpoint_set_port(&endpoint, line->address.port);
        result = add(resolution, line, &endpoint);
    }
    return result;
}

int resolution_init(struct resolution *resolution,
                    const struct config_service *config,
                    const struct resolution_names *names)
{
    int result = 0;

    *resolution = (struct resolution){0};
    for (size_t i = 0; i < config->upstream_count && result == 0; i++) {
        const struct config_upstream *line = &config->upstreams[i];

        if (line->address.kind == ADDRESS_NAME) {
            result = add_name(resolution, line, names);
        } else {
            result = add(resolution, line, &line->address.endpoint);
        }
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
    if (resolved->endpoint.length == 0) {
        snprintf(text, UPSTREAM_TEXT_MAX, "%s:%" PRIu16,
                 resolved->line->address.host, resolved->line->address.port);
    } else {
        endpoint_format(&resolved->endpoint, text);
    }
}
