#include "base/pool.h"
#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE 4096u
#define MANY 1000000u

static unsigned char *borrow(struct pool *pool, uint32_t *index)
{
    unsigned char *record = pool_borrow(pool, index);

    assert_non_null(record);
    return record;
}

static void pool_hands_out_records_of_zeros(void **state)
{
    static const unsigned char zeros[100];
    struct pool pool;
    uint32_t index;

    (void)state;
    pool_init(&pool, 100);
    for (int i = 0; i < 3; i++) {
        unsigned char *record = borrow(&pool, &index);

        assert_memory_equal(record, zeros, sizeof(zeros));
        memset(record, 0xff, pool.record_bytes);
        pool_return(&pool, index);
    }
    pool_fini(&pool);
}

static void pool_knows_only_lent_records(void **state)
{
    struct pool pool;
    uint32_t index;
    void *record;

    (void)state;
    pool_init(&pool, 64);
    assert_null(pool_at(&pool, 0));
    record = borrow(&pool, &index);
    assert_ptr_equal(pool_at(&pool, index), record);
    assert_null(pool_at(&pool, index + 1));
    assert_null(pool_at(&pool, POOL_RECORDS_MAX - 1));
    assert_null(pool_at(&pool, POOL_RECORDS_MAX));
    assert_null(pool_at(&pool, UINT32_MAX));
    pool_return(&pool, index);
    assert_null(pool_at(&pool, index));
    pool_fini(&pool);
}

static void pool_keeps_to_cache_lines(void **state)
{
    struct pool pool;
    uint32_t index;

    (void)state;
    pool_init(&pool, 320);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal((uintptr_t)borrow(&pool, &index) % 64, 0);
    }
    pool_fini(&pool);
}

/* Compares the multiplication with a division on both sides of every edge. */
static void pool_finds_the_chunk_of_every_number(void **state)
{
    (void)state;
    for (uint32_t bytes = 8; bytes <= POOL_CHUNK_BYTES / 8; bytes += 8) {
        struct pool pool;
        uint32_t step;

        pool_init(&pool, bytes);
        step = POOL_RECORDS_MAX / pool.chunk_records / 64 + 1;
        for (uint32_t n = 1; n <= POOL_RECORDS_MAX / pool.chunk_records;
             n += step) {
            uint32_t border = n * pool.chunk_records;

            assert_int_equal(pool_chunk_of(&pool, border - 1), n - 1);
            if (border < POOL_RECORDS_MAX) {
                assert_int_equal(pool_chunk_of(&pool, border), n);
            }
        }
        assert_int_equal(pool_chunk_of(&pool, POOL_RECORDS_MAX - 1),
                         (POOL_RECORDS_MAX - 1) / pool.chunk_records);
    }
}

static void pool_makes_pages_resident_only_as_they_are_used(void **state)
{
    struct pool pool;
    unsigned char pages[POOL_CHUNK_BYTES / PAGE];
    uint32_t index;
    unsigned resident = 0;

    (void)state;
    pool_init(&pool, 512);
    for (uint32_t i = 0; i < 2 * PAGE / 512; i++) {
        borrow(&pool, &index);
    }
    assert_int_equal(mincore(pool.chunks[0]->records, POOL_CHUNK_BYTES, pages),
                     0);
    for (size_t i = 0; i < sizeof(pages); i++) {
        resident += pages[i] & 1;
    }
    assert_int_equal(resident, 2);
    pool_fini(&pool);
}

static void pool_unmaps_empty_chunks_but_one(void **state)
{
    struct pool pool;
    uint32_t index = 0;
    uint32_t records;

    (void)state;
    pool_init(&pool, 256);
    records = pool.chunk_records * 10;
    for (uint32_t i = 0; i < records; i++) {
        borrow(&pool, &index);
    }
    assert_int_equal(pool.chunks_mapped, 10);
    for (uint32_t i = 0; i < records; i++) {
        pool_return(&pool, i);
    }
    pool_check(&pool);
    assert_int_equal(pool.chunks_mapped, 1);
    borrow(&pool, &index);
    assert_int_equal(pool.chunks_mapped, 1);
    assert_int_equal(pool.chunks_count, 10);
    pool_fini(&pool);
}

/* One record left in each of many chunks: the next records fill a few of these,
 * so that the others can drain. */
static void pool_fills_one_chunk_before_it_opens_the_next(void **state)
{
    struct pool pool;
    uint32_t index = 0;
    uint32_t per_chunk;

    (void)state;
    pool_init(&pool, 256);
    per_chunk = pool.chunk_records;
    for (uint32_t i = 0; i < per_chunk * 10; i++) {
        borrow(&pool, &index);
    }
    for (uint32_t i = 0; i < per_chunk * 10; i++) {
        if (i % per_chunk != 0) {
            pool_return(&pool, i);
        }
    }
    for (uint32_t i = 0; i < per_chunk - 1; i++) {
        borrow(&pool, &index);
    }
    for (uint32_t i = 0; i < 10; i++) {
        if (pool.chunks[i]->lent == 1) {
            pool_return(&pool, i * per_chunk);
        }
    }
    pool_check(&pool);
    assert_int_equal(pool.chunks_mapped, 2);
    pool_fini(&pool);
}

