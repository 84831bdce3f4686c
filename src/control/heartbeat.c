#include "control/heartbeat.h"

#include <sys/param.h>

/* 0: no heartbeat is needed. */
static uint64_t interval_ns(const struct heartbeat *heartbeat)
{
    uint64_t watchdog_ns = heartbeat->systemd->watchdog_ns / 2;

    if (!heartbeat->asked_for) {
        return watchdog_ns;
    }
    return watchdog_ns == 0 ? HEARTBEAT_NS : MIN(watchdog_ns, HEARTBEAT_NS);
}

static void arm(struct heartbeat *heartbeat)
{
    uint64_t interval = interval_ns(heartbeat);

    if (interval > 0) {
        wheel_arm(&heartbeat->loop->wheel, &heartbeat->timer,
                  heartbeat->loop->now_ns + interval);
    }
}

void heartbeat_timer(struct heartbeat *heartbeat)
{
    heartbeat->stuck = !workers_beat(heartbeat->workers);
    if (!heartbeat->stuck && heartbeat->systemd->watchdog_ns > 0) {
        systemd_watchdog(heartbeat->systemd);
    }
    arm(heartbeat);
}

void heartbeat_configure(struct heartbeat *heartbeat, bool asked_for)
{
    heartbeat->asked_for = asked_for;
    if (!wheel_armed(&heartbeat->timer)) {
        heartbeat->stuck = false;
        arm(heartbeat);
    } else if (wheel_due_ns(&heartbeat->timer) >
               heartbeat->loop->now_ns + interval_ns(heartbeat)) {
        arm(heartbeat);
    }
}
