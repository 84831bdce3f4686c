#include "config/config.h"

#include "config/array.h"
#include "config/ini.h"
#include "config/key.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES_MAX 63 /* of a service */

/* Where the next pair belongs. */
enum place {
    PLACE_NONE, /* before any section */
    PLACE_LOST, /* in a section that was refused: its pairs are passed over */
    PLACE_GLOBAL,
    PLACE_SERVICE,
};

/* The lines in which the keys of one section stand, 0 for none. */
struct seen {
    unsigned line[KEY_COUNT_MAX]; /* by the row of key_table */
};

/* A configuration under construction. */
struct draft {
    struct config *config;
    struct seen *services; /* one for each of config->services */
    size_t service_count;
    struct seen global;
    unsigned global_line; /* of [global], 0: none yet */
    enum place place;
    bool lost; /* some section was refused: it may have been a service */
    struct config_errors *errors;
    size_t errors_before; /* that stood in errors already */
    bool failed;
};

/* ---- errors ---- */

static int add_error(struct config_errors *errors, unsigned line, char *message)
{
    struct config_error *error =
        array_push(&errors->list, &errors->count, sizeof(*error));

    if (error == NULL) {
        return -1;
    }
    *error = (struct config_error){.line = line, .message = message};
    return 0;
}

static void complain(struct draft *draft, unsigned line, const char *format,
                     ...) PRINTF(3, 4);

static void complain(struct draft *draft, unsigned line, const char *format,
                     ...)
{
    size_t found = draft->errors->count - draft->errors_before;
    char *message;
    va_list args;
    int length;

    draft->failed = true;
    if (found > CONFIG_ERRORS_MAX) {
        return;
    }
    if (found == CONFIG_ERRORS_MAX) {
        line = 0;
        format = "there are more errors, which are not shown";
    }
    va_start(args, format);
    length = vasprintf(&message, format, args);
    va_end(args);
    if (length >= 0 && add_error(draft->errors, line, message) != 0) {
        free(message);
    }
}

/* In the order of the lines, those without one last. The errors of one line
 * keep their order, for which the sort is by insertion: they are few, and
 * nearly sorted. */
static void sort_errors(struct config_error *list, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct config_error moved = list[i];
        size_t j = i;

        /* line - 1 makes no line the greatest. */
        while (j > 0 && list[j - 1].line - 1 > moved.line - 1) {
            list[j] = list[j - 1];
            j--;
        }
        list[j] = moved;
    }
}

void config_errors_fini(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->list[i].message);
    }
    free(errors->list);
    *errors = (struct config_errors){0};
}

/* ---- sections ---- */

static struct config_service *last_service(struct draft *draft)
{
    return &draft->config->services[draft->config->service_count - 1];
}

/* What stands between the kind of a section and its name. */
static const char *gap(const char *name)
{
    return *name == '\0' ? "" : " ";
}

static unsigned *seen_line(struct seen *seen, const struct key *key)
{
    return &seen->line[key - key_table];
}

static void begin_global(struct draft *draft, unsigned line, const char *name)
{
    draft->place = PLACE_LOST;
    if (*name != '\0') {
        complain(draft, line, "[global] takes no name, but has '%.64s'", name);
    } else if (draft->global_line != 0) {
        complain(draft, line, "[global] stands in line %u already",
                 draft->global_line);
    } else {
        draft->place = PLACE_GLOBAL;
        draft->global_line = line;
    }
}

static void check_service_name(struct draft *draft, unsigned line,
                               const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    if (*name == '\0') {
        complain(draft, line, "[service] needs a name: [service NAME]");
    } else if (name[strspn(name, letters)] != '\0') {
        complain(draft, line,
                 "service name '%.64s' has more than letters, digits, '.', "
                 "'_' and '-'",
                 name);
    } else if (strlen(name) > NAME_BYTES_MAX) {
        complain(draft, line, "service name '%.64s...' is longer than %d bytes",
                 name, NAME_BYTES_MAX);
    }
}

/* Adds a service with all its defaults, and the place for its keys' lines. */
static int add_service(struct draft *draft, unsigned line, const char *name)
{
    struct config *config = draft->config;
    struct config_service *service;
    struct seen *seen;
    char *copy = strdup(name);

    if (copy == NULL) {
        return -1;
    }
    seen = array_push(&draft->services, &draft->service_count, sizeof(*seen));
    if (seen == NULL) {
        goto free_copy;
    }
    service =
        array_push(&config->services, &config->service_count, sizeof(*service));
    if (service == NULL) {
        goto drop_seen;
    }
    service->name = copy;
    service->line = line;
    return key_set_defaults(KEY_SERVICE, service) == NULL ? 0 : -1;
drop_seen:
    draft->service_count--;
free_copy:
    free(copy);
    return -1;
}

