#include "wire/client_hello.h"

#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(8446)

#define WHOLE 16384 /* the largest fragment that a record may hold */

/* A message under construction, and the records that carry it. */
struct bytes {
    size_t count;
    uint8_t data[7 * CLIENT_HELLO_MAX];
};
static struct bytes message;
static struct bytes wire;

static void add(struct bytes *to, const void *data, size_t count)
{
    assert_true(count <= sizeof(to->data) - to->count);
    memcpy(to->data + to->count, data, count);
    to->count += count;
}

static void add_number(struct bytes *to, size_t number, unsigned bytes)
{
    while (bytes-- > 0) {
        add(to, (uint8_t[]){(uint8_t)(number >> 8 * bytes)}, 1);
    }
}

static void add_zeros(struct bytes *to, size_t count)
{
    while (count-- > 0) {
        add(to, "", 1);
    }
}

/* How many bytes of the message precede its extensions. */
enum { FIXED_BYTES = 4 + 2 + 32 + 1 + 32 + 2 + 4 + 1 + 1 };

static void start(void)
{
    message.count = 0;
    add_number(&message, 1 << 24, 4);
    add(&message, "\3\3", 2);
    add_zeros(&message, 32);
    add_number(&message, 32, 1);
    add_zeros(&message, 32);
    add(&message, "\0\4\x13\1\xc0\x2f", 6);
    add(&message, "\1\0", 2);
    assert_int_equal(message.count, FIXED_BYTES);
    add_number(&message, 0, 2);
}

static void add_extension(unsigned type, const void *data, size_t count)
{
    add_number(&message, type, 2);
    add_number(&message, count, 2);
    add(&message, data, count);
}

/* A server_name extension; the name's bytes may be any. */
static void add_name(const char *name, size_t count)
{
    add_number(&message, 0, 2);
    add_number(&message, count + 5, 2);
    add_number(&message, count + 3, 2);
    add_number(&message, 0, 1);
    add_number(&message, count, 2);
    add(&message, name, count);
}

static void set_number(uint8_t *at, size_t number)
{
    at[0] = (uint8_t)(number >> 8);
    at[1] = (uint8_t)number;
}

/* Cuts the message into records of so many bytes each. */
static void seal(size_t fragment)
{
    wire.count = 0;
    for (size_t at = 0; at < message.count; at += fragment) {
        size_t left = message.count - at;
        size_t bytes = left < fragment ? left : fragment;

        add(&wire, "\x16\3\1", 3);
        add_number(&wire, bytes, 2);
        add(&wire, message.data + at, bytes);
    }
}

static void finish(size_t fragment)
{
    set_number(message.data + 2, message.count - 4);
    set_number(message.data + FIXED_BYTES, message.count - FIXED_BYTES - 2);
    seal(fragment);
}

/* What a browser sends: a GREASE extension, a key share that is larger than a
 * segment, the name somewhere, padding. */
static void make_browser(const char *name, size_t fragment)
{
    static const uint8_t share[1216 + 600];

    start();
    add_extension(0x0a0a, "", 0);
    add_extension(51, share, sizeof(share));
    add_name(name, strlen(name));
    add_extension(21, share, 99);
    finish(fragment);
}

/* Parses a copy of just this size, so that ASan sees a read beyond it. */
static int parse(const void *data, size_t count, struct client_hello *out)
{
    uint8_t *copy = malloc(count > 0 ? count : 1);
    int answer;

    assert_non_null(copy);
    memcpy(copy, data, count);
    memset(out, 'x', sizeof(*out));
    answer = client_hello_parse(copy, count, out);
    free(copy);
    return answer;
}

static void check_named(const void *data, size_t count, const char *name)
{
    struct client_hello hello;

    assert_int_equal(parse(data, count, &hello), count);
    assert_string_equal(hello.name, name);
}

static void check_wire(const char *name)
{
    check_named(wire.data, wire.count, name);
}

static void check_refused(void)
{
    struct client_hello hello;

    assert_int_equal(parse(wire.data, wire.count, &hello), -1);
}

/* ---- whole messages ------------------------------------------------------ */

