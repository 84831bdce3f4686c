/*
 * config: a configuration file as an immutable, counted snapshot.
 *
 * What a key is called, takes and means is a row of the table in config/key.h;
 * config/draft.h takes a file's lines by it, and config/check.h looks at the
 * whole. Pure but for config_load, which
 * reads the file: text in; a snapshot, or every error with its line, out.
 * Whether an address can be opened or a user exists is not known here: that is
 * the start's to find out.
 *
 * A snapshot never changes after config_parse answered it. Only the control
 * thread holds and drops it; sessions reach it through their generation.
 */
#ifndef EVPROXY_CONFIG_CONFIG_H
#define EVPROXY_CONFIG_CONFIG_H

#include "base/addr.h"
#include "base/address.h"
#include "base/base.h"
#include "base/log.h"
#include "base/network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONFIG_DEFAULT_FILE  "/etc/evproxy/evproxy.ini"
#define CONFIG_UPSTREAMS_MAX 65535 /* of one service, after resolving */
#define CONFIG_ALPN_MAX      32    /* protocols of one service */
#define CONFIG_UDP_IDLE_NS   (60 * NS_PER_S) /* idle_timeout's default there */
#define CONFIG_ERRORS_MAX    100 /* of one text; one more tells of the rest */

/* The greatest limit of connections, which have two descriptors each. */
#define CONFIG_CONNECTIONS_MAX (UINT64_C(1) << 27)

enum config_mode { CONFIG_TCP, CONFIG_UDP };

enum config_balance {
    BALANCE_SOURCE,
    BALANCE_ROUNDROBIN,
    BALANCE_LEASTCONN,
    BALANCE_RANDOM,
};

struct config_listen {
    struct address address; /* never a name */
    unsigned line;
};

/* Which PROXY header an upstream is sent. */
enum config_proxy { PROXY_OFF, PROXY_V1, PROXY_V2 };

struct config_upstream {
    struct address address;
    uint32_t weight; /* 1 to 256 */
    bool backup;
    uint32_t max_connections; /* 0: no limit */
    enum config_proxy proxy_protocol;
    unsigned line;
};

struct config_rule {
    struct network network;
    bool allow;
};

/* Local addresses from first to last, both included, of one family. */
struct config_range {
    struct addr first;
    struct addr last;
};

/* A file that a key names, and where; not opened here. path NULL: none. */
struct config_file {
    char *path;
    unsigned line;
};

enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };

/* Times are in nanoseconds, sizes in bytes, 0 is off, unless said otherwise. */
struct config_service {
    char *name;
    unsigned line; /* of its section */
    enum config_mode mode;
    struct config_listen *listens;
    size_t listen_count;
    struct config_upstream *upstreams;
    size_t upstream_count;

    enum config_balance balance;
    unsigned hash_prefix_v4; /* bits, 0 to 32 */
    unsigned hash_prefix_v6; /* bits, 0 to 128 */

    uint64_t connect_timeout_ns;
    uint32_t connect_attempts; /* at least 1 */
    uint64_t idle_timeout_ns;
    uint64_t read_timeout_ns;
    uint64_t write_timeout_ns;
    uint64_t half_close_timeout_ns;
    uint64_t header_timeout_ns;
    uint64_t max_lifetime_ns;

    uint64_t rate_up; /* bytes per second */
    uint64_t rate_down;
    uint64_t service_rate_up;
    uint64_t service_rate_down;
    uint64_t rate_burst;

    uint32_t max_connections;
    uint32_t max_connections_per_source;
    uint64_t accept_rate; /* connections per second */
    uint64_t accept_rate_per_source;
    struct config_rule *rules; /* allow and deny, in the order of the file */
    size_t rule_count;

    bool health_check;
    uint64_t health_interval_ns;
    uint64_t health_timeout_ns;
    uint32_t health_rise;
    uint32_t health_fall;
    uint32_t fail_threshold; /* 0: passive checks are off */
    uint64_t fail_window_ns;

    struct config_range *sources; /* source_address */
    size_t source_count;

