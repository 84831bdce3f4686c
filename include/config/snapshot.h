/*
 * snapshot: what a configuration says, as structs. It has types only; what can
 * be done with a snapshot is in config/config.h.
 *
 * Each field but names, lines, sharers and what is made of others belongs to a
 * row of config/key_table.h, which sets its default, compares, copies and frees
 * it.
 */
#ifndef EVPROXY_CONFIG_SNAPSHOT_H
#define EVPROXY_CONFIG_SNAPSHOT_H

#include "base/addr.h"
#include "base/address.h"
#include "base/log.h"
#include "base/network_tree.h"
#include "config/access.h"
#include "config/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_NAME_MAX      129 /* a service's name of 128 bytes, and a zero */
#define CONFIG_UPSTREAMS_MAX 65535 /* of one service, after resolving */
#define CONFIG_ALPN_MAX      32    /* protocols of one service */

/* The greatest limit of connections; each has two descriptors. */
#define CONFIG_CONNECTIONS_MAX (UINT64_C(1) << 27)

enum config_mode { CONFIG_TCP, CONFIG_UDP };

enum config_balance {
    BALANCE_SOURCE,
    BALANCE_ROUNDROBIN,
    BALANCE_LEASTCONN,
    BALANCE_RANDOM,
    BALANCE_FIRST,
};

/* What a check of an upstream does; see control/health_talk.h. */
enum config_health { HEALTH_OFF, HEALTH_TCP, HEALTH_HTTP, HEALTH_EXPECT };

/* What becomes of an upstream's connections when a check takes it out. */
enum config_on_down { ON_DOWN_KEEP, ON_DOWN_RESET };

struct config_listen {
    struct address address; /* never a name */
    uint16_t last_port;     /* its own port or above, of a range; of a path 0 */
    unsigned line;
};

/* Which PROXY header an upstream is sent. */
enum config_proxy {
    PROXY_OFF,
    PROXY_V1,
    PROXY_V2,
    PROXY_V2_EACH, /* UDP: before each datagram */
};

struct config_upstream {
    struct address address;
    uint32_t weight; /* 1 to 256 */
    bool backup;
    bool drain;               /* no new connections */
    uint32_t max_connections; /* 0: no limit */
    enum config_proxy proxy_protocol;
    unsigned line;
};

/* The clients that a rule applies to. */
enum config_clients {
    CLIENTS_NETWORK,
    CLIENTS_UNIX, /* those without an IP address */
    CLIENTS_ALL,
    CLIENTS_FILE, /* of networks */
};

struct config_rule {
    char *path;             /* of CLIENTS_FILE; else NULL */
    struct network network; /* of CLIENTS_NETWORK */
    enum config_clients clients;
    bool allow;
    unsigned line;
};

/* Local addresses from first to last, both included, of one family. */
struct config_range {
    struct addr first;
    struct addr last;
};

/* A file that a key names. It is not opened here. */
struct config_file {
    char *path;    /* NULL: none */
    bool off;      /* the key is set to "off", which differs from no file */
    unsigned line; /* where the key is set */
};

/* Bytes of any value; NULL: none. */
struct config_bytes {
    char *bytes;
    size_t count;
};

/* One question and answer of health_check = expect. */
struct config_exchange {
    struct config_bytes send;   /* none: nothing is sent */
    struct config_bytes expect; /* none: not given yet, an error */
    unsigned line;
};

#define CONFIG_STATUS_END 1000 /* HTTP statuses are 100 to 999 */

struct config_statuses {
    uint64_t bits[(CONFIG_STATUS_END + 63) / 64]; /* bit n: status n is one */
};

enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };

/* Times are in nanoseconds, sizes in bytes, and 0 is off, unless said
 * otherwise. */
struct config_service {
    char *name;    /* fits CONFIG_NAME_MAX; has no control character */
    unsigned line; /* of its section */
    enum config_mode mode;
    struct config_listen *listens;
    size_t listen_count;
    struct config_upstream *upstreams;
    size_t upstream_count;

