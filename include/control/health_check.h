/*
 * health_check: the checks of one upstream: when the next one is due, the TCP
 * connect, and what its result changes. Control thread. Which upstreams there
 * are is known by control/health.h.
 *
 * An active check (health_check = tcp) is due each health_interval. A recovery
 * check of an upstream that fail_threshold has taken out is due each
 * fail_window, until a connect succeeds. An upstream that wants both has one
 * connect, which serves as both.
 *
 *      idle ──timer──▶ waiting ─────▶ connecting ──event, timer──▶ idle
 *                      (while HEALTH_CHECKS_MAX are connecting)
 *
 * A successful check ends with a FIN at once. A check that fails because local
 * ports, descriptors or memory are short has no result.
 *
 * Every change of state is one log line (folded here):
 *
 *      upstream service=web address=10.0.0.1:80 state=down
 *          cause=connect_refused
 *      upstream service=web address=10.0.0.1:80 state=up
 */
#ifndef EVPROXY_CONTROL_HEALTH_CHECK_H
#define EVPROXY_CONTROL_HEALTH_CHECK_H

#include "net/loop.h"
#include "net/sock.h"
#include "service/generation.h"

#include <stdint.h>

#define HEALTH_CHECKS_MAX 256 /* connecting at once; the others wait */

/* What the checks of all upstreams share. */
struct health_checks {
    struct loop *loop;
    unsigned kind;       /* of their events and timers in the loop */
    uint32_t connecting; /* checks */
    struct list waiting; /* checks that are due */
    uint64_t random;     /* state of hash_random */
};

struct health_check {
    struct upstream *upstream;
    const struct service *service; /* NULL before the first configure */
    struct wheel_timer timer; /* idle: to the next check; connecting: timeout */
    struct list waiting;      /* in health_checks.waiting */
    struct sock sock;         /* fd -1: not connecting */
    uint32_t index;           /* in the token */
    uint32_t instance;        /* in the token: counts connects */
    uint32_t streak;          /* results in a row that speak for a change */
    uint64_t begun_ns;        /* the check, or its wait */
};

/* Of a record of zeros. */
void health_check_init(struct health_check *check, struct upstream *upstream,
                       uint32_t index);

/*
 * Applies the rules of the service, which is that of a new generation. If they
 * ask for checks, the first one comes at a random time within the interval. If
 * health_check was turned off, the upstream is no longer UNHEALTHY.
 */
void health_check_configure(struct health_checks *checks,
                            struct health_check *check,
                            const struct service *service);

/* fail_threshold has taken the upstream out: a recovery check comes within
 * fail_window. */
void health_check_upstream_failed(struct health_checks *checks,
                                  struct health_check *check);

/* Ends a check without a result; none is due then. */
void health_check_stop(struct health_checks *checks,
                       struct health_check *check);

/* Begins checks that wait, as far as there are places. Called after
 * health_check_stop. */
void health_check_begin_waiting(struct health_checks *checks);

/* The loop's handlers. */
void health_check_event(struct health_checks *checks,
                        struct health_check *check, uint32_t instance,
                        uint32_t events);
void health_check_timer(struct health_checks *checks,
                        struct wheel_timer *timer);

#endif
