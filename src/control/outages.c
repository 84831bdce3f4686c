#include "control/outages.h"

#include "base/log.h"

/* Looks where one was up last, and from there on: while more and more of many
 * go down, each is looked at once. */
static bool any_up(const struct service *service)
{
    uint32_t count = service->upstream_count;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (service->state->seen_up + i) % count;

        if (upstream_up(service->upstreams[at])) {
            service->state->seen_up = at;
            return true;
        }
    }
    return false;
}

void outages_check(const struct service *service)
{
    bool down = !any_up(service);
    char quoted[LOG_QUOTED_MAX(CONFIG_NAME_MAX)];
    const char *name;

    if (down == service->state->down) {
        return;
    }
    service->state->down = down;
    name = log_quote(service->config->name, quoted, sizeof(quoted));
    if (down) {
        log_write(LOG_ERROR, "service service=%s state=down upstreams=%u", name,
                  service->upstream_count);
    } else {
        log_write(LOG_INFO, "service service=%s state=up", name);
    }
}

static bool is_awaited(const struct name *name)
{
    return name != NULL && !name->answered && name->failures == 0;
}

static bool awaits_name(const struct names *names,
                        const struct config_upstream *line)
{
    const struct name *name =
        names_find(names, line->address.kind, line->address.host);

    if (is_awaited(name)) {
        return true;
    }
    for (size_t i = 0; line->address.kind == ADDRESS_SRV && i < name->count;
         i++) {
        if (is_awaited(
                names_find(names, ADDRESS_NAME, name->records[i].target))) {
            return true;
        }
    }
    return false;
}

static bool awaits_names(const struct names *names,
                         const struct config_service *config)
{
    for (size_t i = 0; i < config->upstream_count; i++) {
        const struct config_upstream *line = &config->upstreams[i];

        if (address_is_name(&line->address) && awaits_name(names, line)) {
            return true;
        }
    }
    return false;
}

void outages_check_all(const struct generation *generation,
                       const struct names *names)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        const struct service *service = &generation->services[i];

        if (service->state->down || !awaits_names(names, service->config)) {
            outages_check(service);
        }
    }
}
