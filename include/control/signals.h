/*
 * signals: those that command the daemon, as something to read. Control thread.
 */
#ifndef EVPROXY_CONTROL_SIGNALS_H
#define EVPROXY_CONTROL_SIGNALS_H

#include "base/base.h"

/*
 * Blocks SIGHUP, SIGUSR1, SIGTERM and SIGINT and answers a descriptor that is
 * readable when one has come; ignores SIGPIPE and SIGUSR2. To be called before
 * there is another thread: all inherit the mask, so that no signal interrupts a
 * worker. -1 with errno.
 */
int signals_open(void) WARN_UNUSED;

/* The next signal that has come, or 0. */
int signals_next(int fd) WARN_UNUSED;

#endif
