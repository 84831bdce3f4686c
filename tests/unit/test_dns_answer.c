#include "wire/dns_answer.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(53)
#define NAME "_web._tcp.a.example"

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_SRV = 33 };

/* ---- answers ---- */

static struct {
    uint8_t bytes[DNS_ANSWER_MAX];
    size_t length;
} packet;

static void put(const void *bytes, size_t count)
{
    memcpy(packet.bytes + packet.length, bytes, count);
    packet.length += count;
}

static void put16(unsigned value)
{
    put((const uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}

static void put_name(const char *name)
{
    while (*name != '\0') {
        size_t bytes = strcspn(name, ".");

        put((const uint8_t[]){(uint8_t)bytes}, 1);
        put(name, bytes);
        name += bytes + (name[bytes] == '.');
    }
    put("", 1);
}

static void put_pointer(size_t to)
{
    put16(0xc000 | (unsigned)to);
}

static void begin(const char *name)
{
    static const uint8_t header[12] = {1, 2, 0x81, 0x80, 0, 1};

    packet.length = 0;
    put(header, sizeof(header));
    put_name(name);
    put16(TYPE_SRV);
    put16(1);
}

/* The fields between a record's owner and its data, whose length is set by
 * end_record. Returns where it stands. */
static size_t put_fields(unsigned type, uint32_t ttl_s)
{
    packet.bytes[7]++;
    put16(type);
    put16(1);
    put16(ttl_s >> 16);
    put16(ttl_s & 0xffff);
    put16(0);
    return packet.length;
}

static void end_record(size_t begun)
{
    size_t bytes = packet.length - begun;

    packet.bytes[begun - 2] = (uint8_t)(bytes >> 8);
    packet.bytes[begun - 1] = (uint8_t)bytes;
}

static void put_alias(const char *owner, const char *target, uint32_t ttl_s)
{
    size_t begun;

    put_name(owner);
    begun = put_fields(TYPE_CNAME, ttl_s);
    put_name(target);
    end_record(begun);
}

static void put_srv(const char *owner, unsigned priority, unsigned weight,
                    unsigned port, const char *target, uint32_t ttl_s)
{
    size_t begun;

    put_name(owner);
    begun = put_fields(TYPE_SRV, ttl_s);
    put16(priority);
    put16(weight);
    put16(port);
    put_name(target);
    end_record(begun);
}

/* Reads a copy that ends where its memory ends, so that ASan sees a read beyond
 * it. */
static int parse(size_t length, struct dns_answer *answer)
{
    size_t room = DNS_ANSWER_RECORDS(length) * sizeof(struct srv_record);
    uint8_t *copy = malloc(length + (length == 0));
    int result;

    assert_non_null(copy);
    memcpy(copy, packet.bytes, length);
    answer->records = malloc(room);
    assert_non_null(answer->records);
    result = dns_answer_parse(copy, length, NAME, answer);
    free(copy);
    if (result < 0) {
        free(answer->records);
        answer->records = NULL;
    }
    return result;
}

/* The packet as "PRIORITY WEIGHT TARGET:PORT, ... ttl=N". */
static void expect(const char *expected)
{
    struct dns_answer answer;
    char text[1024];
    size_t used = 0;

    if (parse(packet.length, &answer) < 0) {
        assert_string_equal("malformed", expected);
        return;
    }
    for (size_t i = 0; i < answer.count; i++) {
        const struct srv_record *record = &answer.records[i];

        used += (size_t)snprintf(text + used, sizeof(text) - used,
                                 "%u %u %s:%u, ", record->priority,
                                 record->weight, record->target, record->port);
    }
    snprintf(text + used, sizeof(text) - used, "ttl=%u", answer.ttl_s);
    free(answer.records);
    assert_string_equal(text, expected);
}

static void records_are_read(void **state)
{
    (void)state;
    begin(NAME);
    expect("ttl=0");
    put_srv(NAME, 10, 60, 8080, "One.A.Example", 300);
    put_srv("_WEB._tcp.a.EXAMPLE", 20, 0, 65535, "two.a.example", 60);
    put_srv(NAME, 65535, 65535, 1, "t_3-x", 4000);
    expect("10 60 one.a.example:8080, 20 0 two.a.example:65535, "
           "65535 65535 t_3-x:1, ttl=60");
}

static void names_may_be_compressed(void **state)
{
    size_t begun, target;

    (void)state;
    begin("_WEB._TCP.a.example");
    put_pointer(12);
    begun = put_fields(TYPE_SRV, 9);
    put("\0\1\0\2\0\3", 6);
    target = packet.length;
    put("\3one", 4);
    put_pointer(12 + 10); /* a.example */
    end_record(begun);
    put_pointer(12);
    begun = put_fields(TYPE_SRV, 9);
    put("\0\4\0\5\0\6", 6);
    put_pointer(target);
    end_record(begun);
    expect("1 2 one.a.example:3, 4 5 one.a.example:6, ttl=9");
}

static void aliases_are_followed_in_any_order(void **state)
{
    (void)state;
    begin(NAME);
    put_srv("real.example", 1, 1, 80, "one.example", 500);
    put_alias("middle.example", "REAL.example", 70);
    put_srv(NAME, 1, 1, 80, "shadow.example", 1);
    put_alias(NAME, "middle.example", 90);
    expect("1 1 one.example:80, ttl=70");
}

static void aliases_in_a_ring_lead_nowhere(void **state)
{
    (void)state;
    begin(NAME);
    put_alias(NAME, "b.example", 70);
    put_alias("b.example", NAME, 70);
    put_srv(NAME, 1, 1, 80, "one.example", 500);
    expect("malformed");
}

static void records_of_others_are_left_out(void **state)
{
    size_t begun;

    (void)state;
    begin(NAME);
    put_srv("_web._tcp.b.example", 1, 1, 80, "lie.example", 5);
    put_srv("example", 1, 1, 80, "lie.example", 5);
    put_srv("x" NAME, 1, 1, 80, "lie.example", 5);
    put_name(NAME);
    begun = put_fields(TYPE_A, 5);
    put("\1\2\3\4", 4);
    end_record(begun);
    expect("ttl=0");
    put_srv(NAME, 1, 1, 80, "one.example", 50);
    expect("1 1 one.example:80, ttl=50");
}

static void what_cannot_be_connected_to_is_left_out(void **state)
{
    (void)state;
    begin(NAME);
    put_srv(NAME, 0, 0, 0, "", 5); /* "." */
    expect("ttl=0");
    put_srv(NAME, 1, 1, 80, "10.0.0.1", 5);
    put_srv(NAME, 1, 1, 80, "a b.example", 5);
    put_srv(NAME, 1, 1, 80, "a\n.example", 5);
    put_srv(NAME, 1, 1, 80, "\xff.example", 5);
    put_srv(NAME, 1, 1, 0, "one.example", 5);
    put_srv(NAME, 1, 1, 80, "", 5);
    expect("ttl=0");
    put_srv(NAME, 1, 1, 80, "one.example", 50);
    expect("1 1 one.example:80, ttl=50");
}

static void a_time_to_live_with_its_top_bit_is_none(void **state)
{
    (void)state;
    begin(NAME);
    put_srv(NAME, 1, 1, 80, "one.example", UINT32_C(0x80000000));
    expect("1 1 one.example:80, ttl=0");
}

/* Changes a byte of the good answer. */
static void expect_refused(size_t at, uint8_t value)
{
    begin(NAME);
    put_srv(NAME, 1, 1, 80, "one.example", 50);
    expect("1 1 one.example:80, ttl=50");
    packet.bytes[at] = value;
    expect("malformed");
}

static void what_is_no_good_answer_is_refused(void **state)
{
    const size_t question = 12 + sizeof(NAME) + 1;

    (void)state;
    expect_refused(2, 0x01);              /* a question */
    expect_refused(2, 0x89);              /* another operation */
    expect_refused(2, 0x83);              /* truncated */
    expect_refused(3, 0x82);              /* SERVFAIL */
    expect_refused(3, 0x83);              /* NXDOMAIN */
    expect_refused(5, 0);                 /* without its question */
    expect_refused(5, 2);                 /* with two */
    expect_refused(7, 2);                 /* a record is missing */
    expect_refused(14, 'x');              /* another name */
    expect_refused(question + 1, TYPE_A); /* another type */
    expect_refused(question + 3, 3);      /* another class */
}

static void pointers_lead_back_only(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        size_t begun, to;

        begin(NAME);
        put_pointer(12);
        begun = put_fields(TYPE_SRV, 9);
        put("\0\1\0\2\0\3", 6);
        to = packet.length;
        if (i == 0) {
            put_pointer(to); /* to itself */
        } else if (i == 1) {
            put_pointer(to + 2); /* forward */
            put_name("one.example");
        } else if (i == 2) {
            put("\1a", 2); /* "a.a.a.a..." */
            put_pointer(to);
        } else {
            put_pointer(0x3fff); /* out of the packet */
        }
        end_record(begun);
        expect("malformed");
    }
}

static void data_ends_where_its_length_says(void **state)
{
    size_t begun;

    (void)state;
    for (int change = -2; change <= 2; change++) {
        begin(NAME);
        put_name(NAME);
        begun = put_fields(TYPE_SRV, 9);
        put("\0\1\0\2\0\3", 6);
        put_name("one.example");
        end_record(begun);
        packet.bytes[begun - 1] = (uint8_t)(packet.bytes[begun - 1] + change);
        packet.length += 2;
        expect(change == 0 ? "1 2 one.example:3, ttl=9" : "malformed");
    }
}

/* The longest name has 255 bytes on the wire, and 253 as text. */
static void names_have_a_greatest_length(void **state)
{
    char target[300];

    (void)state;
    for (unsigned bytes = 252; bytes < 257; bytes++) {
        struct dns_answer answer;

        memset(target, 'a', bytes);
        target[63] = target[127] = target[191] = '.';
        target[bytes] = '\0';
        begin(NAME);
        put_srv(NAME, 1, 1, 80, target, 9);
        if (bytes > 253 || bytes - 192 > 63) {
            expect("malformed");
            continue;
        }
        assert_int_equal(parse(packet.length, &answer), 0);
        assert_int_equal(answer.count, 1);
        assert_string_equal(answer.records[0].target, target);
        free(answer.records);
    }
}

static void every_shorter_answer_is_refused(void **state)
{
    struct dns_answer answer;

    (void)state;
    begin(NAME);
    put_alias(NAME, "b.example", 70);
    put_srv("b.example", 1, 1, 80, "one.example", 50);
    for (size_t i = 0; i < packet.length; i++) {
        assert_int_equal(parse(i, &answer), -1);
    }
    assert_int_equal(parse(packet.length, &answer), 0);
    free(answer.records);
}

/* As many of the shortest records as there is room for. */
static void the_longest_answer_is_read(void **state)
{
    unsigned count = 0;
    struct dns_answer answer;

    (void)state;
    begin(NAME);
    while (packet.length + 21 <= DNS_ANSWER_MAX) {
        size_t begun;

        put_pointer(12);
        begun = put_fields(TYPE_SRV, 9);
        put("\0\1\0\2\0\3\1", 7);
        put((const uint8_t[]){(uint8_t)('a' + count % 26)}, 1);
        put("", 1);
        end_record(begun);
        count++;
    }
    packet.bytes[6] = (uint8_t)(count >> 8);
    packet.bytes[7] = (uint8_t)count;
    assert_int_equal(parse(packet.length, &answer), 0);
    assert_int_equal(answer.count, count);
    assert_in_range(count, 2800, DNS_ANSWER_RECORDS(DNS_ANSWER_MAX));
    free(answer.records);
}

static void any_bytes_are_answered(void **state)
{
    uint64_t random = SEED;

    (void)state;
    for (unsigned round = 0; round < 100000; round++) {
        struct dns_answer answer;
        unsigned changes = 1 + (unsigned)(hash_random(&random) % 4);

        begin(NAME);
        put_alias(NAME, "b.example", 70);
        put_srv("b.example", 1, 1, 80, "one.example", 50);
        put_pointer(12);
        packet.length += hash_random(&random) % 20;
        for (unsigned i = 0; i < changes; i++) {
            packet.bytes[hash_random(&random) % packet.length] =
                (uint8_t)hash_random(&random);
        }
        if (parse(packet.length, &answer) == 0) {
            free(answer.records);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read),
        cmocka_unit_test(names_may_be_compressed),
        cmocka_unit_test(aliases_are_followed_in_any_order),
        cmocka_unit_test(aliases_in_a_ring_lead_nowhere),
        cmocka_unit_test(records_of_others_are_left_out),
        cmocka_unit_test(what_cannot_be_connected_to_is_left_out),
        cmocka_unit_test(a_time_to_live_with_its_top_bit_is_none),
        cmocka_unit_test(what_is_no_good_answer_is_refused),
        cmocka_unit_test(pointers_lead_back_only),
        cmocka_unit_test(data_ends_where_its_length_says),
        cmocka_unit_test(names_have_a_greatest_length),
        cmocka_unit_test(every_shorter_answer_is_refused),
        cmocka_unit_test(the_longest_answer_is_read),
        cmocka_unit_test(any_bytes_are_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
