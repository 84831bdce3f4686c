/*
 * slab: blocks of one size, lent from a shared arena under a ceiling.
 *
 * The arena is one reserved mapping cut into blocks. A thread borrows through a
 * cache of its own, so that the common borrow and return take no lock; caches
 * refill from and spill to the arena in batches. Free blocks are a stack (last
 * in, first out): those at its bottom have been free longest.
 *
 *      free[]   0        clean            low          count
 *               | given  | to be given    | used since  |
 *               | back   | back by trim   | last trim   |  <- top: borrow here
 *
 * The stack's low-water mark since the last trim tells how many blocks nobody
 * has needed meanwhile; slab_trim gives exactly those back to the system
 * (MADV_DONTNEED), off the fast path and outside the lock. (Low-water trimming:
 * as in the magazine layer of Bonwick and Adams, "Magazines and Vmem", USENIX
 * 2001.)
 *
 * At the ceiling slab_borrow answers NULL and the cache stands in a FIFO. Each
 * returned block then bypasses the caches and is granted to the first in line,
 * whose wake function runs; until a waiting cache has been granted a block, no
 * other cache's borrow overtakes it. So every waiter gets its turn.
 *
 * Under ASan blocks that are not lent are poisoned.
 *
 * Threads: slab_init and slab_fini by one thread while no cache exists. A cache
 * belongs to one thread; its wake function is called by the thread that
 * returned the block, with no lock held.
 */
#ifndef EVPROXY_BASE_SLAB_H
#define EVPROXY_BASE_SLAB_H

#include "base/base.h"
#include "base/list.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SLAB_CACHE_BLOCKS 8

struct slab {
    /* Written by slab_init, then only read. */
    unsigned char *arena; /* mapped, not resident until used */
    uint32_t block_bytes;
    uint32_t blocks;          /* in all: the ceiling */
    uint32_t cache_full;      /* a cache that holds so many spills half; 1 in a
                                 small arena: then caches stay empty */
    _Atomic uint32_t waiting; /* length of waiters; written under the lock,
                                 read without by every borrow and return */
    char apart[CACHE_LINE_BYTES]; /* from what the lock's holders write */

    pthread_mutex_t lock; /* guards all below */
    uint32_t *free;       /* stack of the numbers of free blocks */
    uint32_t count;       /* on the stack */
    uint32_t low;         /* least count since the last trim */
    uint32_t clean;       /* so many at the bottom hold no memory */
    uint32_t granted;     /* free blocks promised to woken caches */
    uint32_t trims;       /* of the arena, so far */
    struct list waiters;  /* of struct slab_cache; while it is not empty, every
                             free block is promised */
};

typedef void (*slab_wake_fn)(void *arg);

struct slab_cache {
    struct slab *slab;
    void *blocks[SLAB_CACHE_BLOCKS];
    uint32_t count;      /* blocks in the cache */
    uint32_t low;        /* least count since the last trim */
    uint32_t seen_trims; /* slab->trims at this cache's last trim */
    bool asked;          /* in line or granted, as far as the owner knows */
    bool granted;        /* a block is promised to it; under the slab's lock */
    slab_wake_fn wake;
    void *wake_arg;
    struct list waiting;   /* in slab->waiters */
    _Atomic uint32_t lent; /* written by the owner, summed by the stats */
    _Atomic uint32_t peak; /* most that were lent at once; likewise */
};

/*
 * ceiling_bytes / block_bytes blocks, block_bytes a multiple of the page size.
 * -1 with errno: ENOMEM, or EINVAL when not one block fits.
 */
int slab_init(struct slab *slab, uint32_t block_bytes,
              uint64_t ceiling_bytes) WARN_UNUSED;

/* All blocks must have been returned and all caches closed. */
void slab_fini(struct slab *slab);

void slab_cache_init(struct slab_cache *cache, struct slab *slab,
                     slab_wake_fn wake, void *arg);

/*
 * Returns what the cache holds to the arena and leaves the line. Nothing may be
 * lent through it. A thread that returned a block may be about to run the wake
 * function still: the cache's memory and arg stay until the others have
 * stopped.
 */
void slab_cache_fini(struct slab_cache *cache);

/*
 * A block of slab->block_bytes, its contents undefined; or NULL at the ceiling,
 * and then the wake function is called once when a block was granted. The
 * woken one borrows until it gets NULL, and so is in line again, or until it
 * needs no more, and then calls slab_pass_on.
 */
void *slab_borrow(struct slab_cache *cache);

/* To the cache that lent it. */
void slab_return(struct slab_cache *cache, void *block);

/*
 * The owner wants no block now: leaves the line, and hands a promise it did not
 * use to the next in line. Harmless at any time, and cheap if there is nothing
 * to do.
 */
void slab_pass_on(struct slab_cache *cache);

/*
 * Gives back what was not needed since the last call: the cache's surplus to
 * the arena (all of it while others wait), the arena's to the system. Answers
 * whether another call in a while could give back more. To be called about
 * once a second while blocks come and go, and never by a worker on its fast
 * path. The arena's share is done by one caller in each such interval, however
 * many caches there are.
 */
bool slab_trim(struct slab_cache *cache);

/* Aborts unless the invariants above hold. For tests and debug builds. */
void slab_check(struct slab *slab);

#endif