/* openssl s_client 3.0: -servername Www.Example.Com */
static const uint8_t recorded_named[] = {
    0x16, 0x03, 0x01, 0x01, 0x3c, 0x01, 0x00, 0x01, 0x38, 0x03, 0x03, 0x31,
    0xfd, 0xf2, 0xb2, 0x35, 0x03, 0x0f, 0xa5, 0xc9, 0xd9, 0x4a, 0x0c, 0x1f,
    0x22, 0x91, 0x97, 0x44, 0x90, 0x71, 0x9b, 0xd4, 0x57, 0x04, 0x27, 0x30,
    0xca, 0xeb, 0x45, 0x1b, 0x07, 0xd6, 0x5b, 0x20, 0x0c, 0xf4, 0x89, 0x49,
    0xee, 0x3e, 0x3f, 0xf4, 0xea, 0x52, 0x56, 0x46, 0xa3, 0x30, 0x39, 0xfa,
    0xc2, 0x62, 0x37, 0xc4, 0xb2, 0x9a, 0x43, 0xb5, 0x1e, 0x24, 0xa4, 0xc5,
    0x26, 0x37, 0x62, 0x9e, 0x00, 0x3e, 0x13, 0x02, 0x13, 0x03, 0x13, 0x01,
    0xc0, 0x2c, 0xc0, 0x30, 0x00, 0x9f, 0xcc, 0xa9, 0xcc, 0xa8, 0xcc, 0xaa,
    0xc0, 0x2b, 0xc0, 0x2f, 0x00, 0x9e, 0xc0, 0x24, 0xc0, 0x28, 0x00, 0x6b,
    0xc0, 0x23, 0xc0, 0x27, 0x00, 0x67, 0xc0, 0x0a, 0xc0, 0x14, 0x00, 0x39,
    0xc0, 0x09, 0xc0, 0x13, 0x00, 0x33, 0x00, 0x9d, 0x00, 0x9c, 0x00, 0x3d,
    0x00, 0x3c, 0x00, 0x35, 0x00, 0x2f, 0x00, 0xff, 0x01, 0x00, 0x00, 0xb1,
    0x00, 0x00, 0x00, 0x14, 0x00, 0x12, 0x00, 0x00, 0x0f, 0x57, 0x77, 0x77,
    0x2e, 0x45, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x43, 0x6f, 0x6d,
    0x00, 0x0b, 0x00, 0x04, 0x03, 0x00, 0x01, 0x02, 0x00, 0x0a, 0x00, 0x16,
    0x00, 0x14, 0x00, 0x1d, 0x00, 0x17, 0x00, 0x1e, 0x00, 0x19, 0x00, 0x18,
    0x01, 0x00, 0x01, 0x01, 0x01, 0x02, 0x01, 0x03, 0x01, 0x04, 0x00, 0x23,
    0x00, 0x00, 0x00, 0x16, 0x00, 0x00, 0x00, 0x17, 0x00, 0x00, 0x00, 0x0d,
    0x00, 0x2a, 0x00, 0x28, 0x04, 0x03, 0x05, 0x03, 0x06, 0x03, 0x08, 0x07,
    0x08, 0x08, 0x08, 0x09, 0x08, 0x0a, 0x08, 0x0b, 0x08, 0x04, 0x08, 0x05,
    0x08, 0x06, 0x04, 0x01, 0x05, 0x01, 0x06, 0x01, 0x03, 0x03, 0x03, 0x01,
    0x03, 0x02, 0x04, 0x02, 0x05, 0x02, 0x06, 0x02, 0x00, 0x2b, 0x00, 0x09,
    0x08, 0x03, 0x04, 0x03, 0x03, 0x03, 0x02, 0x03, 0x01, 0x00, 0x2d, 0x00,
    0x02, 0x01, 0x01, 0x00, 0x33, 0x00, 0x26, 0x00, 0x24, 0x00, 0x1d, 0x00,
    0x20, 0xd5, 0x19, 0xae, 0xfb, 0xdb, 0x0a, 0x42, 0xae, 0x45, 0xac, 0xc4,
    0x77, 0x00, 0xce, 0xf8, 0x5e, 0xf3, 0xa9, 0xa8, 0x07, 0x73, 0x4e, 0x5b,
    0x3c, 0x5a, 0x7b, 0x5c, 0x92, 0xa2, 0x3c, 0x2b, 0x12};

