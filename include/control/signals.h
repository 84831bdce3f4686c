/*
 * signals: the signals that the daemon handles, read from a descriptor. Control
 * thread.
 */
#ifndef EVPROXY_CONTROL_SIGNALS_H
#define EVPROXY_CONTROL_SIGNALS_H

#include "base/base.h"

/*
 * Blocks SIGHUP, SIGUSR1, SIGTERM and SIGINT and returns a descriptor that is
 * readable when one is pending. Ignores SIGPIPE and SIGUSR2. Called before any
 * other thread starts: all inherit the mask, so that no signal interrupts a
 * worker. -1 with errno.
 */
int signals_open(void) WARN_UNUSED;

/* The next pending signal, or 0. */
int signals_next(int fd) WARN_UNUSED;

#endif
