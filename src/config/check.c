#include "config/check.h"

#include "config/conflicts.h"
#include "config/key_table.h"
#include "config/routes.h"

/* ---- one key and another ---- */

/* The line that sets the key; 0 also if this build has refused the key. */
static unsigned accepted_line(const struct draft *draft, size_t service,
                              const char *name)
{
    return key_table_find(KEY_SERVICE, name)->set == NULL
               ? 0
               : draft_service_line(draft, service, name);
}

/* Adds an error for the key if it is set and what it needs is not there. */
static void check_needs(struct draft *draft, size_t service, const char *name,
                        bool met, const char *needs)
{
    unsigned line = accepted_line(draft, service, name);

    if (line != 0 && !met) {
        draft_error(draft, line, "%s needs %s", name, needs);
    }
}

static void check_required(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];

    for (size_t i = 0; i < key_table_count; i++) {
        if (key_table[i].section == KEY_SERVICE && key_table[i].required &&
            draft->service_lines[index].of[i] == 0) {
            draft_error(draft, service->line, "[service%s%.128s] has no %s",
                        *service->name == '\0' ? "" : " ", service->name,
                        key_table[i].name);
        }
    }
}

static void check_proxy_senders(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];

    if (service->proxy_protocol && service->proxy_from_count == 0) {
        draft_error(draft, draft_service_line(draft, index, "proxy_protocol"),
                    "proxy_protocol = on needs proxy_protocol_from");
    }
}

static void check_balance(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];

    check_needs(draft, index, "balance_bound",
                service->balance_bound == 0 ||
                    service->balance == BALANCE_SOURCE,
                "balance = source");
}

/* ---- checks of upstreams ---- */

/* Adds an error for the key if it is set and the checks are of another kind.
 * While they are off it may wait for them. */
static void check_kind(struct draft *draft, size_t index, const char *name,
                       enum config_health kind, const char *needs)
{
    enum config_health is = draft->config->services[index].health_check;

    check_needs(draft, index, name, is == HEALTH_OFF || is == kind, needs);
}

static void check_exchanges(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];

    for (size_t i = 0; i < service->health_exchange_count; i++) {
        const struct config_exchange *exchange = &service->health_exchanges[i];

        if (exchange->expect.bytes == NULL) {
            draft_error(draft, exchange->line,
                        "health_send has no health_expect");
        } else if (exchange->send.bytes == NULL &&
                   service->mode == CONFIG_UDP && i == 0) {
            draft_error(draft, exchange->line,
                        "health_expect needs a health_send before it with "
                        "mode = udp");
        }
    }
    if (service->health_check == HEALTH_EXPECT &&
        service->health_exchange_count == 0) {
        draft_error(draft, draft_service_line(draft, index, "health_check"),
                    "health_check = expect needs health_expect");
    }
}

static void check_health_port(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];

    for (size_t i = 0; service->health_port != 0 && i < service->upstream_count;
         i++) {
        const struct config_upstream *upstream = &service->upstreams[i];
        char text[ADDR_TEXT_MAX];

        if (upstream->address.kind == ADDRESS_UNIX) {
            draft_error(draft, upstream->line,
                        "%s: a unix socket has no health_port",
                        endpoint_format(&upstream->address.endpoint, text));
        }
    }
}

static void check_health(struct draft *draft, size_t index)
{
    static const char http[] = "health_check = http";
    static const char expect[] = "health_check = expect";
    const struct config_service *service = &draft->config->services[index];

    if (service->mode == CONFIG_UDP && service->health_check != HEALTH_OFF &&
        service->health_check != HEALTH_EXPECT) {
        draft_error(draft, draft_service_line(draft, index, "health_check"),
                    "health_check is not available for mode = udp, except "
                    "expect");
    }
    if (service->mode == CONFIG_TCP) {
        check_kind(draft, index, "health_path", HEALTH_HTTP, http);
        check_kind(draft, index, "health_host", HEALTH_HTTP, http);
        check_kind(draft, index, "health_status", HEALTH_HTTP, http);
    }
    check_kind(draft, index, "health_send", HEALTH_EXPECT, expect);
    check_kind(draft, index, "health_expect", HEALTH_EXPECT, expect);
    check_exchanges(draft, index);
    check_health_port(draft, index);
}

