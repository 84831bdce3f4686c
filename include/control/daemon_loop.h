/*
 * daemon_loop: the control thread while it serves: all its rooms in one struct,
 * and what its loop does with signals, events, timers and reports.
 * control/daemon.h starts and ends it.
 */
#ifndef EVPROXY_CONTROL_DAEMON_LOOP_H
#define EVPROXY_CONTROL_DAEMON_LOOP_H

#include "control/changes.h"
#include "control/health.h"
#include "control/heartbeat.h"
#include "control/http.h"
#include "control/inherited.h"
#include "control/report.h"
#include "control/shutdown.h"
#include "control/systemd.h"
#include "control/takeover.h"
#include "control/tcp_memory.h"
#include "control/upgrade.h"
#include "control/workers.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

/* Kinds of events and timers in the control loop. */
enum {
    DAEMON_SIGNAL = LOOP_KIND_MAILBOX + 1,
    DAEMON_HEALTH,
    DAEMON_STATS,
    DAEMON_HEARTBEAT,
    DAEMON_SHUTDOWN,
    DAEMON_EXTEND,
    DAEMON_CHANGES,
    DAEMON_LOOKUPS,
    DAEMON_HTTP,
    DAEMON_TCP_MEMORY,
    DAEMON_UPGRADE,
    DAEMON_TAKEOVER,
};

/* The control loop's queues: of TLS handshakes of checks, and of HTTP answers
 * that have more to write. */
enum { DAEMON_HANDSHAKES, DAEMON_ANSWERS };

/* Of messages, after those of the workers. */
enum { MESSAGE_LOOKUP = REPORT_TYPES };

struct daemon {
    struct loop loop;
    struct systemd systemd;
    struct workers workers;
    struct health *health;
    struct changes changes;
    struct inherited inherited;
    struct http http;
    int signal_fd;
    uint64_t started_ns;
    struct shutdown shutdown;
    struct reporter reporter;
    struct heartbeat heartbeat;
    struct tcp_memory tcp_memory;
    struct upgrade upgrade;   /* to the next binary */
    struct takeover takeover; /* from the one before */
    bool reload_later;        /* SIGHUP has come during an upgrade */
    bool drained;             /* no session is left */
    bool left;                /* another process serves */
};

/* The handlers of the loop in struct daemon. */
extern const struct loop_owner daemon_loop_owner;

/* Applies what the control thread itself uses of a new configuration. */
void daemon_loop_configure(struct daemon *daemon);

/* Called by upgrade: see control/upgrade.h. */
void daemon_loop_upgraded(void *arg, bool left);

#endif
