/* Sockets and names that one process hands to the next. */
#include "control/handed.h"
#include "control/last_words.h"
#include "control/name_record.h"

#include "seeded.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TAG = 3 };

static struct endpoint endpoint_of(uint16_t port)
{
    const struct addr addr = {
        .family = AF_INET, .port = port, .ip = {127, 0, 0, 1}};
    struct endpoint endpoint;

    endpoint_from_addr(&endpoint, &addr);
    return endpoint;
}

static int any_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

/* From one table to the other. */
static void pass(struct handed *to, int type, uint32_t owner, uint16_t port)
{
    const struct handed_socket socket = {
        .type = type, .owner = owner, .endpoint = endpoint_of(port)};
    unsigned char bytes[512];
    struct record_writer writer = {bytes, sizeof(bytes), 0, false};
    struct record_reader reader;
    struct record record;

    handed_write(&socket, TAG, &writer);
    reader = (struct record_reader){bytes, writer.used};
    assert_int_equal(record_next(&reader, &record), 1);
    assert_true(handed_read(to, &record, any_fd()));
}

static void each_takes_its_own_socket(void **state)
{
    struct endpoint at_80 = endpoint_of(80), at_81 = endpoint_of(81);
    struct handed handed = {.list = NULL, .count = 0};
    const struct handed_socket *taken;
    int last;

    (void)state;
    pass(&handed, SOCK_STREAM, 0, 80);
    pass(&handed, SOCK_STREAM, 1, 80);
    pass(&handed, SOCK_DGRAM, 1, 80);
    pass(&handed, SOCK_STREAM, HANDED_HTTP, 80);
    assert_null(handed_take(&handed, SOCK_STREAM, &at_81, 0));
    assert_null(handed_take(&handed, SOCK_STREAM, &at_80, 2));
    taken = handed_take(&handed, SOCK_STREAM, &at_80, 1);
    assert_non_null(taken);
    assert_int_equal(taken->fd, handed.list[0].fd + 1);
    close(taken->fd);
    assert_null(handed_take(&handed, SOCK_STREAM, &at_80, 1));
    taken = handed_take(&handed, SOCK_DGRAM, &at_80, 1);
    assert_non_null(taken);
    close(taken->fd);
    last = handed.list[3].fd;
    handed_close(&handed);
    assert_int_equal(fcntl(last, F_GETFD), -1);
}

static void a_malformed_socket_is_closed(void **state)
{
    struct handed handed = {.list = NULL, .count = 0};
    const unsigned char bytes[] = {4, 0x80, 0, 0, 255, 0, 0, 0};
    const struct record record = {TAG, bytes, sizeof(bytes)};
    int fd = any_fd();

    (void)state;
    assert_false(handed_read(&handed, &record, fd));
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    handed_close(&handed);
}

static void names_are_known_at_once(void **state)
{
    struct endpoint addresses[2] = {endpoint_of(0), endpoint_of(0)};
    struct srv_record srv = {
        .priority = 1, .weight = 2, .port = 3, .target = "b.example"};
    struct names before, after;
    const struct endpoint *found;
    const struct srv_record *records;
    unsigned char bytes[2048];
    struct record_writer writer = {bytes, sizeof(bytes), 0, false};
    struct record_reader reader;
    struct record record;

    (void)state;
    names_init(&before);
    names_init(&after);
    addresses[1].u.in.sin_addr.s_addr = htonl(0x7f000002);
    assert_int_equal(
        names_restore(&before, ADDRESS_NAME, "a.example", addresses, 2), 0);
    assert_int_equal(
        names_restore(&before, ADDRESS_SRV, "_s._tcp.example", &srv, 1), 0);
    for (size_t i = 0; i < before.count; i++) {
        name_record_write(before.list[i], TAG, &writer);
    }
    assert_false(writer.failed);
    reader = (struct record_reader){bytes, writer.used};
    while (record_next(&reader, &record) > 0) {
        assert_true(name_record_read(&record, &after));
    }
    assert_int_equal(after.known.find(&after.known, "A.example", &found), 2);
    assert_true(endpoint_equal(&found[1], &addresses[1]));
    assert_int_equal(
        after.known.find_records(&after.known, "_s._tcp.example", &records), 1);
    assert_int_equal(records->port, 3);
    assert_string_equal(records->target, "b.example");
    names_fini(&before);
    names_fini(&after);
}

static void hostile_names_do_no_harm(void **state)
{
    struct srv_record srv = {.port = 3, .target = "b.example"};
    unsigned char plain[512];
    struct record_writer writer = {plain, sizeof(plain), 0, false};
    struct names names;

    (void)state;
    names_init(&names);
    assert_int_equal(names_restore(&names, ADDRESS_SRV, "x", &srv, 1), 0);
    name_record_write(names.list[0], TAG, &writer);
    names_fini(&names);
    for (uint64_t seed = 1; seed <= 5000; seed++) {
        struct seeded seeded = seeded_start(seed);
        size_t count = 1 + seeded_below(&seeded, writer.used);
        unsigned char *bytes = malloc(count);
        const struct record record = {TAG, bytes, count};

        assert_non_null(bytes);
        memcpy(bytes, plain + writer.used - count, count);
        bytes[seeded_below(&seeded, count)] =
            (unsigned char)seeded_next(&seeded);
        (void)!name_record_read(&record, &names);
        free(bytes);
    }
    names_fini(&names);
}

/* What it says in the end, whatever it said before. */
static void the_last_line_is_kept(void **state)
{
    struct last_words words = {.count = 0};
    char text[2000];
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_false(last_words_read(&words, ends[0]));
    assert_string_equal(last_words_line(&words), "");
    memset(text, 'x', sizeof(text));
    assert_int_equal(write(ends[1], text, sizeof(text)), sizeof(text));
    assert_false(last_words_read(&words, ends[0]));
    assert_int_equal(write(ends[1], "\nthe end\n\n", 10), 10);
    assert_false(last_words_read(&words, ends[0]));
    assert_string_equal(last_words_line(&words), "the end");
    close(ends[1]);
    assert_true(last_words_read(&words, ends[0]));
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_takes_its_own_socket),
        cmocka_unit_test(a_malformed_socket_is_closed),
        cmocka_unit_test(names_are_known_at_once),
        cmocka_unit_test(hostile_names_do_no_harm),
        cmocka_unit_test(the_last_line_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