/* ---- ports ---- */

/* Nobody comes to a port of a unix socket, and a check to no port at all. */
static void check_any_port(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];

    for (size_t i = 0; i < service->upstream_count; i++) {
        const struct config_upstream *upstream = &service->upstreams[i];

        if (!address_has_any_port(&upstream->address)) {
            continue;
        }
        if (service->health_check != HEALTH_OFF && service->health_port == 0) {
            draft_error(draft, upstream->line,
                        "an upstream with the port * needs health_port for "
                        "health_check");
        }
        for (size_t j = 0; j < service->listen_count; j++) {
            if (service->listens[j].address.kind == ADDRESS_UNIX) {
                draft_error(draft, upstream->line,
                            "an upstream with the port * needs a port to come "
                            "to, and line %u listens at a unix socket",
                            service->listens[j].line);
            }
        }
    }
}

/* ---- UDP ---- */

static void check_tcp_only(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];
    struct config_service defaults = {.mode = CONFIG_UDP};

    if (key_table_set_defaults(KEY_SERVICE, &defaults) != NULL) {
        draft_error(draft, 0, "out of memory");
    }
    for (size_t i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];
        unsigned line = draft->service_lines[index].of[i];

        if (!key->tcp_only || key->set == NULL || line == 0) {
            continue;
        }
        if (key->default_text == NULL || !key_equal(key, service, &defaults)) {
            draft_error(draft, line, "%s is not available for mode = udp",
                        key->name);
        }
    }
    key_table_clear(KEY_SERVICE, &defaults);
}

static void check_udp_address(struct draft *draft,
                              const struct address *address, unsigned line)
{
    char text[ADDR_TEXT_MAX];

    if (address->kind == ADDRESS_UNIX) {
        draft_error(draft, line, "%s: mode = udp takes no unix sockets",
                    endpoint_format(&address->endpoint, text));
    }
}

static void check_each(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];

    for (size_t i = 0; i < service->upstream_count; i++) {
        if (service->upstreams[i].proxy_protocol == PROXY_V2_EACH) {
            draft_error(draft, service->upstreams[i].line,
                        "proxy_protocol=v2-each needs mode = udp");
        }
    }
}

static void check_udp(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];

    for (size_t i = 0; i < service->listen_count; i++) {
        check_udp_address(draft, &service->listens[i].address,
                          service->listens[i].line);
    }
    for (size_t i = 0; i < service->upstream_count; i++) {
        const struct config_upstream *upstream = &service->upstreams[i];

        check_udp_address(draft, &upstream->address, upstream->line);
        if (upstream->proxy_protocol == PROXY_V1) {
            draft_error(draft, upstream->line,
                        "proxy_protocol=v1 is not available for mode = udp; "
                        "v2 is");
        }
    }
    check_tcp_only(draft, index);
}

/* ---- TLS ---- */

static void check_tls_keys(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];

    if (service->tls_key_count > 0 && service->tls_certificate_count > 0 &&
        service->tls_key_count != service->tls_certificate_count) {
        draft_error(draft, accepted_line(draft, index, "tls_key"),
                    "tls_key: %zu for %zu of tls_certificate: there is one for "
                    "each, in the same order, or none",
                    service->tls_key_count, service->tls_certificate_count);
    }
}

static void check_client_tls(struct draft *draft, size_t index)
{
    static const char needs[] = "tls_certificate";
    const struct config_service *service = &draft->config->services[index];
    bool ends_here = accepted_line(draft, index, "tls_certificate") != 0;

    check_needs(draft, index, "tls_key", ends_here, needs);
    check_needs(draft, index, "tls_client_ca", ends_here, needs);
    check_needs(draft, index, "tls_ticket_keys", ends_here, needs);
    check_needs(draft, index, "tls_min_version",
                ends_here || service->tls_min_version == CONFIG_TLS_1_2, needs);
    check_needs(draft, index, "tls_alpn", ends_here || service->upstream_tls,
                "tls_certificate or upstream_tls = yes");
    check_tls_keys(draft, index);
}

