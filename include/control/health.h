/*
 * health: the upstreams of the current generation, each with its checks
 * (control/health_check.h). Control thread, in its loop.
 *
 * A generation that replaces another one brings and removes upstreams; those
 * that stay keep what their checks have found out.
 */
#ifndef EVPROXY_CONTROL_HEALTH_H
#define EVPROXY_CONTROL_HEALTH_H

#include "net/loop.h"
#include "service/generation.h"

#include <stdbool.h>
#include <stdint.h>

struct health;

struct health_options {
    unsigned kind;  /* of the events and timers of checks in the loop */
    unsigned queue; /* of the loop: TLS handshakes that are due */

    /* An upstream with on_down = reset was taken out: its connections that
     * began before upstream.reset_ns are to be reset. NULL: none. */
    void (*on_down)(void *arg);
    void *arg;
};

/* NULL with errno. */
struct health *health_create(struct loop *loop,
                             const struct health_options *options) WARN_UNUSED;

/* Ends all checks. */
void health_destroy(struct health *health);

/*
 * Checks the upstreams of this generation from now on. An upstream that stays
 * keeps its state, its count of results in a row and, if it is down by FAILED,
 * its recovery checks. -1 with errno = ENOMEM: nothing has changed.
 */
int health_apply(struct health *health,
                 struct generation *generation) WARN_UNUSED;

/* The results in a row that speak for a change of the upstream's state; 0: it
 * is not checked. To go on from them in another process, where it is the same.
 */
uint32_t health_streak(const struct health *health,
                       const struct upstream *upstream);
void health_restore_streak(struct health *health,
                           const struct upstream *upstream, uint32_t streak);

/* Ends all checks, and begins none. */
void health_stop(struct health *health);

/* A worker has taken the upstream out, and logged it: recovery checks begin. */
void health_upstream_failed(struct health *health,
                            const struct upstream *upstream);

/* The loop's handlers for the kind and the queue. */
void health_event(struct health *health, uint32_t index, uint32_t instance,
                  uint32_t events);
void health_timer(struct health *health, struct wheel_timer *timer);
void health_run(struct health *health, struct list *link);

#endif