static void pool_visits_each_lent_record_once(void **state)
{
    struct pool pool;
    uint32_t index = 0;
    uint32_t expected = 3;

    (void)state;
    pool_init(&pool, 1000);
    assert_null(pool_next(&pool, &index));
    for (uint32_t i = 0; i < 1000; i++) {
        borrow(&pool, &index);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        if (i % 7 != 3) {
            pool_return(&pool, i);
        }
    }
    for (index = 0; pool_next(&pool, &index) != NULL; index++) {
        assert_int_equal(index, expected);
        expected += 7;
    }
    assert_in_range(expected, 1000, 1000 + 6);
    index = UINT32_MAX;
    assert_null(pool_next(&pool, &index));
    pool_fini(&pool);
}

static void pool_serves_a_million_records(void **state)
{
    struct pool pool;
    uint32_t index = 0;
    uint32_t sum = 0;

    (void)state;
    pool_init(&pool, 64);
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t *record = pool_borrow(&pool, &index);

        assert_non_null(record);
        *record = i;
    }
    assert_true(pool.chunks_mapped <= MANY / pool.chunk_records + 1);
    for (index = 0; index < MANY; index++) {
        sum += *(uint32_t *)pool_at(&pool, index) == index;
    }
    assert_int_equal(sum, MANY);
    for (index = 0; index < MANY; index++) {
        pool_return(&pool, index);
    }
    assert_int_equal(pool.chunks_mapped, 1);
    pool_fini(&pool);
}

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISONED(record) (__asan_address_is_poisoned(record) != 0)
#else
#define POISONED(record) ((record) != NULL)
#endif

static void pool_poisons_what_is_not_lent(void **state)
{
    struct pool pool;
    uint32_t index;
    unsigned char *record;

    (void)state;
    pool_init(&pool, 128);
    record = borrow(&pool, &index);
    assert_true(POISONED(record + 128));
    pool_return(&pool, index);
    assert_true(POISONED(record));
    pool_fini(&pool);
}

/* The model: the lent numbers, and what was written to each record. */
#define MODEL_MAX 4000u

struct model {
    struct seeded random;
    struct pool pool;
    uint32_t lent[MODEL_MAX];
    uint64_t *record[MODEL_MAX];
    uint64_t stamp[MODEL_MAX];
    uint32_t count;
};

static void model_borrow(struct model *model)
{
    uint32_t n = model->count;

    if (n == MODEL_MAX) {
        return;
    }
    model->record[n] = pool_borrow(&model->pool, &model->lent[n]);
    seeded_assert(&model->random, model->record[n] != NULL);
    seeded_assert(&model->random, *model->record[n] == 0);
    model->stamp[n] = seeded_next(&model->random);
    *model->record[n] = model->stamp[n];
    model->count++;
}

static void model_return(struct model *model)
{
    uint32_t n;
    uint32_t last;

    if (model->count == 0) {
        return;
    }
    n = (uint32_t)seeded_below(&model->random, model->count);
    last = --model->count;
    seeded_assert(&model->random,
                  pool_at(&model->pool, model->lent[n]) == model->record[n]);
    seeded_assert(&model->random, *model->record[n] == model->stamp[n]);
    pool_return(&model->pool, model->lent[n]);
    seeded_assert(&model->random,
                  pool_at(&model->pool, model->lent[n]) == NULL);
    model->lent[n] = model->lent[last];
    model->record[n] = model->record[last];
    model->stamp[n] = model->stamp[last];
}

static void model_check(struct model *model)
{
    uint32_t visited = 0;

    pool_check(&model->pool);
    for (uint32_t i = 0; pool_next(&model->pool, &i) != NULL; i++) {
        visited++;
    }
    seeded_assert(&model->random, visited == model->count);
    seeded_assert(&model->random, model->pool.lent == model->count);
}

/* Waves of borrowing and returning, so that chunks fill and drain. */
static void model_run(struct model *model)
{
    for (unsigned tide = 0; tide < 20; tide++) {
        uint64_t borrows = seeded_below(&model->random, 101);

        for (unsigned step = 0; step < 1000; step++) {
            if (seeded_below(&model->random, 100) < borrows) {
                model_borrow(model);
            } else {
                model_return(model);
            }
        }
        model_check(model);
    }
}

static void pool_agrees_with_a_plain_table(void **state)
{
    static struct model model;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        model = (struct model){.random = seeded_start(seed)};
        pool_init(&model.pool, 8 + (uint32_t)seeded_below(&model.random, 8185));
        model_run(&model);
        pool_fini(&model.pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pool_hands_out_records_of_zeros),
        cmocka_unit_test(pool_knows_only_lent_records),
        cmocka_unit_test(pool_keeps_to_cache_lines),
        cmocka_unit_test(pool_finds_the_chunk_of_every_number),
        cmocka_unit_test(pool_makes_pages_resident_only_as_they_are_used),
        cmocka_unit_test(pool_unmaps_empty_chunks_but_one),
        cmocka_unit_test(pool_fills_one_chunk_before_it_opens_the_next),
        cmocka_unit_test(pool_visits_each_lent_record_once),
        cmocka_unit_test(pool_serves_a_million_records),
        cmocka_unit_test(pool_poisons_what_is_not_lent),
        cmocka_unit_test(pool_agrees_with_a_plain_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
