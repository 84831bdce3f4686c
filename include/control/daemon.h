/*
 * daemon: the control plane: starts the workers, obeys the signals, reloads,
 * drains, writes the stats lines. The main thread.
 */
#ifndef EVPROXY_CONTROL_DAEMON_H
#define EVPROXY_CONTROL_DAEMON_H

#include "base/base.h"
#include "control/source.h"

/*
 * Runs until it is told to stop. Answers the exit status: 0 after a clean stop,
 * 1 when a start-up step failed (the reason is on standard error). Takes the
 * config, which was read from the source.
 */
int daemon_run(const struct source *source, struct config *config);

#endif
