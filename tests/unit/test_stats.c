#include "service/stats.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void no_two_causes_have_one_name(void **state)
{
    (void)state;
    for (unsigned a = 0; a < CAUSES; a++) {
        assert_non_null(cause_name(a));
        for (unsigned b = 0; b < a; b++) {
            assert_string_not_equal(cause_name(a), cause_name(b));
        }
    }
    assert_string_equal(cause_name(CAUSE_NONE), "none");
    assert_string_equal(cause_name(CAUSE_CLIENT_FIN), "client_fin");
    assert_string_equal(cause_name(CAUSE_INTERNAL), "internal");
}

static void blocks_share_no_cache_line(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct service_counters) % CACHE_LINE_BYTES, 0);
    assert_int_equal(sizeof(struct upstream_counters) % CACHE_LINE_BYTES, 0);
}

static void sums_add_up_over_the_workers(void **state)
{
    static struct service_counters services[3];
    static struct upstream_counters upstreams[3];
    struct service_sums service;
    struct upstream_sums upstream;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        counter_add(&services[i].accepted, 100 * (i + 1));
        counter_add(&services[i].ended[CAUSE_CLIENT_FIN], 10);
        counter_add(&services[i].ended[CAUSE_INTERNAL], i);
        counter_add(&services[i].bytes[UP], 7);
        counter_add(&services[i].bytes[DOWN], 70);
        counter_add(&upstreams[i].bytes[UP], 1);
        counter_add(&upstreams[i].bytes[DOWN], 2);
        counter_add(&upstreams[i].total, 3);
        counter_add(&upstreams[i].failed[FAILURE_TIMEOUT], 3);
        counter_add(&upstreams[i].failed[FAILURE_TLS], 1);
    }
    service_counters_sum(services, 3, &service);
    assert_int_equal(service.accepted, 600);
    assert_int_equal(service.ended[CAUSE_CLIENT_FIN], 30);
    assert_int_equal(service.ended[CAUSE_INTERNAL], 3);
    assert_int_equal(service.active, 567);
    assert_int_equal(service.bytes[UP], 21);
    assert_int_equal(service.bytes[DOWN], 210);

    upstream_counters_sum(upstreams, 3, &upstream);
    assert_int_equal(upstream.bytes[UP], 3);
    assert_int_equal(upstream.bytes[DOWN], 6);
    assert_int_equal(upstream.total, 9);
    assert_int_equal(upstream.failed[FAILURE_TIMEOUT], 9);
    assert_int_equal(upstream_sums_failed(&upstream), 12);
}

static void an_end_is_counted_with_its_duration(void **state)
{
    static struct service_counters blocks[2];
    struct service_sums sums;
    struct service_times times;

    (void)state;
    service_counters_end(&blocks[0], CAUSE_CLIENT_FIN, 2 * NS_PER_S);
    service_counters_end(&blocks[1], CAUSE_LIMIT_SOURCE, 0);
    histogram_add(&blocks[1].connect, &histogram_connect, NS_PER_MS);
    service_counters_sum(blocks, 2, &sums);
    service_counters_times(blocks, 2, &times);
    assert_int_equal(sums.ended[CAUSE_CLIENT_FIN], 1);
    assert_int_equal(sums.ended[CAUSE_LIMIT_SOURCE], 1);
    assert_int_equal(service_sums_ended_bad(&sums), 1);
    assert_int_equal(times.durations.count, 2);
    assert_int_equal(times.durations.sum_ns, 2 * NS_PER_S);
    assert_int_equal(times.connect.count, 1);
}

static void what_clients_and_rules_do_is_no_bad_end(void **state)
{
    static struct service_counters block;
    struct service_sums sums;

    (void)state;
    service_counters_end(&block, CAUSE_CLIENT_RESET, 0);
    service_counters_end(&block, CAUSE_DENIED, 0);
    service_counters_sum(&block, 1, &sums);
    assert_int_equal(service_sums_ended_bad(&sums), 0);
    service_counters_end(&block, CAUSE_UPSTREAM_RESET, 0);
    service_counters_sum(&block, 1, &sums);
    assert_int_equal(service_sums_ended_bad(&sums), 1);
}

