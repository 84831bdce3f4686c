#include "base/value.h"

#include "base/hash.h"
#include "sentence.h"

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED      UINT64_C(19700101)
#define UNTOUCHED UINT64_C(0xdeadbeefdeadbeef)

#define K UINT64_C(1024)

static const char *const colours[] = {"red", "green", "blue"};

typedef const char *(*read_fn)(const char *text, uint64_t *out);

static const char *read_number(const char *text, uint64_t *out)
{
    return value_number(text, 1, 256, out);
}

static const char *read_any_number(const char *text, uint64_t *out)
{
    return value_number(text, 0, UINT64_MAX, out);
}

static const char *read_plain_number(const char *text, uint64_t *out)
{
    return value_plain_number(text, 0, 256, out);
}

static const char *read_limit(const char *text, uint64_t *out)
{
    return value_limit(text, 1000, out);
}

static const char *read_size(const char *text, uint64_t *out)
{
    return value_size(text, 4 * K, K * K, out);
}

static const char *read_any_size(const char *text, uint64_t *out)
{
    return value_size(text, 0, UINT64_MAX, out);
}

static const char *read_bool(const char *text, uint64_t *out)
{
    bool yes;
    const char *sentence = value_bool(text, &yes);

    if (sentence == NULL) {
        *out = yes;
    }
    return sentence;
}

static const char *read_choice(const char *text, uint64_t *out)
{
    unsigned index;
    const char *sentence =
        value_choice(text, colours, ARRAY_LEN(colours), &index);

    if (sentence == NULL) {
        *out = index;
    }
    return sentence;
}

static const read_fn readers[] = {
    read_number,   read_any_number, read_plain_number, read_limit, read_size,
    read_any_size, value_rate,      value_time,        read_bool,  read_choice,
};

/* Reads a copy that ends where its memory ends, so that ASan sees a read beyond
 * it. */
static const char *read_exactly(read_fn read, const char *text, uint64_t *out)
{
    char *copy = strdup(text);
    const char *sentence;

    assert_non_null(copy);
    *out = UNTOUCHED;
    sentence = read(copy, out);
    free(copy);
    if (sentence != NULL) {
        check_sentence(sentence);
        assert_true(*out == UNTOUCHED);
    }
    return sentence;
}

static void check_reads(read_fn read, const char *text, uint64_t wanted)
{
    uint64_t out;
    const char *sentence = read_exactly(read, text, &out);

    if (sentence != NULL || out != wanted) {
        fail_msg("'%s': %s, %" PRIu64 " instead of %" PRIu64, text,
                 sentence == NULL ? "good" : sentence, out, wanted);
    }
}

static void check_refuses(read_fn read, const char *text, const char *wanted)
{
    uint64_t out;
    const char *sentence = read_exactly(read, text, &out);

    if (sentence == NULL) {
        fail_msg("'%s' was taken as %" PRIu64, text, out);
    } else {
        assert_string_equal(sentence, wanted);
    }
}

static void check_all_refuse(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        uint64_t out;

        if (read_exactly(readers[i], text, &out) == NULL) {
            fail_msg("reader %zu took '%s' as %" PRIu64, i, text, out);
        }
    }
}

static void numbers_are_taken_within_their_limits(void **state)
{
    (void)state;
    check_reads(read_number, "1", 1);
    check_reads(read_number, "256", 256);
    check_reads(read_number, "007", 7);
    check_reads(read_any_number, "18446744073709551615", UINT64_MAX);
    check_refuses(read_number, "0", "'0' is not a number between 1 and 256");
    check_refuses(read_number, "257",
                  "'257' is not a number between 1 and 256");
    check_refuses(read_any_number, "18446744073709551616",
                  "'18446744073709551616' is not a number between 0 and"
                  " 18446744073709551615");
}

static void a_limit_can_be_switched_off(void **state)
{
    (void)state;
    check_reads(read_limit, "off", 0);
    check_reads(read_limit, "0", 0);
    check_reads(read_limit, "1000", 1000);
    check_refuses(read_limit, "1001",
                  "'1001' is neither off nor a number between 0 and 1000");
    check_refuses(read_limit, "OFF",
                  "'OFF' is neither off nor a number between 0 and 1000");
}

static void sizes_are_powers_of_1024_within_their_limits(void **state)
{
    (void)state;
    check_reads(read_size, "4K", 4 * K);
    check_reads(read_size, "4096", 4 * K);
    check_reads(read_size, "1M", K * K);
    check_reads(read_any_size, "3G", 3 * K * K * K);
    check_reads(read_any_size, "0", 0);
    check_reads(read_any_size, "17179869183G",
                UINT64_C(17179869183) * K * K * K);
    check_refuses(read_size, "4095",
                  "'4095' is not a size between 4K and 1M"
                  " (examples: 4096, 16K, 1G)");
    check_refuses(read_size, "1048577",
                  "'1048577' is not a size between 4K and 1M"
                  " (examples: 4096, 16K, 1G)");
    check_refuses(read_any_size, "17179869184G",
                  "'17179869184G' is not a size between 0 and"
                  " 18446744073709551615 (examples: 4096, 16K, 1G)");
}

