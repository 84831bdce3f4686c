#include "base/freelist.h"
#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 40u

static void freelist_hands_out_each_number_once(void **state)
{
    struct freelist list;

    (void)state;
    assert_int_equal(freelist_init(&list, SIZE), 0);
    for (uint32_t i = 0; i < SIZE; i++) {
        assert_int_equal(freelist_pop(&list), i);
        freelist_check(&list);
    }
    assert_int_equal(list.count, 0);
    freelist_fini(&list);
}

static void freelist_hands_out_the_last_first(void **state)
{
    struct freelist list;

    (void)state;
    assert_int_equal(freelist_init(&list, SIZE), 0);
    for (uint32_t i = 0; i < 3; i++) {
        (void)freelist_pop(&list);
    }
    freelist_push(&list, 1);
    freelist_push(&list, 0);
    assert_int_equal(freelist_pop(&list), 0);
    assert_int_equal(freelist_pop(&list), 1);
    freelist_fini(&list);
}

static void freelist_knows_what_was_unused_since_the_restart(void **state)
{
    uint32_t popped[10];
    uint32_t unused[SIZE];
    struct freelist list;

    (void)state;
    assert_int_equal(freelist_init(&list, SIZE), 0);
    for (uint32_t i = 0; i < 10; i++) {
        popped[i] = freelist_pop(&list);
    }
    for (uint32_t i = 0; i < 10; i++) {
        freelist_push(&list, popped[i]);
    }
    /* Used in this interval, unused in the next but for four. */
    assert_int_equal(freelist_take_unused(&list, unused, SIZE), 0);
    freelist_restart(&list);
    for (uint32_t i = 0; i < 4; i++) {
        popped[i] = freelist_pop(&list);
    }
    for (uint32_t i = 0; i < 4; i++) {
        freelist_push(&list, popped[i]);
    }
    assert_int_equal(freelist_take_unused(&list, unused, SIZE), 6);
    freelist_check(&list);
    assert_int_equal(list.count, SIZE - 6);
    freelist_put_clean(&list, unused, 6);
    freelist_check(&list);
    assert_int_equal(list.clean, SIZE - 4);
    assert_int_equal(freelist_take_unused(&list, unused, SIZE), 0);
    freelist_fini(&list);
}

static void freelist_counts_unused_numbers_from_outside(void **state)
{
    uint32_t unused[SIZE];
    struct freelist list;
    uint32_t cached;

    (void)state;
    assert_int_equal(freelist_init(&list, SIZE), 0);
    cached = freelist_pop(&list);
    freelist_restart(&list);
    freelist_push(&list, cached);
    freelist_add_unused(&list, 1);
    assert_int_equal(freelist_take_unused(&list, unused, SIZE), 1);
    assert_int_equal(unused[0], cached);
    freelist_fini(&list);
}

struct model {
    struct seeded random;
    struct freelist list;
    uint32_t popped[SIZE];
    uint32_t popped_count;
    uint32_t least; /* count since the restart */
};

static void model_step(struct model *model)
{
    struct freelist *list = &model->list;
    uint32_t max = (uint32_t)seeded_below(&model->random, SIZE);
    uint32_t unused[SIZE];
    uint32_t count;

    switch (seeded_below(&model->random, 8)) {
    case 0:
        freelist_restart(list);
        model->least = list->count;
        break;
    case 1:
    case 2:
        count = freelist_take_unused(list, unused, max);
        seeded_assert(&model->random, count <= max);
        freelist_check(list);
        freelist_put_clean(list, unused, count);
        break;
    case 3:
    case 4:
    case 5:
        if (list->count > 0) {
            model->popped[model->popped_count++] = freelist_pop(list);
            model->least = MIN(model->least, list->count);
        }
        break;
    default:
        if (model->popped_count > 0) {
            freelist_push(list, model->popped[--model->popped_count]);
        }
        break;
    }
    freelist_check(list);
    seeded_assert(&model->random, list->low == model->least);
    seeded_assert(&model->random, list->count + model->popped_count == SIZE);
}

static void freelist_loses_no_number(void **state)
{
    static struct model model;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        bool seen[SIZE] = {false};

        model = (struct model){.random = seeded_start(seed), .least = SIZE};
        assert_int_equal(freelist_init(&model.list, SIZE), 0);
        for (unsigned step = 0; step < 3000; step++) {
            model_step(&model);
        }
        for (uint32_t i = 0; i < model.popped_count; i++) {
            seen[model.popped[i]] = true;
        }
        while (model.list.count > 0) {
            seen[freelist_pop(&model.list)] = true;
        }
        for (uint32_t i = 0; i < SIZE; i++) {
            seeded_assert(&model.random, seen[i]);
        }
        freelist_fini(&model.list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(freelist_hands_out_each_number_once),
        cmocka_unit_test(freelist_hands_out_the_last_first),
        cmocka_unit_test(freelist_knows_what_was_unused_since_the_restart),
        cmocka_unit_test(freelist_counts_unused_numbers_from_outside),
        cmocka_unit_test(freelist_loses_no_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
