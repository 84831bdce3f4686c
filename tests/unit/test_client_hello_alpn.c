#include "hello.h"
#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(7301)

/* The bytes of a string that may hold zeros, and how many they are. */
#define BYTES(text) (text), sizeof(text) - 1

/* An ALPN extension with that list and a length before it that fits. */
static void add_offers(const void *list, size_t count)
{
    bytes_add_number(&hello_message, 16, 2);
    bytes_add_number(&hello_message, count + 2, 2);
    bytes_add_number(&hello_message, count, 2);
    bytes_add(&hello_message, list, count);
}

/* The hello is whole, has that name and offers this list. */
static struct client_hello check_offers(const char *name, const void *list,
                                        size_t count)
{
    struct client_hello hello;

    assert_int_equal(hello_parse(hello_wire.data, hello_wire.count, &hello),
                     hello_wire.count);
    assert_string_equal(hello.name, name);
    assert_int_equal(hello.alpn_bytes, count);
    if (count > 0) {
        assert_memory_equal(hello.alpn, list, count);
    }
    return hello;
}

/* ---- lists --------------------------------------------------------------- */

static void each_protocol_of_the_list_is_offered(void **state)
{
    static const char list[] = "\2h2\10http/1.1\12acme-tls/1\1x";
    struct client_hello hello;

    (void)state;
    hello_start();
    add_offers(BYTES(list));
    hello_finish(HELLO_WHOLE);
    hello = check_offers("", BYTES(list));
    assert_true(client_hello_offers(&hello, "h2"));
    assert_true(client_hello_offers(&hello, "http/1.1"));
    assert_true(client_hello_offers(&hello, "acme-tls/1"));
    assert_true(client_hello_offers(&hello, "x"));
}

/* Names are compared whole and byte by byte; a length is part of none. */
static void a_protocol_that_is_similar_is_not_offered(void **state)
{
    static const char *const others[] = {
        "h",       "2",  "h3",   "H2",  "",    "h2c", "http",
        "http/1.", "\2", "\2h2", "zh2", "1.1", "z",   "http/1.0"};
    struct client_hello hello;

    (void)state;
    hello_start();
    add_offers(BYTES("\2h2\10http/1.1\3z\0h"));
    hello_finish(HELLO_WHOLE);
    hello = check_offers("", BYTES("\2h2\10http/1.1\3z\0h"));
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        assert_false(client_hello_offers(&hello, others[i]));
    }
}

/* RFC 8701: clients offer names that nobody has. */
static void protocols_of_any_bytes_are_passed_over(void **state)
{
    static const char list[] = "\2\x0a\x0a\2\0\0\3\xff\2h\2h2";
    struct client_hello hello;

    (void)state;
    hello_start();
    add_offers(BYTES(list));
    hello_finish(HELLO_WHOLE);
    hello = check_offers("", BYTES(list));
    assert_true(client_hello_offers(&hello, "h2"));
    assert_true(client_hello_offers(&hello, "\x0a\x0a"));
    assert_false(client_hello_offers(&hello, ""));
}

static void without_the_extension_nothing_is_offered(void **state)
{
    struct client_hello hello;

    (void)state;
    hello_make_browser("a.example", HELLO_WHOLE);
    hello = check_offers("a.example", "", 0);
    assert_false(client_hello_offers(&hello, "h2"));
    assert_false(client_hello_offers(&hello, ""));
}

static void the_longest_protocol_is_read(void **state)
{
    char name[UINT8_MAX + 1];
    struct client_hello hello;

    (void)state;
    memset(name, 'p', sizeof(name));
    name[UINT8_MAX] = '\0';
    hello_start();
    bytes_add_number(&hello_message, 16, 2);
    bytes_add_number(&hello_message, 2 + 1 + UINT8_MAX + 3, 2);
    bytes_add_number(&hello_message, 1 + UINT8_MAX + 3, 2);
    bytes_add_number(&hello_message, UINT8_MAX, 1);
    bytes_add(&hello_message, name, UINT8_MAX);
    bytes_add(&hello_message, "\2h2", 3);
    hello_finish(HELLO_WHOLE);
    assert_int_equal(hello_parse(hello_wire.data, hello_wire.count, &hello),
                     hello_wire.count);
    assert_true(client_hello_offers(&hello, name));
    assert_true(client_hello_offers(&hello, "h2"));
    name[UINT8_MAX - 1] = '\0';
    assert_false(client_hello_offers(&hello, name));
}

