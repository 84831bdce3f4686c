/*
 * generation: one configuration at run time: what a connection is born with and
 * keeps until its end.
 *
 *      generation ──▶ service[] ──▶ state      counters, limits, rates: the
 *          │             │                     same over all reloads
 *          │             └────────▶ upstream[] likewise, by address
 *          └────────────▶ listen[]             sockets, one a worker
 *
 * Built by the control thread from a snapshot and the generation before;
 * immutable afterwards (the states, upstreams and the round robin cursor are
 * shared and have their own rules). Workers get it by message, count their
 * sessions on it, and mail it back when it is not their current one and its
 * last session has ended; the control thread frees it when all have.
 */
#ifndef EVPROXY_SERVICE_GENERATION_H
#define EVPROXY_SERVICE_GENERATION_H

#include "base/direction.h"
#include "base/list.h"
#include "base/rate.h"
#include "config/config.h"
#include "service/balance.h"
#include "service/limits.h"
#include "service/stats.h"
#include "service/upstream.h"

#include <stdatomic.h>
#include <stdint.h>

struct tls_context;

/* A service's identity: lives as long as a generation names it. */
struct service_state {
    char *name;
    struct service_counters *counters; /* one a worker */
    unsigned workers;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t active; /* all workers add and
                          subtract; counted only for max_connections */
    struct rate accept_rate;
    struct rate rate[DIRECTIONS]; /* service_rate_up, service_rate_down */
    struct limits *limits; /* by source; NULL until a generation asks for it */
    uint32_t holders;      /* control thread: generations that name it */
};

struct service {
    const struct config_service *config;
    struct generation *generation;
    struct service_state *state;
    struct upstream **upstreams;          /* addresses, after resolving */
    const struct config_upstream **lines; /* of each: its options */
    uint32_t upstream_count;
    struct balance balance;
    struct rate_limit rate[DIRECTIONS];         /* of one connection */
    struct rate_limit service_rate[DIRECTIONS]; /* of all */
    struct rate_limit accept_rate;
    bool sends_proxy;               /* some upstream wants a PROXY header */
    struct tls_context *tls_server; /* what clients are met with; NULL: no TLS
                                       ends here. See control/credentials.h */
    struct tls_context *tls_client; /* the same of upstreams */
    bool throttled;                 /* any of the four byte rates is set */
    _Atomic uint32_t source_cursor; /* any worker, relaxed: whose turn among
                                       the source addresses */
};

/* One listening address and its sockets; owned by the control thread. */
struct listen_socket {
    struct endpoint endpoint;
    struct service *service; /* takes what the others do not; or the first of
                                them, where every service goes by names */
    struct service **named;  /* services that take some server names */
    size_t named_count;
    int *fds; /* one a worker (of a unix socket: duplicates), which closes it
                 when it goes; shared with the generations before and after that
                 keep it open */
};

struct generation {
    uint64_t number;       /* from 1 */
    struct config *config; /* owned */
    struct service *services;
    size_t service_count;
    struct listen_socket *listens;
    size_t listen_count;
    unsigned workers;
    struct list
        by_age; /* control thread: a ring of all that live, by age; no head */
    unsigned holders;   /* control thread: those that have not done with it yet;
                           0 until it is given to any */
    uint32_t *sessions; /* one a worker, written by it alone */
};

/*
 * Looks up a name: the addresses, with the port, in a malloc'ed array that the
 * caller frees; 0 of them if it does not resolve.
 */
typedef size_t (*generation_resolve_fn)(const char *host, uint16_t port,
                                        struct endpoint **found);

/*
 * Takes the config (it is freed with the generation; on failure it stays the
 * caller's, and all is as it was) and carries the states and upstreams of the
 * same name and address over from previous (NULL at the start; the number of
 * workers is the same), or from whichever living generation before it has the
 * name: connections may hold one that previous lacks. A name stands for all its
 * addresses, each with the line's weight; one that does not resolve for an
 * upstream that is down, with "name:port" for its text. Of two lines with one
 * address the first counts.
 *
 * listens are laid out for each service and listen in the order of the config,
 * with fds NULL: the caller opens or carries them. connections: what the
 * process can hold. NULL with errno: ENOMEM, or E2BIG for more than
 * CONFIG_UPSTREAMS_MAX upstreams of a service.
 */
struct generation *generation_create(struct config *config,
                                     struct generation *previous,
                                     unsigned workers, uint32_t connections,
                                     generation_resolve_fn resolve) WARN_UNUSED;

/* Frees it, and the states and upstreams that no other generation holds. Does
 * not touch the descriptors or the fds arrays. Control thread. */
void generation_destroy(struct generation *generation);

#endif
