/*
 * systemd: the service manager's protocol (sd_notify(3)), without its library.
 *
 * Each message is one datagram to the socket that NOTIFY_SOCKET names (a path,
 * or '@' for the abstract namespace). It is sent without waiting; without
 * NOTIFY_SOCKET nothing is sent. Control thread.
 */
#ifndef EVPROXY_CONTROL_SYSTEMD_H
#define EVPROXY_CONTROL_SYSTEMD_H

#include "base/base.h"
#include "base/endpoint.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SYSTEMD_VARIABLE_MAX 160

struct systemd {
    int fd;                  /* -1: no manager */
    struct endpoint manager; /* where the datagrams go */
    uint64_t watchdog_ns;    /* 0: no watchdog, or that of another process */

    /* What a process that takes over finds in its environment; "": nothing. */
    char notify_variable[SYSTEMD_VARIABLE_MAX];
    char watchdog_variable[SYSTEMD_VARIABLE_MAX];
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them from the
 * environment. Malformed values are ignored. */
void systemd_open(struct systemd *systemd);
void systemd_close(struct systemd *systemd);

/* status: one line for `systemctl status`. */
void systemd_ready(const struct systemd *systemd, const char *status);

/* "status", or with a reason "status: reason". */
void systemd_status(const struct systemd *systemd, const char *status,
                    const char *reason);

/* RELOADING=1 with MONOTONIC_USEC; systemd_ready must follow. */
void systemd_reloading(const struct systemd *systemd, uint64_t now_ns);
void systemd_stopping(const struct systemd *systemd);
/* The drain goes on: beyond TimeoutStopSec= the manager waits so long for the
 * next sign of it. */
void systemd_extend(const struct systemd *systemd, uint64_t extend_ns,
                    uint32_t connections);
void systemd_watchdog(const struct systemd *systemd);

/* The manager's main process is that one from now on. Only the main process is
 * heard, so this must be the last message of the present one. */
void systemd_main_process(const struct systemd *systemd, pid_t pid);

/* Whether fd is the journal: JOURNAL_STREAM names its device and inode. */
bool systemd_journal_is(int fd);

#endif
