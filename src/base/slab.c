#include "base/slab.h"
#include "base/poison.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <unistd.h>

/* Blocks that a trim takes off the freelist at a time. */
#define TRIM_BATCH SLAB_CACHE_BLOCKS

/* This many full caches hold at most half of the arena. */
#define CACHES_MANY 64u

/* A refill takes at most 1 / REFILL_PART of the spare blocks. */
#define REFILL_PART 16u

static size_t arena_bytes(const struct slab *slab)
{
    return (size_t)slab->blocks * slab->block_bytes;
}

static void *block_at(const struct slab *slab, uint32_t number)
{
    return slab->arena + (size_t)number * slab->block_bytes;
}

static uint32_t block_number(const struct slab *slab, const void *block)
{
    size_t offset = (size_t)((const unsigned char *)block - slab->arena);

    assert(offset < arena_bytes(slab) && offset % slab->block_bytes == 0);
    return (uint32_t)(offset / slab->block_bytes);
}

/* ---- the arena, with the lock held --------------------------------------- */

static void arena_push(struct slab *slab, const void *block)
{
    freelist_push(&slab->free, block_number(slab, block));
}

static void *arena_pop(struct slab *slab)
{
    return block_at(slab, freelist_pop(&slab->free));
}

/* Free blocks that are not granted. */
static uint32_t arena_spare(const struct slab *slab)
{
    return slab->free.count - slab->queue.granted;
}

static void slab_lock(struct slab *slab)
{
    pthread_mutex_lock(&slab->lock);
}

/* Grants spare blocks until nobody may have one, or so many caches must be
 * woken; answers their number. */
static uint32_t grant(struct slab *slab,
                      struct slab_cache *woken[SLAB_CACHE_BLOCKS])
{
    struct waiter *waiter;
    uint32_t count = 0;

    while (count < SLAB_CACHE_BLOCKS &&
           (waiter = wait_queue_grant(&slab->queue, slab->free.count)) !=
               NULL) {
        struct slab_cache *cache =
            container_of(waiter, struct slab_account, waiter)->cache;

        if (list_empty(&cache->granted)) {
            woken[count++] = cache;
        }
        list_append(&cache->granted, &waiter->link);
    }
    return count;
}

/* Grants the spare blocks, leaves the lock, and wakes. */
static void grant_and_unlock(struct slab *slab)
{
    struct slab_cache *woken[SLAB_CACHE_BLOCKS];
    uint32_t count = grant(slab, woken);

    for (;;) {
        pthread_mutex_unlock(&slab->lock);
        for (uint32_t i = 0; i < count; i++) {
            woken[i]->wake(woken[i]->wake_arg);
        }
        if (count < SLAB_CACHE_BLOCKS) {
            break;
        }
        slab_lock(slab);
        count = grant(slab, woken);
    }
}

static void slab_unlock(struct slab *slab)
{
    if (wait_queue_empty(&slab->queue)) {
        pthread_mutex_unlock(&slab->lock);
    } else {
        grant_and_unlock(slab);
    }
}

/* Read without the lock: an account that joins the queue a moment later is
 * served at the next return or trim. */
static bool slab_contended(const struct slab *slab)
{
    return !wait_queue_empty(&slab->queue);
}

/* ---- caches, by their owners --------------------------------------------- */

/* Returns the cache's oldest blocks to the arena, with the lock held. */
static void cache_unload(struct slab_cache *cache, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        arena_push(cache->slab, cache->blocks[i]);
    }
    cache->count -= count;
    cache->low = MIN(cache->low, cache->count);
    memmove(cache->blocks, cache->blocks + count,
            cache->count * sizeof(cache->blocks[0]));
}

static void cache_spill(struct slab_cache *cache, uint32_t count)
{
    if (count > 0) {
        slab_lock(cache->slab);
        cache_unload(cache, count);
        slab_unlock(cache->slab);
    }
}

static void *cache_pop(struct slab_cache *cache)
{
    void *block = cache->blocks[--cache->count];

    cache->low = MIN(cache->low, cache->count);
    return block;
}

/* Fetches a few blocks for later, with the lock held; none when few are left
 * or somebody waits. */
static void cache_refill(struct slab_cache *cache)
{
    struct slab *slab = cache->slab;
    uint32_t part = arena_spare(slab) / REFILL_PART;
    uint32_t count = slab_contended(slab) ? 0 : MIN(slab->cache_full / 2, part);

    while (cache->count < count) {
        cache->blocks[cache->count++] = arena_pop(slab);
    }
}

/* Borrows when the cache is empty. */
static void *cache_borrow_arena(struct slab_cache *cache,
                                struct slab_account *account)
{
    struct slab *slab = cache->slab;
    struct waiter *waiter = &account->waiter;
    void *block = NULL;

