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
    static void *blocks[LARGE];
    struct slab slab;
    static struct client client;

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, (uint64_t)LARGE * BLOCK + 1), 0);
    client_init(&client, &slab);
    client_borrow_all(&client, blocks, LARGE);
    for (uint32_t i = 0; i < LARGE; i++) {
        assert_non_null(blocks[i]);
        memset(blocks[i], (int)(i % 251), BLOCK);
    }
    assert_null(client_borrow(&client));
    client_pass_on(&client);
    for (uint32_t i = 0; i < LARGE; i++) {
        const unsigned char *block = blocks[i];

        assert_int_equal(block[0], i % 251);
        assert_int_equal(block[BLOCK - 1], i % 251);
        client_return_one(&client, blocks, i);
    }
    slab_check(&slab);
    client_fini(&client);
    slab_fini(&slab);
}

static void slab_counts_what_is_lent_and_the_peak(void **state)
{
    struct slab slab;
    static struct client client;
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
    client_fini(&client);
    slab_fini(&slab);
}

static void slab_serves_the_queue_in_order(void **state)
{
    struct slab slab;
    static struct client holder;
    static struct client first;
    static struct client second;
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

    client_pass_on(&holder);
    client_fini(&first);
    client_fini(&second);
    client_fini(&holder);
    slab_fini(&slab);
}

static void slab_passes_an_unused_grant_on(void **state)
{
    struct slab slab;
    static struct client holder;
    static struct client first;
    static struct client gone;
    static struct client last;
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

    client_pass_on(&gone);
    client_pass_on(&gone);
    client_return(&holder, block);
    client_pass_on(&first);
    assert_int_equal(first.wakes, 1);
    assert_int_equal(gone.wakes, 0);
    assert_int_equal(last.wakes, 1);
    slab_check(&slab);
    block = client_borrow(&last);
    assert_non_null(block);
    client_return(&last, block);

    client_fini(&holder);
    client_fini(&first);
    client_fini(&gone);
    client_fini(&last);
    slab_fini(&slab);
}

/* A holder has blocks in its cache when another begins to wait: whatever the
 * holder does next, they must go to the other. */
enum next_act { ACT_BORROW, ACT_RETURN, ACT_TRIM, ACTS };

static void holder_acts(struct client *holder, enum next_act act, void **blocks)
{
    switch (act) {
    case ACT_BORROW:
        assert_null(client_borrow(holder));
        client_pass_on(holder);
        break;
    case ACT_RETURN:
        client_return_one(holder, blocks, 1);
        blocks[1] = NULL;
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
    static struct client holder;
    static struct client other;
    void *block;

    assert_int_equal(slab_init(&slab, BLOCK, LARGE * BLOCK), 0);
    client_init(&holder, &slab);
    client_init(&other, &slab);
    client_borrow_all(&holder, blocks, LARGE);
    client_return_one(&holder, blocks, 0);
    assert_int_equal(holder.cache.count, 1);
    assert_null(client_borrow(&other));
    assert_int_equal(other.wakes, 0);

    holder_acts(&holder, act, blocks);
    assert_int_equal(other.wakes, 1);
    assert_int_equal(holder.cache.count, 0);
    block = client_borrow(&other);
    assert_non_null(block);
    client_return(&other, block);

    for (uint32_t i = 1; i < LARGE; i++) {
        if (blocks[i] != NULL) {
            client_return_one(&holder, blocks, i);
        }
    }
    client_fini(&holder);
    client_fini(&other);
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
    static struct client holder;
    static struct client others[3];

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, LARGE * BLOCK), 0);
    client_init(&holder, &slab);
    client_borrow_all(&holder, blocks, LARGE);
    client_return_one(&holder, blocks, 0);
    for (size_t i = 0; i < 3; i++) {
        client_init(&others[i], &slab);
        assert_null(client_borrow(&others[i]));
    }
    client_return_one(&holder, blocks, 1);
    slab_check(&slab);
    assert_int_equal(others[0].wakes, 1);
    assert_int_equal(others[1].wakes, 1);
    assert_int_equal(others[2].wakes, 0);

    for (uint32_t i = 2; i < LARGE; i++) {
        client_return_one(&holder, blocks, i);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(others[i].wakes, 1);
        client_fini(&others[i]);
    }
    client_fini(&holder);
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
    static struct client client;
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
    client_fini(&client);
    slab_fini(&slab);
}

/*
 * The model of a small arena, where nothing is cached: what each client holds,
 * the grants, and the queue. It knows the answer of each borrow. Clients 0 and
 * 2 are one user, 1 and 3 another, so that 4 is alone.
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

static uint32_t model_has(const struct model *model, size_t n)
{
    return model->count[n] + model->granted[n];
}

/* What the client's user has. */
static uint32_t model_user_has(const struct model *model, size_t n)
{
    return model_has(model, n) + (n < 4 ? model_has(model, n ^ 2) : 0);
}

static void model_free_one(struct model *model)
{
    if (model->length > 0) {
        size_t next = model->queue[0];

        for (size_t i = 1; i < model->length; i++) {
            if (model_user_has(model, model->queue[i]) <
                model_user_has(model, next)) {
                next = model->queue[i];
            }
        }
        model_leave_queue(model, next);
        model->granted[next] = true;
        model->wakes[next]++;
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
    client_pass_on(&model->clients[n]);
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
        client_fini(&model->clients[n]);
    }
    slab_fini(&model->slab);
}

static void slab_agrees_with_a_plain_model(void **state)
{
    static struct model model;

    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        model = (struct model){.random = seeded_start(seed), .free = SMALL};
        assert_int_equal(slab_init(&model.slab, BLOCK, SMALL * BLOCK), 0);
        for (size_t n = 0; n < CLIENTS; n++) {
            client_init(&model.clients[n], &model.slab);
        }
        for (size_t n = 0; n < 2; n++) {
            slab_account_add(&model.clients[n].accounts[0],
                             &model.clients[n + 2].accounts[0]);
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
        cmocka_unit_test(slab_agrees_with_a_plain_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