/* openssl s_client 3.0: -tls1_2 -noservername */
static const uint8_t recorded_nameless[] = {
    0x16, 0x03, 0x01, 0x00, 0x83, 0x01, 0x00, 0x00, 0x7f, 0x03, 0x03, 0x82,
    0x9f, 0x5a, 0x5c, 0x68, 0x51, 0x27, 0x70, 0x17, 0x92, 0xb3, 0x7f, 0x6b,
    0x31, 0x6b, 0xf7, 0x34, 0x54, 0x9e, 0x39, 0x66, 0xc1, 0xb7, 0x5f, 0x10,
    0x3c, 0x12, 0x55, 0x53, 0xe1, 0x42, 0x01, 0x00, 0x00, 0x04, 0xc0, 0x2f,
    0x00, 0xff, 0x01, 0x00, 0x00, 0x52, 0x00, 0x0b, 0x00, 0x04, 0x03, 0x00,
    0x01, 0x02, 0x00, 0x0a, 0x00, 0x0c, 0x00, 0x0a, 0x00, 0x1d, 0x00, 0x17,
    0x00, 0x1e, 0x00, 0x19, 0x00, 0x18, 0x00, 0x23, 0x00, 0x00, 0x00, 0x16,
    0x00, 0x00, 0x00, 0x17, 0x00, 0x00, 0x00, 0x0d, 0x00, 0x2a, 0x00, 0x28,
    0x04, 0x03, 0x05, 0x03, 0x06, 0x03, 0x08, 0x07, 0x08, 0x08, 0x08, 0x09,
    0x08, 0x0a, 0x08, 0x0b, 0x08, 0x04, 0x08, 0x05, 0x08, 0x06, 0x04, 0x01,
    0x05, 0x01, 0x06, 0x01, 0x03, 0x03, 0x03, 0x01, 0x03, 0x02, 0x04, 0x02,
    0x05, 0x02, 0x06, 0x02};

static void recorded_hellos_are_read(void **state)
{
    (void)state;
    check_named(recorded_named, sizeof(recorded_named), "www.example.com");
    check_named(recorded_nameless, sizeof(recorded_nameless), "");
}

static void a_name_is_read_in_lower_case_without_its_final_dot(void **state)
{
    static const char *const names[][2] = {
        {"a.example", "a.example"},
        {"A.ExAmPlE.", "a.example"},
        {"x", "x"},
        {"_a-b.0.zz", "_a-b.0.zz"},
        {"localhost.", "localhost"},
        {"10.0.0.1", "10.0.0.1"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        make_browser(names[i][0], WHOLE);
        check_wire(names[i][1]);
    }
}

static void the_longest_name_is_read(void **state)
{
    char name[CLIENT_HELLO_NAME_MAX + 2];

    (void)state;
    memset(name, 'a', sizeof(name));
    for (size_t at = 63; at < sizeof(name); at += 64) {
        name[at] = '.';
    }
    name[253] = '.';
    name[254] = '\0';
    make_browser(name, WHOLE);
    name[253] = '\0';
    check_wire(name);
    name[253] = 'a';
    make_browser(name, WHOLE);
    check_refused();
    memcpy(name + 253, "a.", 3);
    make_browser(name, WHOLE);
    check_refused();
}

static void a_hello_may_have_no_extensions(void **state)
{
    (void)state;
    start();
    message.count = FIXED_BYTES;
    set_number(message.data + 2, message.count - 4);
    seal(WHOLE);
    check_wire("");
    start();
    finish(WHOLE);
    check_wire("");
}

static void names_of_other_types_are_skipped(void **state)
{
    (void)state;
    start();
    add_extension(0, "\0\13\7\0\2xy\0\0\3a.b", 13);
    finish(WHOLE);
    check_wire("a.b");
    start();
    add_extension(0, "\0\5\7\0\2xy", 7);
    finish(WHOLE);
    check_wire("");
}

static void a_message_is_at_most_16_kib(void **state)
{
    struct client_hello hello;

    (void)state;
    start();
    add_name("a.example", 9);
    add_number(&message, 21, 2);
    add_number(&message, CLIENT_HELLO_MAX - message.count - 2, 2);
    add_zeros(&message, CLIENT_HELLO_MAX - message.count);
    finish(WHOLE);
    assert_int_equal(wire.count, CLIENT_HELLO_MAX + 5);
    check_wire("a.example");
    finish(1);
    assert_int_equal(wire.count, 6 * CLIENT_HELLO_MAX);
    check_wire("a.example");
    set_number(message.data + 2, CLIENT_HELLO_MAX - 3);
    seal(WHOLE);
    assert_int_equal(parse(wire.data, 5 + 3, &hello), 0);
    assert_int_equal(parse(wire.data, 5 + 4, &hello), -1);
}

/* ---- pieces -------------------------------------------------------------- */

static void fragments_of_any_size_are_one_message(void **state)
{
    (void)state;
    for (size_t fragment = 1; fragment < 2200; fragment += fragment / 8 + 1) {
        make_browser("post.quantum.example", fragment);
        check_wire("post.quantum.example");
    }
}

static void every_prefix_asks_for_more(void **state)
{
    static const size_t fragments[] = {1, 7, 1000, WHOLE};
    struct client_hello hello;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fragments); i++) {
        make_browser("a.example", fragments[i]);
        for (size_t count = 0; count < wire.count; count++) {
            assert_int_equal(parse(wire.data, count, &hello), 0);
        }
        check_wire("a.example");
    }
}

