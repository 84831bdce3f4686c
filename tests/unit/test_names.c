#include "control/names.h"

#include "config/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S NS_PER_S

static struct config *parse(const char *text)
{
    struct config_errors errors = {0};
    struct config *config = load_text(text, strlen(text), &errors);

    if (config == NULL) {
        fail_msg("line %u: %s", errors.list[0].line, errors.list[0].message);
    }
    return config;
}

/* Adds and keeps the names of a configuration. */
static void use(struct names *names, const char *text, uint64_t now_ns)
{
    struct config *config = parse(text);

    assert_int_equal(names_add(names, config), 0);
    names_keep(names, config, now_ns);
    config_destroy(config);
}

#define WEB                                                                    \
    "[service web]\nlisten = :80\nresolve_interval = 40s\n"                    \
    "upstream = a.example:80\n"
#define MAIL                                                                   \
    "[service mail]\nlisten = :25\nresolve_interval = 20s\n"                   \
    "upstream = A.example:25\nupstream = b.example:25\n"                       \
    "upstream = 10.0.0.1:25\n"

struct change {
    size_t added;
    size_t removed;
};

/* A good answer: addresses 10.0.0.x, with each digit of the text as x. */
static struct change answer(struct name *name, const char *digits,
                            uint64_t now_ns)
{
    struct endpoint found[10];
    struct change change;
    size_t count = strlen(digits);

    for (size_t i = 0; i < count; i++) {
        struct addr addr = {.family = AF_INET,
                            .ip = {10, 0, 0, (uint8_t)(digits[i] - '0')}};

        endpoint_from_addr(&found[i], &addr);
    }
    assert_int_equal(names_answer(name, found, count, now_ns), 0);
    change = (struct change){name->added, name->removed};
    name->added = 0;
    name->removed = 0;
    return change;
}

/* The table has these addresses of the name, in the same form. */
static void expect(const struct names *names, const char *host,
                   const char *digits)
{
    const struct endpoint *found;
    size_t count = names->known.find(&names->known, host, &found);

    assert_int_equal(count, strlen(digits));
    for (size_t i = 0; i < count; i++) {
        char text[ADDR_TEXT_MAX], expected[ADDR_TEXT_MAX];

        snprintf(expected, sizeof(expected), "10.0.0.%c:*", digits[i]);
        assert_string_equal(endpoint_format(&found[i], text), expected);
    }
}

static void equal_names_are_one_with_the_shortest_interval(void **state)
{
    struct names names;

    (void)state;
    names_init(&names);
    use(&names, WEB MAIL, 7);
    assert_int_equal(names.count, 2);
    assert_ptr_equal(names_find(&names, ADDRESS_NAME, "a.EXAMPLE"),
                     names_find(&names, ADDRESS_NAME, "a.example"));
    assert_int_equal(names_find(&names, ADDRESS_NAME, "a.example")->interval_ns,
                     20 * S);
    assert_int_equal(names_find(&names, ADDRESS_NAME, "a.example")->due_ns, 7);
    assert_null(names_find(&names, ADDRESS_NAME, "10.0.0.1"));
    assert_null(names_find(&names, ADDRESS_NAME, ""));
    names_fini(&names);
}

static void a_name_without_an_answer_has_no_address(void **state)
{
    struct names names;

    (void)state;
    names_init(&names);
    expect(&names, "a.example", "");
    use(&names, WEB, 0);
    expect(&names, "a.example", "");
    names_fail(names_find(&names, ADDRESS_NAME, "a.example"), "no", 0);
    expect(&names, "a.example", "");
    names_fini(&names);
}

static void a_good_answer_holds_for_the_interval(void **state)
{
    struct names names;
    struct change change;

    (void)state;
    names_init(&names);
    use(&names, WEB, 0);
    change = answer(names.list[0], "135", 3 * S);
    assert_int_equal(change.added, 3);
    assert_int_equal(change.removed, 0);
    assert_int_equal(names.list[0]->due_ns, 43 * S);
    expect(&names, "a.example", "135");
    change = answer(names.list[0], "135", 43 * S);
    assert_int_equal(change.added + change.removed, 0);
    names_fini(&names);
}

static void an_address_leaves_after_two_good_answers_without_it(void **state)
{
    struct names names;
    struct name *name;
    struct change change;

    (void)state;
    names_init(&names);
    use(&names, WEB, 0);
    name = names.list[0];
    answer(name, "135", 0);
    change = answer(name, "24", 0);
    assert_int_equal(change.added, 2);
    assert_int_equal(change.removed, 0);
    expect(&names, "a.example", "12345");
    names_fail(name, "no", 0); /* counts for nothing */
    expect(&names, "a.example", "12345");
    change = answer(name, "3", 0); /* 3 is back */
    assert_int_equal(change.added, 0);
    assert_int_equal(change.removed, 2);
    expect(&names, "a.example", "234");
    answer(name, "3", 0);
    expect(&names, "a.example", "3");
    names_fini(&names);
}

