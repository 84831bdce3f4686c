#include "base/record_queue.h"

#include "seeded.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_S   60
#define LARGEST      4096u
#define HEADER_BYTES 8u

#define THREADS        4
#define THREAD_RECORDS 20000u

static struct record_queue queue;

/* The bytes of a record can be told from its number. */
static void fill(unsigned char *bytes, uint32_t count, uint32_t number)
{
    for (uint32_t i = 0; i < count; i++) {
        bytes[i] = (unsigned char)(number * 31 + i);
    }
}

static bool push(uint32_t kind, uint32_t count, uint32_t number, uint64_t spare)
{
    unsigned char bytes[LARGEST];

    fill(bytes, count, number);
    return record_queue_push(&queue, kind, bytes, count, spare);
}

static void take(uint32_t wanted_kind, uint32_t wanted_count, uint32_t number)
{
    unsigned char bytes[LARGEST], wanted[LARGEST];
    uint32_t kind, count;

    assert_true(record_queue_first(&queue, &kind, &count));
    assert_int_equal(kind, wanted_kind);
    assert_int_equal(count, wanted_count);
    record_queue_take(&queue, bytes);
    fill(wanted, count, number);
    assert_memory_equal(bytes, wanted, count);
}

static bool is_empty(void)
{
    uint32_t kind, count;

    return !record_queue_first(&queue, &kind, &count);
}

static void a_new_queue_is_empty(void **state)
{
    (void)state;
    assert_true(is_empty());
}

static void records_keep_kind_bytes_and_order_across_the_wrap(void **state)
{
    struct seeded random = seeded_start(1);
    uint32_t counts[64], kinds[64];
    uint32_t pushed = 0, taken = 0;

    (void)state;
    while (taken < 20000) {
        if (pushed - taken < 64 && seeded_below(&random, 2) == 0) {
            uint32_t at = pushed % 64;

            counts[at] = 1 + (uint32_t)seeded_below(&random, LARGEST);
            kinds[at] = (uint32_t)seeded_below(&random, 3);
            assert_true(push(kinds[at], counts[at], pushed, 0));
            pushed++;
        } else if (taken < pushed) {
            take(kinds[taken % 64], counts[taken % 64], taken);
            taken++;
        } else {
            assert_true(is_empty());
        }
    }
    for (; taken < pushed; taken++) {
        take(kinds[taken % 64], counts[taken % 64], taken);
    }
    assert_true(is_empty());
}

static void a_full_queue_refuses_and_goes_on_when_read(void **state)
{
    uint32_t count = 4096 - HEADER_BYTES;
    uint32_t pushed = 0;

    (void)state;
    while (push(0, count, pushed, 0)) {
        pushed++;
    }
    assert_int_equal(pushed, RECORD_QUEUE_BYTES / 4096);
    assert_false(push(0, 1, 0, 0));
    take(0, count, 0);
    assert_true(push(0, count, pushed, 0));
    assert_false(push(0, 1, 0, 0));
    for (uint32_t i = 1; i <= pushed; i++) {
        take(0, count, i);
    }
    assert_true(is_empty());
}

static void what_is_spared_is_left_to_others(void **state)
{
    uint32_t count = 4096 - HEADER_BYTES;
    uint32_t pushed = 0;

    (void)state;
    while (push(0, count, pushed, RECORD_QUEUE_BYTES / 2)) {
        pushed++;
    }
    assert_int_equal(pushed, RECORD_QUEUE_BYTES / 2 / 4096);
    assert_true(push(1, count, pushed, 0));
    assert_false(push(0, 1, 0, RECORD_QUEUE_BYTES / 2));
    for (uint32_t i = 0; i < pushed; i++) {
        take(0, count, i);
    }
    take(1, count, pushed);
}

/* Pushes numbers, of its own kind; the rest of a record is the number again. */
static void *push_numbers(void *arg)
{
    uint32_t kind = (uint32_t)(uintptr_t)arg;
    uint32_t words[64];

    for (uint32_t number = 0; number < THREAD_RECORDS;) {
        uint32_t count = 1 + (number * 7 + kind) % ARRAY_LEN(words);

        for (uint32_t i = 0; i < count; i++) {
            words[i] = number;
        }
        if (record_queue_push(&queue, kind, words, count * 4, 0)) {
            number++;
        } else {
            usleep(100);
        }
    }
    return NULL;
}

static void take_numbers(uint32_t next[THREADS])
{
    uint32_t words[64];
    uint32_t kind, count;

    if (!record_queue_first(&queue, &kind, &count)) {
        return;
    }
    assert_in_range(kind, 0, THREADS - 1);
    assert_int_equal(count, 4 * (1 + (next[kind] * 7 + kind) % 64));
    record_queue_take(&queue, words);
    for (uint32_t i = 0; i < count / 4; i++) {
        assert_int_equal(words[i], next[kind]);
    }
    next[kind]++;
}

static void
records_of_many_threads_arrive_whole_each_thread_s_in_order(void **state)
{
    pthread_t threads[THREADS];
    uint32_t next[THREADS] = {0};
    uint64_t sum = 0;

    (void)state;
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, push_numbers, (void *)i), 0);
    }
    while (sum < THREADS * THREAD_RECORDS) {
        take_numbers(next);
        sum = 0;
        for (uint32_t i = 0; i < THREADS; i++) {
            sum += next[i];
        }
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(is_empty());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_queue_is_empty),
        cmocka_unit_test(records_keep_kind_bytes_and_order_across_the_wrap),
        cmocka_unit_test(a_full_queue_refuses_and_goes_on_when_read),
        cmocka_unit_test(what_is_spared_is_left_to_others),
        cmocka_unit_test(
            records_of_many_threads_arrive_whole_each_thread_s_in_order),
    };

    alarm(DEADLINE_S);
    return cmocka_run_group_tests_name("record_queue", tests, NULL, NULL);
}
