/*
 * takeover: the new process's part of an upgrade (control/upgrade.h): takes
 * sockets, counters and connections from the process that started this one.
 * What the two say to each other is in control/upgrade_message.h. Control
 * thread.
 *
 * Until the old process says COMMIT this one has no effect on others: the
 * workers are frozen, and the control thread waits for one message after the
 * other, outside its loop. A failure ends this process, and the old one goes
 * on. If the old process ends once this one holds everything, this one goes on
 * without COMMIT.
 */
#ifndef EVPROXY_CONTROL_TAKEOVER_H
#define EVPROXY_CONTROL_TAKEOVER_H

#include "control/generations.h"
#include "control/handed.h"
#include "control/health.h"
#include "control/hello.h"
#include "control/inherited.h"
#include "control/ledger_reader.h"
#include "control/names.h"
#include "control/session_taker.h"
#include "control/upgrade_message.h"
#include "control/workers.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct takeover {
    struct loop *loop;
    struct workers *workers;
    int channel; /* -1: nobody is to be taken over, or the old process is gone
                  */
    struct names *names;
    struct handed handed;
    struct ledger_reader ledger;
    struct hello old;

    struct session_taker taker;
    bool announced; /* all that are */
    uint64_t frozen_ns;
    bool goodbye; /* the old process has told all */
    struct channel_message in, out;
};

/* Looks into the environment. Before anything else that writes to standard
 * error. */
void takeover_open(struct takeover *takeover);

static inline bool takeover_is_open(const struct takeover *takeover)
{
    return takeover->channel >= 0;
}

/*
 * The steps of the way, in this order. Each answers NULL, or a sentence that
 * says why it failed. Between them the caller does what a start does.
 */

/* Greets, and takes names and sockets. */
const char *takeover_begin(struct takeover *takeover, struct names *names,
                           struct inherited *inherited) WARN_UNUSED;

/* What depends on how many sockets and which blocks the old process has stays
 * as it was. */
void takeover_configure(const struct takeover *takeover, struct config *config);

/* The generation is prepared: takes states and counters. */
const char *takeover_read(struct takeover *takeover,
                          struct generations *generations) WARN_UNUSED;

/* The workers run: none of them does anything from now on. */
const char *takeover_freeze(struct takeover *takeover) WARN_UNUSED;

/* They have the generation: takes the connections, and waits for COMMIT. */
const char *takeover_move(struct takeover *takeover,
                          struct health *health) WARN_UNUSED;

/* All goes on here: writes the line "upgraded". */
void takeover_start(struct takeover *takeover);

/* Tells the old process, which then goes on. */
void takeover_fail(struct takeover *takeover, const char *reason);

/* ---- afterwards ---- */

/* The loop's handler of the channel: what has ended in the old process. */
void takeover_event(struct takeover *takeover);

void takeover_fini(struct takeover *takeover);

#endif
