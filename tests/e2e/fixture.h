/*
 * fixture: a proxy with one service "web" and one upstream. Main thread only.
 *
 *      clients ──▶ front  evproxy ──▶ back  listener or server
 *
 * global and service are lines of the two sections, "" where there are none.
 */
#ifndef EVPROXY_TESTS_E2E_FIXTURE_H
#define EVPROXY_TESTS_E2E_FIXTURE_H

#include "loopback.h"
#include "proxy.h"
#include "server.h"

struct fixture {
    struct loopback front;
    struct loopback back;
    int listener;          /* at back; -1: not ours */
    struct server *server; /* at back, or NULL */
    struct proxy *proxy;
};

/* The test itself listens at back. The second form names the front address, and
 * options that follow the address of the upstream. */
void fixture_open(struct fixture *fixture, const char *global,
                  const char *service);
void fixture_open_at(struct fixture *fixture, const struct loopback *front,
                     const char *upstream_options, const char *global,
                     const char *service);

/* A server is at back, which fixture_close stops. */
void fixture_open_server(struct fixture *fixture, server_fn serve,
                         const void *arg, const char *global,
                         const char *service);

/* The test itself serves the upstream's address, back, or nobody does. */
void fixture_open_back(struct fixture *fixture, const struct loopback *back,
                       const char *global, const char *service);

/* Stops the proxy, as proxy_stop does. */
void fixture_close(struct fixture *fixture);

/* Reloads: the service "web" with these lines, and no [global] section; or
 * instead of it one of another name at another address, with the same upstream.
 */
void fixture_reload(struct fixture *fixture, const char *service);
void fixture_reload_other(struct fixture *fixture, const char *name,
                          const struct loopback *front);

#endif
