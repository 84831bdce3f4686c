#include "base/slab.h"
#include "base/poison.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Blocks that leave the stack at once to be given back to the system. */
#define TRIM_BATCH SLAB_CACHE_BLOCKS

/* So many caches, all full, hold at most half of the arena. */
#define CACHES_MANY 64u

/* A refill takes at most this part of what is free. */
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

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The arena: with the lock held. */

static void arena_push(struct slab *slab, const void *block)
{
    slab->free[slab->count++] = block_number(slab, block);
}

static void *arena_pop(struct slab *slab)
{
    uint32_t number = slab->free[--slab->count];

    slab->low = smaller(slab->low, slab->count);
    slab->clean = smaller(slab->clean, slab->count);
    return block_at(slab, number);
}

/* Free blocks that nobody was promised. */
static uint32_t arena_spare(const struct slab *slab)
{
    return slab->count - slab->granted;
}

static void line_leave(struct slab *slab, struct slab_cache *cache)
{
    list_remove(&cache->waiting);
    atomic_fetch_sub_explicit(&slab->waiting, 1, memory_order_relaxed);
}

static void line_join(struct slab *slab, struct slab_cache *cache)
{
    list_append(&slab->waiters, &cache->waiting);
    atomic_fetch_add_explicit(&slab->waiting, 1, memory_order_relaxed);
    cache->asked = true;
}

/* Promises a free block to the first in line and answers it; NULL if there is
 * no block or no line. */
static struct slab_cache *line_grant(struct slab *slab)
{
    struct list *first = list_first(&slab->waiters);
    struct slab_cache *cache;

    if (first == NULL || arena_spare(slab) == 0) {
        return NULL;
    }
    cache = container_of(first, struct slab_cache, waiting);
    line_leave(slab, cache);
    cache->granted = true;
    slab->granted++;
    return cache;
}

static void slab_lock(struct slab *slab)
{
    pthread_mutex_lock(&slab->lock);
}

/*
 * Grants what became free under the lock, leaves it, and wakes. Since with a
 * line there was nothing to grant before, no more are woken than blocks were
 * pushed.
 */
static void slab_unlock(struct slab *slab)
{
    struct slab_cache *woken[SLAB_CACHE_BLOCKS];
    struct slab_cache *cache;
    uint32_t count = 0;

    while ((cache = line_grant(slab)) != NULL) {
        assert(count < SLAB_CACHE_BLOCKS);
        woken[count++] = cache;
    }
    pthread_mutex_unlock(&slab->lock);
    for (uint32_t i = 0; i < count; i++) {
        woken[i]->wake(woken[i]->wake_arg);
    }
}

/* A look from outside the lock; who comes a moment late is served at the next
 * return or trim. */
static bool slab_contended(const struct slab *slab)
{
    return atomic_load_explicit(&slab->waiting, memory_order_relaxed) > 0;
}

/* The caches: by their owners, without the lock. */

/* Returns the cache's oldest blocks to the arena, with the lock held. */
static void cache_unload(struct slab_cache *cache, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        arena_push(cache->slab, cache->blocks[i]);
    }
    cache->count -= count;
    cache->low = smaller(cache->low, cache->count);
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

    cache->low = smaller(cache->low, cache->count);
    return block;
}

/* A few more for later, with the lock held; of the last ones none. */
static void cache_refill(struct slab_cache *cache)
{
    struct slab *slab = cache->slab;
    uint32_t part = arena_spare(slab) / REFILL_PART;
    uint32_t count = smaller(slab->cache_full / 2, part);

    while (cache->count < count) {
        cache->blocks[cache->count++] = arena_pop(slab);
    }
}

/* What borrowing does when the cache is empty. */
static void *cache_borrow_arena(struct slab_cache *cache)
{
    struct slab *slab = cache->slab;
    void *block = NULL;

    slab_lock(slab);
    if (cache->granted) {
        cache->granted = false;
        cache->asked = false;
        slab->granted--;
        block = arena_pop(slab);
    } else if (arena_spare(slab) > 0) {
        /* Nobody is in line: for those, all would be promised. */
        block = arena_pop(slab);
        cache_refill(cache);
    } else if (!list_linked(&cache->waiting)) {
        line_join(slab, cache);
    }
    slab_unlock(slab);
    return block;
}

static void cache_count_lent(struct slab_cache *cache, uint32_t change)
{
    uint32_t lent =
        atomic_load_explicit(&cache->lent, memory_order_relaxed) + change;

    atomic_store_explicit(&cache->lent, lent, memory_order_relaxed);
    if (lent > atomic_load_explicit(&cache->peak, memory_order_relaxed)) {
        atomic_store_explicit(&cache->peak, lent, memory_order_relaxed);
    }
}

/* Set-up. */

