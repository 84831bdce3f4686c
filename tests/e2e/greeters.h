/*
 * greeters: several upstreams behind one service "web", each of which greets
 * with a letter, so that a client knows which one it got. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_GREETERS_H
#define EVPROXY_TESTS_E2E_GREETERS_H

#include "loopback.h"
#include "proxy.h"
#include "server.h"

#include <stddef.h>

#define GREETERS_MAX 16

struct greeters {
    unsigned count;
    struct loopback front;
    struct loopback back[GREETERS_MAX];
    struct server *server[GREETERS_MAX]; /* NULL: stopped */
    struct proxy *proxy;
};

/* options[i] follows the address of upstream i; NULL: none has any. service:
 * more lines of the service. */
void greeters_open(struct greeters *greeters, unsigned count,
                   const char *const *options, const char *service);
void greeters_close(struct greeters *greeters);

/* The servers alone, for a proxy that the caller starts. */
void greeters_start_all(struct greeters *greeters, unsigned count);
void greeters_stop_all(struct greeters *greeters);

void greeters_start(struct greeters *greeters, unsigned i);
void greeters_stop(struct greeters *greeters, unsigned i);

/* Writes a line "upstream = ..." for each from first on; text has size bytes.
 */
void greeters_list(const struct greeters *greeters, unsigned first,
                   const char *const *options, char *text, size_t size);

/* Which upstream a connection has got, by its greeting. */
unsigned greeters_read(int fd);

/* Connects from a source, or NULL, and reads the greeting: the connection; or
 * the upstream, with the connection closed again. */
int greeters_connect(const struct loopback *front, const char *source,
                     unsigned *upstream);
unsigned greeters_ask(const struct loopback *front, const char *source);

/* Asks so many times; counts[i] becomes how often upstream i answered. */
void greeters_count(const struct greeters *greeters, unsigned times,
                    unsigned *counts);

#endif