static void the_longest_list_is_read_and_a_longer_one_passed_over(void **state)
{
    uint8_t list[CLIENT_HELLO_ALPN_MAX + 2];

    (void)state;
    for (size_t at = 0; at < sizeof(list); at += 2) {
        list[at] = 1;
        list[at + 1] = 'p';
    }
    hello_start();
    add_offers(list, CLIENT_HELLO_ALPN_MAX);
    hello_add_name("a.example", 9);
    hello_finish(HELLO_WHOLE);
    (void)check_offers("a.example", list, CLIENT_HELLO_ALPN_MAX);
    hello_start();
    add_offers(list, sizeof(list));
    hello_add_name("a.example", 9);
    hello_finish(HELLO_WHOLE);
    (void)check_offers("a.example", list, 0);
}

/* ---- bad lists ----------------------------------------------------------- */

/* The name on both sides of such an extension is read all the same. */
static void a_bad_list_offers_nothing_and_leaves_the_name(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
    } bodies[] = {
        {BYTES("")},                     /* no list */
        {BYTES("\0")},                   /* half of its length */
        {BYTES("\0\0")},                 /* an empty one */
        {BYTES("\0\1\0")},               /* a protocol of no bytes */
        {BYTES("\0\4\0\2h2")},           /* before another */
        {BYTES("\0\4\2h2\0")},           /* after another */
        {BYTES("\0\7\2h2\0\2h2")},       /* between others */
        {BYTES("\0\3\3h2")},             /* one that ends after the list */
        {BYTES("\0\6\2h2\3h3")},         /* likewise, after another */
        {BYTES("\0\4\2h2")},             /* a list longer than its extension */
        {BYTES("\0\6\2h2\2h3\2h4")},     /* shorter */
        {BYTES("\1\3\2h2")},             /* much longer */
        {BYTES("\xff\xff\2h2")},         /* as long as can be */
        {BYTES("\0\0\2h2")},             /* an empty one, and more */
        {BYTES("\0\3\2h2\0")},           /* a good one, and more */
        {BYTES("\0\2\2h2\0\0\0\0\0\0")}, /* a protocol beyond the list */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        hello_start();
        hello_add_name("a.example", 9);
        hello_add_extension(16, bodies[i].bytes, bodies[i].count);
        hello_finish(HELLO_WHOLE);
        (void)check_offers("a.example", "", 0);
        hello_start();
        hello_add_extension(16, bodies[i].bytes, bodies[i].count);
        hello_add_name("a.example", 9);
        hello_finish(HELLO_WHOLE);
        (void)check_offers("a.example", "", 0);
    }
}

/* Unlike a bad list, it hides where the next extension begins. */
static void an_extension_longer_than_the_message_is_refused(void **state)
{
    (void)state;
    hello_start();
    hello_add_name("a.example", 9);
    bytes_add(&hello_message, BYTES("\0\20\0\6\0\3\2h2"));
    hello_finish(HELLO_WHOLE);
    hello_check_refused();
    hello_start();
    hello_add_name("a.example", 9);
    bytes_add(&hello_message, BYTES("\0\20\0"));
    hello_finish(HELLO_WHOLE);
    hello_check_refused();
}

/* ---- the place in the message -------------------------------------------- */

static void offers_may_come_before_and_after_the_name(void **state)
{
    static const char list[] = "\2h2\10http/1.1";

    (void)state;
    hello_start();
    add_offers(BYTES(list));
    hello_add_name("a.example", 9);
    hello_finish(HELLO_WHOLE);
    (void)check_offers("a.example", BYTES(list));
    hello_start();
    hello_add_name("a.example", 9);
    add_offers(BYTES(list));
    hello_finish(HELLO_WHOLE);
    (void)check_offers("a.example", BYTES(list));
    hello_start();
    hello_add_extension(0x0a0a, "", 0);
    hello_add_name("a.example", 9);
    hello_add_extension(21, "\0\0\0", 3);
    add_offers(BYTES(list));
    hello_add_extension(0x1a1a, "\0", 1);
    hello_finish(HELLO_WHOLE);
    (void)check_offers("a.example", BYTES(list));
}

