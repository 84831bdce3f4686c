#include "control/http_client.h"

#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#define READ_BYTES 4096
/* Of a fixed body, in one step. */
#define WRITE_BYTES 65536

/* A chunk is its length in hexadecimal digits, CR LF, bytes, CR LF. */
#define CHUNK_HEAD_MAX 16

void http_client_open(struct http_client *client, const struct sock *sock)
{
    *client = (struct http_client){.sock = *sock};
}

/* ---- the answer ---- */

static void begin_answer(struct http_client *client)
{
    client->state = HTTP_WRITING;
    client->chunked =
        client->answer.write != NULL && client->request.minor == 1;
}

/* A body of a fixed length, or none. */
static void begin_fixed(struct http_client *client)
{
    http_answer_add_head(
        &client->answer, &client->out, 0,
        client->answer.write == NULL ? (ssize_t)client->answer.count : -1,
        client->chunked);
    client->begun = true;
    client->whole = true;
    client->fixed = client->request.method != HTTP_HEAD;
}

/* Makes the piece, which is all that is in out, a chunk. */
static void frame(struct text *out, bool last)
{
    char head[CHUNK_HEAD_MAX];
    int count = snprintf(head, sizeof(head), "%zx\r\n", out->count);

    if (out->count > 0) {
        char *gap = text_insert(out, 0, (size_t)count);

        if (gap != NULL) {
            memcpy(gap, head, (size_t)count);
        }
        text_add_string(out, "\r\n");
    }
    if (last) {
        text_add_string(out, "0\r\n\r\n");
    }
}

/* Nothing of the answer was sent. */
static enum http_client_step answer_failure(struct http_client *client)
{
    client->answer.end(&client->answer);
    text_clear(&client->out);
    http_answer_text(&client->answer, 503, "out of memory\n");
    begin_answer(client);
    return HTTP_CLIENT_MOVED;
}

static enum http_client_step write_piece(struct http_client *client)
{
    struct text *out = &client->out;
    enum http_piece piece;

    text_clear(out);
    client->sent = 0;
    piece = client->answer.write(&client->answer, out);
    if (piece == HTTP_WAITS) {
        return HTTP_CLIENT_WAITS;
    }
    if (piece == HTTP_FAILED || out->failed) {
        return client->begun ? HTTP_CLIENT_OVER : answer_failure(client);
    }
    client->whole = piece == HTTP_LAST;
    if (!client->begun && client->whole) {
        client->chunked = false; /* its length is known */
        http_answer_add_head(&client->answer, out, 0, (ssize_t)out->count,
                             false);
    } else {
        if (client->chunked) {
            frame(out, client->whole);
        }
        if (!client->begun) {
            http_answer_add_head(&client->answer, out, 0, -1, client->chunked);
        }
    }
    client->begun = true;
    return out->failed ? HTTP_CLIENT_OVER : HTTP_CLIENT_MOVED;
}

/* ---- the steps ---- */

static enum http_client_step answer_malformed(struct http_client *client)
{
    client->request.minor = 0;
    client->request.method = HTTP_GET;
    http_answer_text(&client->answer, 400, "bad request\n");
    begin_answer(client);
    return HTTP_CLIENT_MOVED;
}

static enum http_client_step read_request(struct http_client *client,
                                          http_handle_fn handle, void *arg)
{
    char buffer[READ_BYTES];
    size_t count;

    switch (sock_recv(&client->sock, buffer, sizeof(buffer), &count)) {
    case IO_OK:
        break;
    case IO_EOF:
        return client->request.count == 0 ? HTTP_CLIENT_OVER
                                          : answer_malformed(client);
    case IO_ERROR:
        return HTTP_CLIENT_OVER;
    default:
        return HTTP_CLIENT_WAITS;
    }
    switch (http_request_read(&client->request, buffer, count)) {
    case 0:
        return HTTP_CLIENT_MOVED;
    case -1:
        return answer_malformed(client);
    default:
        handle(arg, &client->request, &client->answer);
        begin_answer(client);
        return HTTP_CLIENT_MOVED;
    }
}

static enum http_client_step send_bytes(struct http_client *client,
                                        const char *bytes, size_t size)
{
    size_t count;

    switch (sock_send(&client->sock, bytes, size, false, &count)) {
    case IO_OK:
        client->sent += count;
        return HTTP_CLIENT_MOVED;
    case IO_AGAIN:
    case IO_BUSY:
        return HTTP_CLIENT_WAITS;
    default:
        return HTTP_CLIENT_OVER;
    }
}

static enum http_client_step linger(struct http_client *client)
{
    sock_shutdown(&client->sock);
    client->state = HTTP_LINGERING;
    return HTTP_CLIENT_MOVED;
}

static enum http_client_step write_answer(struct http_client *client)
{
    const struct http_answer *answer = &client->answer;
    struct text *out = &client->out;

    if (!client->begun &&
        (answer->write == NULL || client->request.method == HTTP_HEAD)) {
        begin_fixed(client);
    }
    if (client->sent < out->count) {
        return send_bytes(client, out->bytes + client->sent,
                          out->count - client->sent);
    }
    if (!client->whole) {
        return write_piece(client);
    }
    if (client->fixed) {
        size_t done = client->sent - out->count;

        if (done < answer->count) {
            return send_bytes(client, (const char *)answer->bytes + done,
                              MIN(answer->count - done, WRITE_BYTES));
        }
    }
    return linger(client);
}

static enum http_client_step read_rest(struct http_client *client)
{
    char buffer[READ_BYTES];
    size_t count;

    switch (sock_recv(&client->sock, buffer, sizeof(buffer), &count)) {
    case IO_OK:
        return HTTP_CLIENT_MOVED;
    case IO_EOF:
    case IO_ERROR:
        return HTTP_CLIENT_OVER;
    default:
        return HTTP_CLIENT_WAITS;
    }
}

enum http_client_step http_client_step(struct http_client *client,
                                       http_handle_fn handle, void *arg)
{
    switch (client->state) {
    case HTTP_READING:
        return client->sock.ready & SOCK_READABLE
                   ? read_request(client, handle, arg)
                   : HTTP_CLIENT_WAITS;
    case HTTP_WRITING:
        return client->sock.ready & SOCK_WRITABLE ? write_answer(client)
                                                  : HTTP_CLIENT_WAITS;
    case HTTP_LINGERING:
        break;
    }
    return client->sock.ready & SOCK_READABLE ? read_rest(client)
                                              : HTTP_CLIENT_WAITS;
}

/* ---- the end ---- */

void http_client_refuse(struct http_client *client, unsigned status)
{
    if (client->state != HTTP_READING) {
        return;
    }
    http_answer_text(&client->answer, status, "request timeout\n");
    begin_answer(client);
    while (client->state == HTTP_WRITING &&
           write_answer(client) == HTTP_CLIENT_MOVED) {
    }
}

void http_client_close(struct http_client *client)
{
    if (client->answer.end != NULL) {
        client->answer.end(&client->answer);
    }
    text_fini(&client->out);
    if (client->state == HTTP_WRITING) {
        sock_reset(&client->sock);
    } else {
        sock_close(&client->sock);
    }
}
