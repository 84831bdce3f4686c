#include "config/claims.h"

#include "config/array.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Something that may stand only once, and where it stands. */
struct mention {
    char *text;
    unsigned line;
    size_t service;
};

struct mentions {
    struct mention *list;
    size_t count;
};

static void mentions_fini(struct mentions *mentions)
{
    for (size_t i = 0; i < mentions->count; i++) {
        free(mentions->list[i].text);
    }
    free(mentions->list);
}

/* Takes the text, which is NULL when there was no memory for it. */
static void mention(struct draft *draft, struct mentions *mentions, char *text,
                    unsigned line, size_t service)
{
    struct mention *added = NULL;

    if (text != NULL) {
        added = array_push(&mentions->list, &mentions->count, sizeof(*added));
    }
    if (added == NULL) {
        free(text);
        draft_error(draft, line, "out of memory");
        return;
    }
    *added = (struct mention){.text = text, .line = line, .service = service};
}

static int compare_texts(const void *a, const void *b)
{
    const struct mention *one = a;
    const struct mention *two = b;

    return strcmp(one->text, two->text);
}

static int compare_mentions(const void *a, const void *b)
{
    const struct mention *one = a;
    const struct mention *two = b;
    int order = compare_texts(a, b);

    return order != 0 ? order
                      : (one->line > two->line) - (one->line < two->line);
}

/* Sorts the mentions and complains of each that is not the first of its text;
 * what: "listen address". */
static void check_unique(struct draft *draft, struct mentions *mentions,
                         const char *what)
{
    const struct mention *list = mentions->list;
    size_t first = 0;

    if (mentions->count > 0) {
        qsort(mentions->list, mentions->count, sizeof(*list), compare_mentions);
    }
    for (size_t i = 1; i < mentions->count; i++) {
        if (strcmp(list[i].text, list[first].text) != 0) {
            first = i;
            continue;
        }
        draft_error(draft, list[i].line, "%s %s stands in line %u already",
                    what, list[i].text, list[first].line);
    }
}

void claims_check_names(struct draft *draft)
{
    const struct config *config = draft->config;
    struct mentions names = {0};

    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];

        if (*service->name != '\0') {
            mention(draft, &names, strdup(service->name), service->line, i);
        }
    }
    check_unique(draft, &names, "service name");
    mentions_fini(&names);
}

