/*
 * slab: blocks of one size, lent from a shared arena under a ceiling.
 *
 * The arena is one reserved mapping, cut into blocks. Each thread borrows
 * through a cache, so that the common borrow and return take no lock. Caches
 * refill from the arena and spill to it in batches. The free blocks are a
 * freelist; slab_trim gives the memory of those that nobody has needed since
 * the last trim back to the system (MADV_DONTNEED), off the fast path and
 * outside the lock.
 *
 * A block is lent to an account: one user's part of one cache. A user is a ring
 * of accounts, one for each cache, and the blocks are shared fairly between
 * users by the rules of base/wait_queue.h. slab_borrow answers NULL when the
 * user may have no more blocks now, and the account joins the queue. From then
 * on returned blocks bypass the caches: each is granted to the next account of
 * the queue, and the wake function of its cache runs.
 *
 * Under ASan blocks that are not lent are poisoned.
 *
 * Threads: slab_init and slab_fini by one thread while no cache exists. A cache
 * and its accounts belong to one thread; its wake function is called by the
 * thread that returned the block, with no lock held.
 */
#ifndef EVPROXY_BASE_SLAB_H
#define EVPROXY_BASE_SLAB_H

#include "base/base.h"
#include "base/freelist.h"
#include "base/wait_queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SLAB_CACHE_BLOCKS 8

struct slab {
    /* Written by slab_init, then only read. */
    unsigned char *arena; /* mapped, not resident until used */
    uint32_t block_bytes;
    uint32_t blocks;     /* in all: the ceiling */
    uint32_t cache_full; /* a cache that holds so many spills half; 1 in a
                            small arena: then caches stay empty */

    /* Of accounts; under the lock, but every borrow and return asks whether it
     * is empty. */
    struct wait_queue queue;
    char apart[CACHE_LINE_BYTES]; /* from what the lock's holders write */

    pthread_mutex_t lock; /* guards the queue and all below */
    struct freelist free;
    uint32_t trims; /* of the arena, so far */
};

typedef void (*slab_wake_fn)(void *arg);

struct slab_cache {
    struct slab *slab;
    void *blocks[SLAB_CACHE_BLOCKS];
    uint32_t count;      /* blocks in the cache */
    uint32_t low;        /* least count since the last trim */
    uint32_t seen_trims; /* slab->trims at this cache's last trim */
    struct list granted; /* accounts, by their waiters; under the slab's lock */
    slab_wake_fn wake;
    void *wake_arg;
    _Atomic uint32_t lent; /* written by the owner, summed by the stats */
    _Atomic uint32_t peak; /* most that were lent at once; likewise */
};

/* All-zero: the only one of its user. */
struct slab_account {
    struct waiter waiter;     /* counts the blocks; under the slab's lock */
    struct slab_cache *cache; /* of its last wait */
    bool asked; /* waits or is granted, as far as the owner knows */
};

/*
 * ceiling_bytes / block_bytes blocks, block_bytes a multiple of the page size.
 * -1 with errno: ENOMEM, or EINVAL when no block fits.
 */
int slab_init(struct slab *slab, uint32_t block_bytes,
              uint64_t ceiling_bytes) WARN_UNUSED;

/* All blocks must have been returned and all caches closed. */
void slab_fini(struct slab *slab);

void slab_cache_init(struct slab_cache *cache, struct slab *slab,
                     slab_wake_fn wake, void *arg);

/*
 * Returns what the cache holds to the arena. Nothing may be lent through it,
 * and no account waits for it. Another thread that returned a block may still
 * be about to run the wake function: the cache's memory and arg stay until the
 * other threads have stopped.
 */
void slab_cache_fini(struct slab_cache *cache);

/* Adds an all-zero account to another one's user. Before either is used. */
void slab_account_add(struct slab_account *user, struct slab_account *account);

/*
 * A block of slab->block_bytes, its contents undefined; or NULL, and then the
 * account waits. The wake function is called when a block is granted to it,
 * which slab_take_granted tells. The owner then borrows until it gets NULL
 * again, and so waits again, or until it needs no more, and then calls
 * slab_pass_on. An account that waits is always passed on before its end.
 */
void *slab_borrow(struct slab_cache *cache, struct slab_account *account);

/* The same for bytes that exist already: a block if one is spare, whatever the
 * user has. NULL: none is; the account does not wait. */
void *slab_borrow_spare(struct slab_cache *cache, struct slab_account *account);

/* To the cache and the account that it was borrowed with. */
void slab_return(struct slab_cache *cache, struct slab_account *account,
                 void *block);

/*
 * Moves the accounts of this cache that have a grant to the end of the list,
 * linked by waiter.link, which is under the slab's lock: slab_borrow and
 * slab_pass_on take an account off it. The owner does either for each.
 */
void slab_take_granted(struct slab_cache *cache, struct list *granted);

/*
 * The account's owner wants no block now: leaves the queue, and passes a
 * granted block that it did not use on to the next. Harmless at any time, and
 * cheap if there is nothing to do.
 */
void slab_pass_on(struct slab_account *account);

/*
 * Gives back what was not needed since the last call: the cache's surplus to
 * the arena (all of it while others wait), the arena's to the system. Answers
 * whether a later call could give back more. Call it about once a second while
 * blocks come and go, and not on the fast path. One caller in each such
 * interval does the arena's share, however many caches there are.
 */
bool slab_trim(struct slab_cache *cache);

/* Aborts unless the invariants above hold. For tests and debug builds. */
void slab_check(struct slab *slab);

#endif