static void bytes_after_the_message_are_not_taken(void **state)
{
    struct client_hello hello;
    size_t count;

    (void)state;
    make_browser("a.example", 500);
    count = wire.count;
    add(&wire, "\x14\3\3\0\1\1 and more", 15);
    assert_int_equal(parse(wire.data, wire.count, &hello), count);
    assert_string_equal(hello.name, "a.example");
    add_zeros(&message, 10);
    seal(WHOLE);
    assert_int_equal(parse(wire.data, wire.count, &hello), wire.count - 10);
}

/* ---- what is no hello ---------------------------------------------------- */

static enum client_hello_state state_of(const void *data, size_t count)
{
    return client_hello_state(data, count);
}

static void a_hello_is_whole_at_its_last_byte(void **state)
{
    static const size_t fragments[] = {1, 3, 1u << 14};

    (void)state;
    for (size_t i = 0; i < sizeof(fragments) / sizeof(fragments[0]); i++) {
        make_browser("a.example", fragments[i]);
        for (size_t count = 0; count < wire.count; count++) {
            assert_int_equal(state_of(wire.data, count),
                             CLIENT_HELLO_INCOMPLETE);
        }
        assert_int_equal(state_of(wire.data, wire.count), CLIENT_HELLO_WHOLE);
    }
}

/* What is in it does not matter, only what says how long it is. */
static void what_is_no_hello_or_too_long_is_distinguished(void **state)
{
    static const uint8_t longest[] = {0x16, 3, 1, 64, 0, 1, 0, 0x3f, 0xfc};
    static const uint8_t too_long[] = {0x16, 3, 1, 64, 0, 1, 0, 0x3f, 0xfd};
    static const uint8_t of_a_server[] = {0x16, 3, 1, 64, 0, 2};
    static const uint8_t nonsense[] = {0x16, 3, 1, 0, 6, 1, 0, 0, 2, 255, 255};

    (void)state;
    assert_int_equal(state_of(longest, sizeof(longest)),
                     CLIENT_HELLO_INCOMPLETE);
    assert_int_equal(state_of(too_long, sizeof(too_long)),
                     CLIENT_HELLO_TOO_LONG);
    assert_int_equal(state_of(of_a_server, sizeof(of_a_server)),
                     CLIENT_HELLO_NONE);
    assert_int_equal(state_of("GET /", 5), CLIENT_HELLO_NONE);
    assert_int_equal(state_of(nonsense, sizeof(nonsense)), CLIENT_HELLO_WHOLE);
}

static void other_protocols_are_refused_at_once(void **state)
{
    static const struct {
        const char *bytes;
        size_t enough;
    } others[] = {
        {"GET / HTTP/1.1\r\n", 1},
        {"SSH-2.0-OpenSSH", 1},
        {"PROXY TCP4 ", 1},
        {"\x80\x2e\1\0\2", 1},         /* SSL 2.0 */
        {"\x15\3\1\0\2", 1},           /* an alert */
        {"\x16\2", 2},                 /* no such version */
        {"\x16\xfe\xfd", 2},           /* DTLS */
        {"\x16\3\1\0\0", 5},           /* an empty fragment */
        {"\x16\3\1\x40\1", 5},         /* one that is too large */
        {"\x16\3\1\0\x40\2", 6},       /* a ServerHello */
        {"\x16\3\1\0\x40\1\1\0\0", 9}, /* 64 KiB */
        {"\x16\3\1\0\x40\1\0\0\0", 9}, /* nothing in it */
        {"\x16\3\1\0\x40\1\0\0\x40\2", 10},
    };
    struct client_hello hello;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        uint8_t bytes[32] = {0};

        memcpy(bytes, others[i].bytes, others[i].enough);
        assert_int_equal(parse(bytes, others[i].enough - 1, &hello), 0);
        assert_int_equal(parse(bytes, others[i].enough, &hello), -1);
    }
}

