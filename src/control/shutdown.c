#include "control/shutdown.h"

#include "base/log.h"
#include "control/kernel_drops.h"
#include "control/listeners.h"
#include "control/signals.h"

#include <inttypes.h>
#include <string.h>

/* The service manager waits so long for the next sign that the drain goes on,
 * and gets one so often. */
#define EXTEND_NS       (30 * NS_PER_S)
#define EXTEND_EVERY_NS (10 * NS_PER_S)

void shutdown_init(struct shutdown *shutdown, unsigned timer_kind,
                   unsigned extend_kind)
{
    shutdown->timer.kind = timer_kind;
    shutdown->extend.kind = extend_kind;
}

bool shutdown_begun(const struct shutdown *shutdown)
{
    return shutdown->phase != SHUTDOWN_SERVING;
}

static const struct config *config_of(const struct shutdown *shutdown)
{
    return changes_current(shutdown->changes)->config;
}

static void arm(struct shutdown *shutdown, uint64_t at_ns)
{
    wheel_arm(&shutdown->loop->wheel, &shutdown->timer, at_ns);
}

static void reset(struct shutdown *shutdown)
{
    shutdown->phase = SHUTDOWN_RESETTING;
    workers_reset_all(shutdown->workers);
}

static void drain(struct shutdown *shutdown)
{
    const struct config *config = config_of(shutdown);
    uint64_t timeout_ns = config->drain_timeout_ns;
    uint64_t now_ns = shutdown->loop->now_ns;

    shutdown->phase = SHUTDOWN_DRAINING;
    shutdown->deadline_ns = now_ns + timeout_ns;
    listeners_unlink(changes_current(shutdown->changes));
    changes_stop(shutdown->changes);
    kernel_drops_hold(changes_current(shutdown->changes));
    workers_drain(shutdown->workers);
    if (timeout_ns == 0) {
        reset(shutdown);
    } else {
        arm(shutdown, config->drain_spread ? now_ns + timeout_ns / 2
                                           : shutdown->deadline_ns);
    }
}

static void spread(struct shutdown *shutdown)
{
    shutdown->phase = SHUTDOWN_SPREADING;
    workers_reset_evenly(shutdown->workers, shutdown->deadline_ns);
    arm(shutdown, shutdown->deadline_ns);
}

void shutdown_begin(struct shutdown *shutdown, int signal)
{
    const struct config *config = config_of(shutdown);

    log_write(LOG_INFO,
              "stopping signal=%s connections=%" PRIu32
              " drain_timeout_ms=%" PRIu64 " drain_delay_ms=%" PRIu64,
              signals_name(signal), shared_active(&shutdown->workers->shared),
              config->drain_timeout_ns / NS_PER_MS,
              config->drain_delay_ns / NS_PER_MS);
    systemd_stopping(shutdown->systemd);
    shutdown_extend(shutdown);
    if (config->drain_delay_ns == 0) {
        drain(shutdown);
    } else {
        shutdown->phase = SHUTDOWN_DELAYING;
        arm(shutdown, shutdown->loop->now_ns + config->drain_delay_ns);
    }
}

void shutdown_timer(struct shutdown *shutdown)
{
    switch (shutdown->phase) {
    case SHUTDOWN_DELAYING:
        drain(shutdown);
        break;
    case SHUTDOWN_DRAINING:
        if (shutdown->loop->now_ns < shutdown->deadline_ns) {
            spread(shutdown);
            break;
        }
        reset(shutdown);
        break;
    default:
        reset(shutdown);
        break;
    }
}

void shutdown_extend(struct shutdown *shutdown)
{
    systemd_extend(shutdown->systemd, EXTEND_NS,
                   shared_active(&shutdown->workers->shared));
    wheel_arm(&shutdown->loop->wheel, &shutdown->extend,
              shutdown->loop->now_ns + EXTEND_EVERY_NS);
}
