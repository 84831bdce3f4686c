/*
 * changes: what replaces the current generation: the configuration at the start
 * and at each reload, and new answers for the names of upstreams. Control
 * thread.
 *
 * Both build the next generation from the current one and the table of names
 * (control/generations.h). A change by answers has the same configuration and
 * the same credentials, so that it touches nothing but upstreams.
 */
#ifndef EVPROXY_CONTROL_CHANGES_H
#define EVPROXY_CONTROL_CHANGES_H

#include "control/generations.h"
#include "control/health.h"
#include "control/http.h"
#include "control/lookups.h"
#include "control/source.h"
#include "control/workers.h"

#include <stdbool.h>
#include <stdint.h>

struct changes {
    struct loop *loop;
    const struct source *source;
    struct workers *workers;
    struct health *health;
    struct http *http; /* which listens where the configuration says */
    struct generations generations;
    struct lookups lookups;
    struct wheel_timer timer; /* to the next try of what is not done yet */
    uint64_t limit;           /* RLIMIT_NOFILE */
    bool failing;             /* no generation could be made of the answers */
    bool held;                /* nothing changes for a while, then
                                 changes_resume */
};

/* Kinds of timers and the type of messages, in the loop. */
struct changes_kinds {
    unsigned timer;
    unsigned lookups_timer;
    int lookups_message;
};

/* The other fields are set. -1 with errno. */
int changes_open(struct changes *changes,
                 const struct changes_kinds *kinds) WARN_UNUSED;

/* From now on nothing changes. */
void changes_stop(struct changes *changes);

/* What was held back meanwhile follows. */
void changes_resume(struct changes *changes);

/* When all workers have ended, or failed to start. */
void changes_fini(struct changes *changes);

/* The current generation; NULL before the first one. */
struct generation *changes_current(const struct changes *changes);

/* The first generation: prepares it for so many workers, as generations_prepare
 * does; once they run makes it the current one. -1 with errno. */
const char *changes_prepare(struct changes *changes, struct config *config,
                            unsigned workers, unsigned *line) WARN_UNUSED;
int changes_begin(struct changes *changes) WARN_UNUSED;

/*
 * Reads the configuration again and replaces the current generation. Returns
 * NULL, or why nothing has changed, with the place in the configuration; the
 * text lives until the next call.
 */
const char *changes_reload(struct changes *changes) WARN_UNUSED;

/* The loop's handlers. */
void changes_timer(struct changes *changes);
void changes_answer(struct changes *changes, struct message *message);

#endif
