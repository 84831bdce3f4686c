#include "config/key.h"

#include "base/addr.h"
#include "base/value.h"
#include "config/array.h"
#include "config/config.h"
#include "config/ini.h"
#include "wire/client_hello.h"

#include <stdlib.h>
#include <string.h>

#define KIB             UINT64_C(1024)
#define MIB             (1024 * KIB)
#define TIB             (1024 * 1024 * MIB)
#define CONNECTIONS_MAX (UINT64_C(1) << 27) /* two descriptors each */
#define BLOCK_BYTES     (4 * KIB) /* a page: what can go back to the system */

static const char out_of_memory[] = "out of memory";

/* The sentence why, after the text it is about unless it quotes that itself. */
static const char *about(const char *text, const char *why)
{
    return strstr(why, text) != NULL
               ? why
               : value_sentence(VALUE_QUOTE ": %s", text, why);
}

/* ---- setters of one field ---- */

static void *field_of(const struct key *key, void *section)
{
    return (char *)section + key->offset;
}

/* The fields of numbers are bool, unsigned, enum, uint32_t or uint64_t. */
static void store(const struct key *key, void *section, uint64_t value)
{
    void *field = field_of(key, section);

    switch (key->width) {
    case sizeof(uint8_t):
        *(uint8_t *)field = (uint8_t)value;
        break;
    case sizeof(uint32_t):
        *(uint32_t *)field = (uint32_t)value;
        break;
    default:
        *(uint64_t *)field = value;
        break;
    }
}

