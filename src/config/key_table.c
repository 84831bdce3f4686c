#include "config/key_table.h"

#include "config/append.h"
#include "config/health_value.h"
#include "config/setter.h"
#include "config/snapshot.h"

#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define TIB (1024 * 1024 * MIB)

/* ---- what rows are made of ---- */

static const char *const log_levels[] = {"error", "warn", "info", "debug"};
static const char *const modes[] = {"tcp", "udp"};
static const char *const balances[] = {"source", "roundrobin", "leastconn",
                                       "random", "first"};
static const char *const health_checks[] = {"off", "tcp", "http", "expect"};
static const char *const on_downs[] = {"keep", "reset"};
static const char *const tls_versions[] = {"1.2", "1.3"};

static const char no_tls[] = "this build has no TLS (make TLS=1 builds it in)";

/*
 * The type of a field tells how its value is compared, copied and freed. A type
 * that is not listed does not compile: list it as KEY_PLAIN if it owns nothing,
 * or teach config/key.h what it owns.
 */
/* clang-format off */
#define TYPE_OF(value) _Generic((value),                                       \
    char *: KEY_TEXT,                                                          \
    struct config_file: KEY_FILE,                                              \
    bool: KEY_PLAIN,                                                           \
    unsigned: KEY_PLAIN, /* an enum is one too */                              \
    uint64_t: KEY_PLAIN,                                                       \
    struct config_listen: KEY_PLAIN,                                           \
    struct config_upstream: KEY_PLAIN,                                         \
    struct config_rule: KEY_RULE,                                              \
    struct config_exchange: KEY_EXCHANGE,                                      \
    struct config_statuses: KEY_PLAIN,                                         \
    struct config_range: KEY_PLAIN,                                            \
    struct network: KEY_PLAIN)
/* clang-format on */

#define MEMBER(section, member) (((section *)0)->member)
#define VALUE(section, member)                                                 \
    .field = {.type = TYPE_OF(MEMBER(section, member)),                        \
              .offset = offsetof(section, member),                             \
              .width = sizeof(MEMBER(section, member))}
#define LIST(section, member, count)                                           \
    .field = {.type = TYPE_OF(*MEMBER(section, member)),                       \
              .offset = offsetof(section, member),                             \
              .width = sizeof(*MEMBER(section, member)),                       \
              .count_offset = offsetof(section, count)}

#define ROW(section_, name_) .section = (section_), .name = (name_)
#define GLOBAL(name, member) ROW(KEY_GLOBAL, name), VALUE(struct config, member)
#define SERVICE(name, member)                                                  \
    ROW(KEY_SERVICE, name), VALUE(struct config_service, member)
#define SERVICE_LIST(name, member, count)                                      \
    ROW(KEY_SERVICE, name), LIST(struct config_service, member, count)

#define WITH_TLS(setter) .set = EVPROXY_TLS ? (setter) : NULL, .lack = no_tls
#define CHOICES(names, first)                                                  \
    .choices = (names), .choice_count = ARRAY_LEN(names),                      \
    .first_choice = (first)

/* ---- the table ---- */

