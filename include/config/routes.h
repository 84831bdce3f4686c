/*
 * routes: which of a configuration's own services a connection to an address
 * reaches. Pure.
 *
 *      service ──upstream──▶ listen address ──▶ service ──upstream──▶ ...
 *
 * The services and the upstreams that end at one of their listen addresses are
 * a graph. A chain in it is fine. A ring is a loop: a connection that enters it
 * runs round until the machine has nothing left. So a route is added only if it
 * closes no ring.
 *
 * What the graph does not know: what others make of a connection on its way (a
 * proxy, a firewall's redirect), and addresses that the machine gets later.
 * Where server names tell services apart at an address, a route is only what
 * holds for each connection. What is missed here proxy/loop_guard.h ends.
 */
#ifndef EVPROXY_CONFIG_ROUTES_H
#define EVPROXY_CONFIG_ROUTES_H

#include "base/base.h"
#include "config/snapshot.h"

struct routes;

/* Answers of routes_add besides -1. */
enum { ROUTES_ADDED, ROUTES_LOOP };

/* Room for any sentence of routes_add. */
#define ROUTES_TEXT_MAX 192

/*
 * A graph without routes. local: addresses of this machine besides the loopback
 * ones; their ports are not looked at. The config must live as long. NULL with
 * errno = ENOMEM.
 */
struct routes *routes_create(const struct config *config,
                             const struct endpoint *local,
                             size_t count) WARN_UNUSED;

/* NULL is harmless. */
void routes_destroy(struct routes *routes);

/*
 * Connections of that service may go to the endpoint, by an upstream in that
 * line. ROUTES_LOOP: they would come back to the service. Then nothing is
 * added, and text says how, to follow the name of the upstream: "is where this
 * service listens (line 2): a loop". -1 with errno = ENOMEM.
 */
int routes_add(struct routes *routes, size_t service,
               const struct endpoint *endpoint, unsigned line,
               char text[ROUTES_TEXT_MAX]) WARN_UNUSED;

/* Whether an upstream names its address, and is not a name to be looked up. */
static inline bool routes_known(const struct config_upstream *upstream)
{
    return !address_is_name(&upstream->address);
}

#endif
