#include "config/check.h"

#include "config/claims.h"
#include "config/key.h"

/* ---- UDP ---- */

static void check_udp_address(struct draft *draft,
                              const struct address *address, unsigned line)
{
    char text[ADDR_TEXT_MAX];

    if (address->kind == ADDRESS_UNIX) {
        draft_error(draft, line, "%s: mode = udp takes no unix sockets",
                    endpoint_format(&address->endpoint, text));
    }
}

static void check_udp_service(struct draft *draft, size_t index)
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
                        "proxy_protocol=v1 has no word for datagrams; v2 "
                        "has");
        }
    }
    if (service->proxy_protocol) {
        draft_error(draft, draft_service_line(draft, index, "proxy_protocol"),
                    "proxy_protocol is not available for mode = udp");
    }
    if (service->sni_count > 0) {
        draft_error(draft, draft_service_line(draft, index, "sni"),
                    "sni is not available for mode = udp");
    }
    if (service->health_check) {
        draft_error(draft, draft_service_line(draft, index, "health_check"),
                    "health_check is not available for mode = udp");
    }
}

static void check_udp(struct draft *draft)
{
    for (size_t i = 0; i < draft->config->service_count; i++) {
        if (draft->config->services[i].mode == CONFIG_UDP) {
            check_udp_service(draft, i);
        }
    }
}

/* ---- TLS ---- */

/* 0 if the service does not give the key, or this build has refused it. */
static unsigned given_line(struct draft *draft, size_t service,
                           const char *name)
{
    return key_find(KEY_SERVICE, name)->set == NULL
               ? 0
               : draft_service_line(draft, service, name);
}

static void check_given(struct draft *draft, size_t service, const char *name,
                        bool good, const char *why)
{
    unsigned line = given_line(draft, service, name);

    if (line != 0 && !good) {
        draft_error(draft, line, "%s %s", name, why);
    }
}

static void check_tls_of_udp(struct draft *draft, size_t index)
{
    static const char why[] = "is not available for mode = udp";
    const struct config_service *service = &draft->config->services[index];

    check_given(draft, index, "tls_certificate", false, why);
    check_given(draft, index, "tls_key", false, why);
    check_given(draft, index, "tls_client_ca", false, why);
    check_given(draft, index, "tls_min_version",
                service->tls_min_version == CONFIG_TLS_1_2, why);
    check_given(draft, index, "tls_alpn", false, why);
    check_given(draft, index, "upstream_tls", !service->upstream_tls, why);
    check_given(draft, index, "upstream_tls_ca", false, why);
    check_given(draft, index, "upstream_tls_name", false, why);
}

static void check_tls_keys(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];

    if (service->tls_key_count > 0 && service->tls_certificate_count > 0 &&
        service->tls_key_count != service->tls_certificate_count) {
        draft_error(draft, given_line(draft, index, "tls_key"),
                    "tls_key: %zu for %zu of tls_certificate: there is one for "
                    "each, in the same order, or none",
                    service->tls_key_count, service->tls_certificate_count);
    }
}

static void check_tls_of_clients(struct draft *draft, size_t index)
{
    static const char why[] = "needs tls_certificate";
    const struct config_service *service = &draft->config->services[index];
    bool ends = given_line(draft, index, "tls_certificate") != 0;

    check_given(draft, index, "tls_key", ends, why);
    check_given(draft, index, "tls_client_ca", ends, why);
    check_given(draft, index, "tls_min_version",
                ends || service->tls_min_version == CONFIG_TLS_1_2, why);
    check_given(draft, index, "tls_alpn", ends || service->upstream_tls,
                "needs tls_certificate or upstream_tls = yes");
    check_tls_keys(draft, index);
}

/* A unix socket has no host whose name a certificate could have. */
static void check_tls_of_upstreams(struct draft *draft, size_t index)
{
    static const char why[] = "needs upstream_tls = yes";
    const struct config_service *service = &draft->config->services[index];
    bool nameless = service->upstream_tls &&
                    !service->upstream_tls_unverified &&
                    given_line(draft, index, "upstream_tls_name") == 0;
    char text[ADDR_TEXT_MAX];

    check_given(draft, index, "upstream_tls_ca", service->upstream_tls, why);
    check_given(draft, index, "upstream_tls_name", service->upstream_tls, why);
    for (size_t i = 0; nameless && i < service->upstream_count; i++) {
        const struct config_upstream *upstream = &service->upstreams[i];

        if (upstream->address.kind == ADDRESS_UNIX) {
            draft_error(draft, upstream->line,
                        "%s: upstream_tls needs upstream_tls_name for a unix "
                        "socket",
                        endpoint_format(&upstream->address.endpoint, text));
        }
    }
}

static void check_tls(struct draft *draft)
{
    for (size_t i = 0; i < draft->config->service_count; i++) {
        if (draft->config->services[i].mode == CONFIG_UDP) {
            check_tls_of_udp(draft, i);
        } else {
            check_tls_of_clients(draft, i);
            check_tls_of_upstreams(draft, i);
        }
    }
}

/* ---- all ---- */

static void check_required(struct draft *draft)
{
    for (size_t i = 0; i < draft->config->service_count; i++) {
        const struct config_service *service = &draft->config->services[i];

        for (size_t k = 0; k < key_table_count; k++) {
            if (key_table[k].section == KEY_SERVICE && key_table[k].required &&
                draft_service_line(draft, i, key_table[k].name) == 0) {
                draft_error(draft, service->line, "[service%s%.64s] has no %s",
                            *service->name == '\0' ? "" : " ", service->name,
                            key_table[k].name);
            }
        }
    }
}

static void check_proxy_senders(struct draft *draft)
{
    for (size_t i = 0; i < draft->config->service_count; i++) {
        const struct config_service *service = &draft->config->services[i];

        if (service->proxy_protocol && service->proxy_from_count == 0) {
            draft_error(draft, draft_service_line(draft, i, "proxy_protocol"),
                        "proxy_protocol = on needs proxy_protocol_from");
        }
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
    if (draft->config->service_count == 0 && !draft->lost) {
        draft_error(draft, 0, "there is no [service NAME]");
    }
    check_required(draft);
    check_proxy_senders(draft);
    claims_check_names(draft);
    claims_check_addresses(draft, CONFIG_TCP);
    claims_check_addresses(draft, CONFIG_UDP);
    check_udp(draft);
    check_tls(draft);
    check_buffers(draft);
}
