#include "config/append.h"

#include "base/addr.h"
#include "base/value.h"
#include "config/ini.h"
#include "config/setter.h"
#include "config/snapshot.h"
#include "wire/client_hello.h"

#include <stdlib.h>
#include <string.h>

/* Adds a copy of the value to the key's list. */
static const char *append(const struct key *key, void *section,
                          const void *value, size_t bytes)
{
    void *added = key_push(key, section);

    if (added == NULL) {
        return setter_out_of_memory;
    }
    memcpy(added, value, bytes);
    return NULL;
}

/* ---- addresses and their options ---- */

const char *append_listen(const struct key *key, void *section,
                          const char *text, unsigned line)
{
    struct config_listen listen;
    struct address address;
    uint16_t last_port;
    const char *why = address_parse_ports(text, &address, &last_port);

    if (why != NULL) {
        return setter_about(text, why);
    }
    if (address_is_name(&address)) {
        return value_sentence(
            VALUE_QUOTE ": listen needs an address, not a name", text);
    }
    listen = (struct config_listen){
        .address = address, .last_port = last_port, .line = line};
    return append(key, section, &listen, sizeof(listen));
}

static const char *set_upstream_address(struct config_upstream *upstream,
                                        const char *text)
{
    const char *why;

    why = address_parse_any_port(text, &upstream->address);
    if (why != NULL) {
        return setter_about(text, why);
    }
    if (upstream->address.kind == ADDRESS_ANY) {
        return value_sentence(
            VALUE_QUOTE ": an upstream needs an address before the port", text);
    }
    return NULL;
}

static const char *option_weight(struct config_upstream *upstream,
                                 const char *value)
{
    uint64_t number;
    const char *why = value_number(value, 1, 256, &number);

    if (why == NULL) {
        upstream->weight = (uint32_t)number;
    }
    return why;
}

static const char *option_backup(struct config_upstream *upstream,
                                 const char *value)
{
    if (value != NULL) {
        return "it takes no value";
    }
    upstream->backup = true;
    return NULL;
}

static const char *option_drain(struct config_upstream *upstream,
                                const char *value)
{
    if (value != NULL) {
        return "it takes no value";
    }
    upstream->drain = true;
    return NULL;
}

static const char *option_max_connections(struct config_upstream *upstream,
                                          const char *value)
{
    uint64_t number;
    const char *why = value_limit(value, CONFIG_CONNECTIONS_MAX, &number);

    if (why == NULL) {
        upstream->max_connections = (uint32_t)number;
    }
    return why;
}

static const char *option_proxy_protocol(struct config_upstream *upstream,
                                         const char *value)
{
    static const char *const names[] = {"off", "v1", "v2", "v2-each"};
    unsigned index;
    const char *why = value_choice(value, names, ARRAY_LEN(names), &index);

    if (why == NULL) {
        upstream->proxy_protocol = (enum config_proxy)index;
    }
    return why;
}

/* The options after an upstream's address. */
static const struct option {
    const char *name;
    const char *(*set)(struct config_upstream *upstream, const char *value);
    bool bare;    /* it needs no value */
    bool not_srv; /* SRV records say it */
} options[] = {
    {.name = "weight", .set = option_weight, .not_srv = true},
    {.name = "backup", .set = option_backup, .bare = true},
    {.name = "drain", .set = option_drain, .bare = true},
    {.name = "max_connections", .set = option_max_connections},
    {.name = "proxy_protocol", .set = option_proxy_protocol},
};