static void records_of_other_types_may_not_come_between(void **state)
{
    struct client_hello hello;

    (void)state;
    make_browser("a.example", 100);
    wire.data[105] = 23;
    assert_int_equal(parse(wire.data, 105, &hello), 0);
    assert_int_equal(parse(wire.data, 106, &hello), -1);
    wire.data[105] = 22;
    set_number(wire.data + 108, 0);
    assert_int_equal(parse(wire.data, 110, &hello), -1);
}

static void names_that_are_no_host_names_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
    } names[] = {
        {"", 0},
        {".", 1},
        {"..", 2},
        {"a..b", 4},
        {".a", 2},
        {"a.b..", 5},
        {"a b", 3},
        {"a\0b", 3},
        {"a\0", 2},
        {"\0", 1},
        {"*.a", 3},
        {"::1", 3},
        {"a.\xc3\xa4", 4},
        {"a/b", 3},
        {"a.example\n", 10},
        {"a@b", 3},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
         66},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        start();
        add_name(names[i].bytes, names[i].count);
        finish(WHOLE);
        check_refused();
    }
}

static void a_name_may_come_once(void **state)
{
    (void)state;
    start();
    add_name("a.example", 9);
    add_extension(16, "\0\3\2h2", 5);
    add_name("a.example", 9);
    finish(WHOLE);
    check_refused();
    start();
    add_extension(0, "\0\10\0\0\1a\0\0\1b", 10);
    finish(WHOLE);
    check_refused();
    start();
    add_extension(0, "\0\4\1\0\1a", 6);
    add_name("a.example", 9);
    finish(WHOLE);
    check_refused();
}

static void server_names_that_do_not_fit_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
    } bodies[] = {
        {"", 0},
        {"\0", 1},
        {"\0\0", 2},
        {"\0\1\0", 3},
        {"\0\3\0\0\1", 5},
        {"\0\4\0\0\2a", 6},
        {"\0\5\0\0\1a", 6},
        {"\0\3\0\0\1a", 6},
        {"\0\5\0\0\1ab", 7},
        {"\0\4\1\0\0\0", 6},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        start();
        add_extension(0, bodies[i].bytes, bodies[i].count);
        finish(WHOLE);
        check_refused();
    }
}

static void extensions_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    make_browser("a.example", WHOLE);
    for (int wrong = -1; wrong <= 1; wrong += 2) {
        size_t count = message.count - FIXED_BYTES - 2;

        set_number(message.data + FIXED_BYTES, count + (size_t)wrong);
        seal(WHOLE);
        check_refused();
    }
    start();
    add(&message, "\0\25\0\5abcd", 8);
    finish(WHOLE);
    check_refused();
    start();
    add(&message, "\0\0\0\7\0\5\0\0\2a", 10);
    finish(WHOLE);
    check_refused();
    start();
    add(&message, "\0\25\0", 3);
    finish(WHOLE);
    check_refused();
}

/* An offset in the message and a value that makes the byte there wrong. In a
 * length of two bytes that shows when both have arrived. */
static void fields_before_the_extensions_are_checked(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } wrong[] = {
        {4, 2},     /* version */
        {38, 33},   /* session */
        {71, 0xff}, /* ciphers: more bytes than follow */
        {72, 3},    /* an odd number of bytes */
        {72, 0},    /* none */
        {77, 0},    /* compression: none */
    };
    struct client_hello hello;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        make_browser("a.example", WHOLE);
        wire.data[5 + wrong[i].at] = wrong[i].value;
        assert_int_equal(parse(wire.data, 5 + wrong[i].at, &hello), 0);
        assert_int_equal(parse(wire.data, 5 + wrong[i].at + 2, &hello), -1);
    }
}

/* ---- anything ------------------------------------------------------------ */

static bool is_lower_host_name(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] ==
               '\0' &&
           strlen(name) < CLIENT_HELLO_NAME_MAX && name[0] != '.';
}