static void answers_that_take_turns_keep_all(void **state)
{
    struct names names;

    (void)state;
    names_init(&names);
    use(&names, WEB, 0);
    for (unsigned i = 0; i < 20; i++) {
        answer(names.list[0], i % 2 ? "13" : "24", i * S);
        expect(&names, "a.example", i == 0 ? "24" : "1234");
    }
    names_fini(&names);
}

static void a_failure_is_tried_again_soon_and_then_later(void **state)
{
    static const uint64_t seconds[] = {1, 2, 4, 8, 16, 32, 40, 40, 40};
    struct names names;
    struct name *name;

    (void)state;
    names_init(&names);
    use(&names, WEB, 0);
    name = names.list[0];
    answer(name, "1", 0);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < sizeof(seconds) / sizeof(*seconds); i++) {
            assert_int_equal(name->failures, i);
            names_fail(name, "silence", 100 * S);
            assert_int_equal(name->due_ns, (100 + seconds[i]) * S);
            assert_string_equal(name->error, "silence");
            expect(&names, "a.example", "1");
        }
        answer(name, "1", 0);
    }
    names_fini(&names);
}

static void names_that_stay_keep_their_answers_over_a_reload(void **state)
{
    struct names names;

    (void)state;
    names_init(&names);
    use(&names, WEB MAIL, 0);
    answer(names_find(&names, ADDRESS_NAME, "a.example"), "12", 0);
    answer(names_find(&names, ADDRESS_NAME, "b.example"), "3", 0);
    use(&names, WEB, 5 * S);
    assert_int_equal(names.count, 1);
    expect(&names, "a.example", "12");
    assert_int_equal(names.list[0]->interval_ns, 40 * S);
    assert_int_equal(names.list[0]->due_ns, 5 * S); /* a reload asks anew */
    use(&names, WEB MAIL, 6 * S);
    expect(&names, "b.example", ""); /* forgotten */
    names_fini(&names);
}

/* What a refused configuration added is not looked up, and goes at the next
 * reload. */
static void names_that_are_only_added_are_not_in_use(void **state)
{
    struct names names;
    struct config *config = parse(WEB MAIL);

    (void)state;
    names_init(&names);
    use(&names, WEB, 0);
    assert_int_equal(names_add(&names, config), 0);
    config_destroy(config);
    assert_int_equal(names.count, 2);
    assert_int_equal(names_find(&names, ADDRESS_NAME, "a.example")->interval_ns,
                     40 * S);
    assert_int_equal(names_find(&names, ADDRESS_NAME, "b.example")->interval_ns,
                     0);
    use(&names, WEB, 0);
    assert_int_equal(names.count, 1);
    names_fini(&names);
}

static void many_names_are_found(void **state)
{
    enum { COUNT = 3000 };
    static char text[COUNT * 40];
    size_t length = 0;
    struct names names;

    (void)state;
    length += (size_t)snprintf(text, sizeof(text), "[service s]\nlisten=:1\n");
    for (unsigned i = 0; i < COUNT; i++) {
        length += (size_t)snprintf(text + length, sizeof(text) - length,
                                   "upstream = n%u.example:80\n", i * 7919);
    }
    names_init(&names);
    use(&names, text, 0);
    assert_int_equal(names.count, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        char host[40];

        snprintf(host, sizeof(host), "n%u.example", i * 7919);
        assert_string_equal(names_find(&names, ADDRESS_NAME, host)->host, host);
    }
    names_fini(&names);
}

/* ---- SRV names ---- */

#define SRV                                                                    \
    "[service srv]\nlisten = :1\nresolve_interval = 40s\n"                     \
    "upstream = srv:_a._tcp.example\n"

static struct name *srv_name(const struct names *names)
{
    return names_find(names, ADDRESS_SRV, "_A._tcp.example");
}

/* A good answer: for each digit x of the text a record with the target
 * "x.example" and port 80. */
static struct change answer_srv(struct names *names, const char *digits,
                                unsigned weight, uint64_t ttl_ns,
                                uint64_t now_ns)
{
    struct name *name = srv_name(names);
    struct srv_record found[10] = {{.port = 0}};
    struct change change;
    size_t count = strlen(digits);

    for (size_t i = 0; i < count; i++) {
        found[i].port = 80;
        found[i].weight = (uint16_t)weight;
        snprintf(found[i].target, sizeof(found[i].target), "%c.example",
                 digits[i]);
    }
    assert_int_equal(
        names_answer_records(names, name, found, count, ttl_ns, now_ns), 0);
    change = (struct change){name->added, name->removed};
    name->added = 0;
    name->removed = 0;
    return change;
}

/* The records of the SRV name, and with it the host names that are known. */
static void expect_targets(const struct names *names, const char *digits)
{
    const struct srv_record *found;
    size_t count =
        names->known.find_records(&names->known, "_a._tcp.example", &found);

    assert_int_equal(count, strlen(digits));
    assert_int_equal(names->count, 1 + count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(found[i].target[0], digits[i]);
        assert_non_null(names_find(names, ADDRESS_NAME, found[i].target));
    }
}

