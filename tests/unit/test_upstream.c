#include "service/upstream.h"

#include "base/hash.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define WINDOW (30 * NS_PER_S)

static struct upstream *make(void)
{
    struct endpoint endpoint = {
        .length = sizeof(struct sockaddr_in),
        .u.in = {.sin_family = AF_INET,
                 .sin_port = htons(80),
                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
    };
    struct upstream *upstream = upstream_create(&endpoint, "127.0.0.1:80", 2);

    assert_non_null(upstream);
    return upstream;
}

static uint32_t active(struct upstream *upstream)
{
    return atomic_load(&upstream->active);
}

static void a_new_one_is_up_and_counts_from_zero(void **state)
{
    struct upstream *upstream = make();
    struct upstream_sums sums;

    (void)state;
    assert_true(upstream_up(upstream));
    assert_string_equal(upstream->text, "127.0.0.1:80");
    assert_int_equal(upstream->id, hash_bytes("127.0.0.1:80", 12, 0));
    assert_int_equal(upstream->endpoint.u.in.sin_port, htons(80));
    assert_int_equal(active(upstream), 0);
    upstream_counters_sum(upstream->counters, upstream->workers, &sums);
    assert_int_equal(sums.total + upstream_sums_failed(&sums), 0);
    upstream_destroy(upstream);
}

static void an_unresolved_one_is_down(void **state)
{
    char name[ADDR_HOST_MAX + 6];
    struct upstream *upstream;

    (void)state;
    memset(name, 'a', sizeof(name));
    memcpy(name + 253, ":65535", 7);
    upstream = upstream_create(NULL, name, 1);
    assert_non_null(upstream);
    assert_false(upstream_up(upstream));
    assert_string_equal(upstream->text, name);
    assert_int_equal(upstream->endpoint.length, 0);
    assert_true(upstream_clear_down(upstream, UPSTREAM_UNRESOLVED, 1));
    assert_true(upstream_up(upstream));
    upstream_destroy(upstream);
}

static void it_is_up_without_a_reason_to_be_down(void **state)
{
    struct upstream *upstream = make();

    (void)state;
    assert_true(upstream_set_down(upstream, UPSTREAM_UNHEALTHY, 1));
    assert_false(upstream_set_down(upstream, UPSTREAM_UNHEALTHY, 1));
    assert_false(upstream_set_down(upstream, UPSTREAM_FAILED, 1));
    assert_false(upstream_clear_down(upstream, UPSTREAM_UNHEALTHY, 1));
    assert_false(upstream_up(upstream));
    assert_false(upstream_clear_down(upstream, UPSTREAM_UNRESOLVED, 1));
    assert_true(upstream_clear_down(upstream, UPSTREAM_FAILED, 1));
    assert_true(upstream_up(upstream));
    assert_false(upstream_clear_down(upstream, UPSTREAM_FAILED, 1));
    upstream_destroy(upstream);
}

static void no_more_than_max_enter(void **state)
{
    struct upstream *upstream = make();

    (void)state;
    assert_true(upstream_enter(upstream, 2));
    assert_true(upstream_enter(upstream, 2));
    assert_false(upstream_enter(upstream, 2));
    assert_true(upstream_enter(upstream, 0));
    assert_int_equal(active(upstream), 3);
    upstream_leave(upstream);
    upstream_leave(upstream);
    assert_true(upstream_enter(upstream, 2));
    assert_int_equal(active(upstream), 2);
    upstream_destroy(upstream);
}

static void a_finished_connection_counts_for_max_only(void **state)
{
    struct upstream *upstream = make();

    (void)state;
    assert_true(upstream_enter(upstream, 2));
    assert_true(upstream_enter(upstream, 2));
    upstream_finish(upstream);
    assert_int_equal(upstream_load(upstream), 1);
    assert_int_equal(active(upstream), 2);
    assert_false(upstream_enter(upstream, 2));
    upstream_leave_finished(upstream);
    assert_int_equal(upstream_load(upstream), 1);
    assert_int_equal(active(upstream), 1);
    upstream_leave(upstream);
    assert_int_equal(upstream_load(upstream), 0);
    upstream_destroy(upstream);
}

static void the_threshold_within_the_window_takes_it_out(void **state)
{
    struct upstream *upstream = make();
    uint64_t now = 1000 * NS_PER_S;

    (void)state;
    assert_false(upstream_connect_failed(upstream, 3, WINDOW, now));
    assert_false(upstream_connect_failed(upstream, 3, WINDOW, now + 1));
    /* The first is just outside the window of this one, not of the next. */
    assert_false(
        upstream_connect_failed(upstream, 3, WINDOW, now + WINDOW + 1));
    assert_true(upstream_up(upstream));
    assert_true(upstream_connect_failed(upstream, 3, WINDOW, now + WINDOW + 1));
    assert_false(upstream_up(upstream));
    assert_int_equal(atomic_load(&upstream->down), UPSTREAM_FAILED);
    upstream_destroy(upstream);
}

static void it_counts_from_zero_when_it_is_back(void **state)
{
    struct upstream *upstream = make();

    (void)state;
    assert_false(upstream_connect_failed(upstream, 2, WINDOW, 1));
    assert_true(upstream_connect_failed(upstream, 2, WINDOW, 2));
    for (unsigned late = 0; late < 5; late++) {
        assert_false(upstream_connect_failed(upstream, 2, WINDOW, 3));
    }
    assert_true(upstream_clear_down(upstream, UPSTREAM_FAILED, 1));
    assert_false(upstream_connect_failed(upstream, 2, WINDOW, 4));
    assert_true(upstream_connect_failed(upstream, 2, WINDOW, 5));
    upstream_destroy(upstream);
}

static void it_is_taken_out_though_down_for_another_reason(void **state)
{
    struct upstream *upstream = make();

    (void)state;
    assert_true(upstream_set_down(upstream, UPSTREAM_UNHEALTHY, 1));
    assert_true(upstream_connect_failed(upstream, 1, WINDOW, 1));
    assert_int_equal(atomic_load(&upstream->down),
                     UPSTREAM_UNHEALTHY | UPSTREAM_FAILED);
    upstream_destroy(upstream);
}

static void threshold_zero_never_takes_it_out(void **state)
{
    struct upstream *upstream = make();

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        assert_false(upstream_connect_failed(upstream, 0, WINDOW, i));
    }
    assert_true(upstream_up(upstream));
    upstream_destroy(upstream);
}