/* Equal for equal addresses; NULL without memory. */
static char *address_text(const struct address *address)
{
    char text[ADDR_TEXT_MAX];
    char *name;

    if (address->kind != ADDRESS_NAME) {
        return strdup(endpoint_format(&address->endpoint, text));
    }
    if (asprintf(&name, "%s:%u", address->host, address->port) < 0) {
        return NULL;
    }
    for (char *c = name; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return name;
}

/* An address and a name that is taken there; NULL without memory. */
static char *name_text(const char *address, const char *name)
{
    char *text;

    if (asprintf(&text, "%s sni=%s", address, name) < 0) {
        return NULL;
    }
    for (char *c = text + strlen(address); *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return text;
}

static const struct mention *find_mention(const struct mentions *sorted,
                                          char *text)
{
    const struct mention wanted = {.text = text};

    return sorted->count == 0 ? NULL
                              : bsearch(&wanted, sorted->list, sorted->count,
                                        sizeof(wanted), compare_texts);
}

static bool is_loopback(const struct addr *addr)
{
    static const uint8_t ip6[16] = {[15] = 1};

    return addr->family == AF_INET
               ? addr->ip[0] == 127
               : addr->family == AF_INET6 && memcmp(addr->ip, ip6, 16) == 0;
}

/* The listen address at which a connect to the endpoint arrives: the same, or
 * one for all addresses if the endpoint is certainly this machine. */
static const struct mention *find_listen(const struct mentions *listens,
                                         const struct endpoint *endpoint)
{
    char text[ADDR_TEXT_MAX];
    const struct mention *found;
    struct addr addr;

    endpoint_format(endpoint, text);
    found = find_mention(listens, text);
    addr_from_sockaddr(&addr, &endpoint->u.any);
    if (found == NULL && is_loopback(&addr)) {
        snprintf(text, sizeof(text), ":%u", addr.port);
        found = find_mention(listens, text);
    }
    if (found == NULL && is_loopback(&addr) && addr.family == AF_INET) {
        snprintf(text, sizeof(text), "0.0.0.0:%u", addr.port);
        found = find_mention(listens, text);
    }
    return found;
}

/* An upstream at which its own service listens is a loop. */
static void check_loop(struct draft *draft, size_t service,
                       const struct config_upstream *upstream,
                       const struct mentions *listens)
{
    char text[ADDR_TEXT_MAX];
    const struct mention *listen;

    if (upstream->address.kind == ADDRESS_NAME) {
        return;
    }
    listen = find_listen(listens, &upstream->address.endpoint);
    if (listen != NULL && listen->service == service) {
        draft_error(
            draft, upstream->line,
            "upstream %s is where this service listens (line %u): a loop",
            endpoint_format(&upstream->address.endpoint, text), listen->line);
    }
}

static void check_upstreams(struct draft *draft, size_t index,
                            const struct mentions *listens)
{
    const struct config_service *service = &draft->config->services[index];
    struct mentions upstreams = {0};

    for (size_t i = 0; i < service->upstream_count; i++) {
        const struct config_upstream *upstream = &service->upstreams[i];

        mention(draft, &upstreams, address_text(&upstream->address),
                upstream->line, index);
    }
    check_unique(draft, &upstreams, "upstream");
    for (size_t i = 0; i < service->upstream_count; i++) {
        check_loop(draft, index, &service->upstreams[i], listens);
    }
    mentions_fini(&upstreams);
}

/* Every listen address; and, in lists of their own, what a service claims of
 * it: all that comes, or what asks for a name. */
static void mention_listens(struct draft *draft, size_t index,
                            struct mentions *listens, struct mentions *claims)
{
    const struct config_service *service = &draft->config->services[index];

    for (size_t j = 0; j < service->listen_count; j++) {
        const struct config_listen *listen = &service->listens[j];
        char *text = address_text(&listen->address);

        for (size_t k = 0; text != NULL && k < service->sni_count; k++) {
            mention(draft, claims, name_text(text, service->sni[k]),
                    listen->line, index);
        }
        if (text != NULL && service->sni_count == 0) {
            mention(draft, claims, strdup(text), listen->line, index);
        }
        mention(draft, listens, text, listen->line, index);
    }
}

/* Who shares an address must agree on what comes first on it. */
static void check_shared(struct draft *draft, const struct mentions *sorted)
{
    const struct config_service *services = draft->config->services;

    for (size_t i = 1; i < sorted->count; i++) {
        const struct mention *one = &sorted->list[i - 1];
        const struct mention *two = &sorted->list[i];

        if (strcmp(one->text, two->text) == 0 &&
            services[one->service].proxy_protocol !=
                services[two->service].proxy_protocol) {
            draft_error(draft, two->line,
                        "listen address %s is shared with line %u, but "
                        "proxy_protocol differs",
                        two->text, one->line);
        }
    }
}

void claims_check_addresses(struct draft *draft, enum config_mode mode)
{
    const struct config *config = draft->config;
    struct mentions listens = {0};
    struct mentions claims = {0};

    for (size_t i = 0; i < config->service_count; i++) {
        if (config->services[i].mode == mode) {
            mention_listens(draft, i, &listens, &claims);
        }
    }
    check_unique(draft, &claims, "listen address");
    if (listens.count > 0) {
        qsort(listens.list, listens.count, sizeof(*listens.list),
              compare_mentions);
    }
    check_shared(draft, &listens);
    for (size_t i = 0; i < config->service_count; i++) {
        if (config->services[i].mode == mode) {
            check_upstreams(draft, i, &listens);
        }
    }
    mentions_fini(&claims);
    mentions_fini(&listens);
}
