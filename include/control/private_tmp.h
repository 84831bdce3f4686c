/*
 * private_tmp: whether a path is in a folder that the service manager shows to
 * this process alone (PrivateTmp=yes), so that no client of a unix socket there
 * would find it. Control thread.
 */
#ifndef EVPROXY_CONTROL_PRIVATE_TMP_H
#define EVPROXY_CONTROL_PRIVATE_TMP_H

#include <stdbool.h>

#define PRIVATE_TMP_MOUNTS "/proc/self/mountinfo"

/* mounts: PRIVATE_TMP_MOUNTS, or a file of its format (proc_pid_mountinfo(5)).
 * False also if that cannot be read. */
bool private_tmp_hides(const char *mounts, const char *path);

#endif