static void begin_service(struct draft *draft, unsigned line, const char *name)
{
    check_service_name(draft, line, name);
    draft->place = PLACE_SERVICE;
    if (add_service(draft, line, name) != 0) {
        draft->place = PLACE_LOST;
        draft->lost = true;
        complain(draft, line, "out of memory");
    }
}

static void begin_section(struct draft *draft, unsigned line, const char *kind,
                          const char *name)
{
    if (strcmp(kind, "global") == 0) {
        begin_global(draft, line, name);
        return;
    }
    if (strcmp(kind, "service") == 0) {
        begin_service(draft, line, name);
        return;
    }
    draft->place = PLACE_LOST;
    draft->lost = true;
    if (*kind != '\0') {
        complain(draft, line,
                 "unknown section '%.64s' (sections: [global], "
                 "[service NAME])",
                 kind);
    }
}

/* ---- pairs ---- */

static const char *const section_names[] = {
    [KEY_GLOBAL] = "global",
    [KEY_SERVICE] = "service",
};

static void complain_unknown(struct draft *draft, enum key_section section,
                             unsigned line, const char *name)
{
    enum key_section other = section == KEY_GLOBAL ? KEY_SERVICE : KEY_GLOBAL;
    const struct key *near = key_suggest(section, name);
    const char *of = section == KEY_SERVICE ? last_service(draft)->name : "";

    if (key_find(other, name) != NULL) {
        complain(draft, line, "key '%s' belongs in [%s], not in [%s%s%.64s]",
                 name, section_names[other], section_names[section], gap(of),
                 of);
    } else if (near != NULL) {
        complain(draft, line,
                 "unknown key '%s' in [%s%s%.64s]; did you mean '%s'?", name,
                 section_names[section], gap(of), of, near->name);
    } else {
        complain(draft, line, "unknown key '%.64s' in [%s%s%.64s]", name,
                 section_names[section], gap(of), of);
    }
}

static void set_key(struct draft *draft, const struct key *key, void *fields,
                    unsigned line, const char *value)
{
    const char *why = NULL;

    if (*value == '\0') {
        complain(draft, line, "%s has no value", key->name);
    } else if (key->set != NULL) {
        why = key->set(key, fields, value, line);
    } else if (key->default_taken && strcmp(value, key->default_text) == 0) {
        return;
    } else if (key->lack != NULL) {
        why = key->lack;
    } else {
        complain(draft, line, "%s is not available in this build", key->name);
    }
    if (why != NULL) {
        complain(draft, line, "%s: %s", key->name, why);
    }
}

static void take_pair(struct draft *draft, enum key_section section,
                      unsigned line, const char *name, const char *value)
{
    bool global = section == KEY_GLOBAL;
    struct seen *seen =
        global ? &draft->global : &draft->services[draft->service_count - 1];
    void *fields = global ? (void *)draft->config : last_service(draft);
    const struct key *key = key_find(section, name);
    unsigned *first;

    if (key == NULL) {
        complain_unknown(draft, section, line, name);
        return;
    }
    first = seen_line(seen, key);
    if (*first != 0 && !key->repeatable) {
        complain(draft, line, "%s = %.64s: %s stands in line %u already", name,
                 value, name, *first);
        return;
    }
    *first = line;
    set_key(draft, key, fields, line, value);
}

static void take_event(void *arg, enum ini_event event, unsigned line,
                       const char *name, const char *value)
{
    struct draft *draft = arg;

    if (event == INI_ERROR) {
        complain(draft, line, "%s", value);
    } else if (event == INI_SECTION) {
        begin_section(draft, line, name, value);
    } else if (draft->place == PLACE_GLOBAL) {
        take_pair(draft, KEY_GLOBAL, line, name, value);
    } else if (draft->place == PLACE_SERVICE) {
        take_pair(draft, KEY_SERVICE, line, name, value);
    } else if (draft->place == PLACE_NONE) {
        complain(draft, line, "key '%.64s' stands before any section", name);
    }
}

/* ---- checks of the whole ---- */

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
        complain(draft, line, "out of memory");
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
        complain(draft, list[i].line, "%s %s stands in line %u already", what,
                 list[i].text, list[first].line);
    }
}

static void check_names(struct draft *draft)
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
        complain(draft, upstream->line,
                 "upstream %s is where this service listens (line %u): a loop",
                 endpoint_format(&upstream->address.endpoint, text),
                 listen->line);
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
            complain(draft, two->line,
                     "listen address %s is shared with line %u, but "
                     "proxy_protocol differs",
                     two->text, one->line);
        }
    }
}

