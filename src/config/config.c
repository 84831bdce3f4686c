#include "config/config.h"

#include "config/key_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct config *config_share(struct config *config)
{
    config->sharers++;
    return config;
}

void config_destroy(struct config *config)
{
    if (config == NULL || config->sharers-- > 0) {
        return;
    }
    config_errors_fini(&config->warnings);
    for (size_t i = 0; i < config->service_count; i++) {
        struct config_service *service = &config->services[i];

        key_table_clear(KEY_SERVICE, service);
        access_fini(&service->access);
        network_tree_fini(&service->proxy_senders);
        free(service->name);
    }
    key_table_clear(KEY_GLOBAL, config);
    free(config->services);
    free(config);
}

size_t config_listen_ports(const struct config_listen *listen)
{
    return (size_t)listen->last_port - listen->address.port + 1;
}

struct endpoint config_listen_at(const struct config_listen *listen, size_t i)
{
    struct endpoint endpoint = listen->address.endpoint;

    if (i > 0) {
        endpoint_set_port(&endpoint, (uint16_t)(listen->address.port + i));
    }
    return endpoint;
}

bool config_listen_has(const struct config_listen *listen,
                       const struct endpoint *endpoint)
{
    uint16_t port = endpoint_port(endpoint);
    struct endpoint same;

    if (listen->last_port == listen->address.port) {
        return endpoint_equal(&listen->address.endpoint, endpoint);
    }
    if (port < listen->address.port || port > listen->last_port) {
        return false;
    }
    same = config_listen_at(listen, port - listen->address.port);
    return endpoint_equal(&same, endpoint);
}

size_t config_count_ports(const struct config_service *service)
{
    size_t count = 0;

    for (size_t i = 0; i < service->listen_count; i++) {
        count += config_listen_ports(&service->listens[i]);
    }
    return count;
}

static bool listens_on(const struct config_service *service,
                       const struct endpoint *endpoint)
{
    for (size_t i = 0; i < service->listen_count; i++) {
        if (config_listen_has(&service->listens[i], endpoint)) {
            return true;
        }
    }
    return false;
}

bool config_listen_is_first(const struct config *config, size_t service,
                            const struct endpoint *endpoint)
{
    const struct config_service *later = &config->services[service];

    for (size_t i = 0; i < service; i++) {
        const struct config_service *earlier = &config->services[i];

        /* Of services that share an address one at most has no names. */
        if (earlier->mode == later->mode &&
            (config_is_named(earlier) || config_is_named(later)) &&
            listens_on(earlier, endpoint)) {
            return false;
        }
    }
    return true;
}

bool config_source(const struct config_service *config, int family,
                   uint64_t turn, struct addr *source)
{
    uint64_t total = 0;

    for (size_t i = 0; i < config->source_count; i++) {
        if (config->sources[i].first.family == family) {
            total += addr_range_size(&config->sources[i].first,
                                     &config->sources[i].last);
        }
    }
    turn = total == 0 ? 0 : turn % total;
    for (size_t i = 0; i < config->source_count && total > 0; i++) {
        const struct config_range *range = &config->sources[i];
        uint64_t size = addr_range_size(&range->first, &range->last);

        if (range->first.family != family) {
            continue;
        }
        if (turn < size) {
            *source = addr_plus(&range->first, turn);
            return true;
        }
        turn -= size;
    }
    return false;
}

int config_keep_restart_keys(struct config *config,
                             const struct config *running,
                             config_key_fn changed, void *arg)
{
    for (size_t i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];

        if (!key->restart || key_equal(key, config, running)) {
            continue;
        }
        assert(key->section == KEY_GLOBAL);
        changed(arg, key->name);
        if (key_copy(key, config, running) < 0) {
            errno = ENOMEM;
            return -1;
        }
    }
    return 0;
}

bool config_key(size_t index, struct config_key_info *info)
{
    const struct key *key;

    if (index >= key_table_count) {
        return false;
    }
    key = &key_table[index];
    *info = (struct config_key_info){
        .section = key_section_name(key->section),
        .name = key->name,
        .default_text = key->default_text == NULL ? "" : key->default_text,
        .help = key->help,
        .required = key->required,
        .available = key->set != NULL,
        .optional = key->lack != NULL,
    };
    return true;
}