    enum config_balance balance;
    uint32_t balance_bound; /* percent of an upstream's share */
    uint64_t queue_timeout_ns;
    uint64_t slow_start_ns;
    enum config_on_down on_down;
    unsigned hash_prefix_v4;   /* bits, 0 to 32 */
    unsigned hash_prefix_v6;   /* bits, 0 to 128 */
    unsigned source_prefix_v4; /* the same of what counts as one source */
    unsigned source_prefix_v6;

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
    uint64_t rate_up_per_source;
    uint64_t rate_down_per_source;
    uint64_t rate_burst;
    uint64_t rate_burst_up; /* 0: rate_burst */
    uint64_t rate_burst_down;

    uint32_t max_connections;
    uint32_t max_connections_per_source;
    uint64_t accept_rate; /* connections per second */
    uint64_t accept_rate_per_source;
    struct config_rule *rules; /* allow and deny, in the order of the file */
    size_t rule_count;
    struct access access; /* made of them */

    enum config_health health_check;
    uint32_t health_port; /* 0: the upstream's */
    bool health_tls;
    char *health_path;
    char *health_host; /* NULL: the upstream's */
    struct config_statuses health_status;
    struct config_exchange *health_exchanges; /* health_send, health_expect */
    size_t health_exchange_count;
    uint64_t health_interval_ns;
    uint64_t health_timeout_ns;
    uint32_t health_rise;
    uint32_t health_fall;
    uint32_t fail_threshold; /* 0: passive checks are off */
    uint64_t fail_window_ns;
    uint64_t resolve_interval_ns; /* not 0 */

    struct config_range *sources; /* source_address */
    size_t source_count;

    bool freebind; /* the listen addresses may be missing on the machine */
    bool mptcp;    /* clients may come by Multipath TCP */

    bool proxy_protocol;        /* a PROXY header must come first */
    struct network *proxy_from; /* senders of it; not empty if it must come */
    size_t proxy_from_count;
    struct network_tree proxy_senders; /* made of them; every value is true */

    char **sni; /* server names, as patterns of wire/client_hello.h; none: the
                   service takes the names that no other service takes */
    size_t sni_count;
    char **alpn; /* the client must offer one of these protocols; none: any */
    size_t alpn_count;

    struct config_file *tls_certificates; /* none: no TLS ends here */
    size_t tls_certificate_count;
    struct config_file *tls_keys; /* one each; none: in the same files */
    size_t tls_key_count;
    struct config_file tls_client_ca;
    enum config_tls_version tls_min_version; /* with clients */
    struct config_file tls_ticket_keys; /* none: the process makes its own */
    char **tls_alpn;                    /* protocols, the preferred one first */
    size_t tls_alpn_count;
    bool upstream_tls;
    struct config_file upstream_tls_ca; /* none: those that the system trusts;
                                           off: nobody is verified */
    struct config_file upstream_tls_certificate; /* shown to upstreams */
    struct config_file upstream_tls_key;         /* none: in the same file */
    char *upstream_tls_name; /* NULL: the host of the upstream's address */

    uint32_t udp_responses;
    uint32_t max_sessions;
    uint32_t udp_receive_buffer; /* bytes; 0: the kernel's default */

    uint64_t tcp_keepalive_ns;
    uint64_t tcp_user_timeout_ns;
    bool tcp_fastopen;
    uint64_t tcp_notsent_lowat; /* bytes; 0: the kernel's default */
    uint32_t backlog;
    bool access_log;
};

/* Whether it takes only what its server names or protocols say. */
static inline bool config_is_named(const struct config_service *service)
{
    return service->sni_count > 0 || service->alpn_count > 0;
}

struct config {
    struct config_errors warnings; /* doubts about values */
    unsigned workers;              /* 0: auto */
    uint32_t max_connections;      /* 0: as many as the descriptors allow */
    unsigned max_connections_line;
    uint64_t buffer_memory;
    unsigned buffer_memory_line; /* 0: it is the default */
    uint32_t buffer_size;
    uint64_t drain_timeout_ns;
    uint64_t drain_delay_ns;
    bool drain_spread;
    uint64_t stats_interval_ns;
    enum log_level log_level;
    bool access_log;
    char *user;  /* NULL: stay the user of the start */
    char *group; /* NULL: the user's */
    unsigned user_line;
    unsigned group_line;
    struct config_listen metrics_listen; /* no endpoint: off */
    struct config_service *services;
    size_t service_count;
    unsigned sharers; /* config_share; control thread */
};

#endif
