/*
 * crew: all workers as one. Control thread.
 */
#ifndef EVPROXY_CONTROL_CREW_H
#define EVPROXY_CONTROL_CREW_H

#include "config/config.h"
#include "proxy/worker.h"

#include <stdbool.h>
#include <stdint.h>

struct crew {
    struct worker_shared shared;
    unsigned count;          /* workers */
    struct worker **workers; /* NULL: not started */
    bool *answered;          /* each worker: the last beat */
    unsigned drained;        /* workers that reported it */
};

/* How many workers the configuration means: `auto` is one for each CPU that
 * the process may use. */
unsigned crew_size(const struct config *config);

/*
 * Starts crew_size workers, which report to the control mailbox. -1 with errno:
 * those that did start run on, and the process is to end.
 */
int crew_start(struct crew *crew, const struct config *config,
               struct mailbox *control) WARN_UNUSED;

/* Joins all workers, which must have reported WORKER_DRAINED. */
void crew_join(struct crew *crew);

/* After crew_join, when all generations are gone. */
void crew_fini(struct crew *crew);

void crew_drain(struct crew *crew);
void crew_reset_all(struct crew *crew);

/* A worker reported WORKER_DRAINED. True if it was the last. */
bool crew_drained(struct crew *crew);

/* Whether every worker answered the last beat; then, the next beat. */
bool crew_beat(struct crew *crew);
void crew_answered(struct crew *crew, unsigned worker);

/* Blocks of buffers lent now by all workers, and the sum of what each has lent
 * at most, which is at least what all have. */
void crew_memory(const struct crew *crew, uint64_t *lent, uint64_t *peak);

#endif
