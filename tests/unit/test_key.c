/* What a row says of its field is enough to compare, copy and free it. */
#include "config/key.h"

#include "config/setter.h"
#include "config/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Leaks and values freed twice are found by ASan. */
struct section {
    uint32_t before;
    uint64_t number;
    char *text;
    struct config_file file;
    uint32_t after;
    char **texts;
    size_t text_count;
    struct config_file *files;
    size_t file_count;
};

#define FIELD(member)                                                          \
    .offset = offsetof(struct section, member),                                \
    .width = sizeof(((struct section *)0)->member)
#define LIST(member, count)                                                    \
    .offset = offsetof(struct section, member),                                \
    .width = sizeof(*((struct section *)0)->member),                           \
    .count_offset = offsetof(struct section, count)

static const struct key number = {
    .field = {.type = KEY_PLAIN, FIELD(number)},
    .set = setter_number,
    .max = UINT64_MAX,
};
static const struct key text = {
    .field = {.type = KEY_TEXT, FIELD(text)},
    .set = setter_text,
};
static const struct key file = {
    .field = {.type = KEY_FILE, FIELD(file)},
    .set = setter_file,
    .may_be_off = true,
};
static const struct key texts = {
    .field = {.type = KEY_TEXT, LIST(texts, text_count)},
};
static const struct key files = {
    .field = {.type = KEY_FILE, LIST(files, file_count)},
};

static void set(const struct key *key, struct section *section,
                const char *value)
{
    assert_null(key->set(key, section, value, 7));
}

static void assert_copied(const struct key *key, const char *one,
                          const char *other)
{
    struct section from = {.before = 1, .after = 2};
    struct section to = {.before = 3, .after = 4};

    set(key, &from, one);
    assert_false(key_equal(key, &from, &to));
    set(key, &to, other);
    assert_false(key_equal(key, &from, &to));
    assert_int_equal(key_copy(key, &to, &from), 0);
    assert_true(key_equal(key, &from, &to));
    key_clear(key, &from);
    assert_false(key_equal(key, &from, &to));
    set(key, &from, one);
    assert_true(key_equal(key, &from, &to));
    assert_int_equal(to.before, 3);
    assert_int_equal(to.after, 4);
    key_clear(key, &from);
    key_clear(key, &to);
}

static void a_copy_is_equal_and_owns_its_value(void **state)
{
    (void)state;
    assert_copied(&number, "1", "18446744073709551615");
    assert_copied(&text, "one", "other");
    assert_copied(&file, "/one", "/other");
    assert_copied(&file, "off", "/other");
    assert_copied(&file, "/one", "off");
}

static void a_value_that_is_absent_is_copied_too(void **state)
{
    struct section from = {0};
    struct section to = {0};

    (void)state;
    set(&text, &to, "one");
    set(&file, &to, "/one");
    assert_int_equal(key_copy(&text, &to, &from), 0);
    assert_int_equal(key_copy(&file, &to, &from), 0);
    assert_null(to.text);
    assert_null(to.file.path);
    assert_true(key_equal(&text, &from, &to));
    assert_true(key_equal(&file, &from, &to));
}

/* A file with the same path is the same wherever the key is set. */
static void the_line_of_a_file_plays_no_part(void **state)
{
    struct section from = {0};
    struct section to = {0};

    (void)state;
    assert_null(setter_file(&file, &from, "/one", 1));
    assert_null(setter_file(&file, &to, "/one", 2));
    assert_true(key_equal(&file, &from, &to));
    assert_int_equal(key_copy(&file, &to, &from), 0);
    assert_int_equal(to.file.line, 1);
    key_clear(&file, &from);
    key_clear(&file, &to);
}

static void a_value_that_is_set_again_replaces_the_first(void **state)
{
    struct section section = {0};

    (void)state;
    set(&text, &section, "one");
    set(&text, &section, "two");
    assert_string_equal(section.text, "two");
    set(&file, &section, "/one");
    set(&file, &section, "off");
    assert_null(section.file.path);
    assert_true(section.file.off);
    set(&file, &section, "/two");
    assert_string_equal(section.file.path, "/two");
    assert_false(section.file.off);
    key_clear(&text, &section);
    key_clear(&file, &section);
    assert_null(section.text);
    assert_null(section.file.path);
}

static void a_list_is_cleared_with_all_its_values(void **state)
{
    struct section section = {.before = 1, .after = 2};

    (void)state;
    for (int i = 0; i < 5; i++) {
        char **added = key_push(&texts, &section);
        struct config_file *added_file = key_push(&files, &section);

        assert_null(*added);
        assert_null(added_file->path);
        *added = strdup("text");
        added_file->path = strdup("/path");
    }
    assert_int_equal(section.text_count, 5);
    assert_int_equal(section.file_count, 5);
    assert_string_equal(section.texts[4], "text");
    for (int i = 0; i < 2; i++) {
        key_clear(&texts, &section);
        key_clear(&files, &section);
        assert_null(section.texts);
        assert_null(section.files);
        assert_int_equal(section.text_count + section.file_count, 0);
    }
    assert_int_equal(section.before, 1);
    assert_int_equal(section.after, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_equal_and_owns_its_value),
        cmocka_unit_test(a_value_that_is_absent_is_copied_too),
        cmocka_unit_test(the_line_of_a_file_plays_no_part),
        cmocka_unit_test(a_value_that_is_set_again_replaces_the_first),
        cmocka_unit_test(a_list_is_cleared_with_all_its_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
