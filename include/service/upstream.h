/*
 * upstream: the state of one endpoint of one service, over all reloads.
 *
 * The control thread creates it, finds it again by its address at a reload, and
 * destroys it; meanwhile all workers read it and count on it. It is down while
 * there is a reason to be, and takes connections while there is none.
 */
#ifndef EVPROXY_SERVICE_UPSTREAM_H
#define EVPROXY_SERVICE_UPSTREAM_H

#include "base/address.h"
#include "base/endpoint.h"
#include "base/list.h"
#include "service/check_cause.h"
#include "service/queue.h"
#include "service/stats.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Reasons to be down, as bits. */
enum {
    UPSTREAM_FAILED = 1,     /* passive: fail_threshold connects failed */
    UPSTREAM_UNHEALTHY = 2,  /* active: health_fall checks failed */
    UPSTREAM_UNRESOLVED = 4, /* its name has no address */
    UPSTREAM_LOOP = 8        /* its name's address leads back to the service */
};

#define UPSTREAM_TEXT_MAX ADDRESS_NAME_MAX

struct upstream {
    struct endpoint endpoint;
    bool any_port;
    char text[UPSTREAM_TEXT_MAX]; /* as in the logs; an unresolved name:port */
    uint64_t id;                  /* hash of text, for the pick */
    struct queue *queue;          /* of its service; NULL: none */
    struct list link; /* in the state of its service; control thread */

    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t active; /* connections and
                        UDP sessions, also connecting; all workers add and
                        subtract */
    _Atomic uint32_t finished;  /* those of them whose stream it has ended;
                                   likewise */
    _Atomic uint32_t elsewhere; /* those that have gone to another process and
                                   take their places there; all workers add */
    _Atomic uint32_t down;      /* reasons; any thread sets and clears them */
    _Atomic uint64_t since_ns;  /* when it last went down or came up; 0: it has
                                   not; who changes `down` writes it */
    _Atomic uint32_t cause;     /* as check_cause.h has it: why the last check,
                                   or else the connect that took it out, failed;
                                   0: the last check has passed, or there was
                                   none. Any thread */
    _Atomic uint64_t check_ns;  /* how long the last check took; 0: none. The
                                   control thread writes, any thread reads */
    _Atomic uint64_t reset_ns;  /* connections that began before are reset; 0:
                                   none. The control thread writes, a worker
                                   reads in proxy/sweep.h */
    _Atomic bool returns; /* a connection to it came back to one of our own
                             listeners; any worker sets it, for good */

    pthread_mutex_t lock; /* guards the four below; taken on failures only */
    uint64_t *failures;   /* times of the last fail_threshold ones, a ring */
    uint32_t failures_size;
    uint32_t failures_next;
    uint32_t failures_count;

    uint32_t holders; /* services that list it; control thread */
    uint64_t sampled; /* the last sample that has it; likewise */
    unsigned workers;
    uint32_t number;                    /* in control/ledger.h; likewise */
    struct upstream_counters *counters; /* one for each worker, and the last for
                                           the control thread */
};

/* NULL with errno = ENOMEM. endpoint NULL: an unresolved name, which is down.
 */
struct upstream *upstream_create(const struct endpoint *endpoint,
                                 const char *text,
                                 unsigned workers) WARN_UNUSED;
void upstream_destroy(struct upstream *upstream);

/* Its port is the one that the client came to. */
static inline bool upstream_has_any_port(const struct upstream *upstream)
{
    return upstream->any_port;
}

static inline bool upstream_up(const struct upstream *upstream)
{
    return atomic_load_explicit(&upstream->down, memory_order_relaxed) == 0;
}

/* As the stats lines and the status page name its state. drained: its line has
 * the option drain. */
static inline const char *upstream_state_name(bool up, bool drained)
{
    return !up ? "down" : drained ? "drain" : "up";
}

/*
 * Counts one connection, or answers false if that would exceed max (0: no
 * limit). Exact over all workers. Pair with upstream_leave, which calls the
 * connection that waits for the place.
 */
bool upstream_enter(struct upstream *upstream, uint32_t max) WARN_UNUSED;
void upstream_leave(struct upstream *upstream);

/* The connection, which upstream_finish was called for or not, leaves for
 * another process: its place does not get free. */
void upstream_depart(struct upstream *upstream, bool finished);

/* Whether it has max connections; 0: there is no limit. */
static inline bool upstream_full(const struct upstream *upstream, uint32_t max)
{
    return max != 0 &&
           atomic_load(&upstream->active) + atomic_load(&upstream->elsewhere) >=
               max;
}

/*
 * The upstream has ended its stream of a connection that goes on. The
 * connection is hardly work for it any more, but holds one of its descriptors:
 * it counts for max and not for the load. Called once for a connection, which
 * upstream_leave_finished then ends.
 */
void upstream_finish(struct upstream *upstream);
void upstream_leave_finished(struct upstream *upstream);

/* Its connections without the finished ones: what a pick compares. */
uint32_t upstream_load(const struct upstream *upstream);

/*
 * Counts a connect that the upstream made fail. True if it is the threshold-th
 * within the window and so set UPSTREAM_FAILED; past failures are then
 * forgotten. The caller logs it and tells the control thread, which tries the
 * upstream until a connect succeeds. threshold 0: never.
 */
bool upstream_connect_failed(struct upstream *upstream, uint32_t threshold,
                             uint64_t window_ns, uint64_t now_ns) WARN_UNUSED;

/* The times of the failures that count, from the oldest, at most size of them;
 * answers how many. To go on with them in another process, where
 * upstream_restore_failure adds each. */
uint32_t upstream_list_failures(struct upstream *upstream, uint64_t *times,
                                uint32_t size);
void upstream_restore_failure(struct upstream *upstream, uint64_t at_ns);

/* Whether a check has taken it out, with on_down = reset, since a connect that
 * began then. */
static inline bool upstream_resets(const struct upstream *upstream,
                                   uint64_t begun_ns)
{
    return begun_ns <
           atomic_load_explicit(&upstream->reset_ns, memory_order_relaxed);
}

/* Whether it has no connections now for that reason. */
static inline bool upstream_is_emptied(const struct upstream *upstream)
{
    return atomic_load_explicit(&upstream->down, memory_order_relaxed) &
               UPSTREAM_UNHEALTHY &&
           atomic_load_explicit(&upstream->reset_ns, memory_order_relaxed) != 0;
}

/* Sets or clears one reason. True if that took the upstream down or up. The
 * control thread clears by service_clear_down. */
bool upstream_set_down(struct upstream *upstream, uint32_t reason,
                       uint64_t now_ns);
bool upstream_clear_down(struct upstream *upstream, uint32_t reason,
                         uint64_t now_ns);

/* The share of its weight that an upstream has which came up at since_ns, with
 * slow_start: UPSTREAM_SHARE_ALL is all of it, a tenth the least. 0: it has not
 * been down. */
#define UPSTREAM_SHARE_ALL 1000
uint32_t upstream_share(uint64_t since_ns, uint64_t slow_start_ns,
                        uint64_t now_ns);

/* Why it is down, as the log tells it: the text, or a literal; NULL: it is up.
 */
const char *upstream_format_cause(const struct upstream *upstream,
                                  char text[CHECK_CAUSE_MAX]);

#endif
