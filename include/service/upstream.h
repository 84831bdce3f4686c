/*
 * upstream: the state of one endpoint of one service, over all reloads.
 *
 * Created, found again by its address, and freed by the control thread; read
 * and counted by all workers meanwhile. It is up, or down for one reason or
 * more; it takes connections while no reason stands.
 */
#ifndef EVPROXY_SERVICE_UPSTREAM_H
#define EVPROXY_SERVICE_UPSTREAM_H

#include "base/endpoint.h"
#include "service/stats.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Reasons to be down. */
enum {
    UPSTREAM_FAILED = 1,    /* passive: fail_threshold connects failed */
    UPSTREAM_UNHEALTHY = 2, /* active: health_fall checks failed */
    UPSTREAM_UNRESOLVED = 4 /* its name has no address */
};

#define UPSTREAM_TEXT_MAX (ADDR_HOST_MAX + 8)

struct upstream {
    struct endpoint endpoint;
    char text[UPSTREAM_TEXT_MAX]; /* as in the logs; an unresolved name:port */
    uint64_t id;                  /* hash of text, for the pick */

    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t active; /* connections, all
                        workers add and subtract; also when connecting */
    _Atomic uint32_t down; /* reasons; set and cleared by any thread */

    pthread_mutex_t lock; /* guards the four below: only failures come here */
    uint64_t *failures;   /* times of the last fail_threshold ones, a ring */
    uint32_t failures_size;
    uint32_t failures_next;
    uint32_t failures_count;

    uint32_t holders; /* control thread: generations that list it */
    unsigned workers;
    struct upstream_counters *counters; /* one a worker */
};

/* NULL with errno = ENOMEM. endpoint NULL: an unresolved name, and down. */
struct upstream *upstream_create(const struct endpoint *endpoint,
                                 const char *text,
                                 unsigned workers) WARN_UNUSED;
void upstream_destroy(struct upstream *upstream);

static inline bool upstream_up(const struct upstream *upstream)
{
    return atomic_load_explicit(&upstream->down, memory_order_relaxed) == 0;
}

/*
 * Counts one connection in, unless that would pass max (0: no limit). Exact
 * over all workers. Pair with upstream_leave.
 */
bool upstream_enter(struct upstream *upstream, uint32_t max) WARN_UNUSED;
void upstream_leave(struct upstream *upstream);

/*
 * A connect failed by the upstream's fault at now_ns. True if this one made it
 * the threshold-th within the window and UPSTREAM_FAILED was set by it: the
 * caller then logs it and tells the control thread to probe. threshold 0 never
 * does. The past failures are forgotten when it is taken out.
 */
bool upstream_connect_failed(struct upstream *upstream, uint32_t threshold,
                             uint64_t window_ns, uint64_t now_ns) WARN_UNUSED;

/* Sets or clears one reason. True if the upstream thereby went down or up. */
bool upstream_set_down(struct upstream *upstream, uint32_t reason);
bool upstream_clear_down(struct upstream *upstream, uint32_t reason);

#endif