static void targets_are_names_that_come_and_go(void **state)
{
    struct names names;
    struct change change;

    (void)state;
    names_init(&names);
    use(&names, SRV, 0);
    expect_targets(&names, "");
    change = answer_srv(&names, "135", 1, 60 * S, 0);
    assert_int_equal(change.added, 3);
    expect_targets(&names, "135");
    change = answer_srv(&names, "24", 1, 60 * S, 0);
    assert_int_equal(change.added, 2);
    assert_int_equal(change.removed, 0);
    expect_targets(&names, "12345");
    names_fail(srv_name(&names), "no", 0);
    expect_targets(&names, "12345");
    change = answer_srv(&names, "3", 1, 60 * S, 0);
    assert_int_equal(change.removed, 2);
    expect_targets(&names, "234");
    use(&names, SRV WEB, 0); /* a reload keeps them */
    assert_int_equal(names.count, 5);
    use(&names, WEB, 0);
    assert_int_equal(names.count, 1);
    names_fini(&names);
}

static void records_that_change_in_place_are_told(void **state)
{
    struct names names;
    struct change change;

    (void)state;
    names_init(&names);
    use(&names, SRV, 0);
    answer_srv(&names, "13", 1, 60 * S, 0);
    assert_false(srv_name(&names)->changed);
    answer_srv(&names, "1", 1, 60 * S, 0);
    assert_false(srv_name(&names)->changed);
    change = answer_srv(&names, "13", 2, 60 * S, 0);
    assert_int_equal(change.added + change.removed, 0);
    assert_true(srv_name(&names)->changed);
    assert_int_equal(srv_name(&names)->records[1].weight, 2);
    names_fini(&names);
}

/* By their time to live, from a second to the interval of the service. */
static void records_are_asked_for_again_in_time(void **state)
{
    static const struct {
        unsigned ttl_s;
        unsigned due_s;
    } cases[] = {{0, 1}, {1, 1}, {7, 7}, {40, 40}, {41, 40}, {INT32_MAX, 40}};
    struct names names;

    (void)state;
    names_init(&names);
    use(&names, SRV, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        answer_srv(&names, "1", 1, cases[i].ttl_s * S, 100 * S);
        assert_int_equal(srv_name(&names)->due_ns, (100 + cases[i].due_s) * S);
    }
    names_fini(&names);
}

static void targets_are_asked_for_with_their_records(void **state)
{
    struct names names;
    struct name *one, *three;

    (void)state;
    names_init(&names);
    use(&names, SRV, 0);
    answer_srv(&names, "13", 1, 10 * S, 0);
    one = names_find(&names, ADDRESS_NAME, "1.example");
    three = names_find(&names, ADDRESS_NAME, "3.example");
    assert_int_equal(one->interval_ns, 10 * S);
    assert_int_equal(one->due_ns, 0);
    answer(one, "1", 1 * S);
    names_fail(three, "no", 1 * S);
    names_fail(three, "no", 9 * S);
    answer_srv(&names, "13", 1, 10 * S, 10 * S);
    assert_int_equal(one->due_ns, 10 * S);   /* was 11 s */
    assert_int_equal(three->due_ns, 11 * S); /* keeps its pace */
    answer(one, "1", 10 * S);
    answer_srv(&names, "13", 1, 10 * S, 11 * S);
    assert_int_equal(one->due_ns, 20 * S); /* it was just asked */
    names_fini(&names);
}

static void a_target_that_is_a_name_too_has_the_shorter_interval(void **state)
{
    struct names names;
    struct name *target;

    (void)state;
    names_init(&names);
    use(&names, SRV MAIL "upstream = 1.example:25\n", 0);
    target = names_find(&names, ADDRESS_NAME, "1.example");
    assert_int_equal(target->interval_ns, 20 * S);
    answer(target, "1", 0);
    answer_srv(&names, "1", 1, 5 * S, 0);
    assert_int_equal(target->interval_ns, 5 * S);
    expect(&names, "1.example", "1");
    answer_srv(&names, "2", 1, 5 * S, 0);
    answer_srv(&names, "2", 1, 5 * S, 0);
    assert_ptr_equal(names_find(&names, ADDRESS_NAME, "1.example"), target);
    assert_int_equal(target->interval_ns, 20 * S);
    names_fini(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_names_are_one_with_the_shortest_interval),
        cmocka_unit_test(a_name_without_an_answer_has_no_address),
        cmocka_unit_test(a_good_answer_holds_for_the_interval),
        cmocka_unit_test(an_address_leaves_after_two_good_answers_without_it),
        cmocka_unit_test(answers_that_take_turns_keep_all),
        cmocka_unit_test(a_failure_is_tried_again_soon_and_then_later),
        cmocka_unit_test(names_that_stay_keep_their_answers_over_a_reload),
        cmocka_unit_test(names_that_are_only_added_are_not_in_use),
        cmocka_unit_test(many_names_are_found),
        cmocka_unit_test(targets_are_names_that_come_and_go),
        cmocka_unit_test(records_that_change_in_place_are_told),
        cmocka_unit_test(records_are_asked_for_again_in_time),
        cmocka_unit_test(targets_are_asked_for_with_their_records),
        cmocka_unit_test(a_target_that_is_a_name_too_has_the_shorter_interval),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
