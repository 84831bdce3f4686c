/*
 * generations: the generations that are alive: the current one, and those that
 * old connections still hold. Control thread.
 *
 *      prepared ──▶ current ──▶ held by its last sessions ──▶ gone
 *          │  generations_commit       generations_done, by each worker
 *          └──▶ abandoned
 *
 * A generation is held by each worker and by the control plane, whose health
 * checks use it. So a change reaches workers + 1 parties. When one of them has
 * no memory to take it the change is not undone, which could fail as well: it
 * is tried again by a timer until all have it, and until then no other change
 * is begun.
 */
#ifndef EVPROXY_CONTROL_GENERATIONS_H
#define EVPROXY_CONTROL_GENERATIONS_H

#include "config/reload.h"
#include "control/health.h"
#include "control/workers.h"
#include "service/generation.h"

struct generations {
    struct generation **alive; /* oldest first, the current one last */
    size_t count;
    size_t size;
    unsigned parties; /* that took the current one: workers, then health */

    struct generation *prepared; /* NULL: none */
    struct reload_plan plan;     /* of prepared */

    struct service_sums gone; /* accepted and bytes of services that are no
                                 more, for the sums over all */
};

/* NULL before the first. */
struct generation *generations_current(const struct generations *generations);

/*
 * Builds the next generation and opens its sockets, if RLIMIT_NOFILE = limit
 * holds the connections it asks for. Keys that need a restart are left as they
 * were, with a warning in the log. Takes the config. NULL, or a sentence
 * without a final stop that says what failed, and the line of the configuration
 * that it is about (0: none): then nothing has changed and the config is freed.
 * The sentence lives in a buffer until the next call.
 */
const char *generations_prepare(struct generations *generations,
                                struct config *config, unsigned workers,
                                uint64_t limit, unsigned *line) WARN_UNUSED;

/* Closes and frees what was prepared. */
void generations_abandon(struct generations *generations);

/* Gives what was prepared to the workers, and to health. -1 with errno: the
 * first would not have it, nothing has changed, and it is still prepared. */
int generations_commit(struct generations *generations, struct workers *workers,
                       struct health *health) WARN_UNUSED;

/* Tries again to give the current generation to those who have it not. True
 * if all have it. */
bool generations_spread(struct generations *generations,
                        struct workers *workers, struct health *health);
bool generations_settled(const struct generations *generations);

/* A holder has done with the generation; the last one frees it. */
void generations_done(struct generations *generations,
                      struct generation *generation);

/* Frees all, whoever holds it. */
void generations_fini(struct generations *generations);

#endif
