#include "wire/http_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Reads the text in pieces of that size until a status comes: 0: none has, -1:
 * it is malformed. *left: what follows. */
static int read_status(struct http_status *reader, const char *text,
                       size_t piece, const char **left)
{
    size_t count = strlen(text);

    while (count > 0) {
        size_t part = count < piece ? count : piece;
        int taken = http_status_read(reader, (const uint8_t *)text, part);

        if (taken < 0) {
            return -1;
        }
        text += taken > 0 ? (size_t)taken : part;
        count -= taken > 0 ? (size_t)taken : part;
        *left = text;
        if (taken > 0) {
            return reader->status;
        }
    }
    return 0;
}

static void assert_status(const char *text, int status)
{
    for (size_t piece = 1; piece < 20; piece++) {
        struct http_status reader = {0};
        const char *left;

        assert_int_equal(read_status(&reader, text, piece, &left), status);
    }
}

static void a_status_line_has_a_status(void **state)
{
    (void)state;
    assert_status("HTTP/1.1 200 OK\r\n", 200);
    assert_status("HTTP/1.0 503 Service Unavailable\r\n", 503);
    assert_status("HTTP/1.1 999 \r\n", 999);
    assert_status("HTTP/1.1 404 Not \xc3\xa4\r\n", 404);
}

static void the_reason_may_be_missing(void **state)
{
    (void)state;
    assert_status("HTTP/1.1 204\r\n", 204);
    assert_status("HTTP/1.1 204\n", 204);
    assert_status("HTTP/1.1 204 ", 204);
}

static void a_part_of_a_line_has_none(void **state)
{
    (void)state;
    assert_status("H", 0);
    assert_status("HTTP/1.1 20", 0);
    assert_status("HTTP/1.1 200", 0);
}

static void other_lines_are_refused(void **state)
{
    static const char *const wrong[] = {
        "http/1.1 200 OK\r\n",  "HTTP/2 200\r\n",       "HTTP/1. 200 OK\r\n",
        "HTTP/1.1  200 OK\r\n", "HTTP/1.1 020 OK\r\n",  "HTTP/1.1 2x0 OK\r\n",
        "HTTP/1.1 2000 OK\r\n", "\r\nHTTP/1.1 200\r\n", "SSH-2.0-x\r\n",
        "HTTP/1.1\t200 OK\r\n", "HTTP/1.1 200\tOK\r\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_status(wrong[i], -1);
    }
}

static void answers_that_follow_are_found(void **state)
{
    static const char text[] = "HTTP/1.1 103 Early Hints\r\n"
                               "Link: </a>\r\n\r\n"
                               "HTTP/1.1 100\n\n"
                               "HTTP/1.1 200 OK\r\nX: 1\r\n\r\n";

    (void)state;
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        struct http_status reader = {0};
        const char *at = text;

        assert_int_equal(read_status(&reader, at, piece, &at), 103);
        assert_int_equal(read_status(&reader, at, piece, &at), 100);
        assert_int_equal(read_status(&reader, at, piece, &at), 200);
        assert_int_equal(read_status(&reader, at, piece, &at), 0);
    }
}

static void heads_without_end_are_refused(void **state)
{
    static const char first[] = "HTTP/1.1 100 \r\n";
    struct http_status reader = {0};
    const char *left = first;

    (void)state;
    assert_int_equal(read_status(&reader, first, 99, &left), 100);
    for (long given = left - first; given < HTTP_STATUS_BYTES_MAX; given++) {
        assert_int_equal(http_status_read(&reader, (const uint8_t *)"x", 1), 0);
    }
    assert_int_equal(http_status_read(&reader, (const uint8_t *)"x", 1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_line_has_a_status),
        cmocka_unit_test(the_reason_may_be_missing),
        cmocka_unit_test(a_part_of_a_line_has_none),
        cmocka_unit_test(other_lines_are_refused),
        cmocka_unit_test(answers_that_follow_are_found),
        cmocka_unit_test(heads_without_end_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
