/*
 * heartbeat: asks the workers again and again whether their loops move, for the
 * service manager's watchdog and for requests over HTTP. Control thread.
 */
#ifndef EVPROXY_CONTROL_HEARTBEAT_H
#define EVPROXY_CONTROL_HEARTBEAT_H

#include "control/systemd.h"
#include "control/workers.h"
#include "net/loop.h"

#include <stdbool.h>

/* For requests: a worker whose loop stands still is known within two of these.
 */
#define HEARTBEAT_NS (3 * NS_PER_S)

struct heartbeat {
    struct loop *loop;
    struct workers *workers;
    const struct systemd *systemd;
    struct wheel_timer timer; /* its kind is set */

    bool asked_for; /* HTTP asks, besides the watchdog */
    bool stuck;     /* a worker has not answered the last beat */
};

/* The workers run. asked_for may change. */
void heartbeat_configure(struct heartbeat *heartbeat, bool asked_for);

/* The loop's handler. */
void heartbeat_timer(struct heartbeat *heartbeat);

#endif
