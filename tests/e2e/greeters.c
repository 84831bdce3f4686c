#include "greeters.h"

#include "serve.h"
#include "socket.h"
#include "test.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

static const char LETTERS[] = "ABCDEFGHIJKLMNOP";

void greeters_start(struct greeters *greeters, unsigned i)
{
    greeters->server[i] =
        server_start(&greeters->back[i], serve_letter, &LETTERS[i]);
}

void greeters_stop(struct greeters *greeters, unsigned i)
{
    server_stop(greeters->server[i]);
    greeters->server[i] = NULL;
}

void greeters_start_all(struct greeters *greeters, unsigned count)
{
    assert_in_range(count, 1, GREETERS_MAX);
    greeters->count = count;
    for (unsigned i = 0; i < count; i++) {
        greeters->back[i] = loopback_new();
        greeters_start(greeters, i);
    }
}

void greeters_stop_all(struct greeters *greeters)
{
    for (unsigned i = 0; i < greeters->count; i++) {
        if (greeters->server[i] != NULL) {
            greeters_stop(greeters, i);
        }
    }
}

void greeters_list(const struct greeters *greeters, unsigned first,
                   const char *const *options, char *text, size_t size)
{
    size_t used = 0;

    for (unsigned i = first; i < greeters->count; i++) {
        used += (size_t)snprintf(text + used, size - used, "upstream = %s %s\n",
                                 greeters->back[i].text,
                                 options != NULL ? options[i] : "");
        assert_true(used < size);
    }
}

void greeters_open(struct greeters *greeters, unsigned count,
                   const char *const *options, const char *service)
{
    char upstreams[4096];

    greeters->front = loopback_new();
    greeters_start_all(greeters, count);
    greeters_list(greeters, 0, options, upstreams, sizeof(upstreams));
    greeters->proxy = proxy_start("[service web]\nlisten = %s\n%s%s\n",
                                  greeters->front.text, upstreams, service);
}

void greeters_close(struct greeters *greeters)
{
    proxy_stop(greeters->proxy);
    greeters_stop_all(greeters);
}

unsigned greeters_read(int fd)
{
    char letter;
    unsigned upstream;

    wait_until(wait_readable(fd, 100));
    assert_int_equal(recv(fd, &letter, 1, 0), 1);
    upstream = (unsigned)(letter - LETTERS[0]);
    assert_in_range(upstream, 0, GREETERS_MAX - 1);
    return upstream;
}

int greeters_connect(const struct loopback *front, const char *source,
                     unsigned *upstream)
{
    int fd = socket_connect_from(source, front);

    *upstream = greeters_read(fd);
    return fd;
}

unsigned greeters_ask(const struct loopback *front, const char *source)
{
    unsigned upstream;

    socket_close(greeters_connect(front, source, &upstream));
    return upstream;
}

void greeters_count(const struct greeters *greeters, unsigned times,
                    unsigned *counts)
{
    memset(counts, 0, GREETERS_MAX * sizeof(*counts));
    for (unsigned i = 0; i < times; i++) {
        counts[greeters_ask(&greeters->front, NULL)]++;
    }
}
