/*
 * workers: all workers as one. Control thread.
 */
#ifndef EVPROXY_CONTROL_WORKERS_H
#define EVPROXY_CONTROL_WORKERS_H

#include "config/config.h"
#include "proxy/worker.h"

#include <stdbool.h>
#include <stdint.h>

struct workers {
    struct shared shared;
    unsigned count;       /* workers */
    struct worker **list; /* NULL: not started */
    bool *answered;       /* each worker: the last beat */
    unsigned drained;     /* workers that reported it */
};

/* How many workers the configuration means: `auto` is one for each CPU that
 * the process may use. */
unsigned workers_size(const struct config *config);

/*
 * Starts workers_size workers, which report to the control mailbox. -1 with
 * errno: those that did start run on, and the process is to end.
 */
int workers_start(struct workers *workers, const struct config *config,
                  struct mailbox *control) WARN_UNUSED;

/* Joins all workers, which must have reported REPORT_DRAINED. */
void workers_join(struct workers *workers);

/* After workers_join, when all generations are gone. */
void workers_fini(struct workers *workers);

void workers_drain(struct workers *workers);
void workers_reset_all(struct workers *workers);

/* A worker reported REPORT_DRAINED. True if it was the last. */
bool workers_drained(struct workers *workers);

/* Whether every worker answered the last beat; then, the next beat. */
bool workers_beat(struct workers *workers);
void workers_answered(struct workers *workers, unsigned worker);

/* Blocks of buffers lent now by all workers, and the sum of what each has lent
 * at most, which is at least what all have. */
void workers_memory(const struct workers *workers, uint64_t *lent,
                    uint64_t *peak);

#endif