/* Corrupts some bytes; the answer must then hold for more bytes too. */
static void corrupt_hellos_are_answered_alike_in_pieces(void **state)
{
    (void)state;
    for (uint64_t seed = SEED; seed < SEED + 4000; seed++) {
        struct seeded seeded = seeded_start(seed);
        struct client_hello hello;
        int before = 0;
        int after;

        make_browser("www.b.example", 1 + seeded_magnitude(&seeded, 12));
        for (uint64_t i = seeded_below(&seeded, 4); i-- > 0;) {
            uint64_t at = seeded_below(&seeded, seed % 2 ? 160 : wire.count);

            wire.data[at] = (uint8_t)seeded_magnitude(&seeded, 8);
        }
        after = parse(wire.data, wire.count, &hello);
        seeded_assert(&seeded, after <= (int)wire.count);
        seeded_assert(&seeded, after <= 0 || is_lower_host_name(hello.name));
        for (size_t count = seeded_below(&seeded, 50); count <= wire.count;
             count += 1 + seeded_below(&seeded, 300)) {
            int now = parse(wire.data, count, &hello);

            seeded_assert(&seeded, before == 0 || now == before);
            seeded_assert(&seeded, now == 0 || now == after);
            seeded_assert(&seeded, now <= (int)count);
            before = now;
        }
    }
}

/* ---- patterns ------------------------------------------------------------ */

static void patterns_match_names(void **state)
{
    static const struct {
        const char *pattern;
        const char *name;
        bool match;
    } pairs[] = {
        {"a.example", "a.example", true},
        {"A.Example", "a.example", true},
        {"a.example", "b.example", false},
        {"a.example", "x.a.example", false},
        {"a.example", "a.example.x", false},
        {"a.example", "", false},
        {"*.b.example", "a.b.example", true},
        {"*.B.EXAMPLE", "a.b.example", true},
        {"*.b.example", "b.example", false},
        {"*.b.example", "x.a.b.example", false},
        {"*.b.example", ".b.example", false},
        {"*.b.example", "a.c.example", false},
        {"*.b.example", "", false},
        {"*.example", "a.example", true},
        {"*.example", "example", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        assert_null(client_hello_check_pattern(pairs[i].pattern));
        assert_int_equal(client_hello_matches(pairs[i].pattern, pairs[i].name),
                         pairs[i].match);
    }
}

static void wrong_patterns_are_refused_with_a_sentence(void **state)
{
    static const char *const wrong[][2] = {
        {"", "'' is not a host name (examples: a.example, *.b.example)"},
        {"a b", "'a b' is not a host name (examples: a.example, *.b.example)"},
        {".a", "'.a' is not a host name (examples: a.example, *.b.example)"},
        {".", "'.' is not a host name (examples: a.example, *.b.example)"},
        {"*.", "'*.' is not a host name (examples: a.example, *.b.example)"},
        {"a.example.", "'a.example.' ends with a dot"},
        {"*.a.", "'*.a.' ends with a dot"},
        {"*", "'*' has a '*' that is not its whole first label"
              " (example: *.b.example)"},
        {"*a.b", "'*a.b' has a '*' that is not its whole first label"
                 " (example: *.b.example)"},
        {"*.*.b", "'*.*.b' has a '*' that is not its whole first label"
                  " (example: *.b.example)"},
        {"a.*", "'a.*' has a '*' that is not its whole first label"
                " (example: *.b.example)"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        const char *sentence = client_hello_check_pattern(wrong[i][0]);

        assert_non_null(sentence);
        assert_string_equal(sentence, wrong[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_hellos_are_read),
        cmocka_unit_test(a_name_is_read_in_lower_case_without_its_final_dot),
        cmocka_unit_test(the_longest_name_is_read),
        cmocka_unit_test(a_hello_may_have_no_extensions),
        cmocka_unit_test(names_of_other_types_are_skipped),
        cmocka_unit_test(a_message_is_at_most_16_kib),
        cmocka_unit_test(fragments_of_any_size_are_one_message),
        cmocka_unit_test(every_prefix_asks_for_more),
        cmocka_unit_test(a_hello_is_whole_at_its_last_byte),
        cmocka_unit_test(what_is_no_hello_or_too_long_is_distinguished),
        cmocka_unit_test(bytes_after_the_message_are_not_taken),
        cmocka_unit_test(other_protocols_are_refused_at_once),
        cmocka_unit_test(records_of_other_types_may_not_come_between),
        cmocka_unit_test(names_that_are_no_host_names_are_refused),
        cmocka_unit_test(a_name_may_come_once),
        cmocka_unit_test(server_names_that_do_not_fit_are_refused),
        cmocka_unit_test(extensions_that_do_not_fit_are_refused),
        cmocka_unit_test(fields_before_the_extensions_are_checked),
        cmocka_unit_test(corrupt_hellos_are_answered_alike_in_pieces),
        cmocka_unit_test(patterns_match_names),
        cmocka_unit_test(wrong_patterns_are_refused_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
