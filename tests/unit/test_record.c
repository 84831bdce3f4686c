/* Tagged values: what is written is read, and hostile bytes are refused. */
#include "base/record.h"

#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { TAG_OUTER = 1, TAG_NUMBER, TAG_TEXT };

static void records_are_read_as_written(void **state)
{
    unsigned char bytes[256];
    struct record_writer writer = {bytes, sizeof(bytes), 0, false};
    struct record_reader reader, inner;
    struct record record;
    uint64_t number = 0;
    char text[8];
    size_t begun;

    (void)state;
    begun = record_begin(&writer, TAG_OUTER | RECORD_CRITICAL);
    record_put_number(&writer, TAG_NUMBER, 0);
    record_put_number(&writer, TAG_NUMBER, UINT64_MAX);
    record_put_text(&writer, TAG_TEXT, "abc");
    record_end(&writer, begun);
    assert_false(writer.failed);
    reader = (struct record_reader){bytes, writer.used};
    assert_int_equal(record_next(&reader, &record), 1);
    assert_int_equal(record.tag, TAG_OUTER | RECORD_CRITICAL);
    inner = record_enter(&record);
    assert_int_equal(record_next(&inner, &record), 1);
    assert_true(record_number(&record, 0, &number));
    assert_int_equal(number, 0);
    assert_int_equal(record_next(&inner, &record), 1);
    assert_false(record_number(&record, UINT64_MAX - 1, &number));
    assert_true(record_number(&record, UINT64_MAX, &number));
    assert_true(number == UINT64_MAX);
    assert_int_equal(record_next(&inner, &record), 1);
    assert_false(record_text(&record, text, 3));
    assert_true(record_text(&record, text, 4));
    assert_string_equal(text, "abc");
    assert_int_equal(record_next(&inner, &record), 0);
    assert_int_equal(record_next(&reader, &record), 0);
}

static void a_full_writer_fails_and_stays_within(void **state)
{
    (void)state;
    for (size_t size = 0; size < 40; size++) {
        unsigned char bytes[48];
        struct record_writer writer = {bytes, size, 0, false};
        size_t begun;

        memset(bytes, 0xaa, sizeof(bytes));
        begun = record_begin(&writer, TAG_OUTER);
        record_put_number(&writer, TAG_NUMBER, 1);
        record_put_text(&writer, TAG_TEXT, "0123456789");
        record_end(&writer, begun);
        assert_int_equal(writer.failed, size < 8 + 9 + 18);
        for (size_t i = size; i < sizeof(bytes); i++) {
            assert_int_equal(bytes[i], 0xaa);
        }
    }
}

static void values_of_another_kind_are_refused(void **state)
{
    const struct record none = {TAG_NUMBER, NULL, 0};
    const struct record nine = {TAG_NUMBER, (const unsigned char *)"123456789",
                                9};
    const struct record zero = {TAG_TEXT, (const unsigned char *)"a\0b", 3};
    uint64_t number;
    char text[16];

    (void)state;
    assert_false(record_number(&none, UINT64_MAX, &number));
    assert_false(record_number(&nine, UINT64_MAX, &number));
    assert_false(record_text(&zero, text, sizeof(text)));
    assert_true(record_text(&none, text, sizeof(text)));
    assert_string_equal(text, "");
    assert_false(record_copy(&zero, text, 4));
    assert_true(record_copy(&zero, text, 3));
}

/* Refuses the record whose number is refused. */
struct reading {
    uint64_t refused;
    uint64_t count;
};

static bool count_one(const struct record *record, void *arg)
{
    struct reading *reading = arg;
    uint64_t number;

    assert_true(record_number(record, UINT64_MAX, &number));
    assert_int_equal(number, ++reading->count);
    return number != reading->refused;
}

static void each_record_is_given_in_order_until_one_is_refused(void **state)
{
    unsigned char bytes[64];
    struct record_writer writer = {bytes, sizeof(bytes), 0, false};
    struct reading reading = {.refused = 0};
    struct record_reader reader;

    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        record_put_number(&writer, TAG_NUMBER, i);
    }
    reader = (struct record_reader){bytes, writer.used};
    assert_true(record_each(reader, count_one, &reading));
    assert_int_equal(reading.count, 3);
    reading = (struct reading){.refused = 2};
    assert_false(record_each(reader, count_one, &reading));
    assert_int_equal(reading.count, 2);
    assert_true(record_each((struct record_reader){bytes, 0}, count_one, NULL));
}

static void bytes_that_end_within_a_record_are_refused(void **state)
{
    unsigned char bytes[64];
    struct record_writer writer = {bytes, sizeof(bytes), 0, false};
    size_t one;

    (void)state;
    record_put_number(&writer, TAG_NUMBER, 1);
    one = writer.used;
    record_put_number(&writer, TAG_NUMBER, 2);
    for (size_t count = 0; count <= writer.used; count++) {
        struct reading reading = {.refused = 0};

        assert_int_equal(record_each((struct record_reader){bytes, count},
                                     count_one, &reading),
                         count % one == 0);
        assert_int_equal(reading.count, count / one);
        assert_int_equal(
            record_find((struct record_reader){bytes, count}, TAG_NUMBER),
            count % one != 0 ? -1 : count > 0);
        assert_int_equal(
            record_find((struct record_reader){bytes, count}, TAG_TEXT),
            count % one != 0 ? -1 : 0);
    }
}

/* Reads all that the bytes hold, to any depth. */
static void read_all(struct record_reader reader, unsigned depth)
{
    struct record record;
    char text[32];
    uint64_t number;

    while (record_next(&reader, &record) > 0) {
        (void)!record_number(&record, UINT64_MAX, &number);
        (void)!record_text(&record, text, sizeof(text));
        if (depth > 0) {
            read_all(record_enter(&record), depth - 1);
        }
    }
}

static void hostile_bytes_are_not_read_beyond_their_end(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        struct seeded seeded = seeded_start(seed);
        size_t count = seeded_below(&seeded, 64);
        /* Its own allocation, so that a sanitizer sees the end. */
        unsigned char *bytes = test_malloc(count + 1);

        for (size_t i = 0; i < count; i++) {
            bytes[i] = seeded_below(&seeded, 3) == 0
                           ? (unsigned char)seeded_next(&seeded)
                           : (unsigned char)seeded_below(&seeded, 12);
        }
        read_all((struct record_reader){bytes, count}, 4);
        test_free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read_as_written),
        cmocka_unit_test(a_full_writer_fails_and_stays_within),
        cmocka_unit_test(values_of_another_kind_are_refused),
        cmocka_unit_test(each_record_is_given_in_order_until_one_is_refused),
        cmocka_unit_test(bytes_that_end_within_a_record_are_refused),
        cmocka_unit_test(hostile_bytes_are_not_read_beyond_their_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
