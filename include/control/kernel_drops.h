/*
 * kernel_drops: datagrams that the kernel has dropped at the sockets of
 * services, as they had no room, in the counters of the services. Control
 * thread.
 *
 * The kernel counts for each socket. The sockets of the current generation are
 * read whenever counters are shown, and before they close. They stay open as
 * long as the generation is the current one and no worker drains or departs.
 * During an upgrade nothing is counted: the process that has the sockets in the
 * end goes on from the numbers that were handed over with them.
 */
#ifndef EVPROXY_CONTROL_KERNEL_DROPS_H
#define EVPROXY_CONTROL_KERNEL_DROPS_H

#include "service/generation.h"

#include <stddef.h>

/* Counts what has been dropped at one address of the current generation. */
void kernel_drops_count(const struct generation *current, size_t listen);

void kernel_drops_count_all(const struct generation *current);

/* Counts at all for the last time, or until kernel_drops_resume. */
void kernel_drops_hold(struct generation *current);
void kernel_drops_resume(struct generation *current);

#endif
