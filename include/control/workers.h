/*
 * workers: all workers, as one object. Control thread.
 */
#ifndef EVPROXY_CONTROL_WORKERS_H
#define EVPROXY_CONTROL_WORKERS_H

#include "config/config.h"
#include "proxy/worker.h"

#include <stdbool.h>
#include <stdint.h>

struct workers {
    struct shared shared;
    unsigned count;
    struct worker **list;
    bool *answered;   /* by worker: whether it answered the last heartbeat */
    unsigned drained; /* workers that reported REPORT_DRAINED */
};

/* How many workers the configuration asks for: `auto` is one for each CPU that
 * the process may use, by its affinity and by the quota of its control group.
 */
unsigned workers_wanted(const struct config *config);

/* Bytes of memory that may be lent. If the configuration does not say, it is at
 * most a quarter of what the control group allows. */
uint64_t workers_buffer_memory(const struct config *config);

/* The same, as the workers were started with it. */
uint64_t workers_buffer_limit(const struct workers *workers);

/*
 * Starts workers_wanted workers, which report to the control mailbox. -1 with
 * errno: workers that did start go on running, and the process must end.
 */
int workers_start(struct workers *workers, const struct config *config,
                  struct mailbox *control) WARN_UNUSED;

/* Joins all workers, which must have reported REPORT_DRAINED. */
void workers_join(struct workers *workers);

/* After workers_join and generations_fini. */
void workers_fini(struct workers *workers);

void workers_drain(struct workers *workers);
void workers_reset_all(struct workers *workers);
/* Ends what is left evenly until the deadline. Once. */
void workers_reset_evenly(struct workers *workers, uint64_t deadline_ns);

/* Upstreams have a new reset_ns: their older connections are reset. */
void workers_sweep(struct workers *workers);

/* As those of proxy/worker.h, for all. All but the last answer how many reports
 * follow: fewer than there are workers if there is no memory. */
unsigned workers_announce(struct workers *workers);
unsigned workers_freeze(struct workers *workers);
unsigned workers_thaw(struct workers *workers);
void workers_depart(struct workers *workers);

/* A worker reported REPORT_DRAINED. Returns whether it was the last. */
bool workers_drained(struct workers *workers);

/* Returns whether every worker answered the last heartbeat; sends the next. */
bool workers_beat(struct workers *workers);
/* A worker reported REPORT_BEAT. */
void workers_answered(struct workers *workers, unsigned worker);

/* Blocks of buffer memory that all workers have lent now, and the sum of each
 * worker's peak, which is at least the peak of all together. */
void workers_memory(const struct workers *workers, uint64_t *lent,
                    uint64_t *peak);

#endif
