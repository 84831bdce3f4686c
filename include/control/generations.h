/*
 * generations: all generations that are alive: the current one, and older ones
 * that connections still use. Control thread.
 *
 *      prepared ──▶ current ──▶ in use by its last sessions ──▶ freed
 *          │  generations_commit      generations_release, by each holder
 *          └──▶ abandoned
 *
 * A generation has workers + 1 holders: each worker, and the control thread for
 * its health checks. generations_commit gives it to all of them. If one has no
 * memory for it, the change is not undone, because that could fail too. A timer
 * tries again until all have it, and until then no other change begins.
 */
#ifndef EVPROXY_CONTROL_GENERATIONS_H
#define EVPROXY_CONTROL_GENERATIONS_H

#include "config/reload.h"
#include "control/health.h"
#include "control/listeners.h"
#include "control/names.h"
#include "control/workers.h"
#include "service/generation.h"

struct generations {
    struct names *names;       /* where a new one finds addresses */
    struct generation **alive; /* oldest first, the current one last */
    size_t count;
    size_t size;
    unsigned applied; /* holders that have the current one: the workers in
                         their order, then health */

    struct listeners_origin origin; /* of the sockets */
    uint64_t first_number;          /* of the first one; 0: 1 */
    struct generation *prepared;    /* NULL: none */
    struct reload_plan plan;        /* of prepared */

    struct service_sums removed; /* accepted, bytes and ended of the services
                                    that no generation has any more; active:
                                    what the process before has left of them */
};

/* NULL before the first one. */
struct generation *generations_current(const struct generations *generations);

/*
 * Builds the next generation and opens its sockets, if RLIMIT_NOFILE = limit is
 * enough for its connections. Keys that need a restart keep their running
 * values, with a warning in the log. Takes the config. Its names are in the
 * table then; a caller that commits the generation calls names_keep.
 *
 * If the config is that of the running generation (config_share), only the
 * addresses of names can differ: sockets and credentials stay the same.
 *
 * Returns NULL, or a sentence without a final stop that says what failed, with
 * the line of the configuration that it is about (0: none); then nothing has
 * changed and the config is freed. The sentence lives until the next call.
 */
const char *generations_prepare(struct generations *generations,
                                struct config *config, unsigned workers,
                                uint64_t limit, unsigned *line) WARN_UNUSED;

/* Closes and frees what was prepared. */
void generations_abandon(struct generations *generations);

/* Gives the prepared generation to the workers and to health. -1 with errno:
 * the first worker could not take it; nothing has changed, and it is still
 * prepared. */
int generations_commit(struct generations *generations, struct workers *workers,
                       struct health *health) WARN_UNUSED;

/* Whether all holders have the current generation. */
bool generations_distributed(const struct generations *generations);

/* Gives the current generation to the holders that do not have it yet, up to
 * the first that has no memory for it. */
void generations_distribute(struct generations *generations,
                            struct workers *workers, struct health *health);

/* One more holder of a generation that is alive. */
void generations_hold(struct generation *generation);

/* A holder no longer uses the generation; the last release frees it. */
void generations_release(struct generations *generations,
                         struct generation *generation);

/* Frees all generations, even those with holders. */
void generations_fini(struct generations *generations);

#endif
