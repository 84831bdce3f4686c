#include "base/base.h"
#include "base/slab.h"
#include "seeded.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define BLOCK      4096u
#define LARGE      2048u /* blocks: enough for full caches */
#define DEADLINE_S 20

/* A cache with a count of its wakes. */
struct client {
    struct slab_cache cache;
    unsigned wakes;
};

static void client_wake(void *arg)
{
    struct client *client = arg;

    client->wakes++;
}

static void client_init(struct client *client, struct slab *slab)
{
    client->wakes = 0;
    slab_cache_init(&client->cache, slab, client_wake, client);
}

static void *client_borrow(struct client *client)
{
    return slab_borrow(&client->cache);
}

static void client_return(struct client *client, void *block)
{
    slab_return(&client->cache, block);
}

static uint32_t resident_pages(const struct slab *slab)
{
    static unsigned char pages[LARGE];
    uint32_t count = 0;

    assert_true(slab->blocks <= LARGE && slab->block_bytes == BLOCK);
    assert_int_equal(mincore(slab->arena, (size_t)slab->blocks * BLOCK, pages),
                     0);
    for (uint32_t i = 0; i < slab->blocks; i++) {
        count += pages[i] & 1;
    }
    return count;
}

static void slab_refuses_what_it_cannot_cut(void **state)
{
    struct slab slab;

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, BLOCK - 1), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(slab_init(&slab, BLOCK + 8, 1 << 20), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(slab_init(&slab, 0, 1 << 20), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(slab_init(&slab, BLOCK, UINT64_MAX), -1);
    assert_int_equal(errno, ENOMEM);
}

static void slab_lends_each_block_once_up_to_the_ceiling(void **state)
{
    static unsigned char *blocks[LARGE];
    struct slab slab;
    struct client client;

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, (uint64_t)LARGE * BLOCK + 1), 0);
    client_init(&client, &slab);
    for (uint32_t i = 0; i < LARGE; i++) {
        blocks[i] = client_borrow(&client);
        assert_non_null(blocks[i]);
        memset(blocks[i], (int)(i % 251), BLOCK);
    }
    assert_null(client_borrow(&client));
    slab_pass_on(&client.cache);
    for (uint32_t i = 0; i < LARGE; i++) {
        assert_int_equal(blocks[i][0], i % 251);
        assert_int_equal(blocks[i][BLOCK - 1], i % 251);
        client_return(&client, blocks[i]);
    }
    slab_check(&slab);
    slab_cache_fini(&client.cache);
    slab_fini(&slab);
}

static void slab_counts_what_is_lent_and_the_peak(void **state)
{
    struct slab slab;
    struct client client;
    void *blocks[3];

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, LARGE * BLOCK), 0);
    client_init(&client, &slab);
    for (int i = 0; i < 3; i++) {
        blocks[i] = client_borrow(&client);
    }
    client_return(&client, blocks[0]);
    assert_int_equal(atomic_load(&client.cache.lent), 2);
    assert_int_equal(atomic_load(&client.cache.peak), 3);
    client_return(&client, blocks[1]);
    client_return(&client, blocks[2]);
    slab_cache_fini(&client.cache);
    slab_fini(&slab);
}

static void slab_serves_the_line_in_order(void **state)
{
    struct slab slab;
    struct client holder;
    struct client first;
    struct client second;
    void *blocks[2];

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, 2 * BLOCK), 0);
    client_init(&holder, &slab);
    client_init(&first, &slab);
    client_init(&second, &slab);
    blocks[0] = client_borrow(&holder);
    blocks[1] = client_borrow(&holder);
    assert_null(client_borrow(&first));
    assert_null(client_borrow(&second));

    client_return(&holder, blocks[0]);
    assert_int_equal(first.wakes, 1);
    assert_int_equal(second.wakes, 0);
    /* Neither who is behind nor who comes anew overtakes. */
    assert_null(client_borrow(&second));
    assert_null(client_borrow(&holder));
    blocks[0] = client_borrow(&first);
    assert_non_null(blocks[0]);
    assert_null(client_borrow(&first)); /* in line again, at its end */
    slab_check(&slab);

    client_return(&holder, blocks[1]);
    assert_int_equal(second.wakes, 1);
    blocks[1] = client_borrow(&second);
    assert_non_null(blocks[1]);
    client_return(&second, blocks[1]);
    assert_int_equal(holder.wakes, 1);
    client_return(&first, blocks[0]);
    assert_int_equal(first.wakes, 2);

    slab_pass_on(&holder.cache);
    slab_cache_fini(&first.cache);
    slab_cache_fini(&second.cache);
    slab_cache_fini(&holder.cache);
    slab_fini(&slab);
}

