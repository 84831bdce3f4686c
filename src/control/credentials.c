#include "control/credentials.h"

#include "net/tls_client.h"
#include "net/tls_file.h"
#include "net/tls_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Adds the error, at the key that names the file. */
static void add_error(const struct config_service *config,
                      const struct tls_fault_report *report,
                      struct config_errors *errors)
{
    const struct config_file *keys =
        config->tls_key_count > 0 ? config->tls_keys : config->tls_certificates;

    switch (report->fault) {
    case TLS_FAULT_CERTIFICATE:
        config_errors_add(errors, config->tls_certificates[report->pair].line,
                          "tls_certificate: %s", report->text);
        break;
    case TLS_FAULT_KEY:
        config_errors_add(errors, keys[report->pair].line, "%s: %s",
                          config->tls_key_count > 0 ? "tls_key"
                                                    : "tls_certificate",
                          report->text);
        break;
    case TLS_FAULT_CA:
        config_errors_add(errors, config->tls_client_ca.line,
                          "tls_client_ca: %s", report->text);
        break;
    case TLS_FAULT_TICKET_KEYS:
        config_errors_add(errors, config->tls_ticket_keys.line,
                          "tls_ticket_keys: %s", report->text);
        break;
    default:
        config_errors_add(errors, config->line, "[service %s]: %s",
                          config->name, report->text);
        break;
    }
}

/* The context for clients. *made stays NULL if no TLS ends here. */
static int make_server(const struct config_service *config,
                       struct tls_trusts *trusts, struct tls_context **made,
                       struct config_errors *errors)
{
    struct tls_server_options options = {
        .trusts = trusts,
        .pair_count = config->tls_certificate_count,
        .client_ca = config->tls_client_ca.path,
        .only_1_3 = config->tls_min_version == CONFIG_TLS_1_3,
        .alpn = config->tls_alpn,
        .alpn_count = config->tls_alpn_count,
        .ticket_keys = config->tls_ticket_keys.path,
        .scope = config->name,
    };
    struct tls_fault_report report = {.text = "out of memory"};
    struct tls_pair *pairs;

    if (options.pair_count == 0) {
        return 0;
    }
    pairs = calloc(options.pair_count, sizeof(*pairs));
    if (pairs != NULL) {
        for (size_t i = 0; i < options.pair_count; i++) {
            pairs[i].certificate = config->tls_certificates[i].path;
            pairs[i].key = config->tls_key_count > 0 ? config->tls_keys[i].path
                                                     : pairs[i].certificate;
        }
        options.pairs = pairs;
        *made = tls_server_create(&options, &report);
    }
    free(pairs);
    if (*made == NULL) {
        add_error(config, &report, errors);
        return -1;
    }
    return 0;
}

/* The same for upstreams. */
static void add_client_error(const struct config_service *config,
                             const struct tls_fault_report *report,
                             struct config_errors *errors)
{
    const struct config_file *certificate = &config->upstream_tls_certificate;
    const struct config_file *key = &config->upstream_tls_key;

    if (report->fault == TLS_FAULT_KEY && key->path != NULL) {
        config_errors_add(errors, key->line, "upstream_tls_key: %s",
                          report->text);
    } else if (report->fault == TLS_FAULT_KEY ||
               report->fault == TLS_FAULT_CERTIFICATE) {
        config_errors_add(errors, certificate->line,
                          "upstream_tls_certificate: %s", report->text);
    } else {
        config_errors_add(errors, config->upstream_tls_ca.line,
                          "upstream_tls_ca: %s", report->text);
    }
}

/* A context that trusts whom the service trusts. alpn: protocols to offer. */
static int make_trusting(const struct config_service *config, char *const *alpn,
                         size_t alpn_count, size_t upstreams,
                         struct tls_trusts *trusts, struct tls_context **made,
                         struct config_errors *errors)
{
    const struct tls_client_options options = {
        .trusts = trusts,
        .ca = config->upstream_tls_ca.path,
        .unverified = config->upstream_tls_ca.off,
        .pair = {config->upstream_tls_certificate.path,
                 config->upstream_tls_key.path != NULL
                     ? config->upstream_tls_key.path
                     : config->upstream_tls_certificate.path},
        .alpn = alpn,
        .alpn_count = alpn_count,
        .places = upstreams,
    };
    struct tls_fault_report report;

    *made = tls_client_create(&options, &report);
    if (*made == NULL) {
        add_client_error(config, &report, errors);
        return -1;
    }
    return 0;
}

/* The contexts for upstreams and for their checks, which stay NULL if they are
 * not needed. A check speaks a protocol of its own, whatever clients speak. */
static int make_clients(const struct config_service *config, size_t upstreams,
                        struct tls_trusts *trusts, struct tls_context **client,
                        struct tls_context **check,
                        struct config_errors *errors)
{
    static char http[] = "http/1.1";
    static char *const alpn[] = {http};

    if (config->upstream_tls &&
        make_trusting(config, config->tls_alpn, config->tls_alpn_count,
                      upstreams, trusts, client, errors) < 0) {
        return -1;
    }
    if (config->health_tls && config->health_check != HEALTH_OFF) {
        return make_trusting(config, alpn, config->health_check == HEALTH_HTTP,
                             upstreams, trusts, check, errors);
    }
    return 0;
}

static int check_date(const struct config_file *file, const char *key,
                      struct config_errors *errors)
{
    const char *fault =
        file->path == NULL ? NULL : tls_file_date_fault(file->path);

