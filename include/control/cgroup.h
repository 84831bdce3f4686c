/*
 * cgroup: the limits that control groups set on this process: a quota of
 * processor time, and memory. Both versions (cgroups(7)).
 *
 * The groups of the process and all above them count; of each limit the least
 * holds. What cannot be read sets no limit. Any thread, before it matters; it
 * reads files.
 */
#ifndef EVPROXY_CONTROL_CGROUP_H
#define EVPROXY_CONTROL_CGROUP_H

#include <stdint.h>

struct cgroup_limits {
    uint64_t processors;   /* the quota, rounded up; UINT64_MAX: none */
    uint64_t memory_bytes; /* UINT64_MAX: none */
};

/* membership: as /proc/self/cgroup; mount: as /sys/fs/cgroup. */
void cgroup_read(const char *membership, const char *mount,
                 struct cgroup_limits *limits);

/* Of this process. */
void cgroup_read_own(struct cgroup_limits *limits);

#endif