static void slab_passes_an_unused_promise_on(void **state)
{
    struct slab slab;
    struct client holder;
    struct client first;
    struct client gone;
    struct client last;
    void *block;

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, BLOCK), 0);
    client_init(&holder, &slab);
    client_init(&first, &slab);
    client_init(&gone, &slab);
    client_init(&last, &slab);
    block = client_borrow(&holder);
    assert_null(client_borrow(&first));
    assert_null(client_borrow(&gone));
    assert_null(client_borrow(&last));

    slab_pass_on(&gone.cache);
    slab_pass_on(&gone.cache);
    client_return(&holder, block);
    slab_pass_on(&first.cache);
    assert_int_equal(first.wakes, 1);
    assert_int_equal(gone.wakes, 0);
    assert_int_equal(last.wakes, 1);
    slab_check(&slab);
    block = client_borrow(&last);
    assert_non_null(block);
    client_return(&last, block);

    slab_cache_fini(&holder.cache);
    slab_cache_fini(&first.cache);
    slab_cache_fini(&gone.cache);
    slab_cache_fini(&last.cache);
    slab_fini(&slab);
}

/* A holder has some in its cache when another comes into line: whatever the
 * holder does next, they must go to the other. */
enum next_act { ACT_BORROW, ACT_RETURN, ACT_TRIM, ACTS };

static void holder_acts(struct client *holder, enum next_act act, void **block)
{
    switch (act) {
    case ACT_BORROW:
        assert_null(client_borrow(holder));
        slab_pass_on(&holder->cache);
        break;
    case ACT_RETURN:
        client_return(holder, *block);
        *block = NULL;
        break;
    default:
        assert_true(slab_trim(&holder->cache));
        break;
    }
}

static void cached_blocks_go_to_others(enum next_act act)
{
    static void *blocks[LARGE];
    struct slab slab;
    struct client holder;
    struct client other;
    void *block;

    assert_int_equal(slab_init(&slab, BLOCK, LARGE * BLOCK), 0);
    client_init(&holder, &slab);
    client_init(&other, &slab);
    for (uint32_t i = 0; i < LARGE; i++) {
        blocks[i] = client_borrow(&holder);
    }
    client_return(&holder, blocks[0]);
    assert_int_equal(holder.cache.count, 1);
    assert_null(client_borrow(&other));
    assert_int_equal(other.wakes, 0);

    holder_acts(&holder, act, &blocks[1]);
    assert_int_equal(other.wakes, 1);
    assert_int_equal(holder.cache.count, 0);
    block = client_borrow(&other);
    assert_non_null(block);
    client_return(&other, block);

    for (uint32_t i = 1; i < LARGE; i++) {
        if (blocks[i] != NULL) {
            client_return(&holder, blocks[i]);
        }
    }
    slab_cache_fini(&holder.cache);
    slab_cache_fini(&other.cache);
    slab_fini(&slab);
}

static void slab_sheds_cached_blocks_when_others_wait(void **state)
{
    (void)state;
    for (enum next_act act = ACT_BORROW; act < ACTS; act++) {
        cached_blocks_go_to_others(act);
    }
}

static void slab_wakes_as_many_as_blocks_came_back(void **state)
{
    static void *blocks[LARGE];
    struct slab slab;
    struct client holder;
    struct client others[3];

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, LARGE * BLOCK), 0);
    client_init(&holder, &slab);
    for (uint32_t i = 0; i < LARGE; i++) {
        blocks[i] = client_borrow(&holder);
    }
    client_return(&holder, blocks[0]);
    for (size_t i = 0; i < 3; i++) {
        client_init(&others[i], &slab);
        assert_null(client_borrow(&others[i]));
    }
    client_return(&holder, blocks[1]);
    slab_check(&slab);
    assert_int_equal(others[0].wakes, 1);
    assert_int_equal(others[1].wakes, 1);
    assert_int_equal(others[2].wakes, 0);

    for (uint32_t i = 2; i < LARGE; i++) {
        client_return(&holder, blocks[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(others[i].wakes, 1);
        slab_cache_fini(&others[i].cache);
    }
    slab_cache_fini(&holder.cache);
    slab_fini(&slab);
}

static void client_burst(struct client *client, uint32_t count)
{
    static void *blocks[LARGE];

    for (uint32_t i = 0; i < count; i++) {
        blocks[i] = client_borrow(client);
        memset(blocks[i], 1, BLOCK);
    }
    for (uint32_t i = 0; i < count; i++) {
        client_return(client, blocks[i]);
    }
}

static void slab_gives_all_memory_back_after_a_burst(void **state)
{
    struct slab slab;
    struct client client;
    unsigned calls = 1;

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, LARGE * BLOCK), 0);
    client_init(&client, &slab);
    assert_false(slab_trim(&client.cache));
    client_burst(&client, LARGE);
    assert_int_equal(resident_pages(&slab), LARGE);
    while (slab_trim(&client.cache)) {
        slab_check(&slab);
        calls++;
    }
    assert_in_range(calls, 1, 2);
    assert_int_equal(resident_pages(&slab), 0);
    assert_int_equal(client.cache.count, 0);
    client_burst(&client, LARGE);
    slab_cache_fini(&client.cache);
    slab_fini(&slab);
}

