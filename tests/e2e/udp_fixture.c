#include "udp_fixture.h"

#include "expect.h"
#include "stats.h"
#include "test.h"
#include "udp.h"
#include "wait.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* The [global] section; valid until the next call. */
static const char *global_section(const char *global)
{
    static char text[256];

    snprintf(text, sizeof(text), "[global]\n%s%s%s\n",
             strstr(global, "workers") != NULL ? "" : "workers = 1\n",
             strstr(global, "drain_timeout") != NULL ? ""
                                                     : "drain_timeout = 50ms\n",
             global);
    return text;
}

void udp_fixture_open_at(struct udp_fixture *fixture,
                         const struct loopback *front,
                         const char *upstream_options, const char *global,
                         const char *service)
{
    fixture->front = *front;
    fixture->back = loopback_new();
    fixture->upstream = udp_bind(&fixture->back);
    fixture->proxy = proxy_start("%s[service web]\nmode = udp\nlisten = %s\n"
                                 "upstream = %s %s\n%s\n",
                                 global_section(global), front->text,
                                 fixture->back.text, upstream_options, service);
}

void udp_fixture_open(struct udp_fixture *fixture, const char *global,
                      const char *service)
{
    struct loopback front = loopback_new();

    udp_fixture_open_at(fixture, &front, "", global, service);
}

void udp_fixture_close(struct udp_fixture *fixture)
{
    proxy_stop(fixture->proxy);
}

void udp_fixture_reload(const struct udp_fixture *fixture,
                        const struct loopback *front, const char *service)
{
    proxy_configure(fixture->proxy,
                    "%s[service web]\nmode = udp\nlisten = %s\n"
                    "upstream = %s\n%s\n",
                    global_section(""), front->text, fixture->back.text,
                    service);
    proxy_reload(fixture->proxy);
}

struct socket_address udp_fixture_ping(const struct udp_fixture *fixture,
                                       int client)
{
    struct socket_address session;

    udp_send(client, "p", 1);
    udp_expect_from(fixture->upstream, "p", 1, &session);
    udp_reply(fixture->upstream, &session, "q", 1);
    udp_expect(client, "q", 1);
    return session;
}

uint64_t udp_fixture_stat(const struct udp_fixture *fixture, const char *key)
{
    return stats_get(fixture->proxy, "web", NULL, key);
}

void udp_fixture_expect_balanced(const struct udp_fixture *fixture)
{
    const char *line = stats_line(fixture->proxy, "web", NULL);

    assert_int_equal(proxy_line_value(line, "accepted"),
                     proxy_line_value(line, "active") + stats_ended(line));
}

void udp_fixture_expect_refused(const struct udp_fixture *fixture,
                                const char *source, const char *cause)
{
    uint64_t dropped = udp_fixture_stat(fixture, "dropped");
    uint64_t before;
    char key[64];

    snprintf(key, sizeof(key), "ended_%s", cause);
    before = udp_fixture_stat(fixture, key);
    udp_send(udp_connect(source, &fixture->front), "x", 1);
    stats_await_cause(fixture->proxy, cause, before + 1);
    stats_await(fixture->proxy, "web", NULL, "dropped", dropped + 1);
    expect_silence(fixture->upstream, 20);
}

/* ---- echo ---- */

static struct {
    int fd;
    pthread_t thread;
    bool running;
    _Atomic bool stop; /* set by the main thread, read by the echo's */
} echo;

static void *echo_main(void *arg)
{
    char bytes[2048];

    (void)arg;
    while (!echo.stop) {
        struct sockaddr_storage from;
        socklen_t length = sizeof(from);
        ssize_t size;

        if (!wait_readable(echo.fd, 10)) {
            continue;
        }
        size = recvfrom(echo.fd, bytes, sizeof(bytes), 0,
                        (struct sockaddr *)&from, &length);
        if (size >= 0) {
            sendto(echo.fd, bytes, (size_t)size, 0, (struct sockaddr *)&from,
                   length);
        }
    }
    return NULL;
}

void udp_echo_start(int fd)
{
    int error;

    echo.fd = fd;
    echo.stop = false;
    error = pthread_create(&echo.thread, NULL, echo_main, NULL);
    assert_int_equal(error, 0);
    echo.running = true;
}

void udp_echo_stop(void)
{
    if (echo.running) {
        echo.stop = true;
        pthread_join(echo.thread, NULL);
        echo.running = false;
    }
}
