/*
 * health_check: the checks of one upstream: when the next one is due, and what
 * its result changes. Control thread. What a check says is in
 * control/health_talk.h; which upstreams there are is known by
 * control/health.h.
 *
 * An active check (health_check) is due each health_interval. A recovery check,
 * a connect, is due each fail_window while fail_threshold has the upstream out,
 * until it succeeds. Where both would connect to one port, the active check
 * serves as both.
 *
 *      idle ──timer──▶ waiting ─────▶ under way ──event, timer──▶ idle
 *                      (while as many as may are under way)
 *
 * A check ends with a FIN. One that fails because descriptors or memory are
 * short has no result. TLS handshakes take turns: HEALTH_HANDSHAKES_MAX steps
 * in one turn of the loop, since a step may take half a millisecond.
 *
 * Every change of state is one log line (folded here):
 *
 *      upstream service=web address=10.0.0.1:80 state=down
 *          cause=connect_refused
 *      upstream service=web address=10.0.0.1:80 state=up
 */
#ifndef EVPROXY_CONTROL_HEALTH_CHECK_H
#define EVPROXY_CONTROL_HEALTH_CHECK_H

#include "control/health_talk.h"
#include "net/loop.h"
#include "service/generation.h"

#include <stdbool.h>
#include <stdint.h>

#define HEALTH_HANDSHAKES_MAX 4

/* Checks that are under way at once; the others wait. Of a low RLIMIT_NOFILE
 * they take an eighth. */
#define HEALTH_CHECKS_MAX 2048
#define HEALTH_CHECKS_MIN 16
uint32_t health_checks_most(uint64_t descriptor_limit);

/* What the checks of all upstreams share. */
struct health_checks {
    struct loop *loop;
    unsigned kind;              /* of their events and timers in the loop */
    unsigned queue;             /* of the loop: handshakes that are due */
    uint32_t most;              /* checks that may be under way */
    uint32_t under_way;         /* checks */
    struct list waiting;        /* checks that are due */
    uint64_t random;            /* state of hash_random */
    uint64_t turn_ns;           /* the loop's turn that handshakes counts */
    unsigned handshakes;        /* steps in it */
    void (*on_down)(void *arg); /* connections are to be reset; or NULL */
    void *arg;
};

enum health_purpose { HEALTH_ACTIVE, HEALTH_RECOVERY, HEALTH_PURPOSES };

struct health_check {
    struct upstream *upstream;
    const struct service *service; /* NULL before the first configure */
    uint32_t place;                /* of the upstream in the service */
    struct wheel_timer timer; /* to the next check, or the end of this one */
    struct list link;         /* waiting, or in the queue of handshakes */
    uint32_t index;           /* in the token */
    uint32_t instance;        /* in the token: counts checks */
    uint32_t streak;          /* results in a row that speak for a change */
    uint8_t purpose;          /* enum health_purpose: of the last one */
    bool under_way;
    bool settled; /* its result is applied; the other end still writes */
    uint64_t due_ns[HEALTH_PURPOSES]; /* UINT64_MAX: never */
    uint64_t begun_ns;                /* the check, or its wait */
    uint64_t started_ns;              /* the check */
    struct health_talk talk;
};

/* Of a record of zeros. */
void health_check_init(struct health_check *check, struct upstream *upstream,
                       uint32_t index);

/*
 * Applies the rules of the service, which is that of a new generation and has
 * the upstream at that place. If they ask for checks, the first one comes at a
 * random time within the interval. One that is under way begins again if its
 * rules may be others. If
 * health_check was turned off, the upstream is no longer UNHEALTHY.
 */
void health_check_configure(struct health_checks *checks,
                            struct health_check *check,
                            const struct service *service, uint32_t place);

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
void health_check_run(struct health_checks *checks, struct list *link);

#endif