/* Of the services of one mode: TCP and UDP have ports of their own. */
static void check_addresses(struct draft *draft, enum config_mode mode)
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

static unsigned service_key_line(struct draft *draft, size_t service,
                                 const char *name)
{
    return *seen_line(&draft->services[service], key_find(KEY_SERVICE, name));
}

static void check_udp_address(struct draft *draft,
                              const struct address *address, unsigned line)
{
    char text[ADDR_TEXT_MAX];

    if (address->kind == ADDRESS_UNIX) {
        complain(draft, line, "%s: mode = udp takes no unix sockets",
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
        if (upstream->proxy_protocol != PROXY_OFF) {
            complain(draft, upstream->line,
                     "proxy_protocol is not available for mode = udp");
        }
    }
    if (service->proxy_protocol) {
        complain(draft, service_key_line(draft, index, "proxy_protocol"),
                 "proxy_protocol is not available for mode = udp");
    }
    if (service->sni_count > 0) {
        complain(draft, service_key_line(draft, index, "sni"),
                 "sni is not available for mode = udp");
    }
    if (service->health_check) {
        complain(draft, service_key_line(draft, index, "health_check"),
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
               : service_key_line(draft, service, name);
}

static void check_given(struct draft *draft, size_t service, const char *name,
                        bool good, const char *why)
{
    unsigned line = given_line(draft, service, name);

    if (line != 0 && !good) {
        complain(draft, line, "%s %s", name, why);
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
        complain(draft, given_line(draft, index, "tls_key"),
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
            complain(draft, upstream->line,
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

static void check_required(struct draft *draft)
{
    for (size_t i = 0; i < draft->config->service_count; i++) {
        const struct config_service *service = &draft->config->services[i];
        struct seen *seen = &draft->services[i];

        for (size_t k = 0; k < key_table_count; k++) {
            if (key_table[k].section == KEY_SERVICE && key_table[k].required &&
                *seen_line(seen, &key_table[k]) == 0) {
                complain(draft, service->line, "[service%s%.64s] has no %s",
                         gap(service->name), service->name, key_table[k].name);
            }
        }
    }
}

static void check_proxy_senders(struct draft *draft)
{
    const struct key *key = key_find(KEY_SERVICE, "proxy_protocol");

    for (size_t i = 0; i < draft->config->service_count; i++) {
        const struct config_service *service = &draft->config->services[i];

        if (service->proxy_protocol && service->proxy_from_count == 0) {
            complain(draft, *seen_line(&draft->services[i], key),
                     "proxy_protocol = on needs proxy_protocol_from");
        }
    }
}

static unsigned global_key_line(struct draft *draft, const char *name)
{
    return *seen_line(&draft->global, key_find(KEY_GLOBAL, name));
}

static void check_buffers(struct draft *draft)
{
    const struct config *config = draft->config;
    unsigned memory_line = global_key_line(draft, "buffer_memory");
    unsigned size_line = global_key_line(draft, "buffer_size");

    if (config->buffer_memory / 2 < config->buffer_size) {
        complain(draft, memory_line > size_line ? memory_line : size_line,
                 "buffer_memory holds less than one block of buffer_size for "
                 "each direction");
    }
}

static void inherit_access_log(struct draft *draft)
{
    const struct key *key = key_find(KEY_SERVICE, "access_log");
    struct config *config = draft->config;

    for (size_t i = 0; i < config->service_count; i++) {
        if (*seen_line(&draft->services[i], key) == 0) {
            config->services[i].access_log = config->access_log;
        }
    }
}

/* The default of the table is that of TCP. */
static void shorten_idle_timeout(struct draft *draft)
{
    struct config *config = draft->config;

    for (size_t i = 0; i < config->service_count; i++) {
        if (config->services[i].mode == CONFIG_UDP &&
            service_key_line(draft, i, "idle_timeout") == 0) {
            config->services[i].idle_timeout_ns = CONFIG_UDP_IDLE_NS;
        }
    }
}

static void check_whole(struct draft *draft)
{
    if (draft->config->service_count == 0 && !draft->lost) {
        complain(draft, 0, "there is no [service NAME]");
    }
    check_required(draft);
    check_proxy_senders(draft);
    check_names(draft);
    check_addresses(draft, CONFIG_TCP);
    check_addresses(draft, CONFIG_UDP);
    check_udp(draft);
    check_tls(draft);
    check_buffers(draft);
}

/* ---- the snapshot ---- */

struct config *config_parse(const char *text, size_t count,
                            struct config_errors *errors)
{
    struct draft draft = {.errors = errors, .errors_before = errors->count};

    draft.config = calloc(1, sizeof(*draft.config));
    if (draft.config == NULL || key_set_defaults(KEY_GLOBAL, draft.config)) {
        complain(&draft, 0, "out of memory");
    } else {
        ini_parse(text, count, take_event, &draft);
        check_whole(&draft);
        inherit_access_log(&draft);
        shorten_idle_timeout(&draft);
    }
    free(draft.services);
    if (draft.failed) {
        sort_errors(errors->list + draft.errors_before,
                    errors->count - draft.errors_before);
        config_destroy(draft.config);
        return NULL;
    }
    return draft.config;
}

/* Reads a descriptor of a regular file to its end. The bytes, to be freed, or
 * NULL with errno; EFBIG if there are more than the parser takes. */
static char *read_all(int fd, size_t *count)
{
    const size_t size = INI_BYTES_MAX + 1;
    char *text = malloc(size);
    size_t used = 0;
    ssize_t got;

    if (text == NULL) {
        return NULL;
    }
    do {
        got = read(fd, text + used, size - used);
        used += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && used < size) || (got < 0 && errno == EINTR));
    if (got >= 0 && used <= INI_BYTES_MAX) {
        *count = used;
        return text;
    }
    free(text);
    errno = got < 0 ? errno : EFBIG;
    return NULL;
}

/* The text of the file, to be freed; NULL with errno, EINVAL if the path is no
 * regular file. */
static char *read_file(const char *path, size_t *count)
{
    /* O_NONBLOCK: a FIFO must not hold the reload up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    char *text = NULL;
    int error;

    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &status) != 0) {
        goto out;
    }
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        goto out;
    }
    text = read_all(fd, count);
out:
    error = errno;
    close(fd);
    errno = error;
    return text;
}

struct config *config_load(const char *path, struct config_errors *errors)
{
    struct draft draft = {.errors = errors, .errors_before = errors->count};
    struct config *config;
    size_t count;
    char *text = read_file(path, &count);

    if (text != NULL) {
        config = config_parse(text, count, errors);
        free(text);
        return config;
    }
    if (errno == EINVAL) {
        complain(&draft, 0, "it is not a regular file");
    } else if (errno == EFBIG) {
        complain(&draft, 0, "it is larger than 1 MiB");
    } else {
        complain(&draft, 0, "cannot be read: %m");
    }
    return NULL;
}

static void texts_free(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(texts[i]);
    }
    free(texts);
}

static void files_free(struct config_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(files[i].path);
    }
    free(files);
}

static void service_fini(struct config_service *service)
{
    free(service->name);
    free(service->listens);
    free(service->upstreams);
    free(service->rules);
    free(service->sources);
    free(service->proxy_from);
    texts_free(service->sni, service->sni_count);
    files_free(service->tls_certificates, service->tls_certificate_count);
    files_free(service->tls_keys, service->tls_key_count);
    free(service->tls_client_ca.path);
    texts_free(service->tls_alpn, service->tls_alpn_count);
    free(service->upstream_tls_ca.path);
    free(service->upstream_tls_name);
}

void config_destroy(struct config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->service_count; i++) {
        service_fini(&config->services[i]);
    }
    free(config->services);
    free(config->user);
    free(config->group);
    free(config);
}

void config_restart_keys(const struct config *running,
                         const struct config *wanted, config_key_fn fn,
                         void *arg)
{
    for (size_t i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];

        if (key->section == KEY_GLOBAL && key->restart &&
            !key_equal(key, running, wanted)) {
            fn(arg, key->name);
        }
    }
}

bool config_key(size_t index, struct config_key_info *info)
{
    const struct key *key;

    if (index >= key_table_count) {
        return false;
    }
    key = &key_table[index];
    *info = (struct config_key_info){
        .section = section_names[key->section],
        .name = key->name,
        .default_text = key->default_text == NULL ? "" : key->default_text,
        .help = key->help,
        .required = key->required,
        .available = key->set != NULL,
        .optional = key->lack != NULL,
    };
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

static bool listens_on(const struct config_service *service,
                       const struct endpoint *endpoint)
{
    for (size_t i = 0; i < service->listen_count; i++) {
        if (endpoint_equal(&service->listens[i].address.endpoint, endpoint)) {
            return true;
        }
    }
    return false;
}

bool config_listen_is_first(const struct config *config, size_t service,
                            size_t listen)
{
    const struct config_service *late = &config->services[service];
    const struct endpoint *endpoint = &late->listens[listen].address.endpoint;

    for (size_t i = 0; i < service; i++) {
        const struct config_service *early = &config->services[i];

        /* Only one of those who share may do without names. */
        if (early->mode == late->mode &&
            (early->sni_count > 0 || late->sni_count > 0) &&
            listens_on(early, endpoint)) {
            return false;
        }
    }
    return true;
}
