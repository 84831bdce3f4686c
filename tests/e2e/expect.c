#include "expect.h"

#include "socket.h"
#include "test.h"
#include "transport.h"
#include "wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *end_name(ssize_t count)
{
    return count == 0 ? "the end of the stream" : strerror(errno);
}

/* How many of the bytes came before the end. */
static size_t receive(int fd, char *got, size_t count, ssize_t *last)
{
    size_t have = 0;

    while (have < count) {
        *last = transport_recv_wait(fd, got + have, count - have);
        if (*last <= 0) {
            break;
        }
        have += (size_t)*last;
    }
    return have;
}

void expect_bytes(int fd, const void *bytes, size_t count)
{
    char *got = malloc(count);
    ssize_t last = 0;
    size_t have;

    assert_non_null(got);
    have = receive(fd, got, count, &last);
    if (have < count) {
        free(got);
        fail_msg("%zu bytes expected, got %zu and %s", count, have,
                 end_name(last));
    }
    assert_memory_equal(got, bytes, count);
    free(got);
}

void expect_text(int fd, const char *text)
{
    char got[512];
    ssize_t last = 0;
    size_t have;

    assert_in_range(strlen(text), 1, sizeof(got) - 1);
    have = receive(fd, got, strlen(text), &last);
    if (have < strlen(text)) {
        fail_msg("'%s' expected, got '%.*s' and %s", text, (int)have, got,
                 end_name(last));
    }
    got[have] = '\0';
    assert_string_equal(got, text);
}

void expect_silence(int fd, int ms)
{
    assert_false(wait_readable(fd, ms));
}

void expect_eof(int fd)
{
    char byte;
    ssize_t count = transport_recv_wait(fd, &byte, 1);

    if (count != 0) {
        fail_msg("the end of the stream expected, got %s",
                 count > 0 ? "a byte" : strerror(errno));
    }
}

void expect_reset(int fd)
{
    char byte;
    ssize_t count = transport_recv_wait(fd, &byte, 1);

    if (count >= 0 || errno != ECONNRESET) {
        fail_msg("a reset expected, got %s",
                 count > 0 ? "a byte" : end_name(count));
    }
}

void expect_end(int fd)
{
    char byte;
    ssize_t count = transport_recv_wait(fd, &byte, 1);

    if (count > 0 || (count < 0 && errno != ECONNRESET)) {
        fail_msg("an end expected, got %s",
                 count > 0 ? "a byte" : strerror(errno));
    }
}

void expect_closed(int fd)
{
    char bytes[512];
    ssize_t count;

    do {
        count = transport_recv_wait(fd, bytes, sizeof(bytes));
    } while (count > 0);
    if (count < 0 && errno != ECONNRESET) {
        fail_msg("an end expected, got %s", strerror(errno));
    }
}

/* After a FIN recv answers 0, whatever comes later. */
void expect_reset_after_fin(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (!wait_events(fd, 0, wait_limit_ms())) {
        fail_msg("a reset expected");
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    assert_true(error == EPIPE || error == ECONNRESET);
}

void expect_connect_reset(const char *source, const struct loopback *address,
                          const char *text)
{
    int fd = socket_try_connect(source, address);

    if (fd < 0) {
        assert_int_equal(errno, ECONNRESET);
        return;
    }
    if (text == NULL || send(fd, text, strlen(text), MSG_NOSIGNAL) > 0) {
        expect_reset(fd);
    }
    socket_close(fd);
}

void expect_connect_ended(const struct loopback *address)
{
    int fd = socket_try_connect(NULL, address);

    if (fd < 0) {
        assert_int_equal(errno, ECONNRESET);
        return;
    }
    expect_end(fd);
    socket_close(fd);
}
