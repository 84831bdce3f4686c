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
    wait_queue_check(&queue, 0);
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
    wait_queue_check(&queue, 2);

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
    wait_queue_check(&queue, 1);
    wait_queue_cancel(&queue, &waiters[2]);
    assert_true(wait_queue_empty(&queue));
    wait_queue_check(&queue, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_granted_what_is_not_free),
        cmocka_unit_test(waiters_are_granted_in_the_order_they_came),
        cmocka_unit_test(who_cancels_makes_way_for_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
