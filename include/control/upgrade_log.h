/*
 * upgrade_log: the lines of an upgrade in the old process's log, and its status
 * for the service manager. Control thread.
 */
#ifndef EVPROXY_CONTROL_UPGRADE_LOG_H
#define EVPROXY_CONTROL_UPGRADE_LOG_H

#include "control/hello.h"
#include "control/last_words.h"
#include "control/systemd.h"

#include <stdbool.h>
#include <stdint.h>

/* `path` is that of the binary that is started. */
void upgrade_log_begin(const struct systemd *systemd, const char *path);

/* The status is that of the upgrade that is under way, if there is one. */
void upgrade_log_refused(const struct systemd *systemd, bool under_way,
                         const char *reason);

/* With the new process's last words. */
void upgrade_log_failed(const struct systemd *systemd, const struct hello *new,
                        struct last_words *words, const char *reason);

/* To the process `pid`: so many connections have moved, and so many have not.
 */
void upgrade_log_left(const struct hello *new, long pid, uint32_t moved,
                      uint32_t left);

#endif
