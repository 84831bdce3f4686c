/* Sessions as records: what one process writes, another one reads. */
#include "proxy/session_record.h"

#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { TAG = 7 };

static struct session_record make(void)
{
    struct session_record session = {
        .image =
            {
                .sock = {{.fd = 10, .ready = SOCK_READABLE, .options = 3},
                         {.fd = 11, .ready = SOCK_HANGUP | SOCK_ENDED}},
                .client = {.family = AF_INET, .port = 80, .ip = {127, 0, 0, 1}},
                .finished = true,
                .born_ns = UINT64_MAX - 1,
                .connect_us = 12,
                .relay = {{.bytes = 1,
                           .moved_ns = 2,
                           .rate_full_ns = 3,
                           .source_full_ns = UINT64_MAX,
                           .wait = RELAY_ENDED,
                           .bulk = 4,
                           .growth = {-5, 6, GROWTH_HELD, true},
                           .held = 5,
                           .pipe = {-1, -1, 0}},
                          {.wait = RELAY_SOURCE, .pipe = {12, 13, 6}}},
            },
        .service = 8,
        .upstream = 9,
        .place = SESSION_RECORD_NO_PLACE,
    };

    return session;
}

static void read_back(const unsigned char *bytes, size_t count,
                      struct session_record *session)
{
    struct record_reader reader = {bytes, count};
    struct record record;

    assert_int_equal(record_next(&reader, &record), 1);
    assert_int_equal(record.tag, TAG);
    assert_true(session_record_read(&record, session));
}

static void a_session_is_read_as_written(void **state)
{
    unsigned char bytes[SESSION_RECORD_BYTES_MAX];
    struct record_writer writer = {bytes, sizeof(bytes), 0, false};
    struct session_record session = make(), read;
    int fds[SESSION_RECORD_FDS_MAX];
    unsigned count = session_record_write(&writer, TAG, &session, fds);

    (void)state;
    assert_int_equal(count, 4);
    assert_false(writer.failed);
    read_back(bytes, writer.used, &read);
    assert_int_equal(read.fd_count, count);
    session_record_set_fds(&read, fds);
    session.fd_count = count;
    assert_memory_equal(&read.image.client, &session.image.client,
                        sizeof(struct addr));
    assert_memory_equal(read.image.sock, session.image.sock,
                        sizeof(read.image.sock));
    assert_int_equal(read.image.born_ns, session.image.born_ns);
    assert_true(read.image.finished);
    assert_int_equal(read.image.relay[UP].held, 5);
    assert_int_equal(read.image.relay[UP].source_full_ns, UINT64_MAX);
    assert_int_equal(read.image.relay[DOWN].source_full_ns, 0);
    assert_int_equal(read.image.relay[UP].wait, RELAY_ENDED);
    assert_int_equal(read.image.relay[UP].pipe.read_fd, -1);
    assert_int_equal(read.image.relay[DOWN].pipe.read_fd, 12);
    assert_int_equal(read.image.relay[DOWN].pipe.write_fd, 13);
    assert_int_equal(read.image.relay[DOWN].pipe.bytes, 6);
    assert_int_equal(read.service, 8);
    assert_int_equal(read.upstream, 9);
}

static void sockets_in_a_place_do_not_travel(void **state)
{
    unsigned char bytes[SESSION_RECORD_BYTES_MAX];
    struct record_writer writer = {bytes, sizeof(bytes), 0, false};
    struct session_record session = make(), read;
    int fds[SESSION_RECORD_FDS_MAX];

    (void)state;
    session.place = 70000;
    assert_int_equal(session_record_write(&writer, TAG, &session, fds), 2);
    assert_int_equal(fds[0], 12);
    assert_int_equal(fds[1], 13);
    read_back(bytes, writer.used, &read);
    assert_int_equal(read.place, 70000);
    assert_int_equal(read.fd_count, 2);
    session_record_set_fds(&read, fds);
    assert_int_equal(read.image.sock[CLIENT].fd, -1);
    assert_int_equal(read.image.sock[UPSTREAM].fd, -1);
    assert_int_equal(read.image.relay[DOWN].pipe.read_fd, 12);
    assert_int_equal(read.image.relay[DOWN].pipe.write_fd, 13);
}

static void the_largest_session_fits(void **state)
{
    unsigned char bytes[SESSION_RECORD_BYTES_MAX];
    struct record_writer writer = {bytes, sizeof(bytes), 0, false};
    struct session_record session = make();
    int fds[SESSION_RECORD_FDS_MAX];

    (void)state;
    session.service = session.upstream = UINT64_MAX;
    session.place = UINT32_MAX;
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        session.image.sock[i].ready = session.image.sock[i].options = 255;
        session.image.relay[i] = (struct relay_image){
            .bytes = UINT64_MAX,
            .moved_ns = UINT64_MAX,
            .rate_full_ns = UINT64_MAX,
            .bulk = UINT8_MAX,
            .growth = {-1, UINT8_MAX, 127, true},
            .held = UINT32_MAX,
            .pipe = {1, 2, UINT32_MAX},
        };
    }
    (void)session_record_write(&writer, TAG, &session, fds);
    assert_false(writer.failed);
}

/* Adds a part to a session, and reads it. */
static bool is_read_with(unsigned tag)
{
    unsigned char bytes[2 * SESSION_RECORD_BYTES_MAX], plain[sizeof(bytes)];
    struct record_writer writer = {plain, sizeof(plain), 0, false};
    struct record_writer more = {bytes, sizeof(bytes), 0, false};
    struct session_record session = make();
    int fds[SESSION_RECORD_FDS_MAX];
    struct record_reader reader;
    struct record record;

    (void)session_record_write(&writer, TAG, &session, fds);
    record_put_number(&more, tag, 1);
    memcpy(more.bytes + more.used, plain + RECORD_HEADER_BYTES,
           writer.used - RECORD_HEADER_BYTES);
    reader = (struct record_reader){plain, writer.used};
    assert_int_equal(record_next(&reader, &record), 1);
    record = (struct record){TAG, bytes,
                             more.used + writer.used - RECORD_HEADER_BYTES};
    return session_record_read(&record, &session);
}

static void unknown_parts_are_skipped_and_critical_ones_refused(void **state)
{
    (void)state;
    assert_true(is_read_with(77));
    assert_false(is_read_with(77 | RECORD_CRITICAL));
}

static void hostile_sessions_do_no_harm(void **state)
{
    unsigned char plain[SESSION_RECORD_BYTES_MAX];
    struct record_writer writer = {plain, sizeof(plain), 0, false};
    struct session_record session = make();
    int fds[SESSION_RECORD_FDS_MAX];

    (void)state;
    (void)session_record_write(&writer, TAG, &session, fds);
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        struct seeded seeded = seeded_start(seed);
        size_t count = 1 + seeded_below(&seeded, writer.used);
        unsigned char *bytes = test_malloc(count);
        struct record record = {TAG, bytes, count};

        memcpy(bytes, plain + writer.used - count, count);
        for (unsigned n = 0; n < 1 + seeded_below(&seeded, 3); n++) {
            bytes[seeded_below(&seeded, count)] =
                (unsigned char)seeded_next(&seeded);
        }
        if (session_record_read(&record, &session)) {
            assert_true(session.fd_count <= SESSION_RECORD_FDS_MAX);
        }
        test_free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_read_as_written),
        cmocka_unit_test(sockets_in_a_place_do_not_travel),
        cmocka_unit_test(the_largest_session_fits),
        cmocka_unit_test(unknown_parts_are_skipped_and_critical_ones_refused),
        cmocka_unit_test(hostile_sessions_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
