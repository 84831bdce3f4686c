/*
 * stats: the stats lines that the proxy writes when SIGUSR1 asks for them.
 *
 * A line is the process's (service NULL), a service's (upstream NULL) or an
 * upstream's. Each function asks anew, and fails the test if no answer comes.
 * Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_STATS_H
#define EVPROXY_TESTS_E2E_STATS_H

#include "proxy.h"

#include <stdbool.h>
#include <stdint.h>

/* Valid as long as the proxy. */
const char *stats_line(struct proxy *proxy, const char *service,
                       const char *upstream);

/* Whether there is such a line. */
bool stats_listed(struct proxy *proxy, const char *service,
                  const char *upstream);

/* The value of a key, and a wait until it is that. A peer may see a byte before
 * the worker that moved it has counted it, so a value that is to be reached is
 * waited for. */
uint64_t stats_get(struct proxy *proxy, const char *service,
                   const char *upstream, const char *key);
void stats_await(struct proxy *proxy, const char *service, const char *upstream,
                 const char *key, uint64_t value);

/* Waits until so many connections of the service "web" have ended with the
 * cause. */
void stats_await_cause(struct proxy *proxy, const char *cause, uint64_t count);

/* And that these were all that it has accepted, and nothing is left of them. */
void stats_expect_only(struct proxy *proxy, const char *cause, uint64_t count);

/* How many connections have ended, by a service's line: the sum of its causes.
 */
uint64_t stats_ended(const char *line);

#endif