const struct key key_table[] = {
    {GLOBAL("workers", workers), .default_text = "auto", .set = setter_workers,
     .min = 1, .max = 1024, .restart = true,
     .help = "worker threads; auto: one for each usable CPU"},
    {GLOBAL("max_connections", max_connections), .default_text = "0",
     .set = setter_number, .max = CONFIG_CONNECTIONS_MAX, .may_be_off = true,
     .help = "over all services; 0: what RLIMIT_NOFILE allows"},
    {GLOBAL("buffer_memory", buffer_memory), .default_text = "256M",
     .set = setter_size, .min = MIB, .max = TIB, .restart = true,
     .help = "ceiling of memory for bytes in flight, half each direction"},
    {GLOBAL("buffer_size", buffer_size), .default_text = "16K",
     .set = setter_block_size, .min = 4 * KIB, .max = MIB, .restart = true,
     .help = "one lent block, a multiple of 4K"},
    {GLOBAL("drain_timeout", drain_timeout_ns), .default_text = "30s",
     .set = setter_time, .may_be_off = true,
     .help = "how long connections may finish after SIGTERM"},
    {GLOBAL("drain_delay", drain_delay_ns), .default_text = "0",
     .set = setter_time, .may_be_off = true,
     .help = "how long they are still taken before that"},
    {GLOBAL("drain_spread", drain_spread), .default_text = "no",
     .set = setter_bool,
     .help = "end what is left over the second half of drain_timeout"},
    {GLOBAL("stats_interval", stats_interval_ns), .default_text = "off",
     .set = setter_time, .may_be_off = true,
     .help = "write the stats lines this often"},
    {GLOBAL("log_level", log_level), .default_text = "info",
     .set = setter_choice, CHOICES(log_levels, LOG_ERROR),
     .help = "error, warn, info or debug"},
    {GLOBAL("access_log", access_log), .default_text = "no", .set = setter_bool,
     .help = "one line when a connection ends"},
    {GLOBAL("user", user), .set = setter_text, .restart = true,
     .help = "drop root to this user once the listeners are open"},
    {GLOBAL("group", group), .set = setter_text, .restart = true,
     .help = "and to this group; with a user, the default is the user's"},
    {GLOBAL("metrics_listen", metrics_listen), .default_text = "off",
     .set = setter_listen, .may_be_off = true,
     .help = "HTTP address of metrics, health and the status page"},

    {SERVICE("mode", mode), .default_text = "tcp", .set = setter_choice,
     CHOICES(modes, CONFIG_TCP), .help = "tcp or udp"},
    {SERVICE_LIST("listen", listens, listen_count), .set = append_listen,
     .required = true, .repeatable = true,
     .help = "address to accept on: 127.0.0.1:80, [::1]:80, :80, unix:/path"},
    {SERVICE_LIST("upstream", upstreams, upstream_count),
     .set = append_upstream, .required = true, .repeatable = true,
     .help = "ADDRESS [weight=1..256] [backup] [drain] [max_connections=N]"},
    {SERVICE("balance", balance), .default_text = "source",
     .set = setter_choice, CHOICES(balances, BALANCE_SOURCE),
     .help = "source, roundrobin, leastconn, random or first"},
    {SERVICE("balance_bound", balance_bound), .default_text = "off",
     .set = setter_number, .min = 101, .max = 1000, .may_be_off = true,
     .help = "of source: the most of its share, in percent, of an upstream"},
    {SERVICE("queue_timeout", queue_timeout_ns), .default_text = "off",
     .set = setter_time, .may_be_off = true, .tcp_only = true,
     .help = "wait so long for a place while all upstreams are full"},
    {SERVICE("slow_start", slow_start_ns), .default_text = "off",
     .set = setter_time, .may_be_off = true,
     .help = "after an upstream has come up its weight grows over this time"},
    {SERVICE("on_down", on_down), .default_text = "keep", .set = setter_choice,
     CHOICES(on_downs, ON_DOWN_KEEP),
     .help = "reset: connections of an upstream that a check takes out end"},
    {SERVICE("hash_prefix_v4", hash_prefix_v4), .default_text = "32",
     .set = setter_number, .max = 32,
     .help = "leading bits of an IPv4 source that balance = source takes"},
    {SERVICE("hash_prefix_v6", hash_prefix_v6), .default_text = "128",
     .set = setter_number, .max = 128,
     .help = "leading bits of an IPv6 source that balance = source takes"},
    {SERVICE("source_prefix_v4", source_prefix_v4), .default_text = "32",
     .set = setter_number, .max = 32,
     .help = "leading bits of an IPv4 client that make one source of limits"},
    {SERVICE("source_prefix_v6", source_prefix_v6), .default_text = "64",
     .set = setter_number, .max = 128,
     .help = "leading bits of an IPv6 client that make one source of limits"},
    {SERVICE("connect_timeout", connect_timeout_ns), .default_text = "5s",
     .set = setter_time, .may_be_off = true,
     .help = "one attempt to connect to an upstream"},
    {SERVICE("connect_attempts", connect_attempts), .default_text = "3",
     .set = setter_number, .min = 1, .max = 1000,
     .help = "upstreams tried in turn before the connection is closed"},
    {SERVICE("idle_timeout", idle_timeout_ns), .default_text = "10m",
     .udp_default = "60s", .set = setter_time, .may_be_off = true,
     .help = "no byte has moved in either direction"},
    {SERVICE("read_timeout", read_timeout_ns), .default_text = "off",
     .set = setter_time, .may_be_off = true,
     .help = "an open side has sent nothing"},
    {SERVICE("write_timeout", write_timeout_ns), .default_text = "30s",
     .set = setter_time, .may_be_off = true,
     .help = "bytes wait for a peer, which takes none"},
    {SERVICE("half_close_timeout", half_close_timeout_ns),
     .default_text = "30s", .set = setter_time, .may_be_off = true,
     .help = "one side has ended and the other moves nothing"},
    {SERVICE("header_timeout", header_timeout_ns), .default_text = "5s",
     .set = setter_time, .may_be_off = true,
     .help = "from accept until the first headers are complete"},
    {SERVICE("max_lifetime", max_lifetime_ns), .default_text = "off",
     .set = setter_time, .may_be_off = true,
     .help = "of a connection, less up to 10 % at random"},
    {SERVICE("rate_up", rate_up), .default_text = "off", .set = setter_rate,
     .help = "bytes per second of one connection, client to upstream"},
    {SERVICE("rate_down", rate_down), .default_text = "off", .set = setter_rate,
     .help = "bytes per second of one connection, upstream to client"},
    {SERVICE("service_rate_up", service_rate_up), .default_text = "off",
     .set = setter_rate,
     .help = "as rate_up, shared by the service's connections"},
    {SERVICE("service_rate_down", service_rate_down), .default_text = "off",
     .set = setter_rate,
     .help = "as rate_down, shared by the service's connections"},
    {SERVICE("rate_up_per_source", rate_up_per_source), .default_text = "off",
     .set = setter_rate,
     .help = "as rate_up, shared by the connections of one source"},
    {SERVICE("rate_down_per_source", rate_down_per_source),
     .default_text = "off", .set = setter_rate,
     .help = "as rate_down, shared by the connections of one source"},
    {SERVICE("rate_burst", rate_burst), .default_text = "64K",
     .set = setter_size, .min = 1, .max = TIB,
     .help = "bytes that may pass at once under a rate"},
    {SERVICE("rate_burst_up", rate_burst_up), .default_text = "off",
     .set = setter_size, .max = TIB, .may_be_off = true,
     .help = "the same for rates up; off: rate_burst"},
    {SERVICE("rate_burst_down", rate_burst_down), .default_text = "off",
     .set = setter_size, .max = TIB, .may_be_off = true,
     .help = "the same for rates down; off: rate_burst"},
    {SERVICE("max_connections", max_connections), .default_text = "off",
     .set = setter_number, .max = CONFIG_CONNECTIONS_MAX, .may_be_off = true,
     .help = "of the service"},
    {SERVICE("max_connections_per_source", max_connections_per_source),
     .default_text = "off", .set = setter_number, .max = CONFIG_CONNECTIONS_MAX,
     .may_be_off = true, .help = "of one source"},
    {SERVICE("accept_rate", accept_rate), .default_text = "off",
     .set = setter_number, .max = CONFIG_CONNECTIONS_MAX, .may_be_off = true,
     .help = "new connections per second"},
    {SERVICE("accept_rate_per_source", accept_rate_per_source),
     .default_text = "off", .set = setter_number, .max = CONFIG_CONNECTIONS_MAX,
     .may_be_off = true, .help = "new connections per second of one source"},
    {SERVICE_LIST("allow", rules, rule_count), .set = append_rules,
     .repeatable = true,
     .help = "NETWORK, unix, all, file:PATH let in; the first match decides"},
    {SERVICE_LIST("deny", rules, rule_count), .set = append_rules,
     .repeatable = true,
     .help = "the same kept out; with any allow, the rest is denied"},
    {SERVICE("health_check", health_check), .default_text = "off",
     .set = setter_choice, CHOICES(health_checks, HEALTH_OFF),
     .help = "off, tcp (connect), http (ask for health_path) or expect"},
    {SERVICE("health_port", health_port), .set = setter_number, .min = 1,
     .max = 65535, .help = "another port to check; default: the upstream's"},
    {SERVICE("health_tls", health_tls), .default_text = "no",
     WITH_TLS(setter_bool), .tcp_only = true, .default_taken = true,
     .help = "speak TLS in checks; with upstream_tls the default is yes"},
    {SERVICE("health_path", health_path), .default_text = "/",
     .set = health_value_path, .tcp_only = true,
     .help = "of http: the path that is asked for"},
    {SERVICE("health_host", health_host), .set = health_value_host,
     .tcp_only = true,
     .help = "of http: the Host header; default: the upstream's host and port"},
    {SERVICE("health_status", health_status), .default_text = "200-399",
     .set = health_value_statuses, .tcp_only = true,
     .help = "of http: the statuses that pass: 200, 301-302, ..."},
    {SERVICE_LIST("health_send", health_exchanges, health_exchange_count),
     .set = health_value_send, .repeatable = true,
     .help = "of expect: text to send, with \\r \\n \\t \\\\ \\xHH"},
    {SERVICE_LIST("health_expect", health_exchanges, health_exchange_count),
     .set = health_value_expect, .repeatable = true,
     .help = "of expect: text that the answer must contain"},
    {SERVICE("health_interval", health_interval_ns), .default_text = "2s",
     .set = setter_time, .help = "from one check of an upstream to the next"},
    {SERVICE("health_timeout", health_timeout_ns), .default_text = "1s",
     .set = setter_time, .help = "a check that takes longer has failed"},
    {SERVICE("health_rise", health_rise), .default_text = "2",
     .set = setter_number, .min = 1, .max = 1000,
     .help = "good checks in a row that bring an upstream up"},
    {SERVICE("health_fall", health_fall), .default_text = "3",
     .set = setter_number, .min = 1, .max = 1000,
     .help = "failed checks in a row that take an upstream down"},
    {SERVICE("fail_threshold", fail_threshold), .default_text = "5",
     .set = setter_number, .max = 1000, .may_be_off = true,
     .help = "failed connects in fail_window that take an upstream down"},
    {SERVICE("fail_window", fail_window_ns), .default_text = "30s",
     .set = setter_time,
     .help = "time for fail_threshold, and between tries of one that is down"},
    {SERVICE_LIST("source_address", sources, source_count),
     .set = append_ranges,
     .help = "local addresses for upstream connections: A, B-C, ..."},
    {SERVICE("freebind", freebind), .default_text = "no", .set = setter_bool,
     .help = "listen on an address that the machine does not have yet"},
    {SERVICE("mptcp", mptcp), .default_text = "no", .set = setter_bool,
     .tcp_only = true,
     .help = "take Multipath TCP from clients, and plain TCP as before"},
    {SERVICE("proxy_protocol", proxy_protocol), .default_text = "off",
     .set = setter_bool, .tcp_only = true,
     .help = "on: a PROXY header, v1 or v2, must come first"},
    {SERVICE_LIST("proxy_protocol_from", proxy_from, proxy_from_count),
     .set = append_networks, .repeatable = true,
     .help = "networks that may send a PROXY header"},
    {SERVICE_LIST("sni", sni, sni_count), .set = append_names, .tcp_only = true,
     .help = "host names of the ClientHello that this service takes"},
    {SERVICE_LIST("alpn", alpn, alpn_count), .set = append_offers,
     .tcp_only = true,
     .help = "protocols of the ClientHello that this service takes: h2"},
    {SERVICE_LIST("tls_certificate", tls_certificates, tls_certificate_count),
     WITH_TLS(append_file), .repeatable = true, .tcp_only = true,
     .help = "PEM file of a certificate and its chain: TLS ends here"},
    {SERVICE_LIST("tls_key", tls_keys, tls_key_count), WITH_TLS(append_file),
     .repeatable = true, .tcp_only = true,
     .help = "PEM file: the certificate's key, if it is not in its file"},
    {SERVICE("tls_client_ca", tls_client_ca), WITH_TLS(setter_file),
     .tcp_only = true,
     .help = "PEM file: clients must present a certificate that this signs"},
    {SERVICE("tls_min_version", tls_min_version), .default_text = "1.2",
     WITH_TLS(setter_choice), CHOICES(tls_versions, CONFIG_TLS_1_2),
     .tcp_only = true, .default_taken = true,
     .help = "oldest TLS version spoken with clients: 1.2 or 1.3"},
    {SERVICE_LIST("tls_alpn", tls_alpn, tls_alpn_count),
     WITH_TLS(append_protocols), .tcp_only = true,
     .help = "protocols to agree on, the preferred one first: h2, http/1.1"},
    {SERVICE("tls_ticket_keys", tls_ticket_keys), WITH_TLS(setter_file),
     .tcp_only = true,
     .help = "file of ticket keys, shared by machines; the first encrypts"},
    {SERVICE("upstream_tls", upstream_tls), .default_text = "no",
     WITH_TLS(setter_bool), .tcp_only = true, .default_taken = true,
     .help = "speak TLS to upstreams"},
    {SERVICE("upstream_tls_ca", upstream_tls_ca), WITH_TLS(setter_file),
     .may_be_off = true, .tcp_only = true,
     .help = "PEM file: CAs of upstream certificates; off: not verified"},
    {SERVICE("upstream_tls_certificate", upstream_tls_certificate),
     WITH_TLS(setter_file), .tcp_only = true,
     .help = "PEM file of a certificate and its chain, shown to upstreams"},
    {SERVICE("upstream_tls_key", upstream_tls_key), WITH_TLS(setter_file),
     .tcp_only = true,
     .help = "PEM file: the certificate's key, if it is not in its file"},
    {SERVICE("upstream_tls_name", upstream_tls_name), WITH_TLS(setter_host),
     .tcp_only = true, .help = "name that an upstream's certificate must have"},
    {SERVICE("resolve_interval", resolve_interval_ns), .default_text = "30s",
     .set = setter_time,
     .help = "upstream names are looked up again this often"},
    {SERVICE("udp_responses", udp_responses), .default_text = "off",
     .set = setter_number, .max = UINT32_MAX, .may_be_off = true,
     .help = "a UDP session ends after so many replies to each datagram"},
    {SERVICE("max_sessions", max_sessions), .default_text = "65536",
     .set = setter_number, .max = CONFIG_CONNECTIONS_MAX, .may_be_off = true,
     .help = "UDP sessions of the service; past it the longest idle goes"},
    {SERVICE("udp_receive_buffer", udp_receive_buffer), .default_text = "1M",
     .set = setter_size, .max = 1024 * MIB, .may_be_off = true,
     .help = "bytes that the kernel may queue at a UDP listener"},
    {SERVICE("tcp_keepalive", tcp_keepalive_ns), .default_text = "60s",
     .set = setter_time, .max = 32767 * NS_PER_S /* of the kernel */,
     .may_be_off = true,
     .help = "idle time before keepalive probes, both sides"},
    {SERVICE("tcp_user_timeout", tcp_user_timeout_ns), .default_text = "off",
     .set = setter_time, .max = INT32_MAX * NS_PER_MS /* of the kernel */,
     .may_be_off = true, .help = "how long sent bytes may stay unacknowledged"},
    {SERVICE("tcp_fastopen", tcp_fastopen), .default_text = "no",
     .set = setter_bool, .help = "take data in a client's SYN"},
    {SERVICE("tcp_notsent_lowat", tcp_notsent_lowat), .default_text = "32K",
     .set = setter_size, .max = INT32_MAX, .may_be_off = true,
     .help = "unsent bytes that the kernel may queue for one peer"},
    {SERVICE("backlog", backlog), .default_text = "4096", .set = setter_number,
     .min = 1, .max = 65535,
     .help = "connections that may wait to be accepted"},
    {SERVICE("access_log", access_log), .set = setter_bool,
     .help = "as in [global], for this service"},
};