static void failures_are_causes_and_drops_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FAILURES; i++) {
        assert_int_equal(failure_of(failure_cause(i)), i);
    }
    assert_int_equal(failure_of(CAUSE_TLS_ERROR), FAILURE_TLS);
    for (unsigned a = 0; a < DROPS; a++) {
        for (unsigned b = 0; b < a; b++) {
            assert_string_not_equal(drop_name(a), drop_name(b));
        }
    }
}

#define ROUNDS 4000000

static void *connections_come_and_go(void *arg)
{
    struct service_counters *block = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        counter_add(&block->accepted, 1);
        counter_add(&block->ended[1 + i % (CAUSES - 1)], 1);
    }
    return NULL;
}

static void active_is_never_negative_while_workers_count(void **state)
{
    static struct service_counters blocks[2];
    struct service_sums sums;
    pthread_t threads[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        connections_come_and_go, &blocks[i]),
                         0);
    }
    do {
        service_counters_sum(blocks, 2, &sums);
        assert_true(sums.active <= sums.accepted);
    } while (sums.accepted < 2 * ROUNDS);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    service_counters_sum(blocks, 2, &sums);
    assert_int_equal(sums.active, 0);
}

static void the_ended_part_lists_every_cause_in_order(void **state)
{
    struct service_sums sums = {.ended[CAUSE_DRAIN] = 12};
    char text[STATS_ENDED_MAX];
    const char *at = text;
    size_t length = stats_format_ended(&sums, text, sizeof(text));

    (void)state;
    assert_int_equal(length, strlen(text));
    for (unsigned cause = 1; cause < CAUSES; cause++) {
        char part[64];

        snprintf(part, sizeof(part), " ended_%s=%d", cause_name(cause),
                 cause == CAUSE_DRAIN ? 12 : 0);
        assert_int_equal(strncmp(at, part, strlen(part)), 0);
        at += strlen(part);
    }
    assert_int_equal(*at, '\0');
}

static void the_largest_numbers_fit_the_stated_size(void **state)
{
    struct service_sums sums;
    char text[STATS_ENDED_MAX];

    (void)state;
    memset(&sums, 0xff, sizeof(sums));
    stats_format_ended(&sums, text, sizeof(text));
    assert_non_null(strstr(text, " ended_loop=18446744073709551615"));
}

static void a_small_buffer_gets_whole_causes(void **state)
{
    struct service_sums sums = {.ended[CAUSE_CLIENT_FIN] = 5};
    const char *first = " ended_client_fin=5";
    char text[64];

    (void)state;
    assert_int_equal(stats_format_ended(&sums, text, 0), 0);
    assert_int_equal(stats_format_ended(&sums, text, 1), 0);
    assert_string_equal(text, "");
    assert_int_equal(stats_format_ended(&sums, text, strlen(first)), 0);
    assert_int_equal(stats_format_ended(&sums, text, strlen(first) + 1),
                     strlen(first));
    assert_string_equal(text, first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_two_causes_have_one_name),
        cmocka_unit_test(blocks_share_no_cache_line),
        cmocka_unit_test(sums_add_up_over_the_workers),
        cmocka_unit_test(an_end_is_counted_with_its_duration),
        cmocka_unit_test(what_clients_and_rules_do_is_no_bad_end),
        cmocka_unit_test(failures_are_causes_and_drops_have_names),
        cmocka_unit_test(active_is_never_negative_while_workers_count),
        cmocka_unit_test(the_ended_part_lists_every_cause_in_order),
        cmocka_unit_test(the_largest_numbers_fit_the_stated_size),
        cmocka_unit_test(a_small_buffer_gets_whole_causes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
