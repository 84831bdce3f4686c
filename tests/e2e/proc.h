/*
 * proc: what the kernel knows of a proxy: its memory, its processor time, its
 * descriptors and its sockets. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_PROC_H
#define EVPROXY_TESTS_E2E_PROC_H

#include "loopback.h"
#include "proxy.h"

#include <stdbool.h>
#include <stdint.h>

/* Resident memory, in bytes. */
uint64_t proc_resident(const struct proxy *proxy);

/* The same once it is at most so much, or after five seconds: what is freed
 * goes back to the system late. */
uint64_t proc_await_resident(const struct proxy *proxy, uint64_t most);

/* The least that it is within half a second. */
uint64_t proc_settled_resident(const struct proxy *proxy);

/* Processor time used, in user space and in the kernel. */
uint64_t proc_cpu_ms(const struct proxy *proxy);

/* The first number behind a key of /proc/PID/status. */
uint64_t proc_status(const struct proxy *proxy, const char *key);

/* How many entries a directory below /proc/PID has: "fd", "task". */
unsigned proc_entries(const struct proxy *proxy, const char *directory);

/* Sets the soft limit of its descriptors; answers the one before. */
rlim_t proc_limit_descriptors(const struct proxy *proxy, rlim_t soft);

/* Its socket with that local (or, if remote, remote) address, duplicated into
 * this process and owned by the test. -1: there is none, or the kernel does not
 * allow it. */
int proc_socket(const struct proxy *proxy, const struct loopback *address,
                bool remote);

#endif
