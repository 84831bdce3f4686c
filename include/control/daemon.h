/*
 * daemon: the control plane: starts the workers, obeys the signals, reloads,
 * drains, writes the stats lines. The main thread.
 */
#ifndef EVPROXY_CONTROL_DAEMON_H
#define EVPROXY_CONTROL_DAEMON_H

#include "base/base.h"
#include "config/config.h"

/*
 * Where the configuration comes from, each time it is read: a file, or the text
 * that the command line amounts to.
 */
struct daemon_source {
    const char *path; /* NULL: text */
    const char *text;
};

/* The snapshot, or NULL with errors. */
struct config *daemon_load(const struct daemon_source *source,
                           struct config_errors *errors) WARN_UNUSED;

/* Writes "FILE:LINE: message" for each to standard error. */
void daemon_print_errors(const struct daemon_source *source,
                         const struct config_errors *errors);

/*
 * Runs until it is told to stop. Answers the exit status: 0 after a clean stop,
 * 1 when a start-up step failed (the reason is on standard error). Takes
 * config.
 */
int daemon_run(const struct daemon_source *source, struct config *config);

#endif