    slab_lock(slab);
    if (wait_queue_redeem(&slab->queue, waiter)) {
        account->asked = false;
        block = arena_pop(slab);
    } else if (wait_queue_admits(&slab->queue, waiter, slab->free.count,
                                 slab->blocks)) {
        block = arena_pop(slab);
        cache_refill(cache);
    } else {
        account->cache = cache;
        account->asked = true;
        wait_queue_join(&slab->queue, waiter);
    }
    slab_unlock(slab);
    return block;
}

/* Answers how many blocks the cache has lent now. */
static uint32_t count_lent(struct slab_cache *cache,
                           struct slab_account *account, uint32_t change)
{
    uint32_t lent =
        atomic_load_explicit(&cache->lent, memory_order_relaxed) + change;

    atomic_store_explicit(&cache->lent, lent, memory_order_relaxed);
    waiter_count(&account->waiter, change);
    return lent;
}

static void count_borrowed(struct slab_cache *cache,
                           struct slab_account *account)
{
    uint32_t lent = count_lent(cache, account, 1);

    if (lent > atomic_load_explicit(&cache->peak, memory_order_relaxed)) {
        atomic_store_explicit(&cache->peak, lent, memory_order_relaxed);
    }
}

/* ---- set-up -------------------------------------------------------------- */

static int arena_map(struct slab *slab)
{
    size_t bytes = arena_bytes(slab);
    void *arena = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (arena == MAP_FAILED) {
        return -1;
    }
    /* A huge page would make one block cost 2 MB, and parts of it would not
     * come back. A kernel without huge pages answers EINVAL. */
    (void)madvise(arena, bytes, MADV_NOHUGEPAGE);
    poison_set(arena, bytes);
    slab->arena = arena;
    return 0;
}

static void arena_unmap(struct slab *slab)
{
    poison_lift(slab->arena, arena_bytes(slab));
    munmap(slab->arena, arena_bytes(slab));
}

static uint32_t cache_share(uint32_t blocks)
{
    uint32_t share = MIN(SLAB_CACHE_BLOCKS, blocks / (2 * CACHES_MANY));

    return share > 0 ? share : 1;
}

int slab_init(struct slab *slab, uint32_t block_bytes, uint64_t ceiling_bytes)
{
    uint64_t blocks = block_bytes > 0 ? ceiling_bytes / block_bytes : 0;
    int error;

    memset(slab, 0, sizeof(*slab));
    if (blocks == 0 || block_bytes % (uint32_t)sysconf(_SC_PAGESIZE) != 0) {
        errno = EINVAL;
        return -1;
    }
    if (blocks > UINT32_MAX) {
        errno = ENOMEM;
        return -1;
    }
    slab->block_bytes = block_bytes;
    slab->blocks = (uint32_t)blocks;
    slab->cache_full = cache_share(slab->blocks);
    if (freelist_init(&slab->free, slab->blocks) != 0) {
        return -1;
    }
    if (arena_map(slab) != 0) {
        goto fini_freelist;
    }
    error = pthread_mutex_init(&slab->lock, NULL);
    if (error != 0) {
        errno = error;
        goto unmap;
    }
    return 0;

unmap:
    arena_unmap(slab);
fini_freelist:
    freelist_fini(&slab->free);
    return -1;
}

void slab_fini(struct slab *slab)
{
    assert(slab->free.count == slab->blocks && slab->queue.granted == 0);
    assert(wait_queue_empty(&slab->queue));
    pthread_mutex_destroy(&slab->lock);
    arena_unmap(slab);
    freelist_fini(&slab->free);
    memset(slab, 0, sizeof(*slab));
}

void slab_cache_init(struct slab_cache *cache, struct slab *slab,
                     slab_wake_fn wake, void *arg)
{
    memset(cache, 0, sizeof(*cache));
    cache->slab = slab;
    cache->wake = wake;
    cache->wake_arg = arg;
}

void slab_cache_fini(struct slab_cache *cache)
{
    assert(atomic_load_explicit(&cache->lent, memory_order_relaxed) == 0);
    cache_spill(cache, cache->count);
    assert(list_empty(&cache->granted));
}

void slab_account_add(struct slab_account *user, struct slab_account *account)
{
    struct waiter *next = user->waiter.next;

    account->waiter.next = next == NULL ? &user->waiter : next;
    user->waiter.next = &account->waiter;
}

/* ---- lending ------------------------------------------------------------- */

