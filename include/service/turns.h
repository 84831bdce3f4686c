/*
 * turns: the sequence of turns of a weighted round robin. Pure.
 *
 * Each node stands weight times in it. The turns are spread by smooth weighted
 * round robin, as in nginx: each turn adds to every node its weight, goes to
 * the first node of the greatest sum, and takes the sum of all weights off that
 * node's.
 */
#ifndef EVPROXY_SERVICE_TURNS_H
#define EVPROXY_SERVICE_TURNS_H

#include "base/base.h"

#include <stdint.h>

#define TURNS_WEIGHT_MAX 256

struct turns {
    uint16_t *nodes; /* the numbers of the nodes, in order */
    uint32_t count;
};

/*
 * weights[i] is that of node i, 0 to TURNS_WEIGHT_MAX; 0: it has no turn. At
 * least one node has turns. -1 with errno = ENOMEM.
 *
 * The shares are exact up to 2^20 turns (2 MB): for any 4,096 nodes. With more,
 * weights are scaled down to fit, but to at least one turn.
 */
int turns_init(struct turns *turns, const uint32_t *weights,
               uint32_t count) WARN_UNUSED;
void turns_fini(struct turns *turns);

#endif
