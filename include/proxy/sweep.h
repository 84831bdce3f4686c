/*
 * sweep: resets the connections of upstreams that a check has taken out, with
 * on_down = reset. The plane's thread.
 *
 * No session is in a list by upstream, which would make each record larger. So
 * all records are looked at, a slice in each turn of the loop: a plane with a
 * million of them serves the others meanwhile, and is done within some tenths
 * of a second.
 *
 * Which connections are meant is said by upstream.reset_ns: those that began
 * before. One that is still being connected is not touched here: it goes on to
 * the next upstream when it stands (proxy/attempt.h).
 */
#ifndef EVPROXY_PROXY_SWEEP_H
#define EVPROXY_PROXY_SWEEP_H

#include "proxy/plane.h"

/* Of one slice: records that are looked at, and sessions that end. A record
 * takes a tenth of a microsecond, an end twenty. */
#define SWEEP_RECORDS 2048
#define SWEEP_ENDS    32

/* Looks at all sessions from now on, also if a sweep is under way. */
void sweep_begin(struct plane *plane);

/* The loop's handler of the queue PLANE_SWEEPS: one slice. */
void sweep_run(struct loop *loop, struct list *link);

#endif
