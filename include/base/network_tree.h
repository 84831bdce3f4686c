/*
 * network_tree: an ordered list of networks, each with a value: finds the first
 * that contains an address. Pure. Built once, then only read, by any thread.
 *
 * A binary trie of prefixes without nodes that have one child only (Morrison,
 * "PATRICIA", 1968), one for each family. A network that an earlier one
 * contains can never be the first, and is left out. So of the networks on a
 * path the longest is the earliest, and a search is one walk down. A network
 * costs at most two nodes of 28 bytes.
 */
#ifndef EVPROXY_BASE_NETWORK_TREE_H
#define EVPROXY_BASE_NETWORK_TREE_H

#include "base/network.h"

#include <stdint.h>

#define NETWORK_TREE_VALUE_MAX 254

struct network_node;

/* All-zero: empty. */
struct network_tree {
    struct network_node *nodes;
    uint32_t count;
    uint32_t size; /* nodes that there is memory for */
};

void network_tree_fini(struct network_tree *tree);

/* Adds a network behind those that the tree has. -1 with errno = ENOMEM. */
int network_tree_add(struct network_tree *tree, const struct network *network,
                     uint8_t value) WARN_UNUSED;

/* The value of the first network that contains the address, or -1. */
int network_tree_find(const struct network_tree *tree, const struct addr *addr);

#endif