/* RFC 8446, 4.2 allows one of each type; a server refuses the hello. */
static void of_two_lists_the_first_good_one_counts(void **state)
{
    (void)state;
    hello_start();
    add_offers(BYTES("\2h2"));
    hello_add_name("a.example", 9);
    add_offers(BYTES("\2h3\10http/1.1"));
    hello_finish(HELLO_WHOLE);
    (void)check_offers("a.example", BYTES("\2h2"));
    hello_start();
    add_offers(BYTES("\2h2"));
    add_offers(BYTES("\0"));
    hello_add_name("a.example", 9);
    hello_finish(HELLO_WHOLE);
    (void)check_offers("a.example", BYTES("\2h2"));
    hello_start();
    hello_add_name("a.example", 9);
    add_offers(BYTES("\0"));
    add_offers(BYTES("\2h2"));
    hello_finish(HELLO_WHOLE);
    (void)check_offers("a.example", BYTES("\2h2"));
}

/* Records end in the list, in its lengths and in the protocols. */
static void offers_are_read_from_records_of_any_size(void **state)
{
    static const char list[] = "\2h2\10http/1.1\12acme-tls/1";
    struct client_hello hello;

    (void)state;
    hello_start();
    hello_add_name("a.example", 9);
    add_offers(BYTES(list));
    hello_add_extension(21, "\0\0\0\0", 4);
    for (size_t fragment = 1; fragment <= hello_message.count; fragment++) {
        hello_finish(fragment);
        (void)check_offers("a.example", BYTES(list));
        for (size_t count = 0; count < hello_wire.count; count++) {
            assert_int_equal(hello_parse(hello_wire.data, count, &hello), 0);
        }
    }
}

/* ---- anything ------------------------------------------------------------ */

/* Whatever is read is whole names, of which each is found again. */
static void check_whole_names(struct seeded *seeded,
                              const struct client_hello *hello)
{
    size_t at = 0;

    seeded_assert(seeded, hello->alpn_bytes <= CLIENT_HELLO_ALPN_MAX);
    while (at < hello->alpn_bytes) {
        size_t bytes = hello->alpn[at];
        char name[UINT8_MAX + 1];

        seeded_assert(seeded, bytes > 0);
        seeded_assert(seeded, bytes < hello->alpn_bytes - at);
        memcpy(name, hello->alpn + at + 1, bytes);
        name[bytes] = '\0';
        seeded_assert(seeded,
                      strlen(name) < bytes || client_hello_offers(hello, name));
        at += 1 + bytes;
    }
    seeded_assert(seeded, at == hello->alpn_bytes);
}

static void corrupt_lists_give_whole_names_or_none(void **state)
{
    unsigned good = 0;

    (void)state;
    for (uint64_t seed = SEED; seed < SEED + 4000; seed++) {
        struct seeded seeded = seeded_start(seed);
        uint8_t body[2 + 24];
        size_t bytes = seeded_below(&seeded, sizeof(body) + 1);
        struct client_hello hello;

        for (size_t i = 0; i < sizeof(body); i++) {
            body[i] = (uint8_t)seeded_below(&seeded, 4);
        }
        if (seed % 4 > 0 && bytes >= 2) {
            bytes_set_number(body, bytes - 2);
        }
        hello_start();
        hello_add_extension(16, body, bytes);
        hello_add_name("a.example", 9);
        hello_finish(1 + seeded_magnitude(&seeded, 8));
        seeded_assert(&seeded, hello_parse(hello_wire.data, hello_wire.count,
                                           &hello) == (int)hello_wire.count);
        seeded_assert(&seeded, strcmp(hello.name, "a.example") == 0);
        check_whole_names(&seeded, &hello);
        good += hello.alpn_bytes > 0;
    }
    assert_in_range(good, 100, 3900); /* of both kinds there were many */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_protocol_of_the_list_is_offered),
        cmocka_unit_test(a_protocol_that_is_similar_is_not_offered),
        cmocka_unit_test(protocols_of_any_bytes_are_passed_over),
        cmocka_unit_test(without_the_extension_nothing_is_offered),
        cmocka_unit_test(the_longest_protocol_is_read),
        cmocka_unit_test(the_longest_list_is_read_and_a_longer_one_passed_over),
        cmocka_unit_test(a_bad_list_offers_nothing_and_leaves_the_name),
        cmocka_unit_test(an_extension_longer_than_the_message_is_refused),
        cmocka_unit_test(offers_may_come_before_and_after_the_name),
        cmocka_unit_test(of_two_lists_the_first_good_one_counts),
        cmocka_unit_test(offers_are_read_from_records_of_any_size),
        cmocka_unit_test(corrupt_lists_give_whole_names_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