void *slab_borrow(struct slab_cache *cache, struct slab_account *account)
{
    struct slab *slab = cache->slab;
    void *block;

    if (slab_contended(slab)) {
        cache_spill(cache, cache->count);
    }
    block = cache->count > 0 ? cache_pop(cache)
                             : cache_borrow_arena(cache, account);
    if (block != NULL) {
        poison_lift(block, slab->block_bytes);
        count_borrowed(cache, account);
    }
    return block;
}

void *slab_borrow_spare(struct slab_cache *cache, struct slab_account *account)
{
    struct slab *slab = cache->slab;
    void *block = NULL;

    if (cache->count > 0) {
        block = cache_pop(cache);
    } else {
        slab_lock(slab);
        if (arena_spare(slab) > 0) {
            block = arena_pop(slab);
        }
        slab_unlock(slab);
    }
    if (block != NULL) {
        poison_lift(block, slab->block_bytes);
        count_borrowed(cache, account);
    }
    return block;
}

void slab_return(struct slab_cache *cache, struct slab_account *account,
                 void *block)
{
    struct slab *slab = cache->slab;

    assert(atomic_load_explicit(&cache->lent, memory_order_relaxed) > 0);
    (void)count_lent(cache, account, (uint32_t)-1);
    poison_set(block, slab->block_bytes);
    cache->blocks[cache->count++] = block;
    if (slab_contended(slab)) {
        cache_spill(cache, cache->count);
    } else if (cache->count >= slab->cache_full) {
        cache_spill(cache, cache->count - slab->cache_full / 2);
    }
}

void slab_take_granted(struct slab_cache *cache, struct list *granted)
{
    slab_lock(cache->slab);
    list_splice(granted, &cache->granted);
    pthread_mutex_unlock(&cache->slab->lock);
}

void slab_pass_on(struct slab_account *account)
{
    struct slab *slab;

    if (!account->asked) {
        return;
    }
    slab = account->cache->slab;
    slab_lock(slab);
    wait_queue_cancel(&slab->queue, &account->waiter);
    account->asked = false;
    slab_unlock(slab);
}

/* ---- trimming ------------------------------------------------------------ */

/* Whether nobody trimmed the arena since this cache's last call: of several
 * callers, one does it in each interval. */
static bool trim_is_due(struct slab_cache *cache)
{
    struct slab *slab = cache->slab;
    bool due;

    slab_lock(slab);
    due = cache->seen_trims == slab->trims;
    slab->trims += due;
    cache->seen_trims = slab->trims;
    slab_unlock(slab);
    return due;
}

/* Takes some unused blocks; when there are none, answers 0 and begins a new
 * interval. */
static uint32_t trim_take(struct slab *slab, uint32_t numbers[TRIM_BATCH])
{
    uint32_t spare;
    uint32_t count;

    slab_lock(slab);
    spare = arena_spare(slab);
    count = freelist_take_unused(&slab->free, numbers, MIN(TRIM_BATCH, spare));
    if (count == 0) {
        freelist_restart(&slab->free);
    }
    slab_unlock(slab);
    return count;
}

static void trim_put(struct slab *slab, const uint32_t *numbers, uint32_t count)
{
    slab_lock(slab);
    freelist_put_clean(&slab->free, numbers, count);
    slab_unlock(slab);
}

static void trim_arena(struct slab *slab)
{
    uint32_t numbers[TRIM_BATCH];
    uint32_t count;

    while ((count = trim_take(slab, numbers)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            madvise(block_at(slab, numbers[i]), slab->block_bytes,
                    MADV_DONTNEED);
        }
        trim_put(slab, numbers, count);
    }
}

/* Blocks that stayed in the cache all the time are as unused as those that
 * stayed free. So they do not wait for the arena's next interval. */
static void trim_cache(struct slab_cache *cache)
{
    struct slab *slab = cache->slab;
    uint32_t unused = cache->low;

    slab_lock(slab);
    cache_unload(cache, slab_contended(slab) ? cache->count : unused);
    freelist_add_unused(&slab->free, unused);
    slab_unlock(slab);
    cache->low = cache->count;
}

bool slab_trim(struct slab_cache *cache)
{
    struct slab *slab = cache->slab;
    bool more;

    trim_cache(cache);
    if (trim_is_due(cache)) {
        trim_arena(slab);
    }
    slab_lock(slab);
    more = slab->free.clean < slab->free.count;
    slab_unlock(slab);
    return more || cache->count > 0;
}

void slab_check(struct slab *slab)
{
    pthread_mutex_lock(&slab->lock);
    assert(slab->free.size == slab->blocks);
    freelist_check(&slab->free);
    wait_queue_check(&slab->queue, slab->free.count, slab->blocks);
    pthread_mutex_unlock(&slab->lock);
}
