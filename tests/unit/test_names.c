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

        snprintf(expected, sizeof(expected), "10.0.0.%c:0", digits[i]);
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
    assert_ptr_equal(names_find(&names, "a.EXAMPLE"),
                     names_find(&names, "a.example"));
    assert_int_equal(names_find(&names, "a.example")->interval_ns, 20 * S);
    assert_int_equal(names_find(&names, "a.example")->due_ns, 7);
    assert_null(names_find(&names, "10.0.0.1"));
    assert_null(names_find(&names, ""));
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
    names_fail(names_find(&names, "a.example"), "no", 0);
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
    answer(names_find(&names, "a.example"), "12", 0);
    answer(names_find(&names, "b.example"), "3", 0);
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
    assert_int_equal(names_find(&names, "a.example")->interval_ns, 40 * S);
    assert_int_equal(names_find(&names, "b.example")->interval_ns, 0);
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
        assert_string_equal(names_find(&names, host)->host, host);
    }
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