    bool proxy_protocol;        /* a PROXY header must come first */
    struct network *proxy_from; /* who may send one; not empty then */
    size_t proxy_from_count;

    char **sni; /* server names, patterns of client_hello.h; none: it takes the
                   rest */
    size_t sni_count;

    struct config_file *tls_certificates; /* none: no TLS ends here */
    size_t tls_certificate_count;
    struct config_file *tls_keys; /* one each; none: in the same files */
    size_t tls_key_count;
    struct config_file tls_client_ca;
    enum config_tls_version tls_min_version; /* with clients */
    char **tls_alpn; /* protocols, the preferred one first */
    size_t tls_alpn_count;
    bool upstream_tls;
    bool upstream_tls_unverified;       /* upstream_tls_ca = off */
    struct config_file upstream_tls_ca; /* none: whom the system trusts */
    char *upstream_tls_name; /* NULL: the host of the upstream's address */

    uint32_t udp_responses;
    uint32_t max_sessions;

    uint64_t tcp_keepalive_ns;
    uint64_t tcp_user_timeout_ns;
    bool tcp_fastopen;
    uint64_t tcp_notsent_lowat; /* bytes; 0: the kernel's own */
    uint32_t backlog;
    bool access_log; /* the global one unless the service has its own */
};

struct config {
    unsigned workers;         /* 0: auto */
    uint32_t max_connections; /* 0: what the descriptors allow */
    uint64_t buffer_memory;
    uint32_t buffer_size;
    uint64_t drain_timeout_ns;
    uint64_t stats_interval_ns;
    enum log_level log_level;
    bool access_log;
    char *user;  /* NULL: stay */
    char *group; /* NULL: the user's */
    struct config_service *services;
    size_t service_count;
};

/* What was wrong, in the order of the lines. An all-zero one is empty. */
struct config_error {
    unsigned line; /* 0: the error has no line */
    char *message; /* without a final stop */
};
struct config_errors {
    struct config_error *list;
    size_t count;
};

void config_errors_fini(struct config_errors *errors);

/* Adds one; where there is no memory for it, it is not added. */
void config_errors_add(struct config_errors *errors, unsigned line,
                       const char *format, ...) PRINTF(3, 4);

/*
 * A snapshot, owned by the caller, or NULL with at least one error added (none
 * only if there is no memory for it). All errors are found, not only the first,
 * up to CONFIG_ERRORS_MAX; those without a line stand last. A default that the
 * configuration left alone is filled in; workers stays 0 for auto.
 */
struct config *config_parse(const char *text, size_t count,
                            struct config_errors *errors) WARN_UNUSED;

/* The same from a file, read whole; a file that cannot be read, or is no
 * regular file or larger than 1 MiB, is an error without a line. */
struct config *config_load(const char *path,
                           struct config_errors *errors) WARN_UNUSED;

void config_destroy(struct config *config);

/*
 * Services that go by server name may share a listen address, which is opened
 * once: whether this listen of this service is the first with its address and
 * mode.
 */
bool config_listen_is_first(const struct config *config, size_t service,
                            size_t listen);

/*
 * The local address for connections of that family whose turn it is, of all
 * that source_address lists, one after the other; false if it lists none.
 */
bool config_source(const struct config_service *config, int family,
                   uint64_t turn, struct addr *source);

/*
 * The keys marked "restart" whose value differs between the two: calls fn with
 * the name of each. The caller keeps running with the old value.
 */
typedef void (*config_key_fn)(void *arg, const char *key);
void config_restart_keys(const struct config *running,
                         const struct config *wanted, config_key_fn fn,
                         void *arg);

/* One row of the key table, for the checks of the documents. */
struct config_key_info {
    const char *section; /* "global" or "service" */
    const char *name;
    const char *default_text; /* as in the sample file; "" if there is none */
    const char *help;         /* one line */
    bool required;            /* in each of its sections */
    bool available;           /* false: refused in this build */
    bool optional;            /* some builds have it and some have not */
};

/* Fills in the row of that number, or answers false after the last. */
bool config_key(size_t index, struct config_key_info *info) WARN_UNUSED;

#endif
