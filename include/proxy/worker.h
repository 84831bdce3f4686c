/*
 * worker: one thread of the data plane: a loop, its sessions, its listeners,
 * its share of the memory. All that the control plane knows of the data plane.
 *
 * worker_start to worker_join are called by the control thread. Between them
 * the two talk by message only: commands go to the worker, and the worker posts
 * struct worker_report messages to the control mailbox, which the control
 * thread frees.
 */
#ifndef EVPROXY_PROXY_WORKER_H
#define EVPROXY_PROXY_WORKER_H

#include "base/direction.h"
#include "base/slab.h"
#include "net/mailbox.h"
#include "net/sock.h"
#include "service/generation.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What is told in one line a second in all, with how many there were. */
struct worker_complaints {
    _Atomic uint64_t log_ns; /* of the last line; see exhausted_log_ns */
    _Atomic uint32_t count;  /* since that line; any worker adds */
};

/* What all workers of the process share. */
struct worker_shared {
    struct slab slab[DIRECTIONS]; /* half of buffer_memory each */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t active; /* connections; every
                             worker adds and subtracts */
    _Atomic uint32_t max_connections;  /* written by the control thread, read at
                                          each accept */
    _Atomic uint64_t accept_paused;    /* pauses so far; any worker adds */
    _Atomic uint64_t exhausted_log_ns; /* when the last line about a shortage
                             was written; compare-and-swap by any worker: one
                             line a second in all */
    struct worker_complaints bad_headers;
    struct worker_complaints tls_errors; /* handshakes that failed */
    struct mailbox *control;             /* where reports go */
};

/* -1 with errno. */
int worker_shared_init(struct worker_shared *shared, uint32_t block_bytes,
                       uint64_t memory_bytes,
                       struct mailbox *control) WARN_UNUSED;
void worker_shared_fini(struct worker_shared *shared);

enum worker_report_type {
    WORKER_GENERATION_DONE, /* the generation's last session here has ended */
    WORKER_UPSTREAM_FAILED, /* fail_threshold took it out: it wants probes */
    WORKER_DRAINED,         /* no session is left, and it does not accept */
    WORKER_BEAT,            /* answers worker_beat */
};

struct worker_report {
    struct message message; /* type: enum worker_report_type */
    unsigned worker;
    struct generation *generation;
    struct upstream *upstream;
};

struct worker;

/* A running thread, all signals blocked in it. NULL with errno. */
struct worker *worker_start(unsigned number,
                            struct worker_shared *shared) WARN_UNUSED;

/*
 * From now on new connections are born with this generation, and its listening
 * sockets (fds[number] of each, which the worker owns from now on) are accepted
 * from. Sockets of the generation
 * before that it does not have are emptied and closed by the worker. -1 with
 * errno = ENOMEM, and nothing has changed.
 */
int worker_apply(struct worker *worker,
                 struct generation *generation) WARN_UNUSED;

/* Stops accepting (closing the listening sockets) and reports WORKER_DRAINED
 * when no session is left. */
void worker_drain(struct worker *worker);

/* Resets what is left, with cause drain; WORKER_DRAINED follows. */
void worker_reset_all(struct worker *worker);

/* Answered by WORKER_BEAT when the loop comes round. */
void worker_beat(struct worker *worker);

/* Ends the thread, which must have reported WORKER_DRAINED (or be given up
 * with the process), and frees it. */
void worker_join(struct worker *worker);

/* What the service's configuration asks of its sockets, on both sides. */
struct sock_options worker_sock_options(const struct config_service *config);

/* For the stats: blocks lent now, and most at once, of this worker. */
void worker_memory(const struct worker *worker, uint32_t *lent, uint32_t *peak);

#endif