static void only_the_units_of_the_manual_are_sizes(void **state)
{
    static const char *const bad[] = {"4k",  "4KB", "4Ki",    "4 K",  "K",
                                      "4KK", "4T",  "0x1000", "4.0K", "4K "};
    uint64_t out;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_non_null(read_exactly(read_any_size, bad[i], &out));
    }
}

static void a_rate_is_a_size_each_second(void **state)
{
    (void)state;
    check_reads(value_rate, "off", 0);
    check_reads(value_rate, "0", 0);
    check_reads(value_rate, "64K", 64 * K);
    check_reads(value_rate, "10M/s", 10 * K * K);
    check_reads(value_rate, "1/s", 1);
    check_reads(value_rate, "0000000000000000000000000000000000001G",
                K * K * K);
    check_refuses(value_rate, "/s",
                  "'/s' is not a rate (examples: 64K, 10M/s, off)");
    check_refuses(value_rate, "off/s",
                  "'off/s' is not a rate (examples: 64K, 10M/s, off)");
    check_refuses(value_rate, "1/s/s",
                  "'1/s/s' is not a rate (examples: 64K, 10M/s, off)");
    check_refuses(value_rate, "1s",
                  "'1s' is not a rate (examples: 64K, 10M/s, off)");
}

static void times_are_nanoseconds(void **state)
{
    (void)state;
    check_reads(value_time, "250ms", 250 * NS_PER_MS);
    check_reads(value_time, "30s", 30 * NS_PER_S);
    check_reads(value_time, "30", 30 * NS_PER_S);
    check_reads(value_time, "10m", 600 * NS_PER_S);
    check_reads(value_time, "2h", 7200 * NS_PER_S);
    check_reads(value_time, "365d", 365 * 86400 * NS_PER_S);
    check_reads(value_time, "8760h", 365 * 86400 * NS_PER_S);
    check_reads(value_time, "0", 0);
    check_reads(value_time, "0ms", 0);
    check_reads(value_time, "off", 0);
}

static void what_is_no_time_is_refused(void **state)
{
    static const char *const bad[] = {"5x", "ms",  "1.5s", "5 s", "1h30m",
                                      "5S", "5us", "1e3",  "0x5"};
    uint64_t out;

    (void)state;
    check_refuses(value_time, "5x",
                  "'5x' is not a time (examples: 250ms, 30s, 10m, off)");
    check_refuses(value_time, "366d", "'366d' is longer than 365d");
    check_refuses(value_time, "31536001", "'31536001' is longer than 365d");
    check_refuses(value_time, "18446744073709551615d",
                  "'18446744073709551615d' is longer than 365d");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_non_null(read_exactly(value_time, bad[i], &out));
    }
}

static void a_boolean_has_three_words_for_each_value(void **state)
{
    (void)state;
    check_reads(read_bool, "yes", 1);
    check_reads(read_bool, "no", 0);
    check_reads(read_bool, "on", 1);
    check_reads(read_bool, "off", 0);
    check_reads(read_bool, "true", 1);
    check_reads(read_bool, "false", 0);
    check_refuses(read_bool, "1", "'1' is neither yes nor no");
    check_refuses(read_bool, "Yes", "'Yes' is neither yes nor no");
    check_refuses(read_bool, "", "'' is neither yes nor no");
}

static void a_choice_is_one_of_its_names(void **state)
{
    (void)state;
    check_reads(read_choice, "red", 0);
    check_reads(read_choice, "blue", 2);
    check_refuses(read_choice, "re", "'re' is not one of red, green, blue");
    check_refuses(read_choice, "reds", "'reds' is not one of red, green, blue");
    check_refuses(read_choice, "", "'' is not one of red, green, blue");
}

static void more_names_than_a_sentence_holds_are_cut(void **state)
{
    const char *names[100];
    unsigned index;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        names[i] = "a name of some length";
    }
    assert_in_range(strlen(value_choice("x", names, 100, &index)), 200, 511);
}

static void signs_spaces_and_overflow_are_refused_by_all(void **state)
{
    static const char *const bad[] = {
        "",     " ",
        "+1",   "-1",
        " 1",   "1 ",
        "1\n",  "\t1",
        "1,0",  "1_0",
        "''",   "none",
        "\x7f", "99999999999999999999999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        check_all_refuse(bad[i]);
    }
}

static void a_long_bad_text_is_cut_and_control_bytes_are_hidden(void **state)
{
    char text[100001];

    (void)state;
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    check_all_refuse(text);
    check_refuses(read_bool, text,
                  "'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy'"
                  " is neither yes nor no");
    check_refuses(read_bool, "a\n\x1b[1m\x7f",
                  "'a??[1m?' is neither yes nor no");
}

