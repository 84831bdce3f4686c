#include "slab_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

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

static void client_burst(struct client *client, uint32_t count)
{
    static void *blocks[LARGE];

    client_borrow_all(client, blocks, count);
    for (uint32_t i = 0; i < count; i++) {
        memset(blocks[i], 1, BLOCK);
    }
    for (uint32_t i = 0; i < count; i++) {
        client_return_one(client, blocks, i);
    }
}

static void slab_gives_all_memory_back_after_a_burst(void **state)
{
    struct slab slab;
    static struct client client;
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
    client_fini(&client);
    slab_fini(&slab);
}

static void slab_gives_all_back_however_many_caches_trim(void **state)
{
    struct slab slab;
    static struct client clients[4];
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
        client_fini(&clients[i]);
    }
    slab_fini(&slab);
}

static void slab_keeps_what_is_in_use_between_trims(void **state)
{
    struct slab slab;
    static struct client busy;
    static struct client idle;

    (void)state;
    assert_int_equal(slab_init(&slab, BLOCK, LARGE * BLOCK), 0);
    client_init(&busy, &slab);
    client_init(&idle, &slab);
    client_burst(&busy, 1000);
    for (int i = 0; i < 6; i++) {
        client_burst(&busy, 200);
        slab_trim(&busy.cache);
        slab_trim(&idle.cache); /* in the same interval */
    }
    assert_in_range(resident_pages(&slab), 200, 200 + SLAB_CACHE_BLOCKS);
    client_fini(&idle);
    client_fini(&busy);
    slab_fini(&slab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slab_gives_all_memory_back_after_a_burst),
        cmocka_unit_test(slab_gives_all_back_however_many_caches_trim),
        cmocka_unit_test(slab_keeps_what_is_in_use_between_trims),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
