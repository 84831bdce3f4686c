/*
 * worker: one thread of the data plane. All that the control plane knows of it.
 *
 * The control thread calls everything here. Between worker_start and
 * worker_join the two talk by messages only: commands go to the worker, and the
 * worker sends reports (shared.h) to the control mailbox.
 */
#ifndef EVPROXY_PROXY_WORKER_H
#define EVPROXY_PROXY_WORKER_H

#include "proxy/shared.h"

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* A running thread, all signals blocked in it. NULL with errno. */
struct worker *worker_start(unsigned number, struct shared *shared) WARN_UNUSED;

/*
 * New connections belong to this generation from now on, and its sockets
 * (fds[number] of each) to the worker: see reactor_apply. -1 with errno =
 * ENOMEM, and nothing has changed.
 */
int worker_apply(struct worker *worker,
                 struct generation *generation) WARN_UNUSED;

/* Stops accepting, closes the listening sockets, and sends REPORT_DRAINED when
 * no session is left. */
void worker_drain(struct worker *worker);

/* Resets the sessions that are left, with cause drain; REPORT_DRAINED follows.
 */
void worker_reset_all(struct worker *worker);

/* Resets them evenly until the deadline. Once. */
void worker_reset_evenly(struct worker *worker, uint64_t deadline_ns);

/* Upstreams have a new reset_ns: see reactor_sweep. */
void worker_sweep(struct worker *worker);

/* Answered by REPORT_BEAT when the loop comes round. */
void worker_beat(struct worker *worker);

/* ---- an upgrade: see proxy/handover.h ---- */

struct handover;
struct handover_batch;

/* Answered by REPORT_ANNOUNCED and REPORT_FROZEN; then worker_handover is the
 * control thread's until it calls the next one. -1: no memory. */
int worker_announce(struct worker *worker) WARN_UNUSED;
int worker_freeze(struct worker *worker) WARN_UNUSED;
struct handover *worker_handover(struct worker *worker);

/* All goes on here. True: answered by REPORT_THAWED; false: there is no memory
 * for the report. The last answer to either must have come before. */
bool worker_thaw(struct worker *worker);

/* What the other process has goes on there: REPORT_DRAINED is sent when no
 * session is left here. */
void worker_depart(struct worker *worker);

/* Takes sessions up: answered by REPORT_TAKEN with the same batch. -1 with
 * errno = ENOMEM. */
int worker_take(struct worker *worker,
                struct handover_batch *batch) WARN_UNUSED;

/* Ends the thread, which must have sent REPORT_DRAINED (or be given up with the
 * process), and frees it. */
void worker_join(struct worker *worker);

/* For the stats: blocks lent now, and most at once, of this worker. */
void worker_memory(const struct worker *worker, uint32_t *lent, uint32_t *peak);

#endif
