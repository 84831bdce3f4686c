#include "base/base.h"
#include "base/wait_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void nobody_is_granted_what_is_not_free(void **state)
{
    struct wait_queue queue = {0};
    struct waiter waiter = {0};

    (void)state;
    assert_true(wait_queue_empty(&queue));
    assert_null(wait_queue_grant(&queue, 1));
    wait_queue_join(&queue, &waiter);
    assert_false(wait_queue_empty(&queue));
    assert_null(wait_queue_grant(&queue, 0));
    assert_false(wait_queue_redeem(&queue, &waiter));
    wait_queue_check(&queue, 0, 2);
}

static void waiters_are_granted_in_the_order_they_came(void **state)
{
    struct wait_queue queue = {0};
    struct waiter waiters[3] = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(waiters); i++) {
        wait_queue_join(&queue, &waiters[i]);
        wait_queue_join(&queue, &waiters[i]);
    }
    assert_ptr_equal(wait_queue_grant(&queue, 2), &waiters[0]);
    assert_ptr_equal(wait_queue_grant(&queue, 2), &waiters[1]);
    assert_null(wait_queue_grant(&queue, 2));
    wait_queue_check(&queue, 2, 2);

    assert_true(wait_queue_redeem(&queue, &waiters[1]));
    assert_false(wait_queue_redeem(&queue, &waiters[1]));
    assert_null(wait_queue_grant(&queue, 1));
    assert_ptr_equal(wait_queue_grant(&queue, 2), &waiters[2]);
    assert_true(wait_queue_empty(&queue));
}

static void who_cancels_makes_way_for_the_next(void **state)
{
    struct wait_queue queue = {0};
    struct waiter waiters[3] = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(waiters); i++) {
        wait_queue_join(&queue, &waiters[i]);
    }
    assert_ptr_equal(wait_queue_grant(&queue, 1), &waiters[0]);
    wait_queue_cancel(&queue, &waiters[1]);
    wait_queue_cancel(&queue, &waiters[1]);
    wait_queue_cancel(&queue, &waiters[0]);
    assert_ptr_equal(wait_queue_grant(&queue, 1), &waiters[2]);
    wait_queue_check(&queue, 1, 2);
    wait_queue_cancel(&queue, &waiters[2]);
    assert_true(wait_queue_empty(&queue));
    wait_queue_check(&queue, 0, 2);
}

static void who_has_fewest_goes_first(void **state)
{
    struct wait_queue queue = {0};
    struct waiter waiters[4] = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(waiters); i++) {
        wait_queue_join(&queue, &waiters[i]);
    }
    waiter_count(&waiters[0], 2);
    waiter_count(&waiters[1], 1);
    waiter_count(&waiters[3], 1);
    assert_ptr_equal(wait_queue_grant(&queue, 4), &waiters[2]);
    assert_ptr_equal(wait_queue_grant(&queue, 4), &waiters[1]);
    assert_ptr_equal(wait_queue_grant(&queue, 4), &waiters[3]);
    assert_ptr_equal(wait_queue_grant(&queue, 4), &waiters[0]);
}

/* What one waiter of a user has, or is granted, counts for the others. */
static void the_waiters_of_a_user_count_together(void **state)
{
    struct wait_queue queue = {0};
    struct waiter rich[2] = {{.next = &rich[1]}, {.next = &rich[0]}};
    struct waiter poor = {0};

    (void)state;
    waiter_count(&rich[0], 2);
    waiter_count(&poor, 1);
    wait_queue_join(&queue, &rich[1]);
    wait_queue_join(&queue, &poor);
    assert_ptr_equal(wait_queue_grant(&queue, 1), &poor);
    assert_ptr_equal(wait_queue_grant(&queue, 2), &rich[1]);

    waiter_count(&rich[0], (uint32_t)-2);
    wait_queue_join(&queue, &rich[0]);
    assert_true(wait_queue_redeem(&queue, &poor));
    waiter_count(&poor, (uint32_t)-1);
    wait_queue_join(&queue, &poor);
    assert_ptr_equal(wait_queue_grant(&queue, 2), &poor);
}