static void failures_of_another_thread_may_be_a_little_earlier(void **state)
{
    struct upstream *upstream = make();

    (void)state;
    assert_false(upstream_connect_failed(upstream, 2, WINDOW, 100));
    assert_true(upstream_connect_failed(upstream, 2, WINDOW, 90));
    upstream_destroy(upstream);
}

/*
 * The model lists every failure since the upstream was last up. The threshold
 * changes at random; a change to a larger ring forgets no failure that the
 * smaller one still had.
 */
static void a_changed_threshold_keeps_the_latest_failures(void **state)
{
    uint64_t seed = 0x7570;
    struct upstream *upstream = make();
    uint64_t past[64] = {0};
    uint32_t count = 0;
    uint64_t now = WINDOW;

    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        uint32_t threshold = 1 + hash_random(&seed) % 8;
        bool out;
        bool expected;

        now += hash_random(&seed) % (WINDOW / 3);
        if (count >= threshold) {
            memmove(past, past + count - (threshold - 1),
                    (threshold - 1) * sizeof(*past));
            count = threshold - 1;
        }
        past[count++] = now;
        expected = count == threshold && past[0] + WINDOW >= now;
        out = upstream_connect_failed(upstream, threshold, WINDOW, now);
        if (out != expected) {
            fail_msg("step %u, seed 0x7570: %d, not %d", step, out, expected);
        }
        if (out) {
            count = 0;
            assert_true(upstream_clear_down(upstream, UPSTREAM_FAILED, 1));
        }
    }
    upstream_destroy(upstream);
}

#define THREADS 4
#define ROUNDS  20000
#define MAX     3

struct crowd {
    struct upstream *upstream;
    _Atomic uint32_t inside; /* any thread; compared with the limit */
    _Atomic uint32_t too_many;
    _Atomic uint32_t taken_out;
};

