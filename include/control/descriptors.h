/*
 * descriptors: the standard streams, and how many connections RLIMIT_NOFILE can
 * hold.
 *
 * A connection takes two descriptors. The process also has a listening socket
 * for each address and worker, an epoll and an eventfd for each loop, a socket
 * for each health check under way, two for each look-up of a name, one for each
 * client of metrics_listen, and a few others. Control thread.
 */
#ifndef EVPROXY_CONTROL_DESCRIPTORS_H
#define EVPROXY_CONTROL_DESCRIPTORS_H

#include "config/config.h"

#include <stdint.h>

/* Opens /dev/null for each of 0, 1 and 2 that the process was started without.
 * Otherwise the next descriptor has that number, and log lines go into it.
 * Called before any other is opened. -1 with errno. */
int descriptors_fill_standard(void) WARN_UNUSED;

/* Raises the soft limit to the hard one. Returns the limit that is in force:
 * that of the process, or fs.nr_open if this has been lowered below it. */
uint64_t descriptors_raise(void);

/* How many connections such a limit holds, with so many workers. Pure. */
uint32_t descriptors_hold(uint64_t limit, const struct config *config,
                          unsigned workers);

/*
 * Sets *connections to what the limit leaves for connections. Returns NULL, or
 * a sentence without a final stop (in a buffer that lives until the next call)
 * if that is none, or fewer than the configuration's max_connections. It names
 * the limit to raise: fs.nr_open if no process of this machine may have so many
 * descriptors.
 */
const char *descriptors_capacity(uint64_t limit, const struct config *config,
                                 unsigned workers,
                                 uint32_t *connections) WARN_UNUSED;

#endif
