#include "config/conflicts.h"

#include "base/log.h"
#include "config/array.h"
#include "config/config.h"
#include "config/errors.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

/* A thing that only one may have, and where it is. */
struct entry {
    char *text;
    unsigned line;
    size_t service;
    bool range; /* one of many ports in that line */
};

struct entries {
    struct entry *list;
    size_t count;
};

static void entries_fini(struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        free(entries->list[i].text);
    }
    free(entries->list);
}

/* Takes the text; NULL stands for one that there was no memory for. */
static void add(struct draft *draft, struct entries *entries,
                const struct entry *entry)
{
    char *text = entry->text;
    struct entry *added = NULL;

    if (text != NULL) {
        added = array_push(&entries->list, &entries->count, sizeof(*added));
    }
    if (added == NULL) {
        free(text);
        draft_error(draft, entry->line, "out of memory");
        return;
    }
    *added = *entry;
}

static void add_entry(struct draft *draft, struct entries *entries, char *text,
                      unsigned line, size_t service)
{
    const struct entry entry = {.text = text, .line = line, .service = service};

    add(draft, entries, &entry);
}

static int compare_texts(const void *a, const void *b)
{
    const struct entry *one = a;
    const struct entry *two = b;

    return strcmp(one->text, two->text);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *one = a;
    const struct entry *two = b;
    int order = compare_texts(a, b);

    return order != 0 ? order
                      : (one->line > two->line) - (one->line < two->line);
}

/* Pairs of lines with ranges whose ports are alike: each is one error. After as
 * many errors no more are told. */
struct pairs {
    unsigned lines[CONFIG_ERRORS_MAX][2];
    size_t count;
};

static bool is_new_pair(struct pairs *pairs, unsigned line, unsigned with)
{
    for (size_t i = 0; i < pairs->count; i++) {
        if (pairs->lines[i][0] == line && pairs->lines[i][1] == with) {
            return false;
        }
    }
    if (pairs->count < CONFIG_ERRORS_MAX) {
        pairs->lines[pairs->count][0] = line;
        pairs->lines[pairs->count][1] = with;
        pairs->count++;
    }
    return true;
}

/* Sorts the entries and reports each that is not the first with its text. what:
 * "listen address". */
static void check_unique(struct draft *draft, struct entries *entries,
                         const char *what, const char *advice)
{
    const struct entry *list = entries->list;
    struct pairs pairs = {.count = 0};
    size_t first = 0;

    if (entries->count > 0) {
        qsort(entries->list, entries->count, sizeof(*list), compare_entries);
    }
    for (size_t i = 1; i < entries->count; i++) {
        if (strcmp(list[i].text, list[first].text) != 0) {
            first = i;
            continue;
        }
        if (!list[i].range ||
            is_new_pair(&pairs, list[i].line, list[first].line)) {
            draft_error(draft, list[i].line,
                        "%s %s is already used in line %u%s", what,
                        list[i].text, list[first].line, advice);
        }
    }
}

/* As the log has it; NULL: out of memory. */
static char *quote_name(const char *name)
{
    size_t size = LOG_QUOTED_MAX(strlen(name));
    char *text = malloc(size);

    if (text != NULL && log_quote(name, text, size) == name) {
        strcpy(text, name);
    }
    return text;
}

void conflicts_check_names(struct draft *draft)
{
    const struct config *config = draft->config;
    struct entries names = {0};

    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];

        if (*service->name != '\0') {
            add_entry(draft, &names, quote_name(service->name), service->line,
                      i);
        }
    }
    check_unique(draft, &names, "service name", "");
    entries_fini(&names);
}