    if (fault == NULL) {
        return 0;
    }
    config_errors_add(errors, file->line, "%s: %s", key, fault);
    return -1;
}

static int check_dates(const struct config_service *config,
                       struct config_errors *errors)
{
    int result = check_date(&config->upstream_tls_certificate,
                            "upstream_tls_certificate", errors);

    for (size_t i = 0; i < config->tls_certificate_count; i++) {
        if (check_date(&config->tls_certificates[i], "tls_certificate",
                       errors) < 0) {
            result = -1;
        }
    }
    return result;
}

/* systemd, up to version 256 at least, hides the credentials of a service from
 * what its ExecReload= runs, in a namespace of its own. Only the process that
 * runs can read them. */
static bool is_hidden(const char *path)
{
    static const char folder[] = "/run/credentials/";

    return path != NULL && strncmp(path, folder, strlen(folder)) == 0 &&
           access(path, R_OK) < 0 && errno == EACCES;
}

static bool has_hidden(const struct config_service *config)
{
    bool hidden = is_hidden(config->tls_client_ca.path) ||
                  is_hidden(config->tls_ticket_keys.path) ||
                  is_hidden(config->upstream_tls_ca.path) ||
                  is_hidden(config->upstream_tls_certificate.path) ||
                  is_hidden(config->upstream_tls_key.path);

    for (size_t i = 0; i < config->tls_certificate_count; i++) {
        hidden = hidden || is_hidden(config->tls_certificates[i].path);
    }
    for (size_t i = 0; i < config->tls_key_count; i++) {
        hidden = hidden || is_hidden(config->tls_keys[i].path);
    }
    return hidden;
}

int credentials_check(const struct config *config, bool as_service,
                      struct config_errors *errors)
{
    struct tls_trusts trusts = {0};
    int result = 0;

    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];
        struct tls_context *server = NULL;
        struct tls_context *client = NULL;
        struct tls_context *check = NULL;

        if (as_service && has_hidden(service)) {
            continue;
        }
        if (make_server(service, &trusts, &server, errors) < 0 ||
            make_clients(service, 0, &trusts, &client, &check, errors) < 0) {
            result = -1;
        } else if (!as_service && check_dates(service, errors) < 0) {
            result = -1;
        }
        tls_context_destroy(server);
        tls_context_destroy(client);
        tls_context_destroy(check);
    }
    tls_trusts_fini(&trusts);
    return result;
}

static int load_all(struct generation *generation, struct config_errors *errors)
{
    struct tls_trusts trusts = {0};
    int result = 0;

    for (size_t i = 0; result == 0 && i < generation->service_count; i++) {
        struct service *service = &generation->services[i];

        if (make_server(service->config, &trusts, &service->tls_server,
                        errors) < 0 ||
            make_clients(service->config, service->upstream_count, &trusts,
                         &service->tls_client, &service->tls_check,
                         errors) < 0) {
            result = -1;
        }
    }
    tls_trusts_fini(&trusts);
    return result;
}

/* Whether their certificates must have the same name. */
static bool same_host(const struct service *service, uint32_t i,
                      const struct service *before, uint32_t j)
{
    const char *host = service_host(service, i);
    const char *other = service_host(before, j);

    return host == NULL ? other == NULL
                        : other != NULL && strcmp(host, other) == 0;
}

/* Gives each upstream that stays its TLS session, unless it is found by another
 * name now. Both services mostly have them in one order, so the search goes on
 * where the last one ended. */
static void move_sessions(const struct service *service,
                          const struct service *before)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < service->upstream_count; i++) {
        uint32_t tries = before->upstream_count;

        while (tries > 0 && before->upstreams[at] != service->upstreams[i]) {
            at = (at + 1) % before->upstream_count;
            tries--;
        }
        if (tries > 0 && same_host(service, i, before, at)) {
            tls_context_move_session(service->tls_client, i, before->tls_client,
                                     at);
        }
    }
}

/* The upstreams of a service can differ, so it has its own places for their
 * sessions. */
static int share_client(struct service *service, const struct service *before)
{
    if (before->tls_check != NULL) {
        service->tls_check =
            tls_context_copy(before->tls_check, service->upstream_count);
        if (service->tls_check == NULL) {
            return -1;
        }
    }
    if (before->tls_client == NULL) {
        return 0;
    }
    service->tls_client =
        tls_context_copy(before->tls_client, service->upstream_count);
    if (service->tls_client == NULL) {
        return -1;
    }
    move_sessions(service, before);
    return 0;
}

static int share_all(struct generation *generation,
                     const struct generation *running,
                     struct config_errors *errors)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        struct service *service = &generation->services[i];
        const struct service *before = &running->services[i];

        service->tls_server = tls_context_share(before->tls_server);
        if (share_client(service, before) < 0) {
            config_errors_add(errors, 0, "out of memory");
            return -1;
        }
    }
    return 0;
}

int credentials_load(struct generation *generation,
                     const struct generation *running,
                     struct config_errors *errors)
{
    bool shared = running != NULL && running->config == generation->config;
    int result = shared ? share_all(generation, running, errors)
                        : load_all(generation, errors);

    if (result < 0) {
        credentials_release(generation);
    }
    return result;
}

void credentials_release(struct generation *generation)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        struct service *service = &generation->services[i];

        tls_context_destroy(service->tls_server);
        tls_context_destroy(service->tls_client);
        tls_context_destroy(service->tls_check);
        service->tls_server = NULL;
        service->tls_client = NULL;
        service->tls_check = NULL;
    }
}