const size_t key_table_count = ARRAY_LEN(key_table);

_Static_assert(ARRAY_LEN(key_table) <= KEY_TABLE_MAX, "too many rows");

/* ---- one row ---- */

const struct key *key_table_find(enum key_section section, const char *name)
{
    for (size_t i = 0; i < key_table_count; i++) {
        if (key_table[i].section == section &&
            strcmp(key_table[i].name, name) == 0) {
            return &key_table[i];
        }
    }
    return NULL;
}

#define NAME_MAX_BYTES 40 /* longer names are similar to none */

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

/* A distance at which two names are no longer similar. 0: none is similar. */
static unsigned distance_limit(const char *name)
{
    size_t length = strnlen(name, NAME_MAX_BYTES);

    return length == NAME_MAX_BYTES ? 0 : least(3, (unsigned)length / 2 + 1);
}

const char *key_table_nearest(const char *const *names, unsigned count,
                              const char *name)
{
    unsigned best = distance_limit(name);
    const char *nearest = NULL;

    for (unsigned i = 0; i < count && best > 0; i++) {
        unsigned edits = distance(names[i], name);

        if (edits < best) {
            best = edits;
            nearest = names[i];
        }
    }
    return nearest;
}

const struct key *key_table_suggest(enum key_section section, const char *name)
{
    const struct key *nearest = NULL;
    unsigned best = distance_limit(name);

    if (best == 0) {
        return NULL;
    }
    for (size_t i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];
        unsigned edits;

        if (key->section != section) {
            continue;
        }
        edits = distance(key->name, name);
        if (edits < best) {
            best = edits;
            nearest = key;
        }
    }
    return nearest;
}

/* ---- all rows of a section ---- */

const char *key_table_set_defaults(enum key_section section, void *fields)
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

void key_table_clear(enum key_section section, void *fields)
{
    for (size_t i = 0; i < key_table_count; i++) {
        if (key_table[i].section == section) {
            key_clear(&key_table[i], fields);
        }
    }
}
