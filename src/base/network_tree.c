#include "base/network_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define NO_VALUE 255 /* a node that only branches */

struct network_node {
    uint8_t ip[16]; /* bits beyond the prefix are 0 */
    uint8_t prefix;
    uint8_t value;
    uint32_t child[2]; /* by the bit behind the prefix; 0: none */
};

_Static_assert(sizeof(struct network_node) == 28, "see network_tree.h");

/* No child is a root, so that 0 can stand for none. */
enum { ROOT_IPV4, ROOT_IPV6, ROOTS };

#define SIZE_FIRST 16u

void network_tree_fini(struct network_tree *tree)
{
    free(tree->nodes);
    *tree = (struct network_tree){0};
}

static unsigned bit_at(const uint8_t *ip, unsigned place)
{
    return ip[place / 8] >> (7 - place % 8) & 1;
}

/* How many leading bits are equal, at most so many. */
static unsigned common_bits(const uint8_t *a, const uint8_t *b, unsigned most)
{
    unsigned bits = 0;

    while (bits < most && a[bits / 8] == b[bits / 8]) {
        bits += 8;
    }
    if (bits < most) {
        unsigned differ = a[bits / 8] ^ b[bits / 8];

        bits += (unsigned)__builtin_clz(differ) - 24;
    }
    return MIN(bits, most);
}

/* ---- building ---- */

/* The caller has made room. */
static uint32_t add_node(struct network_tree *tree, const uint8_t *ip,
                         unsigned prefix, uint8_t value)
{
    struct network_node *node = &tree->nodes[tree->count];
    struct addr masked = {0};

    memcpy(masked.ip, ip, sizeof(masked.ip));
    addr_mask(&masked, prefix);
    *node = (struct network_node){.prefix = (uint8_t)prefix, .value = value};
    memcpy(node->ip, masked.ip, sizeof(node->ip));
    return tree->count++;
}

static int make_room(struct network_tree *tree, uint32_t count)
{
    uint32_t size = tree->size == 0 ? SIZE_FIRST : 2 * tree->size;
    struct network_node *nodes;

    if (tree->size - tree->count >= count) {
        return 0;
    }
    nodes = size < tree->size ? NULL
                              : reallocarray(tree->nodes, size, sizeof(*nodes));
    if (nodes == NULL) {
        errno = ENOMEM;
        return -1;
    }
    tree->nodes = nodes;
    tree->size = size;
    return 0;
}

/* Puts a node for the network between a node and its child, with which it has
 * so many bits in common: above the child, or beside it. */
static void split(struct network_tree *tree, uint32_t *link, unsigned common,
                  const struct network *network, uint8_t value)
{
    const uint8_t *ip = network->base.ip;
    uint32_t child = *link;
    uint32_t added = add_node(tree, ip, network->prefix, value);
    uint32_t above = added;

    if (common < network->prefix) {
        above = add_node(tree, ip, common, NO_VALUE);
        tree->nodes[above].child[bit_at(ip, common)] = added;
    }
    tree->nodes[above].child[bit_at(tree->nodes[child].ip, common)] = child;
    *link = above;
}

int network_tree_add(struct network_tree *tree, const struct network *network,
                     uint8_t value)
{
    const uint8_t *ip = network->base.ip;
    struct network_node *node;

    if (make_room(tree, ROOTS + 2) < 0) {
        return -1;
    }
    while (tree->count < ROOTS) {
        add_node(tree, ip, 0, NO_VALUE);
    }
    node =
        &tree->nodes[network->base.family == AF_INET ? ROOT_IPV4 : ROOT_IPV6];
    while (node->value == NO_VALUE && node->prefix < network->prefix) {
        uint32_t *link = &node->child[bit_at(ip, node->prefix)];
        struct network_node *child = &tree->nodes[*link];
        unsigned most = MIN(child->prefix, network->prefix);
        unsigned common = *link == 0 ? 0 : common_bits(child->ip, ip, most);

        if (*link == 0) {
            *link = add_node(tree, ip, network->prefix, value);
            return 0;
        }
        if (common < child->prefix) {
            split(tree, link, common, network, value);
            return 0;
        }
        node = child;
    }
    if (node->value == NO_VALUE) {
        node->value = value;
    }
    return 0;
}

/* ---- searching ---- */

int network_tree_find(const struct network_tree *tree, const struct addr *addr)
{
    unsigned bits = addr->family == AF_INET ? 32 : 128;
    const struct network_node *node;
    int value = -1;
    uint32_t next;

    if (!addr_is_ip(addr) || tree->count == 0) {
        return -1;
    }
    next = addr->family == AF_INET ? ROOT_IPV4 : ROOT_IPV6;
    do {
        node = &tree->nodes[next];
        if (common_bits(node->ip, addr->ip, node->prefix) < node->prefix) {
            break;
        }
        value = node->value == NO_VALUE ? value : node->value;
        next = node->prefix == bits
                   ? 0
                   : node->child[bit_at(addr->ip, node->prefix)];
    } while (next != 0);
    return value;
}
