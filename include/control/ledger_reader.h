/*
 * ledger_reader: what another process has counted and knows, read from the
 * records of its ledger (control/ledger.h). Control thread.
 *
 * A service is found again by its name, and an upstream by its service and its
 * text, in the generation that this process begins with. What it lacks has
 * numbers all the same; the counters of such a service are those of a removed
 * one.
 */
#ifndef EVPROXY_CONTROL_LEDGER_READER_H
#define EVPROXY_CONTROL_LEDGER_READER_H

#include "base/record.h"
#include "control/generations.h"
#include "control/health.h"

#include <stdbool.h>
#include <stdint.h>

struct ledger_known_service {
    struct service *service; /* NULL: this process has none of that name */
    uint64_t accepted;       /* by the other process, as far as was read */
    uint64_t ended;
    uint64_t taken;     /* sessions that this process has taken up */
    uint32_t search_at; /* where its next upstream probably is */
};

struct ledger_known_upstream {
    struct upstream *upstream; /* NULL: likewise */
    uint32_t streak;           /* of its checks */
};

/* All-zero except for its first two fields: nothing was read. */
struct ledger_reader {
    struct generation *generation;
    struct service_sums *removed; /* of generations */
    struct ledger_known_service *services;
    size_t service_count;
    struct ledger_known_upstream *upstreams;
    size_t upstream_count;
};

void ledger_reader_fini(struct ledger_reader *reader);

/* Reads a record of a ledger. False: it is malformed, or there is no memory.
 * One of another tag is skipped. */
bool ledger_read(struct ledger_reader *reader,
                 const struct record *record) WARN_UNUSED;

/* Gives the checks of the upstreams the streaks that were read. */
void ledger_restore_streaks(const struct ledger_reader *reader,
                            struct health *health);

/* The other process is gone, and its last sessions with it: they are counted as
 * ended. Answers how many. */
uint64_t ledger_reader_balance(struct ledger_reader *reader);

#endif
