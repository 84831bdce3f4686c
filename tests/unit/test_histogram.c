#include "service/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check_scale(const struct histogram_scale *scale)
{
    for (unsigned i = 0; i < scale->count; i++) {
        double seconds = strtod(scale->texts[i], NULL);
        double ns = (double)scale->bounds_ns[i];

        assert_true(seconds * 1e9 > ns - 1 && seconds * 1e9 < ns + 1);
        assert_true(i == 0 || scale->bounds_ns[i] > scale->bounds_ns[i - 1]);
    }
}

static void bounds_rise_and_their_texts_say_them(void **state)
{
    (void)state;
    check_scale(&histogram_connect);
    check_scale(&histogram_duration);
    assert_string_equal(histogram_duration.texts[16], "100000");
}

static struct histogram_sums sums_of(const uint64_t *ns, unsigned count,
                                     const struct histogram_scale *scale)
{
    struct histogram histogram = {.sum_ns = 0};
    struct histogram_sums sums = {.count = 0};

    for (unsigned i = 0; i < count; i++) {
        histogram_add(&histogram, scale, ns[i]);
    }
    histogram_sum(&histogram, &sums);
    return sums;
}

static void a_bound_belongs_to_its_bucket(void **state)
{
    const uint64_t ns[] = {0, 100000, 100001, UINT64_C(10) * NS_PER_S,
                           UINT64_C(10) * NS_PER_S + 1};
    struct histogram_sums sums = sums_of(ns, ARRAY_LEN(ns), &histogram_connect);

    (void)state;
    assert_int_equal(sums.buckets[0], 2);
    assert_int_equal(sums.buckets[1], 1);
    assert_int_equal(sums.buckets[10], 1);
    assert_int_equal(sums.buckets[11], 1);
    assert_int_equal(sums.count, 5);
    assert_int_equal(sums.sum_ns, 20 * NS_PER_S + 200002);
}

static void what_is_beyond_every_bound_is_counted(void **state)
{
    const uint64_t ns[] = {NS_PER_MS, NS_PER_S, 365 * 86400 * NS_PER_S};
    struct histogram_sums sums =
        sums_of(ns, ARRAY_LEN(ns), &histogram_duration);

    (void)state;
    assert_int_equal(sums.buckets[0], 1);
    assert_int_equal(sums.buckets[6], 1);
    assert_int_equal(sums.buckets[HISTOGRAM_BOUNDS_MAX], 1);
    assert_int_equal(sums.count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_rise_and_their_texts_say_them),
        cmocka_unit_test(a_bound_belongs_to_its_bucket),
        cmocka_unit_test(what_is_beyond_every_bound_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
