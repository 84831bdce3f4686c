/*
 * generation: one configuration at run time. A connection keeps the generation
 * that it began with until its end.
 *
 *      generation ──▶ service[]      see service/service.h
 *          └────────▶ listen[]       sockets, one for each worker
 *
 * The control thread builds it from a snapshot and the generation before;
 * afterwards it is immutable. Workers get it by message and count their
 * sessions on it. A worker sends it back when it has a newer one and its last
 * session on this one has ended. When all have, the control thread destroys it.
 */
#ifndef EVPROXY_SERVICE_GENERATION_H
#define EVPROXY_SERVICE_GENERATION_H

#include "base/endpoint.h"
#include "base/list.h"
#include "config/config.h"
#include "service/resolution.h"
#include "service/service.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One listening address and its sockets; owned by the control thread. */
struct listen_socket {
    struct endpoint endpoint;
    struct service *service; /* for connections that match no service by name;
                                the first of the named ones if all have names */
    struct service **named;  /* services with server names (sni) */
    size_t named_count;
    uint32_t source_max; /* connections that all its services together let one
                            source have; UINT32_MAX: one has no such limit */
    struct network_prefixes source_prefixes; /* the longest of its services */
    uint64_t key; /* a hash of the endpoint, the same over reloads */

    /* One for each worker (of a unix socket: duplicates), which closes it when
     * it stops listening; shared with the generations before and after that
     * keep it open. -1: the worker has none, as fewer sockets for datagrams
     * were inherited. */
    int *fds;
    uint32_t *dropped; /* of UDP, one for each: the datagrams that the kernel
                          dropped there which are counted, modulo 2^32; shared
                          in the same way; control thread */
    bool inherited;    /* the service manager has the sockets too */
    bool freebind;     /* as its services have it: any of them, */
    bool multipath;    /* all of them */
};

/* One worker's sessions: on a line of its own, as each connection writes it
 * twice. */
struct generation_sessions {
    _Alignas(CACHE_LINE_BYTES) uint32_t count;
};

struct generation {
    uint64_t number;       /* from 1 */
    struct config *config; /* owned */
    struct service *services;
    size_t service_count;
    struct listen_socket *listens;
    size_t listen_count;
    unsigned workers;
    struct list link; /* in the ring of living generations, from the oldest to
                         the newest, without a head; control thread */
    bool drops_held;  /* see control/kernel_drops.h; control thread */
    unsigned holders; /* workers and the control plane, while they use it; 0
                         until it is handed out; control thread */
    struct generation_sessions *sessions; /* one for each worker, which alone
                                             writes it */
};

/*
 * Takes the config, which is destroyed with the generation; on failure it stays
 * the caller's, and nothing has changed. Each service takes the state and the
 * upstreams of the newest service of its name (service_init), from previous
 * (NULL at the start; of the same number of workers) or from an older living
 * generation, which connections may still hold.
 *
 * listens has an entry for each address of each mode, in the order of the
 * config, with fds NULL: the caller opens the sockets or carries them over.
 * connections: what the process can hold. NULL with errno: ENOMEM, or E2BIG as
 * service_init.
 */
struct generation *
generation_create(struct config *config, struct generation *previous,
                  unsigned workers, uint32_t connections,
                  const struct resolution_names *names) WARN_UNUSED;

/* How many upstreams its services have. */
uint32_t generation_upstreams(const struct generation *generation);

/* Harmless with NULL. Does not touch the descriptors or the fds arrays. Control
 * thread. */
void generation_destroy(struct generation *generation);

#endif