/* word: "name" or "name=value"; seen has a bit for each row of options. */
static const char *set_option(struct config_upstream *upstream, char *word,
                              unsigned *seen)
{
    char *value = strchr(word, '=');
    size_t length = strcspn(word, "=");
    const char *why;

    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (strlen(options[i].name) != length ||
            strncmp(options[i].name, word, length) != 0) {
            continue;
        }
        if ((*seen & (1u << i)) != 0) {
            return value_sentence(VALUE_QUOTE ": the option is given twice",
                                  word);
        }
        *seen |= 1u << i;
        if (value == NULL && !options[i].bare) {
            return value_sentence(VALUE_QUOTE ": the option needs a value",
                                  word);
        }
        if (options[i].not_srv && upstream->address.kind == ADDRESS_SRV) {
            return value_sentence(
                VALUE_QUOTE ": an srv: name takes its weights from its records",
                word);
        }
        why = options[i].set(upstream, value == NULL ? NULL : value + 1);
        return why == NULL ? NULL : setter_about(word, why);
    }
    return value_sentence("unknown option " VALUE_QUOTE
                          " (options: weight=N, backup, drain, "
                          "max_connections=N, "
                          "proxy_protocol=off|v1|v2|v2-each)",
                          word);
}

/* Splits the words of the text in place. */
static const char *parse_upstream(struct config_upstream *upstream, char *words)
{
    unsigned seen = 0;
    char *rest;
    char *word = strtok_r(words, " \t", &rest);
    const char *why = set_upstream_address(upstream, word);

    while (why == NULL) {
        word = strtok_r(NULL, " \t", &rest);
        if (word == NULL) {
            break;
        }
        why = set_option(upstream, word, &seen);
    }
    return why;
}

const char *append_upstream(const struct key *key, void *section,
                            const char *text, unsigned line)
{
    const struct config_service *service = section;
    struct config_upstream upstream = {.weight = 1, .line = line};
    char *words = strdup(text);
    const char *why;

    if (words == NULL) {
        return setter_out_of_memory;
    }
    why = parse_upstream(&upstream, words);
    free(words);
    if (why != NULL) {
        return why;
    }
    if (service->upstream_count == CONFIG_UPSTREAMS_MAX) {
        return "the service has too many upstreams";
    }
    return append(key, section, &upstream, sizeof(upstream));
}

/* ---- values between commas ---- */

/* Adds one value, a text without white space around it. */
typedef const char *(*item_fn)(const struct key *key, void *section,
                               char *item);

static const char *append_items(const struct key *key, void *section,
                                const char *text, item_fn add)
{
    char *list = strdup(text);
    char *rest = list;
    const char *why = list == NULL ? setter_out_of_memory : NULL;
    char *item;

    while (why == NULL && (item = strsep(&rest, ",")) != NULL) {
        why = add(key, section, ini_trim(item));
    }
    free(list);
    return why == NULL ? NULL : setter_about(text, why);
}

static const char *add_network(const struct key *key, void *section, char *item)
{
    struct network network;
    const char *why = network_parse(item, &network);

    return why != NULL ? why : append(key, section, &network, sizeof(network));
}

const char *append_networks(const struct key *key, void *section,
                            const char *text, unsigned line)
{
    (void)line;
    return append_items(key, section, text, add_network);
}

/* Reads "10.0.0.0/8", "unix", "all" or "file:PATH". */
static const char *parse_clients(const char *item, struct config_rule *rule)
{
    static const char file[] = "file:";

    if (strcmp(item, "unix") == 0) {
        rule->clients = CLIENTS_UNIX;
    } else if (strcmp(item, "all") == 0) {
        rule->clients = CLIENTS_ALL;
    } else if (strncmp(item, file, sizeof(file) - 1) == 0) {
        rule->clients = CLIENTS_FILE;
        rule->path = strdup(item + sizeof(file) - 1);
        if (rule->path == NULL) {
            return setter_out_of_memory;
        }
        if (*rule->path == '\0') {
            return "'file:' needs a path, as in file:/etc/list";
        }
    } else {
        return network_parse(item, &rule->network);
    }
    return NULL;
}

static const char *add_rule(const struct key *key, void *section, char *item)
{
    struct config_rule rule = {.allow = strcmp(key->name, "allow") == 0};
    const char *why = parse_clients(item, &rule);

    if (why == NULL) {
        why = append(key, section, &rule, sizeof(rule));
    }
    if (why != NULL) {
        free(rule.path);
    }
    return why;
}

