/* Which datagrams may leave as one. */
#include "net/gso.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void segments_are_counted_and_the_last_may_be_smaller(void **state)
{
    (void)state;
    assert_int_equal(gso_count(0, 0), 1);
    assert_int_equal(gso_count(500, 0), 1);
    assert_int_equal(gso_size_of(500, 0, 0), 500);
    assert_int_equal(gso_count(300, 100), 3);
    assert_int_equal(gso_count(301, 100), 4);
    assert_int_equal(gso_size_of(301, 100, 2), 100);
    assert_int_equal(gso_size_of(301, 100, 3), 1);
}

static void datagrams_of_one_size_are_joined(void **state)
{
    (void)state;
    assert_true(gso_can_append(100, 100, 100, 0));
    assert_true(gso_can_append(100, 100, 99, 0));
    assert_true(gso_can_append(100, 100, 250, 100));
    assert_false(gso_can_append(100, 100, 101, 0));
    assert_false(gso_can_append(100, 100, 100, 50));
}

static void nothing_follows_a_smaller_one_and_none_is_empty(void **state)
{
    (void)state;
    assert_false(gso_can_append(150, 100, 100, 0));
    assert_false(gso_can_append(150, 100, 50, 0));
    assert_false(gso_can_append(100, 100, 0, 0));
    assert_false(gso_can_append(0, 0, 100, 0));
}

static void a_batch_has_limits(void **state)
{
    (void)state;
    assert_true(gso_can_append(63 * 10, 10, 10, 0));
    assert_false(gso_can_append(64 * 10, 10, 10, 0));
    assert_false(gso_can_append(32 * 10, 10, 33 * 10, 10));
    assert_true(gso_can_append(1472, 1472, 1472, 0));
    assert_false(gso_can_append(1473, 1473, 1473, 0));
    assert_true(gso_can_append(44 * 1472, 1472, 739, 0)); /* 65507 */
    assert_false(gso_can_append(44 * 1472, 1472, 740, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_counted_and_the_last_may_be_smaller),
        cmocka_unit_test(datagrams_of_one_size_are_joined),
        cmocka_unit_test(nothing_follows_a_smaller_one_and_none_is_empty),
        cmocka_unit_test(a_batch_has_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