static void slab_gives_all_back_however_many_caches_trim(void **state)
{
    struct slab slab;
    struct client clients[4];
    bool more = true;
    unsigned rounds = 0;

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, LARGE * BLOCK), 0);
    for (int i = 0; i < 4; i++) {
        client_init(&clients[i], &slab);
        client_burst(&clients[i], 100);
    }
    for (; more; rounds++) {
        more = false;
        for (int i = 0; i < 4; i++) {
            more |= slab_trim(&clients[i].cache);
        }
    }
    assert_in_range(rounds, 1, 5);
    assert_int_equal(resident_pages(&slab), 0);
    for (int i = 0; i < 4; i++) {
        slab_cache_fini(&clients[i].cache);
    }
    slab_fini(&slab);
}

static void slab_keeps_what_is_in_use_between_trims(void **state)
{
    struct slab slab;
    struct client busy;
    struct client idle;

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, LARGE * BLOCK), 0);
    client_init(&busy, &slab);
    client_init(&idle, &slab);
    client_burst(&busy, 1000);
    for (int i = 0; i < 6; i++) {
        client_burst(&busy, 200);
        slab_trim(&busy.cache);
        slab_trim(&idle.cache); /* at the same time: no interval of its own */
    }
    assert_in_range(resident_pages(&slab), 200, 200 + SLAB_CACHE_BLOCKS);
    slab_cache_fini(&idle.cache);
    slab_cache_fini(&busy.cache);
    slab_fini(&slab);
}

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISONED(block) (__asan_address_is_poisoned(block) != 0)
#else
#define POISONED(block) ((block) != NULL)
#endif

static void slab_poisons_what_is_not_lent(void **state)
{
    struct slab slab;
    struct client client;
    unsigned char *block;

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, LARGE * BLOCK), 0);
    client_init(&client, &slab);
    block = client_borrow(&client);
    memset(block, 0, BLOCK);
    assert_true(POISONED(slab.arena + (size_t)BLOCK * (LARGE - 1)));
    client_return(&client, block);
    assert_true(POISONED(block));
    assert_true(POISONED(block + BLOCK - 1));
    slab_cache_fini(&client.cache);
    slab_fini(&slab);
}

/*
 * The model of a small arena, where nothing is cached: who holds how many, the
 * promises, and the line. It knows the answer of each borrow.
 */
#define CLIENTS    5
#define SMALL      7u
#define SMALL_HELD (SMALL + 1)

struct model {
    struct seeded random;
    struct slab slab;
    struct client clients[CLIENTS];
    void *held[CLIENTS][SMALL_HELD];
    uint32_t count[CLIENTS];
    bool promised[CLIENTS];
    unsigned wakes[CLIENTS];
    size_t line[CLIENTS];
    size_t length;
    uint32_t free; /* and not promised */
};

static void model_leave_line(struct model *model, size_t n)
{
    for (size_t i = 0; i < model->length; i++) {
        if (model->line[i] == n) {
            model->length--;
            memmove(&model->line[i], &model->line[i + 1],
                    (model->length - i) * sizeof(model->line[0]));
        }
    }
}

static bool model_in_line(const struct model *model, size_t n)
{
    for (size_t i = 0; i < model->length; i++) {
        if (model->line[i] == n) {
            return true;
        }
    }
    return false;
}

static void model_free_one(struct model *model)
{
    if (model->length > 0) {
        size_t first = model->line[0];

        model_leave_line(model, first);
        model->promised[first] = true;
        model->wakes[first]++;
    } else {
        model->free++;
    }
}

