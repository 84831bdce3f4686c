/*
 * ledger: what this process counts and knows of its services and upstreams, as
 * records for the process that takes over. Each has a number, which sessions
 * are written with. Control thread.
 *
 * The first pass writes every service and upstream with its state and all that
 * was counted so far. A later pass writes those that have counted since, and
 * only the difference. So the other process adds up what it reads, and after
 * the last pass it has counted what this one has. The second pass is made while
 * the workers are frozen, and also writes what the sources owe.
 */
#ifndef EVPROXY_CONTROL_LEDGER_H
#define EVPROXY_CONTROL_LEDGER_H

#include "base/record.h"
#include "control/generations.h"
#include "control/health.h"

#include <stdbool.h>
#include <stdint.h>

/* Of the records, and of what is in them. A tag never changes its meaning. */
enum {
    LEDGER_PROCESS = 0x20, /* what removed services have counted */
    LEDGER_SERVICE = 0x21 | RECORD_CRITICAL,
    LEDGER_UPSTREAM = 0x22 | RECORD_CRITICAL,
    LEDGER_SOURCE = 0x23, /* of control/source_record.h */
};
enum ledger_tag {
    LEDGER_NUMBER = 1 | RECORD_CRITICAL,
    LEDGER_NAME = 2 | RECORD_CRITICAL, /* first pass; of upstreams the text */
    LEDGER_OF = 3 | RECORD_CRITICAL,   /* an upstream's service */
    LEDGER_BYTES_UP = 4,
    LEDGER_BYTES_DOWN = 5,
    LEDGER_ACCEPTED = 6, /* of upstreams: total */
    LEDGER_RATE_ACCEPT = 7,
    LEDGER_RATE_UP = 8,
    LEDGER_RATE_DOWN = 9,
    LEDGER_DOWN = 10, /* the reasons */
    LEDGER_SINCE_NS = 11,
    LEDGER_CAUSE = 12,
    LEDGER_CHECK_NS = 13,
    LEDGER_STREAK = 14,
    LEDGER_SLOW_UNTIL_NS = 15,
    LEDGER_CONNECT_SUM_NS = 16,
    LEDGER_DURATION_SUM_NS = 17,
    LEDGER_FAILURE_NS = 18, /* a connect that failed; several */
    LEDGER_RESET_NS = 19,   /* the first version did not write it */
    LEDGER_TURN = 20,       /* of round robin: the next one */
    LEDGER_TURN_BACKUP = 21,
    LEDGER_SOURCES_REFUSED = 0x40,
    LEDGER_MULTIPATH = 0x41,
    LEDGER_ENDED = 0x100,   /* and the cause */
    LEDGER_DROPPED = 0x200, /* and the reason */
    LEDGER_FAILED = 0x300,  /* and the kind of failure */
    LEDGER_CONNECT = 0x400, /* and the bucket of the histogram */
    LEDGER_DURATION = 0x500,
};
#define LEDGER_FAILURES_MAX 256 /* of one upstream; the latest */

#define LEDGER_KINDS 0x100 /* causes, reasons, buckets that have tags */

struct ledger_service {
    const struct service *service;
    struct service_sums told;
    struct service_times told_times;
};

struct ledger_upstream {
    struct upstream *upstream;
    uint32_t service;
    struct upstream_sums told;
};

enum ledger_pass {
    LEDGER_FIRST,
    LEDGER_FROZEN,
    LEDGER_LATER, /* all others */
};

/* All-zero: closed. */
struct ledger {
    struct generations *generations;
    const struct health *health;
    struct generation **held;
    size_t held_count;
    struct ledger_service *services; /* by number */
    uint32_t service_count;
    struct ledger_upstream *upstreams;
    uint32_t upstream_count;
    struct service_sums removed; /* told of them */
    enum ledger_pass pass;
    uint64_t at;        /* where the pass goes on, */
    uint64_t source_at; /* and among the sources of a service */
};

/* Numbers the services and upstreams of all living generations, which it holds
 * until ledger_close. -1: no memory. */
int ledger_open(struct ledger *ledger, struct generations *generations,
                const struct health *health) WARN_UNUSED;
void ledger_close(struct ledger *ledger);

/* Goes on with a pass until the writer is full. True: the pass is complete, and
 * the next call begins another one. */
bool ledger_write(struct ledger *ledger, struct record_writer *writer);

#endif