/* A unix socket has no host name that a certificate could be checked for. */
static void check_unix_upstreams(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; i < service->upstream_count; i++) {
        const struct config_upstream *upstream = &service->upstreams[i];

        if (upstream->address.kind == ADDRESS_UNIX) {
            draft_error(draft, upstream->line,
                        "%s: upstream_tls needs upstream_tls_name for a unix "
                        "socket",
                        endpoint_format(&upstream->address.endpoint, text));
        }
    }
}

static void check_upstream_tls(struct draft *draft, size_t index)
{
    static const char needs[] = "upstream_tls = yes or health_tls = yes";
    const struct config_service *service = &draft->config->services[index];
    bool on = service->upstream_tls || service->health_tls;

    check_needs(draft, index, "upstream_tls_ca", on, needs);
    check_needs(draft, index, "upstream_tls_certificate", on, needs);
    check_needs(draft, index, "upstream_tls_key",
                service->upstream_tls_certificate.path != NULL,
                "upstream_tls_certificate");
    check_needs(draft, index, "upstream_tls_name", on, needs);
    if (on && !service->upstream_tls_ca.off &&
        accepted_line(draft, index, "upstream_tls_name") == 0) {
        check_unix_upstreams(draft, index);
    }
}

/* ---- loops ---- */

static void check_routes(struct draft *draft, struct routes *routes,
                         size_t index)
{
    const struct config_service *service = &draft->config->services[index];
    char to[ADDR_TEXT_MAX];
    char why[ROUTES_TEXT_MAX];

    for (size_t i = 0; i < service->upstream_count; i++) {
        const struct config_upstream *upstream = &service->upstreams[i];
        const struct endpoint *endpoint = &upstream->address.endpoint;
        int result = 0;

        if (routes_known(upstream)) {
            result = routes_add(routes, index, endpoint, upstream->line, why);
        }
        if (result < 0) {
            draft_error(draft, 0, "out of memory");
        } else if (result == ROUTES_LOOP) {
            draft_error(draft, upstream->line, "upstream %s %s",
                        endpoint_format(endpoint, to), why);
        }
    }
}

/* Only addresses that every machine has: what depends on this one is checked by
 * control/loops.h. */
static void check_loops(struct draft *draft)
{
    struct routes *routes = routes_create(draft->config, NULL, 0);

    if (routes == NULL) {
        draft_error(draft, 0, "out of memory");
        return;
    }
    for (size_t i = 0; i < draft->config->service_count; i++) {
        check_routes(draft, routes, i);
    }
    routes_destroy(routes);
}

/* ---- the whole ---- */

static void check_service(struct draft *draft, size_t index)
{
    check_required(draft, index);
    check_proxy_senders(draft, index);
    check_balance(draft, index);
    check_health(draft, index);
    check_any_port(draft, index);
    if (draft->config->services[index].mode == CONFIG_UDP) {
        check_udp(draft, index);
    } else {
        check_each(draft, index);
        check_client_tls(draft, index);
        check_upstream_tls(draft, index);
    }
}

static void check_buffers(struct draft *draft)
{
    const struct config *config = draft->config;
    unsigned memory_line = draft_global_line(draft, "buffer_memory");
    unsigned size_line = draft_global_line(draft, "buffer_size");

    if (config->buffer_memory / 2 < config->buffer_size) {
        draft_error(
            draft, memory_line > size_line ? memory_line : size_line,
            "buffer_memory holds less than one block of buffer_size for "
            "each direction");
    }
}

void check_whole(struct draft *draft)
{
    if (draft->config->service_count == 0 && !draft->section_refused) {
        draft_error(draft, 0, "there is no [service NAME]");
    }
    for (size_t i = 0; i < draft->config->service_count; i++) {
        check_service(draft, i);
    }
    conflicts_check_names(draft);
    conflicts_check_addresses(draft, CONFIG_TCP);
    conflicts_check_addresses(draft, CONFIG_UDP);
    conflicts_check_metrics(draft);
    check_loops(draft);
    check_buffers(draft);
}
