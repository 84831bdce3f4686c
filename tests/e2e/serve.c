#include "serve.h"

#include "stream.h"
#include "transport.h"

void serve_echo(int fd, const void *arg)
{
    char buffer[16384];

    (void)arg;
    for (;;) {
        ssize_t count = transport_recv(fd, buffer, sizeof(buffer));

        if (count <= 0 || transport_send_all(fd, buffer, (size_t)count) != 0) {
            return;
        }
    }
}

void serve_discard(int fd, const void *arg)
{
    char buffer[16384];

    (void)arg;
    while (transport_recv(fd, buffer, sizeof(buffer)) > 0) {
    }
}

void serve_close(int fd, const void *arg)
{
    (void)fd;
    (void)arg;
}

void serve_reset(int fd, const void *arg)
{
    (void)arg;
    transport_abort(fd);
}

void serve_letter(int fd, const void *letter)
{
    if (transport_send_all(fd, letter, 1) == 0) {
        serve_discard(fd, NULL);
    }
}

void serve_stream(int fd, const void *stream)
{
    struct stream out = *(const struct stream *)stream;

    out.fd = fd;
    stream_send(&out);
    serve_discard(fd, NULL);
}

void serve_stream_after_fin(int fd, const void *stream)
{
    struct stream out = *(const struct stream *)stream;

    serve_discard(fd, NULL);
    out.fd = fd;
    stream_send(&out);
}