static void the_last_ones_are_left_to_who_has_few(void **state)
{
    enum { ALL = 32, MOST = ALL - 3 };
    struct wait_queue queue = {0};
    struct waiter rich = {0};
    struct waiter poor = {0};

    (void)state;
    for (uint32_t i = 0; i < MOST; i++) {
        assert_true(wait_queue_admits(&queue, &rich, ALL - i, ALL));
        waiter_count(&rich, 1);
    }
    assert_false(wait_queue_admits(&queue, &rich, ALL - MOST, ALL));
    wait_queue_join(&queue, &rich);
    assert_null(wait_queue_grant(&queue, ALL - MOST));
    wait_queue_check(&queue, ALL - MOST, ALL);

    /* A later user that has fewer need not wait. */
    for (uint32_t i = 0; i < ALL - MOST; i++) {
        assert_true(wait_queue_admits(&queue, &poor, ALL - MOST - i, ALL));
        waiter_count(&poor, 1);
    }
    assert_false(wait_queue_admits(&queue, &poor, 0, ALL));
    wait_queue_join(&queue, &poor);
    assert_ptr_equal(wait_queue_grant(&queue, 1), &poor);

    /* The rich one is served when it has given some back. */
    assert_null(wait_queue_grant(&queue, 2));
    waiter_count(&rich, (uint32_t)-5);
    assert_ptr_equal(wait_queue_grant(&queue, 4), &rich);
}

static void one_user_may_have_all_of_few(void **state)
{
    enum { ALL = WAIT_QUEUE_SHARE + 1 };
    struct wait_queue queue = {0};
    struct waiter waiter = {0};

    (void)state;
    for (uint32_t i = 0; i < ALL; i++) {
        assert_true(wait_queue_admits(&queue, &waiter, ALL - i, ALL));
        waiter_count(&waiter, 1);
    }
    assert_false(wait_queue_admits(&queue, &waiter, 0, ALL));
}

/* A long line is not searched to its end, and all in it get their turn. */
static void a_long_line_is_served_from_the_front(void **state)
{
    enum { COUNT = 2 * WAIT_QUEUE_LOOK };
    static struct waiter waiters[COUNT];
    struct wait_queue queue = {0};
    struct waiter last = {0};

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        waiters[i] = (struct waiter){0};
        waiter_count(&waiters[i], 2);
        wait_queue_join(&queue, &waiters[i]);
    }
    wait_queue_join(&queue, &last);
    for (size_t i = 0; i <= COUNT - WAIT_QUEUE_LOOK; i++) {
        struct waiter *waiter = wait_queue_grant(&queue, 1);

        assert_ptr_equal(waiter, &waiters[i]);
        assert_true(wait_queue_redeem(&queue, waiter));
        waiter_count(waiter, 1);
        wait_queue_join(&queue, waiter);
    }
    assert_ptr_equal(wait_queue_grant(&queue, 1), &last);
}

/* Nor do those that may have no more keep the spare ones from who is behind. */
static void who_is_behind_many_rich_ones_is_found(void **state)
{
    enum { COUNT = 2 * WAIT_QUEUE_LOOK };
    static struct waiter waiters[COUNT];
    struct wait_queue queue = {0};
    struct waiter last = {0};

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        waiters[i] = (struct waiter){0};
        waiter_count(&waiters[i], WAIT_QUEUE_SHARE + 1);
        wait_queue_join(&queue, &waiters[i]);
    }
    waiter_count(&last, WAIT_QUEUE_SHARE);
    wait_queue_join(&queue, &last);
    assert_ptr_equal(wait_queue_grant(&queue, 1), &last);
    assert_null(wait_queue_grant(&queue, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_granted_what_is_not_free),
        cmocka_unit_test(waiters_are_granted_in_the_order_they_came),
        cmocka_unit_test(who_cancels_makes_way_for_the_next),
        cmocka_unit_test(who_has_fewest_goes_first),
        cmocka_unit_test(the_waiters_of_a_user_count_together),
        cmocka_unit_test(the_last_ones_are_left_to_who_has_few),
        cmocka_unit_test(one_user_may_have_all_of_few),
        cmocka_unit_test(a_long_line_is_served_from_the_front),
        cmocka_unit_test(who_is_behind_many_rich_ones_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
