/*
 * descriptors: how many connections RLIMIT_NOFILE can hold.
 *
 * A connection takes two descriptors. Besides, the process keeps a listening
 * socket for each address and worker, an epoll and an eventfd for each loop,
 * one for each health probe under way, and a few of its own. Control thread.
 */
#ifndef EVPROXY_CONTROL_DESCRIPTORS_H
#define EVPROXY_CONTROL_DESCRIPTORS_H

#include "config/config.h"

#include <stdint.h>

/* Raises the soft limit to the hard one; answers the limit in force. */
uint64_t descriptors_raise(void);

/*
 * *connections: what the limit holds beside all else. NULL, or a sentence
 * without a final stop (in a buffer that lives until the next call) if that is
 * none, or fewer than the configuration's max_connections.
 */
const char *descriptors_admit(uint64_t limit, const struct config *config,
                              unsigned workers,
                              uint32_t *connections) WARN_UNUSED;

#endif