static void *enter_leave_and_fail(void *arg)
{
    struct crowd *crowd = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (upstream_enter(crowd->upstream, MAX)) {
            if (atomic_fetch_add(&crowd->inside, 1) >= MAX) {
                atomic_fetch_add(&crowd->too_many, 1);
            }
            atomic_fetch_sub(&crowd->inside, 1);
            upstream_leave(crowd->upstream);
        }
        if (upstream_connect_failed(crowd->upstream, 5 + i % 2, WINDOW, i)) {
            atomic_fetch_add(&crowd->taken_out, 1);
        }
    }
    return NULL;
}

static void threads_are_counted_exactly_and_one_takes_it_out(void **state)
{
    struct crowd crowd = {.upstream = make()};
    pthread_t threads[THREADS];

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, enter_leave_and_fail, &crowd), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&crowd.too_many), 0);
    assert_int_equal(active(crowd.upstream), 0);
    assert_int_equal(atomic_load(&crowd.taken_out), 1);
    upstream_destroy(crowd.upstream);
}

static void a_share_grows_from_a_tenth_to_all(void **state)
{
    const uint64_t up_ns = 50 * NS_PER_S, slow_ns = 10 * NS_PER_S;

    (void)state;
    assert_int_equal(upstream_share(0, slow_ns, up_ns), 1000);
    assert_int_equal(upstream_share(up_ns, 0, up_ns), 1000);
    assert_int_equal(upstream_share(up_ns, slow_ns, up_ns), 100);
    assert_int_equal(upstream_share(up_ns, slow_ns, up_ns - 1), 100);
    assert_int_equal(upstream_share(up_ns, slow_ns, up_ns + slow_ns / 2), 550);
    assert_int_equal(upstream_share(up_ns, slow_ns, up_ns + slow_ns - 1), 999);
    assert_int_equal(upstream_share(up_ns, slow_ns, up_ns + slow_ns), 1000);
    for (uint64_t year = 365 * 86400 * NS_PER_S, part = 1; part < 10; part++) {
        assert_in_range(upstream_share(1, year, year * part / 10),
                        99 + 90 * part, 101 + 90 * part);
    }
}

static void the_time_of_the_last_change_is_kept(void **state)
{
    struct upstream *upstream = make();

    (void)state;
    assert_int_equal(upstream->since_ns, 0);
    upstream_set_down(upstream, UPSTREAM_FAILED, 10);
    upstream_set_down(upstream, UPSTREAM_UNHEALTHY, 20);
    assert_int_equal(upstream->since_ns, 10);
    upstream_clear_down(upstream, UPSTREAM_FAILED, 30);
    assert_int_equal(upstream->since_ns, 10);
    upstream_clear_down(upstream, UPSTREAM_UNHEALTHY, 40);
    assert_int_equal(upstream->since_ns, 40);
    upstream_clear_down(upstream, UPSTREAM_UNHEALTHY, 50);
    assert_int_equal(upstream->since_ns, 40);
    upstream_destroy(upstream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_is_up_and_counts_from_zero),
        cmocka_unit_test(an_unresolved_one_is_down),
        cmocka_unit_test(it_is_up_without_a_reason_to_be_down),
        cmocka_unit_test(no_more_than_max_enter),
        cmocka_unit_test(a_finished_connection_counts_for_max_only),
        cmocka_unit_test(the_threshold_within_the_window_takes_it_out),
        cmocka_unit_test(it_counts_from_zero_when_it_is_back),
        cmocka_unit_test(it_is_taken_out_though_down_for_another_reason),
        cmocka_unit_test(threshold_zero_never_takes_it_out),
        cmocka_unit_test(failures_of_another_thread_may_be_a_little_earlier),
        cmocka_unit_test(a_changed_threshold_keeps_the_latest_failures),
        cmocka_unit_test(threads_are_counted_exactly_and_one_takes_it_out),
        cmocka_unit_test(a_share_grows_from_a_tenth_to_all),
        cmocka_unit_test(the_time_of_the_last_change_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