static int arena_map(struct slab *slab)
{
    size_t bytes = arena_bytes(slab);
    void *arena = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (arena == MAP_FAILED) {
        return -1;
    }
    /* A huge page would make a block cost 2 MB and not come back by parts. A
     * kernel without them answers EINVAL, which is as well. */
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

/* All free and clean, the first block on top. */
static int stack_create(struct slab *slab)
{
    slab->free = calloc(slab->blocks, sizeof(slab->free[0]));
    if (slab->free == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < slab->blocks; i++) {
        slab->free[i] = slab->blocks - 1 - i;
    }
    slab->count = slab->low = slab->clean = slab->blocks;
    return 0;
}

static uint32_t cache_share(uint32_t blocks)
{
    uint32_t share = smaller(SLAB_CACHE_BLOCKS, blocks / (2 * CACHES_MANY));

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
    if (stack_create(slab) != 0) {
        return -1;
    }
    if (arena_map(slab) != 0) {
        goto free_stack;
    }
    error = pthread_mutex_init(&slab->lock, NULL);
    if (error != 0) {
        errno = error;
        goto unmap;
    }
    return 0;

unmap:
    arena_unmap(slab);
free_stack:
    free(slab->free);
    return -1;
}

void slab_fini(struct slab *slab)
{
    assert(slab->count == slab->blocks && slab->granted == 0);
    assert(list_empty(&slab->waiters));
    pthread_mutex_destroy(&slab->lock);
    arena_unmap(slab);
    free(slab->free);
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
    slab_pass_on(cache);
    cache_spill(cache, cache->count);
}

/* Lending. */

void *slab_borrow(struct slab_cache *cache)
{
    struct slab *slab = cache->slab;
    void *block;

    if (slab_contended(slab)) {
        cache_spill(cache, cache->count);
    }
    block = cache->count > 0 ? cache_pop(cache) : cache_borrow_arena(cache);
    if (block != NULL) {
        poison_lift(block, slab->block_bytes);
        cache_count_lent(cache, 1);
    }
    return block;
}

void slab_return(struct slab_cache *cache, void *block)
{
    struct slab *slab = cache->slab;

    assert(atomic_load_explicit(&cache->lent, memory_order_relaxed) > 0);
    cache_count_lent(cache, (uint32_t)-1);
    poison_set(block, slab->block_bytes);
    cache->blocks[cache->count++] = block;
    if (slab_contended(slab)) {
        cache_spill(cache, cache->count);
    } else if (cache->count >= slab->cache_full) {
        cache_spill(cache, cache->count - slab->cache_full / 2);
    }
}

void slab_pass_on(struct slab_cache *cache)
{
    struct slab *slab = cache->slab;

    if (!cache->asked) {
        return;
    }
    slab_lock(slab);
    if (list_linked(&cache->waiting)) {
        line_leave(slab, cache);
    }
    if (cache->granted) {
        cache->granted = false;
        slab->granted--;
    }
    cache->asked = false;
    slab_unlock(slab);
}

/* Trimming. */

/* Whether the arena was not trimmed since this cache's last call: with several
 * callers, one of them does it in each interval. */
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

/*
 * Takes some that nobody needed off the stack; when there is none, answers 0
 * and begins a new interval. The gap is filled from the top, and the order is
 * as it was when they are put back.
 */
static uint32_t trim_take(struct slab *slab, void **blocks)
{
    uint32_t count;

    slab_lock(slab);
    count = smaller(TRIM_BATCH, slab->low - slab->clean);
    count = smaller(count, arena_spare(slab));
    for (uint32_t i = count; i-- > 0;) {
        uint32_t *number = &slab->free[slab->clean + i];

        blocks[i] = block_at(slab, *number);
        *number = slab->free[--slab->count];
        slab->low--;
    }
    if (count == 0) {
        slab->low = slab->count;
    }
    slab_unlock(slab);
    return count;
}

/* Puts blocks that hold no memory any more where the clean ones end. */
static void trim_put(struct slab *slab, void **blocks, uint32_t count)
{
    slab_lock(slab);
    for (uint32_t i = 0; i < count; i++) {
        slab->free[slab->count++] = slab->free[slab->clean];
        slab->free[slab->clean++] = block_number(slab, blocks[i]);
        slab->low++;
    }
    slab_unlock(slab);
}

static void trim_arena(struct slab *slab)
{
    void *blocks[TRIM_BATCH];
    uint32_t count;

    while ((count = trim_take(slab, blocks)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            madvise(blocks[i], slab->block_bytes, MADV_DONTNEED);
        }
        trim_put(slab, blocks, count);
    }
}

/* What was in the cache all the time was as little needed as what was free all
 * the time: so it does not wait for the arena's next interval. */
static void trim_cache(struct slab_cache *cache)
{
    struct slab *slab = cache->slab;
    uint32_t unused = cache->low;

    slab_lock(slab);
    cache_unload(cache, slab_contended(slab) ? cache->count : unused);
    slab->low += unused;
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
    more = slab->clean < slab->count;
    slab_unlock(slab);
    return more || cache->count > 0;
}

/* Checking. */

static void check_line(const struct slab *slab)
{
    const struct list *head = &slab->waiters;
    uint32_t length = 0;

    for (const struct list *l = list_first(head); l != NULL && l != head;
         l = l->next) {
        const struct slab_cache *cache =
            container_of(l, const struct slab_cache, waiting);

        assert(cache->slab == slab && !cache->granted);
        length++;
    }
    assert(length ==
           atomic_load_explicit(&slab->waiting, memory_order_relaxed));
    assert(length == 0 || arena_spare(slab) == 0);
}

/* Every free block is on the stack once. */
static void check_stack(const struct slab *slab)
{
    bool *seen = calloc(slab->blocks, sizeof(*seen));

    assert(seen != NULL);
    for (uint32_t i = 0; i < slab->count; i++) {
        assert(slab->free[i] < slab->blocks && !seen[slab->free[i]]);
        seen[slab->free[i]] = true;
    }
    free(seen);
}

void slab_check(struct slab *slab)
{
    pthread_mutex_lock(&slab->lock);
    assert(slab->clean <= slab->low && slab->low <= slab->count);
    assert(slab->count <= slab->blocks && slab->granted <= slab->count);
    check_line(slab);
    check_stack(slab);
    pthread_mutex_unlock(&slab->lock);
}
