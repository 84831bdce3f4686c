/*
 * sample: the counters of everything at one time: of the process, of its
 * services and of their upstreams. Control thread. It knows nothing of
 * Prometheus or JSON.
 *
 * It is taken in steps, because there may be tens of thousands of upstreams and
 * many workers whose counters are added up. The counters of one service, or of
 * one upstream, are read in one step; those of the process are sums of what was
 * read, so that they agree with the services.
 *
 * A sample holds the generations that were alive when it began, and so all that
 * it points to. As in the stats lines, what is no longer configured is listed
 * while it has connections.
 */
#ifndef EVPROXY_CONTROL_SAMPLE_H
#define EVPROXY_CONTROL_SAMPLE_H

#include "control/capacity.h"
#include "control/generations.h"
#include "control/machine.h"
#include "control/process.h"
#include "control/workers.h"
#include "service/stats.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reload_result { RELOADED_OK, RELOADED_REFUSED, RELOAD_RESULTS };

/* What the control thread knows besides the counters. */
struct sample_facts {
    uint64_t started_ns;       /* monotonic */
    uint64_t started_unix_ns;  /* the same time */
    uint64_t reloaded_unix_ns; /* when the configuration was last replaced */
    uint64_t reloads[RELOAD_RESULTS];
    uint64_t descriptors_limit;
    struct capacity capacity; /* of the configuration in use */
    bool stopping;
};

/* Where samples are taken from. */
struct sample_source {
    struct generations *generations;
    const struct workers *workers;
    const struct sample_facts *facts;
};

struct sample_upstream {
    const struct upstream *upstream;
    const struct config_upstream *line;
    struct upstream_sums sums;
    uint64_t check_ns;
    uint64_t since_ns; /* when it went down or came up; 0: it has not */
    bool up;
    char cause[CHECK_CAUSE_MAX]; /* why it is down */
    uint32_t weight;
    bool backup;
    uint32_t active;
    uint32_t service; /* its index */
    uint32_t next;    /* index + 1 of the next of its service; 0: none */
};

struct sample_service {
    const struct service *service; /* of the newest generation that has it */
    struct service_sums sums;
    struct service_times times;
    uint32_t first; /* index + 1 of its upstreams; 0: none */
    uint32_t last;
};

struct sample_process {
    struct service_sums sums; /* over all services since the start */
    uint64_t nameless; /* connections whose service is not known yet, which the
                          sums lack */
    uint64_t connections; /* as the limit counts them */
    uint64_t connection_limit;
    uint64_t buffers_lent; /* blocks */
    uint64_t buffers_peak;
    uint64_t buffer_bytes;
    uint64_t buffer_limit_bytes;
    uint64_t accept_paused;
    uint64_t longest_turn_ns; /* of all workers, since the start */
    uint64_t log_lost;
    uint64_t generation;
    uint64_t workers;
    struct process_figures figures;
    struct machine_tcp tcp; /* of the whole machine */
    struct sample_facts facts;
};

struct sample_worker {
    uint64_t active; /* TCP connections */
    uint64_t handed; /* to other workers, so far */
};

enum sample_state {
    SAMPLE_WAITS,
    SAMPLE_BEGUN,
    SAMPLE_COMPLETE,
    SAMPLE_FAILED
};

struct sample {
    enum sample_state state;
    unsigned holders; /* the sampler counts */
    struct list link; /* in the sampler */

    uint64_t now_ns;      /* when it was complete */
    uint64_t now_unix_ns; /* the same time */
    struct sample_process process;
    struct sample_worker *workers; /* process.workers of them */
    struct sample_service *services;
    uint32_t service_count;
    uint32_t service_size;
    struct sample_upstream *upstreams;
    uint32_t upstream_count;
    uint32_t upstream_size;

    struct generation **held; /* oldest first */
    size_t held_count;
    uint64_t number; /* tells samples apart */

    /* How far it is, from the newest generation to the oldest. */
    size_t listen;          /* in the current one, which comes first */
    size_t generation;      /* index + 1, in held; 0: all are done */
    size_t service;         /* in that generation */
    uint32_t upstream;      /* in that service */
    uint32_t service_index; /* in services; UINT32_MAX: it is not listed */
    bool entered;           /* service_index is that of the service */
};

/* Of a sample of zeros: holds the generations. SAMPLE_FAILED: no memory. */
void sample_begin(struct sample *sample, const struct sample_source *source);

/* Goes on, until that time at least, by clock_now_ns. True: it is complete, or
 * has failed. */
bool sample_step(struct sample *sample, const struct sample_source *source,
                 uint64_t until_ns) WARN_UNUSED;

/* Releases the generations and frees all but the struct. */
void sample_fini(struct sample *sample, const struct sample_source *source);

#endif