/* A text that is equal for equal addresses; NULL: out of memory. */
static char *address_text(const struct address *address)
{
    char text[ADDR_TEXT_MAX], name[ADDRESS_NAME_MAX];

    if (!address_is_name(address)) {
        return strdup(endpoint_format(&address->endpoint, text));
    }
    address_format_name(address, name);
    for (char *c = name; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return strdup(name);
}

/* What a service takes at an address: a server name and a protocol; NULL: any.
 */
static char *taken_text(const char *address, const char *name,
                        const char *protocol)
{
    char *text;
    int length;

    if (name == NULL && protocol == NULL) {
        return strdup(address);
    }
    if (name == NULL) {
        length = asprintf(&text, "%s alpn=%s", address, protocol);
    } else if (protocol == NULL) {
        length = asprintf(&text, "%s sni=%s", address, name);
    } else {
        length = asprintf(&text, "%s sni=%s alpn=%s", address, name, protocol);
    }
    return length < 0 ? NULL : text;
}

/* In lower case; NULL: none, or no memory. */
static char *lower_name(const char *name)
{
    char *lower = name == NULL ? NULL : strdup(name);

    for (char *c = lower; c != NULL && *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return lower;
}

static void check_upstreams(struct draft *draft, size_t index)
{
    const struct config_service *service = &draft->config->services[index];
    struct entries upstreams = {0}, srv = {0};

    for (size_t i = 0; i < service->upstream_count; i++) {
        const struct config_upstream *upstream = &service->upstreams[i];

        add_entry(draft,
                  upstream->address.kind == ADDRESS_SRV ? &srv : &upstreams,
                  address_text(&upstream->address), upstream->line, index);
    }
    /* All that is known of an upstream goes by its address: whether it is up,
     * its connections, and the hash. */
    check_unique(draft, &upstreams, "upstream",
                 "; weight= gives it a larger share");
    check_unique(draft, &srv, "upstream", "");
    entries_fini(&upstreams);
    entries_fini(&srv);
}

/* Adds an address of the service to listens. Adds what it takes there to taken:
 * each of its server names with each of its protocols. */
static void add_port(struct draft *draft, size_t index,
                     const struct endpoint *endpoint, struct entry entry,
                     struct entries *listens, struct entries *taken)
{
    const struct config_service *service = &draft->config->services[index];
    size_t names = MAX(service->sni_count, 1);
    size_t protocols = MAX(service->alpn_count, 1);
    char text[ADDR_TEXT_MAX];

    endpoint_format(endpoint, text);
    for (size_t i = 0; i < names; i++) {
        char *name =
            lower_name(service->sni_count > 0 ? service->sni[i] : NULL);

        for (size_t j = 0; j < protocols; j++) {
            entry.text = taken_text(
                text, name, service->alpn_count > 0 ? service->alpn[j] : NULL);
            add(draft, taken, &entry);
        }
        free(name);
    }
    entry.text = strdup(text);
    add(draft, listens, &entry);
}

static void add_listens(struct draft *draft, size_t index,
                        struct entries *listens, struct entries *taken)
{
    const struct config_service *service = &draft->config->services[index];

    for (size_t j = 0; j < service->listen_count; j++) {
        const struct config_listen *listen = &service->listens[j];
        size_t count = config_listen_ports(listen);

        for (size_t k = 0; k < count; k++) {
            struct endpoint endpoint = config_listen_at(listen, k);
            struct entry entry = {
                .line = listen->line, .service = index, .range = count > 1};

            add_port(draft, index, &endpoint, entry, listens, taken);
        }
    }
}

/* What services that share an address must agree on: the PROXY header comes
 * before the server name, and the socket before all. NULL: they do. */
static const char *what_differs(const struct config_service *one,
                                const struct config_service *two)
{
    if (one->proxy_protocol != two->proxy_protocol) {
        return "proxy_protocol";
    }
    return one->mptcp != two->mptcp ? "mptcp" : NULL;
}

static void check_shared(struct draft *draft, const struct entries *sorted)
{
    const struct config_service *services = draft->config->services;

    unsigned reported = 0;

    for (size_t i = 1; i < sorted->count; i++) {
        const struct entry *one = &sorted->list[i - 1];
        const struct entry *two = &sorted->list[i];
        const char *differs = NULL;

        if (two->range && two->line == reported) {
            continue;
        }
        if (strcmp(one->text, two->text) == 0) {
            differs =
                what_differs(&services[one->service], &services[two->service]);
        }
        if (differs != NULL) {
            reported = two->line;
            draft_error(draft, two->line,
                        "listen address %s is shared with line %u, but %s "
                        "differs",
                        two->text, one->line, differs);
        }
    }
}

void conflicts_check_addresses(struct draft *draft, enum config_mode mode)
{
    const struct config *config = draft->config;
    struct entries listens = {0};
    struct entries taken = {0};

    for (size_t i = 0; i < config->service_count; i++) {
        if (config->services[i].mode == mode) {
            add_listens(draft, i, &listens, &taken);
        }
    }
    check_unique(draft, &taken, "listen address", "");
    if (listens.count > 0) {
        qsort(listens.list, listens.count, sizeof(*listens.list),
              compare_entries);
    }
    check_shared(draft, &listens);
    for (size_t i = 0; i < config->service_count; i++) {
        if (config->services[i].mode == mode) {
            check_upstreams(draft, i);
        }
    }
    entries_fini(&taken);
    entries_fini(&listens);
}

void conflicts_check_metrics(struct draft *draft)
{
    const struct config *config = draft->config;
    const struct endpoint *metrics = &config->metrics_listen.address.endpoint;
    char text[ADDR_TEXT_MAX];

    for (size_t i = 0; metrics->length > 0 && i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];

        for (size_t j = 0;
             service->mode == CONFIG_TCP && j < service->listen_count; j++) {
            const struct config_listen *listen = &service->listens[j];

            if (config_listen_has(listen, metrics)) {
                draft_error(draft, listen->line,
                            "listen address %s is that of metrics_listen in "
                            "line %u",
                            endpoint_format(metrics, text),
                            config->metrics_listen.line);
            }
        }
    }
}
