#include "base/slab.h"
#include "seeded.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define BLOCK      4096u
#define LARGE      2048u /* blocks: enough for full caches */
#define DEADLINE_S 20

/*
 * Threads that want more blocks than there are. Each waits for its wake after
 * every NULL, so one lost grant ends in the deadline.
 */
#define THREADS     4
#define HOLD        6
#define THREAD_RUNS 2000

struct thread {
    struct slab_cache cache;
    struct slab_account account;
    pthread_t id;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake; /* under the lock; set by any thread, cleared by this one */
    struct seeded random;
    const char *broke; /* why the thread gave up, or NULL */
};

static void thread_wake(void *arg)
{
    struct thread *thread = arg;

    pthread_mutex_lock(&thread->lock);
    thread->wake = true;
    pthread_cond_signal(&thread->woken);
    pthread_mutex_unlock(&thread->lock);
}

/* False when no wake came until the deadline. */
static bool thread_await(struct thread *thread)
{
    struct timespec deadline;
    int error = 0;

    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&thread->lock);
    while (!thread->wake && error == 0) {
        error =
            pthread_cond_timedwait(&thread->woken, &thread->lock, &deadline);
    }
    thread->wake = false;
    pthread_mutex_unlock(&thread->lock);
    return error == 0;
}

/*
 * The next block, waited for if the thread holds none. To wait while holding
 * some would be a deadlock that the test makes.
 */
static unsigned char *thread_borrow(struct thread *thread, bool holds)
{
    unsigned char *block = slab_borrow(&thread->cache, &thread->account);

    while (block == NULL && !holds) {
        if (!thread_await(thread)) {
            thread->broke = "no wake";
            return NULL;
        }
        block = slab_borrow(&thread->cache, &thread->account);
    }
    return block;
}

static void thread_return(struct thread *thread, unsigned char *block)
{
    uint64_t stamp;

    memcpy(&stamp, block + BLOCK - sizeof(stamp), sizeof(stamp));
    if (stamp != thread->random.seed) {
        thread->broke = "a block that another wrote to";
    }
    slab_return(&thread->cache, &thread->account, block);
}

/* Borrows some, stamps them, returns them. */
static void thread_turn(struct thread *thread)
{
    uint64_t want = 1 + seeded_below(&thread->random, HOLD);
    unsigned char *blocks[HOLD];
    uint64_t count = 0;

    while (count < want) {
        unsigned char *block = thread_borrow(thread, count > 0);

        if (block == NULL) {
            break;
        }
        memcpy(block + BLOCK - sizeof(uint64_t), &thread->random.seed,
               sizeof(uint64_t));
        blocks[count++] = block;
    }
    slab_pass_on(&thread->account);
    while (count > 0) {
        thread_return(thread, blocks[--count]);
    }
}

static void *thread_run(void *arg)
{
    struct thread *thread = arg;

    for (unsigned i = 0; i < THREAD_RUNS && thread->broke == NULL; i++) {
        thread_turn(thread);
        if (seeded_below(&thread->random, 50) == 0) {
            (void)slab_trim(&thread->cache);
            slab_check(thread->cache.slab);
        }
    }
    /* As a loop does before it sleeps: an idle cache keeps nothing. */
    slab_pass_on(&thread->account);
    while (slab_trim(&thread->cache) && thread->cache.count > 0) {
        continue;
    }
    return NULL;
}

static void threads_share(uint32_t blocks)
{
    static struct thread threads[THREADS];
    struct slab slab;

    assert_int_equal(slab_init(&slab, BLOCK, (uint64_t)blocks * BLOCK), 0);
    memset(threads, 0, sizeof(threads));
    for (size_t i = 0; i < THREADS; i++) {
        threads[i].random = seeded_start(i + 1);
        pthread_mutex_init(&threads[i].lock, NULL);
        pthread_cond_init(&threads[i].woken, NULL);
        slab_cache_init(&threads[i].cache, &slab, thread_wake, &threads[i]);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(
            pthread_create(&threads[i].id, NULL, thread_run, &threads[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
    }
    for (size_t i = 0; i < THREADS; i++) {
        if (threads[i].broke != NULL) {
            fail_msg("seed %zu: %s", i + 1, threads[i].broke);
        }
        slab_cache_fini(&threads[i].cache);
        pthread_cond_destroy(&threads[i].woken);
        pthread_mutex_destroy(&threads[i].lock);
    }
    slab_check(&slab);
    slab_fini(&slab);
}

static void slab_loses_no_grant_between_threads_at_the_ceiling(void **state)
{
    (void)state;
    threads_share(1);
    threads_share(5);
}

static void slab_serves_threads_through_their_caches(void **state)
{
    (void)state;
    threads_share(LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slab_loses_no_grant_between_threads_at_the_ceiling),
        cmocka_unit_test(slab_serves_threads_through_their_caches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
