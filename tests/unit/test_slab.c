#include "base/slab.h"
#include "seeded.h"
#include "slab_client.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

static void slab_serves_the_queue_in_order(void **state)
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
    /* Neither the next in the queue nor a newcomer overtakes. */
    assert_null(client_borrow(&second));
    assert_null(client_borrow(&holder));
    blocks[0] = client_borrow(&first);
    assert_non_null(blocks[0]);
    assert_null(client_borrow(&first)); /* waits again, last */
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

static void slab_passes_an_unused_grant_on(void **state)
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

/* A holder has blocks in its cache when another begins to wait: whatever the
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
 * The model of a small arena, where nothing is cached: what each client holds,
 * the grants, and the queue. It knows the answer of each borrow.
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
    bool granted[CLIENTS];
    unsigned wakes[CLIENTS];
    size_t queue[CLIENTS];
    size_t length;
    uint32_t free; /* not granted */
};

static void model_leave_queue(struct model *model, size_t n)
{
    for (size_t i = 0; i < model->length; i++) {
        if (model->queue[i] == n) {
            model->length--;
            memmove(&model->queue[i], &model->queue[i + 1],
                    (model->length - i) * sizeof(model->queue[0]));
        }
    }
}

static bool model_in_queue(const struct model *model, size_t n)
{
    for (size_t i = 0; i < model->length; i++) {
        if (model->queue[i] == n) {
            return true;
        }
    }
    return false;
}

static void model_free_one(struct model *model)
{
    if (model->length > 0) {
        size_t first = model->queue[0];

        model_leave_queue(model, first);
        model->granted[first] = true;
        model->wakes[first]++;
    } else {
        model->free++;
    }
}

static void model_borrow(struct model *model, size_t n)
{
    void *block = client_borrow(&model->clients[n]);
    bool lent = model->granted[n] || (model->length == 0 && model->free > 0);

    seeded_assert(&model->random, (block != NULL) == lent);
    if (lent) {
        model->free -= !model->granted[n];
        model->granted[n] = false;
        memset(block, (int)n, BLOCK);
        model->held[n][model->count[n]++] = block;
    } else if (!model_in_queue(model, n)) {
        model->queue[model->length++] = n;
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
    model_leave_queue(model, n);
    if (model->granted[n]) {
        model->granted[n] = false;
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

static void slab_agrees_with_a_plain_queue(void **state)
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slab_refuses_what_it_cannot_cut),
        cmocka_unit_test(slab_lends_each_block_once_up_to_the_ceiling),
        cmocka_unit_test(slab_counts_what_is_lent_and_the_peak),
        cmocka_unit_test(slab_serves_the_queue_in_order),
        cmocka_unit_test(slab_passes_an_unused_grant_on),
        cmocka_unit_test(slab_sheds_cached_blocks_when_others_wait),
        cmocka_unit_test(slab_wakes_as_many_as_blocks_came_back),
        cmocka_unit_test(slab_poisons_what_is_not_lent),
        cmocka_unit_test(slab_agrees_with_a_plain_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
