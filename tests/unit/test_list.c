#include "base/base.h"
#include "base/list.h"
#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ITEMS 12
#define LISTS 3

static void list_of_zeros_is_empty(void **state)
{
    struct list head = {0};
    struct list link = {0};

    (void)state;
    assert_true(list_empty(&head));
    assert_null(list_first(&head));
    assert_null(list_pop(&head));
    assert_false(list_linked(&link));
    list_remove(&link);
    assert_false(list_linked(&link));
}

static void list_pops_in_the_order_of_appending(void **state)
{
    struct list head = {0};
    struct list links[3] = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        list_append(&head, &links[i]);
        assert_true(list_linked(&links[i]));
    }
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(list_first(&head), &links[i]);
        assert_ptr_equal(list_pop(&head), &links[i]);
        assert_false(list_linked(&links[i]));
    }
    assert_true(list_empty(&head));
}

static void list_leads_from_a_link_to_its_struct(void **state)
{
    struct item {
        int before;
        struct list link;
    } item = {.before = 7};
    struct list head = {0};

    (void)state;
    list_append(&head, &item.link);
    assert_ptr_equal(container_of(list_pop(&head), struct item, link), &item);
}

static void list_splices_empty_lists(void **state)
{
    struct list to = {0};
    struct list from = {0};
    struct list link = {0};

    (void)state;
    list_splice(&to, &from);
    assert_true(list_empty(&to));
    list_append(&from, &link);
    list_splice(&to, &from);
    assert_true(list_empty(&from));
    assert_ptr_equal(list_first(&to), &link);
    list_splice(&to, &from);
    assert_ptr_equal(list_pop(&to), &link);
    assert_true(list_empty(&to));
}

/* The model: the order of each list as an array. */
struct model {
    struct seeded random;
    struct list heads[LISTS];
    struct list links[ITEMS];
    size_t order[LISTS][ITEMS];
    size_t length[LISTS];
};

static void model_append(struct model *model, size_t list, size_t item)
{
    if (!list_linked(&model->links[item])) {
        list_append(&model->heads[list], &model->links[item]);
        model->order[list][model->length[list]++] = item;
    }
}

static void model_forget(struct model *model, size_t list, size_t place)
{
    size_t *order = model->order[list];

    model->length[list]--;
    memmove(order + place, order + place + 1,
            (model->length[list] - place) * sizeof(*order));
}

static void model_remove(struct model *model, size_t item)
{
    list_remove(&model->links[item]);
    for (size_t list = 0; list < LISTS; list++) {
        for (size_t i = 0; i < model->length[list]; i++) {
            if (model->order[list][i] == item) {
                model_forget(model, list, i);
            }
        }
    }
}

static void model_pop(struct model *model, size_t list)
{
    struct list *link = list_pop(&model->heads[list]);

    if (model->length[list] == 0) {
        seeded_assert(&model->random, link == NULL);
        return;
    }
    seeded_assert(&model->random, link == &model->links[model->order[list][0]]);
    model_forget(model, list, 0);
}

static void model_splice(struct model *model, size_t to, size_t from)
{
    if (to == from) {
        return;
    }
    list_splice(&model->heads[to], &model->heads[from]);
    memcpy(model->order[to] + model->length[to], model->order[from],
           model->length[from] * sizeof(size_t));
    model->length[to] += model->length[from];
    model->length[from] = 0;
}

/* Forwards and backwards. */
static void model_check(struct model *model, size_t list)
{
    struct list *head = &model->heads[list];
    struct list *next = head->next;
    struct list *prev = head->prev;
    size_t length = model->length[list];

    seeded_assert(&model->random, list_empty(head) == (length == 0));
    for (size_t i = 0; i < length; i++) {
        size_t last = model->order[list][length - 1 - i];

        seeded_assert(&model->random,
                      next == &model->links[model->order[list][i]]);
        seeded_assert(&model->random, prev == &model->links[last]);
        next = next->next;
        prev = prev->prev;
    }
    seeded_assert(&model->random, length == 0 || next == head);
}

static void model_step(struct model *model)
{
    size_t list = seeded_below(&model->random, LISTS);
    size_t item = seeded_below(&model->random, ITEMS);

    switch (seeded_below(&model->random, 6)) {
    case 0:
        model_remove(model, item);
        break;
    case 1:
        model_pop(model, list);
        break;
    case 2:
        model_splice(model, list, seeded_below(&model->random, LISTS));
        break;
    default:
        model_append(model, list, item);
        break;
    }
}

static void list_agrees_with_arrays(void **state)
{
    static struct model model;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        model = (struct model){.random = seeded_start(seed)};
        for (unsigned step = 0; step < 2000; step++) {
            model_step(&model);
            for (size_t list = 0; list < LISTS; list++) {
                model_check(&model, list);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_of_zeros_is_empty),
        cmocka_unit_test(list_pops_in_the_order_of_appending),
        cmocka_unit_test(list_leads_from_a_link_to_its_struct),
        cmocka_unit_test(list_splices_empty_lists),
        cmocka_unit_test(list_agrees_with_arrays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
