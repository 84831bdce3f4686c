#include "config/key.h"

#include "config/append.h"
#include "config/config.h"
#include "config/setter.h"

#include <string.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define TIB (1024 * 1024 * MIB)

/* ---- the table ---- */

const char *const key_section_names[] = {
    [KEY_GLOBAL] = "global",
    [KEY_SERVICE] = "service",
};

static const char *const log_levels[] = {"error", "warn", "info", "debug"};
static const char *const modes[] = {"tcp", "udp"};
static const char *const balances[] = {"source", "roundrobin", "leastconn",
                                       "random"};
static const char *const health_checks[] = {"off", "tcp"};
static const char *const off_on[] = {"off", "on"};
static const char *const tls_versions[] = {"1.2", "1.3"};

static const char no_tls[] = "this build has no TLS (make TLS=1 builds it in)";

#define FIELD(type, member)                                                    \
    .offset = offsetof(type, member), .width = sizeof(((type *)0)->member)
#define GLOBAL(member) .section = KEY_GLOBAL, FIELD(struct config, member)
#define SERVICE(member)                                                        \
    .section = KEY_SERVICE, FIELD(struct config_service, member)
#define WITH_TLS(setter) .set = EVPROXY_TLS ? (setter) : NULL, .lack = no_tls
#define CHOICES(names)   .choices = (names), .choice_count = ARRAY_LEN(names)