static const char *set_number(const struct key *key, void *section,
                              const char *text, unsigned line)
{
    uint64_t value;
    const char *why = value_number(text, key->min, key->max, &value);

    (void)line;
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

static const char *set_limit(const struct key *key, void *section,
                             const char *text, unsigned line)
{
    uint64_t value;
    const char *why = value_limit(text, key->max, &value);

    (void)line;
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

static const char *set_workers(const struct key *key, void *section,
                               const char *text, unsigned line)
{
    if (strcmp(text, "auto") == 0) {
        store(key, section, 0);
        return NULL;
    }
    return set_number(key, section, text, line);
}

static const char *set_size(const struct key *key, void *section,
                            const char *text, unsigned line)
{
    uint64_t value;
    const char *why;

    (void)line;
    if (key->min == 0 && strcmp(text, "off") == 0) {
        store(key, section, 0);
        return NULL;
    }
    why = value_size(text, key->min, key->max, &value);
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

static const char *set_block_size(const struct key *key, void *section,
                                  const char *text, unsigned line)
{
    uint64_t value;
    const char *why = value_size(text, key->min, key->max, &value);

    if (why == NULL && value % BLOCK_BYTES != 0) {
        return value_sentence(VALUE_QUOTE " is not a multiple of 4K", text);
    }
    return why != NULL ? why : set_size(key, section, text, line);
}

static const char *set_rate(const struct key *key, void *section,
                            const char *text, unsigned line)
{
    uint64_t value;
    const char *why = value_rate(text, &value);

    (void)line;
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

/* A minimum means that the time cannot be off; a maximum of 0, that there is
 * none but value_time's own. */
static const char *set_time(const struct key *key, void *section,
                            const char *text, unsigned line)
{
    uint64_t value;
    const char *why = value_time(text, &value);

    (void)line;
    if (why != NULL) {
        return why;
    }
    if (value < key->min) {
        return value_sentence(
            VALUE_QUOTE " is too short: it must be more than 0", text);
    }
    if (key->max > 0 && value > key->max) {
        return value_sentence(VALUE_QUOTE
                              " is too long: it may be %ju seconds at most",
                              text, (uintmax_t)(key->max / NS_PER_S));
    }
    store(key, section, value);
    return NULL;
}

static const char *set_bool(const struct key *key, void *section,
                            const char *text, unsigned line)
{
    bool value;
    const char *why = value_bool(text, &value);

    (void)line;
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

static const char *set_choice(const struct key *key, void *section,
                              const char *text, unsigned line)
{
    unsigned index;
    const char *why =
        value_choice(text, key->choices, key->choice_count, &index);

    (void)line;
    if (why == NULL) {
        store(key, section, key->min + index);
    }
    return why;
}

static const char *set_text(const struct key *key, void *section,
                            const char *text, unsigned line)
{
    char *copy = strdup(text);

    (void)line;
    if (copy == NULL) {
        return out_of_memory;
    }
    memcpy(field_of(key, section), &copy, sizeof(copy));
    return NULL;
}

/* ---- setters of lists ---- */

static const char *set_listen(const struct key *key, void *section,
                              const char *text, unsigned line)
{
    struct config_service *service = section;
    struct config_listen *listen;
    struct address address;
    const char *why = address_parse(text, &address);

    (void)key;
    if (why != NULL) {
        return about(text, why);
    }
    if (address.kind == ADDRESS_NAME) {
        return value_sentence(
            VALUE_QUOTE ": listen needs an address, not a name", text);
    }
    listen =
        array_push(&service->listens, &service->listen_count, sizeof(*listen));
    if (listen == NULL) {
        return out_of_memory;
    }
    *listen = (struct config_listen){.address = address, .line = line};
    return NULL;
}

static const char *set_upstream_address(struct config_upstream *upstream,
                                        const char *text)
{
    const char *why;

    why = address_parse(text, &upstream->address);
    if (why != NULL) {
        return about(text, why);
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

static const char *option_max_connections(struct config_upstream *upstream,
                                          const char *value)
{
    uint64_t number;
    const char *why = value_limit(value, CONNECTIONS_MAX, &number);

    if (why == NULL) {
        upstream->max_connections = (uint32_t)number;
    }
    return why;
}

static const char *option_proxy_protocol(struct config_upstream *upstream,
                                         const char *value)
{
    static const char *const names[] = {"off", "v1", "v2"};
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
    bool bare; /* it may stand without a value */
} options[] = {
    {.name = "weight", .set = option_weight},
    {.name = "backup", .set = option_backup, .bare = true},
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
        why = options[i].set(upstream, value == NULL ? NULL : value + 1);
        return why == NULL ? NULL : about(word, why);
    }
    return value_sentence("unknown option " VALUE_QUOTE
                          " (options: weight=N, backup, "
                          "max_connections=N, proxy_protocol=off|v1|v2)",
                          word);
}

/* Cuts the words of the text apart. */
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

static const char *set_upstream(const struct key *key, void *section,
                                const char *text, unsigned line)
{
    struct config_service *service = section;
    struct config_upstream upstream = {.weight = 1, .line = line};
    struct config_upstream *added;
    char *words = strdup(text);
    const char *why;

    (void)key;
    if (words == NULL) {
        return out_of_memory;
    }
    why = parse_upstream(&upstream, words);
    free(words);
    if (why != NULL) {
        return why;
    }
    if (service->upstream_count == CONFIG_UPSTREAMS_MAX) {
        return "the service has too many upstreams";
    }
    added = array_push(&service->upstreams, &service->upstream_count,
                       sizeof(*added));
    if (added == NULL) {
        return out_of_memory;
    }
    *added = upstream;
    return NULL;
}

/* allow and deny share a list: the value of min tells them apart. */
static const char *set_rule(const struct key *key, void *section,
                            const char *text, unsigned line)
{
    struct config_service *service = section;
    struct config_rule *rule;
    struct network network;
    const char *why = network_parse(text, &network);

    (void)line;
    if (why != NULL) {
        return about(text, why);
    }
    rule = array_push(&service->rules, &service->rule_count, sizeof(*rule));
    if (rule == NULL) {
        return out_of_memory;
    }
    *rule = (struct config_rule){.network = network, .allow = key->min != 0};
    return NULL;
}

static const char *parse_networks(struct config_service *service, char *list)
{
    struct network *network;
    struct network parsed;
    const char *why;
    char *item;

    while ((item = strsep(&list, ",")) != NULL) {
        why = network_parse(ini_trim(item), &parsed);
        if (why != NULL) {
            return why;
        }
        network = array_push(&service->proxy_from, &service->proxy_from_count,
                             sizeof(*network));
        if (network == NULL) {
            return out_of_memory;
        }
        *network = parsed;
    }
    return NULL;
}

static const char *set_proxy_from(const struct key *key, void *section,
                                  const char *text, unsigned line)
{
    char *list = strdup(text);
    const char *why;

    (void)key;
    (void)line;
    if (list == NULL) {
        return out_of_memory;
    }
    why = parse_networks(section, list);
    free(list);
    return why == NULL || why == out_of_memory ? why : about(text, why);
}

static const char *add_name(struct config_service *service, const char *name)
{
    const char *why = client_hello_check_pattern(name);
    char **place;
    char *copy;

    if (why != NULL) {
        return why;
    }
    copy = strdup(name);
    if (copy == NULL) {
        return out_of_memory;
    }
    place = array_push(&service->sni, &service->sni_count, sizeof(*place));
    if (place == NULL) {
        free(copy);
        return out_of_memory;
    }
    *place = copy;
    return NULL;
}

static const char *set_sni(const struct key *key, void *section,
                           const char *text, unsigned line)
{
    char *list = strdup(text);
    char *rest = list;
    const char *why = list == NULL ? out_of_memory : NULL;
    char *item;

    (void)key;
    (void)line;
    while (why == NULL && (item = strsep(&rest, ",")) != NULL) {
        why = add_name(section, ini_trim(item));
    }
    free(list);
    return why == NULL || why == out_of_memory ? why : about(text, why);
}

/* "A" or "A-B". */
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
    return why;
}

static const char *parse_ranges(struct config_service *service, char *list)
{
    struct config_range *range;
    struct config_range parsed;
    const char *why;
    char *item;

    while ((item = strsep(&list, ",")) != NULL) {
        why = parse_range(item, &parsed);
        if (why != NULL) {
            return why;
        }
        range = array_push(&service->sources, &service->source_count,
                           sizeof(*range));
        if (range == NULL) {
            return out_of_memory;
        }
        *range = parsed;
    }
    return NULL;
}

static const char *set_sources(const struct key *key, void *section,
                               const char *text, unsigned line)
{
    struct config_service *service = section;
    char *list = strdup(text);
    const char *why;

    (void)key;
    (void)line;
    if (list == NULL) {
        return out_of_memory;
    }
    why = parse_ranges(service, list);
    free(list);
    if (why != NULL) {
        service->source_count = 0;
        free(service->sources);
        service->sources = NULL;
        return why == out_of_memory ? why : about(text, why);
    }
    return NULL;
}

/* ---- the table ---- */

static const char *const log_levels[] = {"error", "warn", "info", "debug"};
static const char *const modes[] = {"tcp", "udp"};
static const char *const balances[] = {"source", "roundrobin", "leastconn",
                                       "random"};
static const char *const health_checks[] = {"off", "tcp"};
static const char *const off_on[] = {"off", "on"};

#define FIELD(type, member)                                                    \
    .offset = offsetof(type, member), .width = sizeof(((type *)0)->member)
#define GLOBAL(member) .section = KEY_GLOBAL, FIELD(struct config, member)
#define SERVICE(member)                                                        \
    .section = KEY_SERVICE, FIELD(struct config_service, member)
#define CHOICES(names) .choices = (names), .choice_count = ARRAY_LEN(names)

const struct key key_table[] = {
    {
        .name = "workers",
        GLOBAL(workers),
        .default_text = "auto",
        .set = set_workers,
        .min = 1,
        .max = 1024,
        .restart = true,
        .help = "worker threads; auto: one for each usable CPU",
    },
    {
        .name = "max_connections",
        GLOBAL(max_connections),
        .default_text = "0",
        .set = set_limit,
        .max = CONNECTIONS_MAX,
        .help = "over all services; 0: what RLIMIT_NOFILE allows",
    },
    {
        .name = "buffer_memory",
        GLOBAL(buffer_memory),
        .default_text = "256M",
        .set = set_size,
        .min = MIB,
        .max = TIB,
        .restart = true,
        .help = "ceiling of memory for bytes in flight, half each direction",
    },
    {
        .name = "buffer_size",
        GLOBAL(buffer_size),
        .default_text = "16K",
        .set = set_block_size,
        .min = 4 * KIB,
        .max = MIB,
        .restart = true,
        .help = "one lent block, a multiple of 4K",
    },
    {
        .name = "drain_timeout",
        GLOBAL(drain_timeout_ns),
        .default_text = "30s",
        .set = set_time,
        .help = "how long connections may finish after SIGTERM",
    },
    {
        .name = "stats_interval",
        GLOBAL(stats_interval_ns),
        .default_text = "off",
        .set = set_time,
        .help = "write the stats lines this often",
    },
    {
        .name = "log_level",
        GLOBAL(log_level),
        .default_text = "info",
        .set = set_choice,
        CHOICES(log_levels),
        .min = LOG_ERROR,
        .help = "error, warn, info or debug",
    },
    {
        .name = "access_log",
        GLOBAL(access_log),
        .default_text = "no",
        .set = set_bool,
        .help = "one line when a connection ends",
    },
    {
        .name = "user",
        GLOBAL(user),
        .set = set_text,
        .restart = true,
        .help = "drop root to this user once the listeners are open",
    },
    {
        .name = "group",
        GLOBAL(group),
        .set = set_text,
        .restart = true,
        .help = "and to this group; without it, the user's",
    },
    {
        .name = "metrics_listen",
        .section = KEY_GLOBAL,
        .default_text = "off",
        .off_allowed = true,
        .help = "HTTP address that answers /metrics and /healthz",
    },

    {
        .name = "mode",
        SERVICE(mode),
        .default_text = "tcp",
        .set = set_choice,
        CHOICES(modes),
        .min = CONFIG_TCP,
        .help = "tcp or udp",
    },
    {
        .name = "listen",
        SERVICE(listens),
        .set = set_listen,
        .required = true,
        .repeatable = true,
        .help = "address to accept on: 127.0.0.1:80, [::1]:80, :80, unix:/path",
    },
    {
        .name = "upstream",
        SERVICE(upstreams),
        .set = set_upstream,
        .required = true,
        .repeatable = true,
        .help = "ADDRESS [weight=1..256] [backup] [max_connections=N]",
    },
    {
        .name = "balance",
        SERVICE(balance),
        .default_text = "source",
        .set = set_choice,
        CHOICES(balances),
        .min = BALANCE_SOURCE,
        .help = "source, roundrobin, leastconn or random",
    },
    {
        .name = "hash_prefix_v4",
        SERVICE(hash_prefix_v4),
        .default_text = "32",
        .set = set_number,
        .max = 32,
        .help = "leading bits of an IPv4 source that balance = source takes",
    },
    {
        .name = "hash_prefix_v6",
        SERVICE(hash_prefix_v6),
        .default_text = "128",
        .set = set_number,
        .max = 128,
        .help = "leading bits of an IPv6 source that balance = source takes",
    },
    {
        .name = "connect_timeout",
        SERVICE(connect_timeout_ns),
        .default_text = "5s",
        .set = set_time,
        .help = "one attempt to connect to an upstream",
    },
    {
        .name = "connect_attempts",
        SERVICE(connect_attempts),
        .default_text = "3",
        .set = set_number,
        .min = 1,
        .max = 1000,
        .help = "upstreams tried in turn before the client is let go",
    },
    {
        .name = "idle_timeout",
        SERVICE(idle_timeout_ns),
        .default_text = "10m",
        .set = set_time,
        .help = "no byte has moved in either direction",
    },
    {
        .name = "read_timeout",
        SERVICE(read_timeout_ns),
        .default_text = "off",
        .set = set_time,
        .help = "an open side has sent nothing",
    },
    {
        .name = "write_timeout",
        SERVICE(write_timeout_ns),
        .default_text = "30s",
        .set = set_time,
        .help = "bytes wait for a peer and it takes none",
    },
    {
        .name = "half_close_timeout",
        SERVICE(half_close_timeout_ns),
        .default_text = "30s",
        .set = set_time,
        .help = "one side has ended and the other moves nothing",
    },
    {
        .name = "header_timeout",
        SERVICE(header_timeout_ns),
        .default_text = "5s",
        .set = set_time,
        .help = "from accept until the first headers are complete",
    },
    {
        .name = "max_lifetime",
        SERVICE(max_lifetime_ns),
        .default_text = "off",
        .set = set_time,
        .help = "of a connection, less up to 10 % at random",
    },
    {
        .name = "rate_up",
        SERVICE(rate_up),
        .default_text = "off",
        .set = set_rate,
        .help = "bytes per second of one connection, client to upstream",
    },
    {
        .name = "rate_down",
        SERVICE(rate_down),
        .default_text = "off",
        .set = set_rate,
        .help = "bytes per second of one connection, upstream to client",
    },
    {
        .name = "service_rate_up",
        SERVICE(service_rate_up),
        .default_text = "off",
        .set = set_rate,
        .help = "as rate_up, shared by the service's connections",
    },
    {
        .name = "service_rate_down",
        SERVICE(service_rate_down),
        .default_text = "off",
        .set = set_rate,
        .help = "as rate_down, shared by the service's connections",
    },
    {
        .name = "rate_burst",
        SERVICE(rate_burst),
        .default_text = "64K",
        .set = set_size,
        .min = 1,
        .max = TIB,
        .help = "bytes that may pass at once under a rate",
    },
    {
        .name = "max_connections",
        SERVICE(max_connections),
        .default_text = "off",
        .set = set_limit,
        .max = CONNECTIONS_MAX,
        .help = "of the service",
    },
    {
        .name = "max_connections_per_source",
        SERVICE(max_connections_per_source),
        .default_text = "off",
        .set = set_limit,
        .max = CONNECTIONS_MAX,
        .help = "of one client address",
    },
    {
        .name = "accept_rate",
        SERVICE(accept_rate),
        .default_text = "off",
        .set = set_limit,
        .max = CONNECTIONS_MAX,
        .help = "new connections per second",
    },
    {
        .name = "accept_rate_per_source",
        SERVICE(accept_rate_per_source),
        .default_text = "off",
        .set = set_limit,
        .max = CONNECTIONS_MAX,
        .help = "new connections per second of one client address",
    },
    {
        .name = "allow",
        SERVICE(rules),
        .set = set_rule,
        .min = true,
        .repeatable = true,
        .help = "network let in; the first match in the file decides",
    },
    {
        .name = "deny",
        SERVICE(rules),
        .set = set_rule,
        .min = false,
        .repeatable = true,
        .help = "network kept out; with any allow, the rest is denied",
    },
    {
        .name = "health_check",
        SERVICE(health_check),
        .default_text = "off",
        .set = set_choice,
        CHOICES(health_checks),
        .help = "tcp: connect to each upstream every health_interval",
    },
    {
        .name = "health_interval",
        SERVICE(health_interval_ns),
        .default_text = "2s",
        .set = set_time,
        .min = 1,
        .help = "from one check of an upstream to the next",
    },
    {
        .name = "health_timeout",
        SERVICE(health_timeout_ns),
        .default_text = "1s",
        .set = set_time,
        .min = 1,
        .help = "a check that takes longer has failed",
    },
    {
        .name = "health_rise",
        SERVICE(health_rise),
        .default_text = "2",
        .set = set_number,
        .min = 1,
        .max = 1000,
        .help = "good checks in a row that bring an upstream up",
    },
    {
        .name = "health_fall",
        SERVICE(health_fall),
        .default_text = "3",
        .set = set_number,
        .min = 1,
        .max = 1000,
        .help = "failed checks in a row that take an upstream down",
    },
    {
        .name = "fail_threshold",
        SERVICE(fail_threshold),
        .default_text = "5",
        .set = set_limit,
        .max = 1000,
        .help = "failed connects in fail_window that take an upstream down",
    },
    {
        .name = "fail_window",
        SERVICE(fail_window_ns),
        .default_text = "30s",
        .set = set_time,
        .min = 1,
        .help =
            "time for fail_threshold, and between tries of one that is down",
    },
    {
        .name = "source_address",
        SERVICE(sources),
        .set = set_sources,
        .help = "local addresses for upstream connections: A, B-C, ...",
    },
    {
        .name = "proxy_protocol",
        SERVICE(proxy_protocol),
        .default_text = "off",
        .set = set_choice,
        CHOICES(off_on),
        .help = "on: a PROXY header, v1 or v2, must come first",
    },
    {
        .name = "proxy_protocol_from",
        .section = KEY_SERVICE,
        .set = set_proxy_from,
        .repeatable = true,
        .help = "networks that may send a PROXY header",
    },
    {
        .name = "sni",
        .section = KEY_SERVICE,
        .set = set_sni,
        .help = "host names of the ClientHello that this service takes",
    },
    {
        .name = "tls_certificate",
        .section = KEY_SERVICE,
        .help = "PEM file: TLS ends here",
    },
    {
        .name = "tls_key",
        .section = KEY_SERVICE,
        .help = "PEM file: the certificate's key",
    },
    {
        .name = "tls_client_ca",
        .section = KEY_SERVICE,
        .help = "PEM file: clients must present a certificate that this signs",
    },
    {
        .name = "tls_min_version",
        .section = KEY_SERVICE,
        .default_text = "1.2",
        .help = "oldest TLS version spoken with clients",
    },
    {
        .name = "upstream_tls",
        .section = KEY_SERVICE,
        .default_text = "no",
        .help = "speak TLS to upstreams",
    },
    {
        .name = "upstream_tls_ca",
        .section = KEY_SERVICE,
        .help = "PEM file: whom to trust as an upstream",
    },
    {
        .name = "upstream_tls_name",
        .section = KEY_SERVICE,
        .help = "name that an upstream's certificate must have",
    },
    {
        .name = "resolve_interval",
        .section = KEY_SERVICE,
        .default_text = "30s",
        .help = "upstream names are resolved again this often",
    },
    {
        .name = "udp_responses",
        SERVICE(udp_responses),
        .default_text = "off",
        .set = set_limit,
        .max = UINT32_MAX,
        .help = "a UDP session ends after so many replies",
    },
    {
        .name = "max_sessions",
        SERVICE(max_sessions),
        .default_text = "65536",
        .set = set_limit,
        .max = CONNECTIONS_MAX,
        .help = "UDP sessions of the service; past it the longest idle goes",
    },
    {
        .name = "tcp_keepalive",
        SERVICE(tcp_keepalive_ns),
        .default_text = "60s",
        .set = set_time,
        .max = 32767 * NS_PER_S, /* the kernel's own bound */
        .help = "idle time before keepalive probes, both sides",
    },
    {
        .name = "tcp_user_timeout",
        SERVICE(tcp_user_timeout_ns),
        .default_text = "off",
        .set = set_time,
        .max = INT32_MAX * NS_PER_MS, /* an int of milliseconds */
        .help = "sent bytes stay unacknowledged for so long",
    },
    {
        .name = "tcp_fastopen",
        SERVICE(tcp_fastopen),
        .default_text = "no",
        .set = set_bool,
        .help = "take data in a client's SYN",
    },
    {
        .name = "tcp_notsent_lowat",
        SERVICE(tcp_notsent_lowat),
        .default_text = "32K",
        .set = set_size,
        .max = INT32_MAX,
        .help = "unsent bytes that the kernel may queue for one peer",
    },
    {
        .name = "backlog",
        SERVICE(backlog),
        .default_text = "4096",
        .set = set_number,
        .min = 1,
        .max = 65535,
        .help = "connections that may wait to be accepted",
    },
    {
        .name = "access_log",
        SERVICE(access_log),
        .set = set_bool,
        .help = "as in [global], for this service",
    },
};

const size_t key_table_count = ARRAY_LEN(key_table);

_Static_assert(ARRAY_LEN(key_table) <= KEY_COUNT_MAX, "too many rows");

/* ---- look-up ---- */

const struct key *key_find(enum key_section section, const char *name)
{
    for (size_t i = 0; i < key_table_count; i++) {
        if (key_table[i].section == section &&
            strcmp(key_table[i].name, name) == 0) {
            return &key_table[i];
        }
    }
    return NULL;
}

#define NAME_MAX_BYTES 40 /* longer names are near to none */

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/*
 * The Levenshtein distance (insert, delete or replace a byte) by Wagner and
 * Fischer's table, of which one row is kept. b is shorter than NAME_MAX_BYTES.
 */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_BYTES];
    size_t count = strlen(b);

    for (size_t j = 0; j <= count; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < count; j++) {
            unsigned replace = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            row[j + 1] = least(replace, least(row[j], row[j + 1]) + 1);
        }
    }
    return row[count];
}

const struct key *key_suggest(enum key_section section, const char *name)
{
    const struct key *nearest = NULL;
    size_t length = strnlen(name, NAME_MAX_BYTES);
    unsigned best = least(3, (unsigned)length / 2 + 1); /* nearer than this */

    if (length == NAME_MAX_BYTES) {
        return NULL;
    }
    for (size_t i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];
        unsigned far;

        if (key->section != section) {
            continue;
        }
        far = distance(key->name, name);
        if (far < best) {
            best = far;
            nearest = key;
        }
    }
    return nearest;
}

const char *key_set_defaults(enum key_section section, void *fields)
{
    for (size_t i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];
        const char *why;

        if (key->section != section || key->set == NULL ||
            key->default_text == NULL) {
            continue;
        }
        why = key->set(key, fields, key->default_text, 0);
        if (why != NULL) {
            return why;
        }
    }
    return NULL;
}

static bool text_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool key_equal(const struct key *key, const void *a, const void *b)
{
    const char *at_a = (const char *)a + key->offset;
    const char *at_b = (const char *)b + key->offset;

    if (key->set == set_text) {
        const char *text_a;
        const char *text_b;

        memcpy(&text_a, at_a, sizeof(text_a));
        memcpy(&text_b, at_b, sizeof(text_b));
        return text_equal(text_a, text_b);
    }
    return memcmp(at_a, at_b, key->width) == 0;
}
