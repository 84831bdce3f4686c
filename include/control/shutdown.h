/*
 * shutdown: the end of the process after a signal, in phases:
 *
 *      serving      until SIGTERM
 *      delaying     for drain_delay: new connections are taken, while balancers
 *                   in front see by /healthz that they should send no more
 *      draining     for drain_timeout: none is taken; those that there are may
 *                   finish. With drain_spread the second half ends what is
 *                   left evenly, so that its clients do not all come back at
 *                   once
 *      resetting    what is left has been reset
 *
 * When every worker has reported REPORT_DRAINED, the clients of HTTP still get
 * their answers (http_server_finish), and the process ends. Control thread, in
 * its loop.
 */
#ifndef EVPROXY_CONTROL_SHUTDOWN_H
#define EVPROXY_CONTROL_SHUTDOWN_H

#include "control/changes.h"
#include "control/systemd.h"
#include "control/workers.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

enum shutdown_phase {
    SHUTDOWN_SERVING,
    SHUTDOWN_DELAYING,
    SHUTDOWN_DRAINING,
    SHUTDOWN_SPREADING, /* the second half of draining, with drain_spread */
    SHUTDOWN_RESETTING,
};

struct shutdown {
    struct loop *loop;
    struct changes *changes;
    struct workers *workers;
    const struct systemd *systemd;
    enum shutdown_phase phase;
    uint64_t deadline_ns;      /* of the drain; 0: it has none */
    struct wheel_timer timer;  /* to the next phase */
    struct wheel_timer extend; /* to the next EXTEND_TIMEOUT_USEC */
};

/* The first four fields are set. The kinds of the two timers in the loop. */
void shutdown_init(struct shutdown *shutdown, unsigned timer_kind,
                   unsigned extend_kind);

/* True: the configuration and the signals that change it have no effect any
 * more. */
bool shutdown_begun(const struct shutdown *shutdown);

/* SIGTERM or SIGINT has come, for the first time. */
void shutdown_begin(struct shutdown *shutdown, int signal);

/* The loop's handlers. */
void shutdown_timer(struct shutdown *shutdown);
void shutdown_extend(struct shutdown *shutdown);

#endif
