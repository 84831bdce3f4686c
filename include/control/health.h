/*
 * health: connects that only ask whether an upstream answers.
 *
 * Active checks (health_check = tcp) of every upstream of the current
 * generation, every health_interval, their beginnings spread over the interval;
 * and, for one that fail_threshold took out, a connect every fail_window until
 * one succeeds. A probe that got through is closed with a FIN at once, and
 * speaks for both. A probe that fails for want of local ports, descriptors or
 * memory says nothing of the upstream. Runs in the control thread's loop.
 *
 *      idle ──timer──▶ waiting ──turn──▶ connecting ──event, timer──▶ idle
 *                      (at HEALTH_PROBES_MAX under way)
 *
 * Every change of state is one log line (folded here):
 *
 *      upstream service=web address=10.0.0.1:80 state=down
 *          cause=connect_refused
 *      upstream service=web address=10.0.0.1:80 state=up
 */
#ifndef EVPROXY_CONTROL_HEALTH_H
#define EVPROXY_CONTROL_HEALTH_H

#include "net/loop.h"
#include "service/generation.h"

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_PROBES_MAX 256 /* under way at once; the others wait */

struct health;

/* The loop's kinds for the probes' sockets and timers. NULL with errno. */
struct health *health_create(struct loop *loop, unsigned kind) WARN_UNUSED;

/* Ends all probes. */
void health_destroy(struct health *health);

/*
 * Checks this generation from now on; states of upstreams that stay are kept,
 * with their counts in a row. An upstream that is down by FAILED and stays goes
 * on being probed; one whose health_check was turned off is no longer
 * UNHEALTHY. -1 with errno = ENOMEM: the one before stays.
 */
int health_apply(struct health *health,
                 struct generation *generation) WARN_UNUSED;

/* A worker took the upstream out (its log line is written by the worker). */
void health_upstream_failed(struct health *health,
                            const struct upstream *upstream);

/* The loop's handlers for the kind. */
void health_event(struct health *health, uint32_t index, uint32_t instance,
                  uint32_t events);
void health_timer(struct health *health, struct wheel_timer *timer);

#endif
