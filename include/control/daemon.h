/*
 * daemon: the control plane. It starts the workers, handles signals, reloads,
 * drains and writes the stats lines. Runs in the main thread, which is the
 * control thread.
 */
#ifndef EVPROXY_CONTROL_DAEMON_H
#define EVPROXY_CONTROL_DAEMON_H

#include "base/base.h"
#include "control/source.h"

/*
 * Runs until a signal ends it. Takes the config, which was read from the
 * source. arguments: argv, for an upgrade. Returns the exit status: 0 after a
 * clean stop; 1 if the start failed, with the reason in the log.
 */
int daemon_run(const struct source *source, struct config *config,
               char **arguments);

#endif