static void model_borrow(struct model *model, size_t n)
{
    void *block = client_borrow(&model->clients[n]);
    bool lent = model->promised[n] || (model->length == 0 && model->free > 0);

    seeded_assert(&model->random, (block != NULL) == lent);
    if (lent) {
        model->free -= !model->promised[n];
        model->promised[n] = false;
        memset(block, (int)n, BLOCK);
        model->held[n][model->count[n]++] = block;
    } else if (!model_in_line(model, n)) {
        model->line[model->length++] = n;
    }
}

static void model_return(struct model *model, size_t n)
{
    unsigned char *block;

    if (model->count[n] > 0) {
        block = model->held[n][--model->count[n]];
        seeded_assert(&model->random, block[0] == n && block[BLOCK - 1] == n);
        client_return(&model->clients[n], block);
        model_free_one(model);
    }
}

static void model_pass_on(struct model *model, size_t n)
{
    slab_pass_on(&model->clients[n].cache);
    model_leave_line(model, n);
    if (model->promised[n]) {
        model->promised[n] = false;
        model_free_one(model);
    }
}

static void model_step(struct model *model)
{
    size_t n = seeded_below(&model->random, CLIENTS);

    switch (seeded_below(&model->random, 8)) {
    case 0:
        model_pass_on(model, n);
        break;
    case 1:
        (void)slab_trim(&model->clients[n].cache);
        break;
    case 2:
    case 3:
    case 4:
        model_return(model, n);
        break;
    default:
        model_borrow(model, n);
        break;
    }
    slab_check(&model->slab);
    for (size_t i = 0; i < CLIENTS; i++) {
        seeded_assert(&model->random,
                      model->clients[i].wakes == model->wakes[i]);
    }
}

static void model_end(struct model *model)
{
    for (size_t n = 0; n < CLIENTS; n++) {
        while (model->count[n] > 0) {
            model_return(model, n);
        }
    }
    for (size_t n = 0; n < CLIENTS; n++) {
        slab_cache_fini(&model->clients[n].cache);
    }
    slab_fini(&model->slab);
}

static void slab_agrees_with_a_plain_line(void **state)
{
    static struct model model;

    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        model = (struct model){.random = seeded_start(seed), .free = SMALL};
        assert_int_equal(slab_init(&model.slab, BLOCK, SMALL * BLOCK), 0);
        for (size_t n = 0; n < CLIENTS; n++) {
            client_init(&model.clients[n], &model.slab);
        }
        for (unsigned step = 0; step < 3000; step++) {
            model_step(&model);
        }
        model_end(&model);
    }
}

/*
 * Threads that want more than there is. Each waits for its wake at every NULL,
 * so one lost grant ends in the deadline.
 */
#define THREADS     4
#define HOLD        6
#define THREAD_RUNS 2000

struct thread {
    struct slab_cache cache;
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
 * The next block, waited for if the thread holds none: whoever holds some and
 * waits for more would be a deadlock of the test's own.
 */
static unsigned char *thread_borrow(struct thread *thread, bool holds)
{
    unsigned char *block = slab_borrow(&thread->cache);

    while (block == NULL && !holds) {
        if (!thread_await(thread)) {
            thread->broke = "no wake";
            return NULL;
        }
        block = slab_borrow(&thread->cache);
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
    slab_return(&thread->cache, block);
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
    slab_pass_on(&thread->cache);
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
    /* As a loop does before it sleeps: nothing stays with the idle. */
    slab_pass_on(&thread->cache);
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
        cmocka_unit_test(slab_refuses_what_it_cannot_cut),
        cmocka_unit_test(slab_lends_each_block_once_up_to_the_ceiling),
        cmocka_unit_test(slab_counts_what_is_lent_and_the_peak),
        cmocka_unit_test(slab_serves_the_line_in_order),
        cmocka_unit_test(slab_passes_an_unused_promise_on),
        cmocka_unit_test(slab_sheds_cached_blocks_when_others_wait),
        cmocka_unit_test(slab_wakes_as_many_as_blocks_came_back),
        cmocka_unit_test(slab_gives_all_memory_back_after_a_burst),
        cmocka_unit_test(slab_gives_all_back_however_many_caches_trim),
        cmocka_unit_test(slab_keeps_what_is_in_use_between_trims),
        cmocka_unit_test(slab_poisons_what_is_not_lent),
        cmocka_unit_test(slab_agrees_with_a_plain_line),
        cmocka_unit_test(slab_loses_no_grant_between_threads_at_the_ceiling),
        cmocka_unit_test(slab_serves_threads_through_their_caches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