const char *append_rules(const struct key *key, void *section, const char *text,
                         unsigned line)
{
    const struct config_service *service = section;
    size_t i = service->rule_count;
    const char *why = append_items(key, section, text, add_rule);

    for (; i < service->rule_count; i++) {
        service->rules[i].line = line;
    }
    return why;
}

/* A range has no place for the zone that these need. */
static bool is_link_local(const struct addr *addr)
{
    return addr->family == AF_INET6 && addr->ip[0] == 0xfe &&
           (addr->ip[1] & 0xc0) == 0x80;
}

/* Reads "A" or "A-B". */
static const char *parse_range(char *text, struct config_range *range)
{
    char *dash = strchr(text, '-');
    const char *why;

    if (dash != NULL) {
        *dash = '\0';
    }
    why = addr_parse_ip(ini_trim(text), &range->first);
    range->last = range->first;
    if (why == NULL && dash != NULL) {
        why = addr_parse_ip(ini_trim(dash + 1), &range->last);
    }
    if (why == NULL && range->first.family != range->last.family) {
        why = "a range has both ends in one family";
    }
    if (why == NULL && addr_compare_ip(&range->first, &range->last) > 0) {
        why = "the range ends before it starts";
    }
    if (why == NULL &&
        (is_link_local(&range->first) || is_link_local(&range->last))) {
        why = "a link-local address cannot be a source";
    }
    return why;
}

static const char *add_range(const struct key *key, void *section, char *item)
{
    struct config_range range;
    const char *why = parse_range(item, &range);

    return why != NULL ? why : append(key, section, &range, sizeof(range));
}

const char *append_ranges(const struct key *key, void *section,
                          const char *text, unsigned line)
{
    (void)line;
    return append_items(key, section, text, add_range);
}

/* ---- texts ---- */

static const char *add_text(const struct key *key, void *section,
                            const char *text)
{
    char *copy = strdup(text);
    const char *why = copy == NULL ? setter_out_of_memory
                                   : append(key, section, &copy, sizeof(copy));

    if (why != NULL) {
        free(copy);
    }
    return why;
}

static const char *add_name(const struct key *key, void *section, char *item)
{
    const char *why = client_hello_check_pattern(item);

    return why != NULL ? why : add_text(key, section, item);
}

const char *append_names(const struct key *key, void *section, const char *text,
                         unsigned line)
{
    (void)line;
    return append_items(key, section, text, add_name);
}

static const char *check_protocol(char *const *list, size_t count,
                                  const char *item)
{
    size_t bytes = strlen(item);

    if (bytes < 1 || bytes > UINT8_MAX) {
        return "a protocol has 1 to 255 bytes";
    }
    if (count == CONFIG_ALPN_MAX) {
        return "the list has too many protocols";
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], item) == 0) {
            return value_sentence(VALUE_QUOTE " is in the list twice", item);
        }
    }
    return NULL;
}

static const char *add_protocol(const struct key *key, void *section,
                                char *item)
{
    const struct config_service *service = section;
    const char *why =
        check_protocol(service->tls_alpn, service->tls_alpn_count, item);

    return why != NULL ? why : add_text(key, section, item);
}

const char *append_protocols(const struct key *key, void *section,
                             const char *text, unsigned line)
{
    (void)line;
    return append_items(key, section, text, add_protocol);
}

static const char *add_offer(const struct key *key, void *section, char *item)
{
    const struct config_service *service = section;
    const char *why = check_protocol(service->alpn, service->alpn_count, item);

    return why != NULL ? why : add_text(key, section, item);
}

const char *append_offers(const struct key *key, void *section,
                          const char *text, unsigned line)
{
    (void)line;
    return append_items(key, section, text, add_offer);
}

/* ---- files ---- */

const char *append_file(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    struct config_file file = {.path = strdup(text), .line = line};
    const char *why = file.path == NULL
                          ? setter_out_of_memory
                          : append(key, section, &file, sizeof(file));

    if (why != NULL) {
        free(file.path);
    }
    return why;
}
