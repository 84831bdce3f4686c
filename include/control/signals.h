/*
 * signals: the signals that the daemon handles, read from a descriptor. Control
 * thread.
 */
#ifndef EVPROXY_CONTROL_SIGNALS_H
#define EVPROXY_CONTROL_SIGNALS_H

#include "base/base.h"

/*
 * Blocks SIGHUP, SIGUSR1, SIGTERM and SIGINT, so that they stay pending until
 * signals_next takes them, and ignores others whose default would end or stop
 * the process. Called first of all, before other threads start: all inherit the
 * mask, so that no signal interrupts a worker.
 */
void signals_hold(void);

/* What is pending has its default effect from now on: the end. For a process
 * that does not become the daemon. */
void signals_release(void);

/* A descriptor that is readable when a held signal is pending. -1 with errno.
 */
int signals_open(void) WARN_UNUSED;

/* The next pending signal, or 0. */
int signals_next(int fd) WARN_UNUSED;

/* "SIGTERM"; "a signal" of one that has no name here. Any thread. */
const char *signals_name(int signal);

#endif
