/*
 * balance: which upstream takes a connection. Pure: it asks by callbacks what
 * changes from moment to moment, who is up and how loaded each is.
 *
 * source: weighted rendezvous hashing (Thaler and Ravishankar, "Using
 * name-based mappings to increase hit rates", IEEE/ACM ToN 1998; weights as
 * -weight / log(hash), Schindelhauer and Schomaker, "Weighted distributed hash
 * tables", SPAA 2005). Each upstream scores hash_mix(hash_mix(client) ^ id),
 * and the best usable score wins. That is one pass over the upstreams without a
 * table. When one goes, only its clients move, and they spread over all others.
 * The logarithm is computed in integers, so that the choice is the same on
 * every machine.
 *
 * source with a bound: consistent hashing with bounded loads (Mirrokni, Thorup
 * and Zadimoghaddam, "Consistent hashing with bounded loads", SODA 2018). No
 * upstream takes more connections than the bound times its share, by weight, of
 * all that there are with the new one. A client whose best upstream is full by
 * that goes to its next best. Nothing is remembered: the next connection of the
 * client asks again. As the bound is above 1, the shares of all hold more than
 * there is, so some upstream always has room. The counts are those that every
 * connection adds to anyhow, read without a lock: workers that pick at the same
 * moment may exceed the bound by one each.
 *
 * roundrobin: the turns of service/turns.h, with one cursor for all workers, so
 * that any full cycle is exactly even. The turns of an upstream that is not
 * usable are skipped, and the others keep their shares.
 *
 * leastconn: the least load per weight; ties by turns.
 *
 * random: of two different ones drawn by weight, the less loaded (Mitzenmacher,
 * "The power of two choices in randomized load balancing", 1996).
 *
 * first: the first usable one in the caller's order.
 *
 * An upstream may have a share of its weight for a while, as it has come up
 * (slow_start). For source the formula takes the lesser weight, so that its
 * clients come to it one after the other as the share grows, and no other
 * client moves. Its turns and draws are taken by chance, and the others share
 * what it does not take. For first the share plays no part.
 *
 * Backups are picked only when no other is usable, by the same algorithm.
 */
#ifndef EVPROXY_SERVICE_BALANCE_H
#define EVPROXY_SERVICE_BALANCE_H

#include "base/base.h"
#include "config/config.h"
#include "service/turns.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BALANCE_SHARE_ALL 1000

struct balance_node {
    uint64_t id;     /* hash of the upstream's address text: its identity */
    uint32_t weight; /* 1 to 256 */
    bool backup;
};

/* The primaries, or the backups. */
struct balance_class {
    uint32_t members;
    struct turns turns;   /* roundrobin */
    uint32_t *cumulative; /* random: for each node, the sum of the members'
                             weights up to and including its own */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t cursor; /* any thread, relaxed:
                        the number of the next turn; never wraps */
};

struct balance {
    enum config_balance kind;
    struct balance_node *nodes; /* a copy, in the caller's order */
    uint32_t count;
    bool weighted;                   /* not all weights are equal */
    struct balance_class classes[2]; /* primaries, backups */
};

/* What a pick asks about upstream i. An answer may change from one moment to
 * the next; `source` asks about usable only when i would win. */
struct balance_view {
    bool (*usable)(void *arg, uint32_t i);     /* up, not full, not tried */
    uint32_t (*load)(void *arg, uint32_t i);   /* connections that it serves */
    uint32_t (*share)(void *arg, uint32_t i);  /* of its weight, 1 to
                                  BALANCE_SHARE_ALL; NULL: all have all of it */
    uint32_t (*active)(void *arg, uint32_t i); /* of all that it has; asked for
                                                  a bound */
    uint32_t bound; /* of `source`: percent of a share; 0: none */
    uint32_t total; /* connections of all, with the new one; for a bound */
    void *arg;
};

/* -1 with errno = ENOMEM. count: 0 to CONFIG_UPSTREAMS_MAX; ids differ. */
int balance_init(struct balance *balance, enum config_balance kind,
                 const struct balance_node *nodes, uint32_t count) WARN_UNUSED;
void balance_fini(struct balance *balance);

/* The turns go on where those of the one before are: a reload begins no new
 * cycle. Any thread may pick by the one before meanwhile. */
static inline void balance_continue(struct balance *balance,
                                    const struct balance *before)
{
    for (unsigned backup = 0; backup < 2; backup++) {
        balance->classes[backup].cursor = atomic_load_explicit(
            &before->classes[backup].cursor, memory_order_relaxed);
    }
}

/*
 * The number of the upstream, or -1 if none is usable. client: the hash of the
 * client's address (addr_hash), used by `source`; random: 64 random bits. Any
 * thread. O(count), and again for the backups.
 */
ssize_t balance_pick(struct balance *balance, uint64_t client, uint64_t random,
                     const struct balance_view *view);

#endif