static void a_plain_number_has_no_leading_zeros(void **state)
{
    (void)state;
    check_reads(read_plain_number, "0", 0);
    check_reads(read_plain_number, "10", 10);
    check_refuses(read_plain_number, "010", "'010' has a leading zero");
    check_refuses(read_plain_number, "00", "'00' has a leading zero");
    check_refuses(read_plain_number, "257",
                  "'257' is not a number between 0 and 256");
}

static void a_number_comes_back_as_it_was_written(void **state)
{
    static const struct {
        read_fn read;
        const char *unit;
        uint64_t factor;
        uint64_t max;
    } forms[] = {
        {read_any_number, "", 1, UINT64_MAX},
        {read_any_size, "K", K, UINT64_MAX / K},
        {value_rate, "M/s", K * K, UINT64_MAX / K / K},
        {value_time, "ms", NS_PER_MS, UINT64_C(365) * 86400 * 1000},
        {value_time, "m", 60 * NS_PER_S, 365 * 1440},
    };
    uint64_t random = SEED;
    char text[64];

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        unsigned form = i % ARRAY_LEN(forms);
        uint64_t shift = hash_random(&random) % 64;
        uint64_t number = hash_random(&random) >> shift;

        number = forms[form].max == UINT64_MAX ? number
                                               : number % (forms[form].max + 1);
        (void)snprintf(text, sizeof(text), "%" PRIu64 "%s", number,
                       forms[form].unit);
        check_reads(forms[form].read, text, number * forms[form].factor);
    }
}

/* Characters of the grammar are likelier than others, so that some texts get
 * far. */
static void garbage_is_answered_by_a_sentence_or_a_value(void **state)
{
    static const char likely[] = "0123456789KMGmshd/of -+.x";
    uint64_t random = SEED;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        char text[24];
        size_t length = hash_random(&random) % sizeof(text);
        uint64_t out;

        for (size_t at = 0; at < length; at++) {
            uint64_t dice = hash_random(&random);

            text[at] = dice % 4 == 0
                           ? (char)(dice >> 8)
                           : likely[(dice >> 8) % (sizeof(likely) - 1)];
        }
        text[length] = '\0';
        (void)read_exactly(readers[i % ARRAY_LEN(readers)], text, &out);
    }
}

static void texts_of_any_length_are_answered(void **state)
{
    char text[100] = "";

    (void)state;
    for (size_t length = 0; length < sizeof(text) - 1; length++) {
        text[length] = '0';
        for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
            uint64_t out;

            (void)read_exactly(readers[i], text, &out);
        }
    }
}

static void a_sentence_can_be_part_of_the_next(void **state)
{
    const char *sentence = value_sentence("inner %d", 7);

    (void)state;
    sentence = value_sentence("outer: %s", sentence);
    assert_string_equal(sentence, "outer: inner 7");
}

static void *make_sentences(void *arg)
{
    const char *name = arg;

    for (unsigned i = 0; i < 1000; i++) {
        uint64_t out;
        const char *sentence = value_number(name, 0, 1, &out);

        if (sentence == NULL || strncmp(sentence + 1, name, 3) != 0) {
            return arg;
        }
    }
    return NULL;
}

static void each_thread_has_a_sentence_of_its_own(void **state)
{
    static char names[][4] = {"abc", "def", "ghi"};
    pthread_t threads[ARRAY_LEN(names)];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, make_sentences, names[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        void *wrong;

        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_taken_within_their_limits),
        cmocka_unit_test(a_limit_can_be_switched_off),
        cmocka_unit_test(sizes_are_powers_of_1024_within_their_limits),
        cmocka_unit_test(only_the_units_of_the_manual_are_sizes),
        cmocka_unit_test(a_rate_is_a_size_each_second),
        cmocka_unit_test(times_are_nanoseconds),
        cmocka_unit_test(what_is_no_time_is_refused),
        cmocka_unit_test(a_boolean_has_three_words_for_each_value),
        cmocka_unit_test(a_choice_is_one_of_its_names),
        cmocka_unit_test(more_names_than_a_sentence_holds_are_cut),
        cmocka_unit_test(signs_spaces_and_overflow_are_refused_by_all),
        cmocka_unit_test(a_long_bad_text_is_cut_and_control_bytes_are_hidden),
        cmocka_unit_test(a_plain_number_has_no_leading_zeros),
        cmocka_unit_test(a_number_comes_back_as_it_was_written),
        cmocka_unit_test(garbage_is_answered_by_a_sentence_or_a_value),
        cmocka_unit_test(texts_of_any_length_are_answered),
        cmocka_unit_test(a_sentence_can_be_part_of_the_next),
        cmocka_unit_test(each_thread_has_a_sentence_of_its_own),
    };

    return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
