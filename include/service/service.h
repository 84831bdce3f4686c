/*
 * service: one service of a generation, and its state, which it shares with the
 * services of the same name in other generations.
 *
 *      service ──▶ state         counters, limits, rates: over all reloads
 *         └──────▶ upstream[]    likewise, by address
 *
 * The control thread creates and destroys services; workers only read them. The
 * state, the upstreams and the cursors are shared and have their own rules.
 */
#ifndef EVPROXY_SERVICE_SERVICE_H
#define EVPROXY_SERVICE_SERVICE_H

#include "base/base.h"
#include "base/direction.h"
#include "base/rate.h"
#include "base/slab.h"
#include "config/config.h"
#include "service/balance.h"
#include "service/census.h"
#include "service/limits.h"
#include "service/queue.h"
#include "service/resolution.h"
#include "service/stats.h"
#include "service/upstream.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct generation;
struct history;
struct tls_context;

/* One worker's part of the lent blocks that a service's connections use. */
struct service_blocks {
    struct slab_account account;
    struct list queue; /* of struct relay, in state RELAY_MEMORY; not empty:
                          the account waits or has a grant */
};
struct service_memory {
    _Alignas(CACHE_LINE_BYTES) struct service_blocks blocks[DIRECTIONS];
};

/* What a service keeps over all reloads; it exists while a generation has a
 * service of the name. */
struct service_state {
    char *name;
    struct service_counters *counters; /* one for each worker, and the last for
                                          the control thread: what another
                                          process has counted */
    struct service_memory *memory;     /* likewise */
    unsigned workers;
    _Atomic uint64_t slow_until_ns; /* until then an upstream may be in
                          slow_start; the control thread writes, every pick
                          reads */
    struct queue queue;             /* for places at its upstreams */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t active; /* connections and UDP
                          sessions; all workers add and subtract, also without
                          max_connections, since a reload may set it */
    struct rate accept_rate;
    struct rate rate[DIRECTIONS]; /* service_rate_up, service_rate_down */
    struct source_table
        *sources;          /* by source; NULL until a generation needs it */
    struct census *census; /* of UDP sessions; NULL until it has mode = udp */
    uint32_t holders;      /* services that have it; control thread */
    struct list upstreams; /* all that live; control thread */
    bool down; /* all upstreams are, and the log says so; control/outages.h
                  has these two */
    uint32_t seen_up;        /* number of the upstream that was up */
    uint64_t sampled;        /* control thread: the last sample that has it, */
    uint32_t sample_index;   /* and where; see control/sample.h */
    uint32_t number;         /* control thread: in control/ledger.h */
    struct history *history; /* control thread; NULL: none is kept */
};

struct service {
    const struct config_service *config;
    struct generation *generation; /* that it belongs to */
    struct service_state *state;
    struct upstream **upstreams;          /* one for each resolved address */
    const struct config_upstream **lines; /* the options of each, but for its
                                             weight and whether it is a backup:
                                             see balance */
    char **targets; /* by upstream: the target of its SRV record, or NULL; NULL:
                       there are none */
    uint32_t upstream_count;
    struct balance balance;
    struct rate_limit rate[DIRECTIONS];         /* of one connection */
    struct rate_limit service_rate[DIRECTIONS]; /* of all together */
    struct rate_limit source_rate[DIRECTIONS];  /* of those of one source */
    struct rate_limit accept_rate;
    bool by_source; /* a limit or rate of sources is set: state->sources */
    bool throttled; /* any of the six byte rates is set */
    bool tells_tls; /* some upstream is sent PROXY headers of version 2 */
    struct tls_context *tls_server; /* for clients; NULL: without TLS. Set by
                                       control/credentials.h */
    struct tls_context *tls_client; /* for upstreams; likewise */
    struct tls_context *tls_check;  /* for their checks; likewise */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t source_cursor; /* any worker,
                            relaxed: the number of the next source address. Not
                            on a line that each connection reads */
};

/* What the client is a part of for the limits of sources. */
static inline struct network service_source(const struct service *service,
                                            const struct addr *client)
{
    return network_of(client,
                      (struct network_prefixes){
                          .v4 = (uint8_t)service->config->source_prefix_v4,
                          .v6 = (uint8_t)service->config->source_prefix_v6});
}

/*
 * Initialises memory that is all-zero except `generation`. Takes the state of
 * previous, the newest service of that name or NULL, and the upstreams that any
 * service of that name has, and creates those that none has. A name stands for
 * all its addresses, each with the weight of its line; for SRV names see
 * service/resolution.h. A name that does not resolve becomes one upstream that
 * is down, with "name:port" or "srv:name" as its text. Of two lines with one
 * address the first counts.
 *
 * -1 with errno: ENOMEM, or E2BIG for more than CONFIG_UPSTREAMS_MAX upstreams.
 * The caller calls service_fini in either case. Control thread.
 */
int service_init(struct service *service, const struct config_service *config,
                 const struct service *previous, unsigned workers,
                 const struct resolution_names *names) WARN_UNUSED;

/* Also destroys the state and the upstreams that no other service has. */
void service_fini(struct service *service);

/* The host name by which the upstream was found: the target of its SRV record,
 * or the name in its line. NULL: its line has an address. Any thread. */
const char *service_host(const struct service *service, uint32_t upstream);

/* The name that the certificate of the upstream at that place must have. NULL:
 * it is a unix socket, and any name will do. */
const char *service_upstream_name(const struct service *service, uint32_t place,
                                  char text[ADDR_TEXT_MAX]);

/* upstream_clear_down, for the control thread: an upstream that comes up by it
 * begins its slow_start. */
bool service_clear_down(const struct service *service,
                        struct upstream *upstream, uint32_t reason,
                        uint64_t now_ns);

#endif
