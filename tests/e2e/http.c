#include "http.h"

#include "socket.h"
#include "test.h"
#include "transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything until the end of the stream, with a final zero. */
static char *read_all(int fd, size_t *count)
{
    size_t size = 65536;
    char *bytes = malloc(size);
    ssize_t got;

    *count = 0;
    for (;;) {
        if (size - *count < 32768) {
            size *= 2;
            bytes = realloc(bytes, size);
        }
        assert_non_null(bytes);
        got = transport_recv_wait(fd, bytes + *count, size - *count - 1);
        if (got <= 0) {
            break;
        }
        *count += (size_t)got;
    }
    bytes[*count] = '\0';
    if (got < 0) {
        fail_msg("after %zu bytes of an answer: %s", *count, strerror(errno));
    }
    return bytes;
}

/* Takes the chunks apart, in place. */
static void join_chunks(struct http_reply *reply)
{
    char *from = reply->body;
    char *to = reply->body;

    for (;;) {
        size_t size = strtoul(from, &from, 16);

        assert_memory_equal(from, "\r\n", 2);
        from += 2;
        if (size == 0) {
            break;
        }
        memmove(to, from, size);
        to += size;
        from += size;
        assert_memory_equal(from, "\r\n", 2);
        from += 2;
    }
    assert_string_equal(from, "\r\n");
    *to = '\0';
    reply->count = (size_t)(to - reply->body);
}

struct http_reply http_read(int fd)
{
    struct http_reply reply = {.status = 0};
    const char *length;
    size_t count;
    char *end;

    reply.head = read_all(fd, &count);
    socket_close(fd);
    end = strstr(reply.head, "\r\n\r\n");
    if (end == NULL || sscanf(reply.head, "HTTP/1.1 %d ", &reply.status) != 1) {
        fail_msg("no HTTP answer: '%.200s'", reply.head);
    }
    count -= (size_t)(end + 4 - reply.head);
    reply.count = count;
    reply.body = malloc(count + 1);
    assert_non_null(reply.body);
    memcpy(reply.body, end + 4, count + 1);
    end[4] = '\0';
    length = strstr(reply.head, "\r\nContent-Length: ");
    if (strstr(reply.head, "\r\nTransfer-Encoding: chunked\r\n") != NULL &&
        count > 0) {
        join_chunks(&reply);
    } else if (length != NULL && count > 0) {
        assert_int_equal(strtoul(length + 18, NULL, 10), count);
    }
    return reply;
}

struct http_reply http_ask(const struct loopback *address, const char *text)
{
    int fd = socket_connect(address);

    socket_send_text(fd, text);
    return http_read(fd);
}

struct http_reply http_get(const struct loopback *address, const char *path)
{
    char text[1024];

    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    return http_ask(address, text);
}

void http_free(struct http_reply *reply)
{
    free(reply->head);
    free(reply->body);
}

int http_status(const struct loopback *address, const char *path)
{
    struct http_reply reply = http_get(address, path);

    http_free(&reply);
    return reply.status;
}

double http_metric_in(const char *body, const char *series)
{
    size_t length = strlen(series);

    for (const char *at = body; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, series, length) == 0 && at[length] == ' ') {
            return strtod(at + length, NULL);
        }
    }
    return -1;
}

double http_metric(const struct loopback *address, const char *series)
{
    struct http_reply reply = http_get(address, "/metrics");
    double value = http_metric_in(reply.body, series);

    assert_int_equal(reply.status, 200);
    http_free(&reply);
    return value;
}