const struct key key_table[] = {
    {
        .name = "workers",
        GLOBAL(workers),
        .default_text = "auto",
        .set = setter_workers,
        .min = 1,
        .max = 1024,
        .restart = true,
        .help = "worker threads; auto: one for each usable CPU",
    },
    {
        .name = "max_connections",
        GLOBAL(max_connections),
        .default_text = "0",
        .set = setter_limit,
        .max = CONFIG_CONNECTIONS_MAX,
        .help = "over all services; 0: what RLIMIT_NOFILE allows",
    },
    {
        .name = "buffer_memory",
        GLOBAL(buffer_memory),
        .default_text = "256M",
        .set = setter_size,
        .min = MIB,
        .max = TIB,
        .restart = true,
        .help = "ceiling of memory for bytes in flight, half each direction",
    },
    {
        .name = "buffer_size",
        GLOBAL(buffer_size),
        .default_text = "16K",
        .set = setter_block_size,
        .min = 4 * KIB,
        .max = MIB,
        .restart = true,
        .help = "one lent block, a multiple of 4K",
    },
    {
        .name = "drain_timeout",
        GLOBAL(drain_timeout_ns),
        .default_text = "30s",
        .set = setter_time,
        .help = "how long connections may finish after SIGTERM",
    },
    {
        .name = "stats_interval",
        GLOBAL(stats_interval_ns),
        .default_text = "off",
        .set = setter_time,
        .help = "write the stats lines this often",
    },
    {
        .name = "log_level",
        GLOBAL(log_level),
        .default_text = "info",
        .set = setter_choice,
        CHOICES(log_levels),
        .min = LOG_ERROR,
        .help = "error, warn, info or debug",
    },
    {
        .name = "access_log",
        GLOBAL(access_log),
        .default_text = "no",
        .set = setter_bool,
        .help = "one line when a connection ends",
    },
    {
        .name = "user",
        GLOBAL(user),
        .set = setter_text,
        .restart = true,
        .help = "drop root to this user once the listeners are open",
    },
    {
        .name = "group",
        GLOBAL(group),
        .set = setter_text,
        .restart = true,
        .help = "and to this group; without it, the user's",
    },
    {
        .name = "metrics_listen",
        .section = KEY_GLOBAL,
        .default_text = "off",
        .default_taken = true,
        .help = "HTTP address that answers /metrics and /healthz",
    },

    {
        .name = "mode",
        SERVICE(mode),
        .default_text = "tcp",
        .set = setter_choice,
        CHOICES(modes),
        .min = CONFIG_TCP,
        .help = "tcp or udp",
    },
    {
        .name = "listen",
        SERVICE(listens),
        .set = append_listen,
        .required = true,
        .repeatable = true,
        .help = "address to accept on: 127.0.0.1:80, [::1]:80, :80, unix:/path",
    },
    {
        .name = "upstream",
        SERVICE(upstreams),
        .set = append_upstream,
        .required = true,
        .repeatable = true,
        .help = "ADDRESS [weight=1..256] [backup] [max_connections=N]",
    },
    {
        .name = "balance",
        SERVICE(balance),
        .default_text = "source",
        .set = setter_choice,
        CHOICES(balances),
        .min = BALANCE_SOURCE,
        .help = "source, roundrobin, leastconn or random",
    },
    {
        .name = "hash_prefix_v4",
        SERVICE(hash_prefix_v4),
        .default_text = "32",
        .set = setter_number,
        .max = 32,
        .help = "leading bits of an IPv4 source that balance = source takes",
    },
    {
        .name = "hash_prefix_v6",
        SERVICE(hash_prefix_v6),
        .default_text = "128",
        .set = setter_number,
        .max = 128,
        .help = "leading bits of an IPv6 source that balance = source takes",
    },
    {
        .name = "connect_timeout",
        SERVICE(connect_timeout_ns),
        .default_text = "5s",
        .set = setter_time,
        .help = "one attempt to connect to an upstream",
    },
    {
        .name = "connect_attempts",
        SERVICE(connect_attempts),
        .default_text = "3",
        .set = setter_number,
        .min = 1,
        .max = 1000,
        .help = "upstreams tried in turn before the client is let go",
    },
    {
        .name = "idle_timeout",
        SERVICE(idle_timeout_ns),
        .default_text = "10m",
        .set = setter_time,
        .help = "no byte has moved in either direction",
    },
    {
        .name = "read_timeout",
        SERVICE(read_timeout_ns),
        .default_text = "off",
        .set = setter_time,
        .help = "an open side has sent nothing",
    },
    {
        .name = "write_timeout",
        SERVICE(write_timeout_ns),
        .default_text = "30s",
        .set = setter_time,
        .help = "bytes wait for a peer and it takes none",
    },
    {
        .name = "half_close_timeout",
        SERVICE(half_close_timeout_ns),
        .default_text = "30s",
        .set = setter_time,
        .help = "one side has ended and the other moves nothing",
    },
    {
        .name = "header_timeout",
        SERVICE(header_timeout_ns),
        .default_text = "5s",
        .set = setter_time,
        .help = "from accept until the first headers are complete",
    },
    {
        .name = "max_lifetime",
        SERVICE(max_lifetime_ns),
        .default_text = "off",
        .set = setter_time,
        .help = "of a connection, less up to 10 % at random",
    },
    {
        .name = "rate_up",
        SERVICE(rate_up),
        .default_text = "off",
        .set = setter_rate,
        .help = "bytes per second of one connection, client to upstream",
    },
    {
        .name = "rate_down",
        SERVICE(rate_down),
        .default_text = "off",
        .set = setter_rate,
        .help = "bytes per second of one connection, upstream to client",
    },
    {
        .name = "service_rate_up",
        SERVICE(service_rate_up),
        .default_text = "off",
        .set = setter_rate,
        .help = "as rate_up, shared by the service's connections",
    },
    {
        .name = "service_rate_down",
        SERVICE(service_rate_down),
        .default_text = "off",
        .set = setter_rate,
        .help = "as rate_down, shared by the service's connections",
    },
    {
        .name = "rate_burst",
        SERVICE(rate_burst),
        .default_text = "64K",
        .set = setter_size,
        .min = 1,
        .max = TIB,
        .help = "bytes that may pass at once under a rate",
    },
    {
        .name = "max_connections",
        SERVICE(max_connections),
        .default_text = "off",
        .set = setter_limit,
        .max = CONFIG_CONNECTIONS_MAX,
        .help = "of the service",
    },
    {
        .name = "max_connections_per_source",
        SERVICE(max_connections_per_source),
        .default_text = "off",
        .set = setter_limit,
        .max = CONFIG_CONNECTIONS_MAX,
        .help = "of one client address",
    },
    {
        .name = "accept_rate",
        SERVICE(accept_rate),
        .default_text = "off",
        .set = setter_limit,
        .max = CONFIG_CONNECTIONS_MAX,
        .help = "new connections per second",
    },
    {
        .name = "accept_rate_per_source",
        SERVICE(accept_rate_per_source),
        .default_text = "off",
        .set = setter_limit,
        .max = CONFIG_CONNECTIONS_MAX,
        .help = "new connections per second of one client address",
    },
    {
        .name = "allow",
        SERVICE(rules),
        .set = append_rule,
        .min = true,
        .repeatable = true,
        .help = "network let in; the first match in the file decides",
    },
    {
        .name = "deny",
        SERVICE(rules),
        .set = append_rule,
        .min = false,
        .repeatable = true,
        .help = "network kept out; with any allow, the rest is denied",
    },
    {
        .name = "health_check",
        SERVICE(health_check),
        .default_text = "off",
        .set = setter_choice,
        CHOICES(health_checks),
        .help = "tcp: connect to each upstream every health_interval",
    },
    {
        .name = "health_interval",
        SERVICE(health_interval_ns),
        .default_text = "2s",
        .set = setter_time,
        .min = 1,
        .help = "from one check of an upstream to the next",
    },
    {
        .name = "health_timeout",
        SERVICE(health_timeout_ns),
        .default_text = "1s",
        .set = setter_time,
        .min = 1,
        .help = "a check that takes longer has failed",
    },
    {
        .name = "health_rise",
        SERVICE(health_rise),
        .default_text = "2",
        .set = setter_number,
        .min = 1,
        .max = 1000,
        .help = "good checks in a row that bring an upstream up",
    },
    {
        .name = "health_fall",
        SERVICE(health_fall),
        .default_text = "3",
        .set = setter_number,
        .min = 1,
        .max = 1000,
        .help = "failed checks in a row that take an upstream down",
    },
    {
        .name = "fail_threshold",
        SERVICE(fail_threshold),
        .default_text = "5",
        .set = setter_limit,
        .max = 1000,
        .help = "failed connects in fail_window that take an upstream down",
    },
    {
        .name = "fail_window",
        SERVICE(fail_window_ns),
        .default_text = "30s",
        .set = setter_time,
        .min = 1,
        .help =
            "time for fail_threshold, and between tries of one that is down",
    },
    {
        .name = "source_address",
        SERVICE(sources),
        .set = append_sources,
        .help = "local addresses for upstream connections: A, B-C, ...",
    },
    {
        .name = "proxy_protocol",
        SERVICE(proxy_protocol),
        .default_text = "off",
        .set = setter_choice,
        CHOICES(off_on),
        .help = "on: a PROXY header, v1 or v2, must come first",
    },
    {
        .name = "proxy_protocol_from",
        .section = KEY_SERVICE,
        .set = append_senders,
        .repeatable = true,
        .help = "networks that may send a PROXY header",
    },
    {
        .name = "sni",
        .section = KEY_SERVICE,
        .set = append_names,
        .help = "host names of the ClientHello that this service takes",
    },
    {
        .name = "tls_certificate",
        SERVICE(tls_certificates),
        WITH_TLS(append_certificate),
        .repeatable = true,
        .help = "PEM file of a certificate and its chain: TLS ends here",
    },
    {
        .name = "tls_key",
        SERVICE(tls_keys),
        WITH_TLS(append_key),
        .repeatable = true,
        .help = "PEM file: the certificate's key, if it is not in its file",
    },
    {
        .name = "tls_client_ca",
        SERVICE(tls_client_ca),
        WITH_TLS(setter_file),
        .help = "PEM file: clients must present a certificate that this signs",
    },
    {
        .name = "tls_min_version",
        SERVICE(tls_min_version),
        .default_text = "1.2",
        WITH_TLS(setter_choice),
        CHOICES(tls_versions),
        .min = CONFIG_TLS_1_2,
        .default_taken = true,
        .help = "oldest TLS version spoken with clients: 1.2 or 1.3",
    },
    {
        .name = "tls_alpn",
        SERVICE(tls_alpn),
        WITH_TLS(append_protocols),
        .help = "protocols to agree on, the preferred one first: h2, http/1.1",
    },
    {
        .name = "upstream_tls",
        SERVICE(upstream_tls),
        .default_text = "no",
        WITH_TLS(setter_bool),
        .default_taken = true,
        .help = "speak TLS to upstreams",
    },
    {
        .name = "upstream_tls_ca",
        SERVICE(upstream_tls_ca),
        WITH_TLS(setter_upstream_ca),
        .help = "PEM file: whom to trust as an upstream; off: anyone",
    },
    {
        .name = "upstream_tls_name",
        SERVICE(upstream_tls_name),
        WITH_TLS(setter_peer_name),
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
        .set = setter_limit,
        .max = UINT32_MAX,
        .help = "a UDP session ends after so many replies",
    },
    {
        .name = "max_sessions",
        SERVICE(max_sessions),
        .default_text = "65536",
        .set = setter_limit,
        .max = CONFIG_CONNECTIONS_MAX,
        .help = "UDP sessions of the service; past it the longest idle goes",
    },
    {
        .name = "tcp_keepalive",
        SERVICE(tcp_keepalive_ns),
        .default_text = "60s",
        .set = setter_time,
        .max = 32767 * NS_PER_S, /* the kernel's own bound */
        .help = "idle time before keepalive probes, both sides",
    },
    {
        .name = "tcp_user_timeout",
        SERVICE(tcp_user_timeout_ns),
        .default_text = "off",
        .set = setter_time,
        .max = INT32_MAX * NS_PER_MS, /* an int of milliseconds */
        .help = "sent bytes stay unacknowledged for so long",
    },
    {
        .name = "tcp_fastopen",
        SERVICE(tcp_fastopen),
        .default_text = "no",
        .set = setter_bool,
        .help = "take data in a client's SYN",
    },
    {
        .name = "tcp_notsent_lowat",
        SERVICE(tcp_notsent_lowat),
        .default_text = "32K",
        .set = setter_size,
        .max = INT32_MAX,
        .help = "unsent bytes that the kernel may queue for one peer",
    },
    {
        .name = "backlog",
        SERVICE(backlog),
        .default_text = "4096",
        .set = setter_number,
        .min = 1,
        .max = 65535,
        .help = "connections that may wait to be accepted",
    },
    {
        .name = "access_log",
        SERVICE(access_log),
        .set = setter_bool,
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

    if (key->set == setter_text) {
        const char *text_a;
        const char *text_b;

        memcpy(&text_a, at_a, sizeof(text_a));
        memcpy(&text_b, at_b, sizeof(text_b));
        return text_equal(text_a, text_b);
    }
    return memcmp(at_a, at_b, key->width) == 0;
}
