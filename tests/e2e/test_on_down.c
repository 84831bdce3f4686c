/* Connections of an upstream that a check takes out. */
#include "answerer.h"
#include "expect.h"
#include "fixture.h"
#include "pair.h"
#include "proxy.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKED                                                                \
    "health_check = http\nhealth_interval = 50ms\nhealth_timeout = 1s\n"       \
    "health_rise = 1\nhealth_fall = 2\n"

/* Two upstreams on two hosts, whose checks go to one port of each. */
struct scene {
    struct answerer answerers[2];
    struct loopback back[2];
    struct loopback front;
    int listener[2];
    struct proxy *proxy;
};

static void open_scene(struct scene *scene, const char *keys)
{
    struct loopback health = loopback_new();
    char text[2048];
    int used = 0;

    scene->front = loopback_new();
    for (unsigned i = 0; i < 2; i++) {
        struct loopback checked;
        char host[64];

        snprintf(host, sizeof(host), "%s", loopback_source(100 + i));
        checked = loopback_at(host, &health);
        scene->answerers[i] = (struct answerer)ANSWERER_HTTP(ANSWERER_OK);
        server_start(&checked, answerer_serve, &scene->answerers[i]);
        scene->back[i] = loopback_on(host);
        scene->listener[i] = socket_listen(&scene->back[i]);
        used += snprintf(text + used, sizeof(text) - (size_t)used,
                         "upstream = %s\n", scene->back[i].text);
    }
    scene->proxy = proxy_start(
        "[global]\nworkers = 2\n[service web]\n"
        "listen = %s\nbalance = roundrobin\n"
        "fail_threshold = off\n" CHECKED "health_port = %s\n%s%s",
        scene->front.text, strrchr(health.text, ':') + 1, keys, text);
}

static void expect_state(const struct scene *scene, unsigned i,
                         const char *state)
{
    char pattern[256];

    snprintf(pattern, sizeof(pattern), "address=%s state=%s",
             scene->back[i].text, state);
    proxy_line(scene->proxy, pattern);
}

/* A connection to that upstream, whatever the turn. */
static struct pair connect_to(const struct scene *scene, unsigned i)
{
    for (;;) {
        struct pair pair = {.client = socket_connect(&scene->front)};
        bool here;

        wait_until(wait_readable(scene->listener[0], 0) ||
                   wait_readable(scene->listener[1], 0));
        here = wait_readable(scene->listener[i], 0);
        pair.upstream = socket_accept(scene->listener[here ? i : 1 - i]);
        pair_ping(&pair);
        if (here) {
            return pair;
        }
        pair_close(&pair);
    }
}

static void reset_ends_the_connections_of_that_upstream(void **state)
{
    enum { MANY = 100 };
    struct pair gone[MANY], stays;
    struct scene scene;

    (void)state;
    open_scene(&scene, "on_down = reset\n");
    for (unsigned i = 0; i < MANY; i++) {
        gone[i] = connect_to(&scene, 0);
    }
    stays = connect_to(&scene, 1);
    scene.answerers[0].answer = ANSWERER_DOWN;
    expect_state(&scene, 0, "down cause=status=503");
    for (unsigned i = 0; i < MANY; i++) {
        expect_reset(gone[i].client);
        expect_reset(gone[i].upstream);
    }
    stats_await_cause(scene.proxy, "upstream_down", MANY);
    pair_ping(&stays);
    /* It comes back: what begins then is not meant. */
    scene.answerers[0].answer = ANSWERER_OK;
    expect_state(&scene, 0, "up");
    gone[0] = connect_to(&scene, 0);
    proxy_mark(scene.proxy);
    scene.answerers[1].answer = ANSWERER_DOWN;
    expect_state(&scene, 1, "down");
    expect_reset(stays.client);
    expect_reset(stays.upstream);
    pair_ping(&gone[0]);
    stats_await_cause(scene.proxy, "upstream_down", MANY + 1);
    proxy_stop(scene.proxy);
}

static void keep_is_the_default(void **state)
{
    struct scene scene;

    (void)state;
    open_scene(&scene, "");
    struct pair pair = connect_to(&scene, 0);
    scene.answerers[0].answer = ANSWERER_DOWN;
    expect_state(&scene, 0, "down");
    answerer_await(&scene.answerers[0], 5);
    pair_ping(&pair);
    proxy_stop(scene.proxy);
}

/* Failed connects of clients take an upstream out too, and end nothing. */
static void passive_marking_resets_nothing(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "",
                 "on_down = reset\nfail_threshold = 1\n"
                 "health_check = tcp\nhealth_interval = 1h\n");
    struct pair pair = pair_establish(&fixture);
    socket_close(fixture.listener);
    expect_connect_ended(&fixture.front);
    proxy_line(fixture.proxy, "state=down cause=connect_refused");
    pair_ping(&pair);
    stats_await_cause(fixture.proxy, "upstream_down", 0);
    fixture.listener = -1;
    fixture_close(&fixture);
}

static void sessions_of_datagrams_end_too(void **state)
{
    struct udp_fixture fixture;

    (void)state;
    udp_fixture_open(&fixture, "",
                     "on_down = reset\nhealth_check = expect\n"
                     "health_send = ping\nhealth_expect = ping\n"
                     "health_interval = 50ms\nhealth_timeout = 100ms\n"
                     "health_fall = 2\n");
    udp_echo_start(fixture.upstream);
    for (unsigned i = 0; i < 50; i++) {
        int client = udp_connect(NULL, &fixture.front);

        udp_send(client, "x", 1);
        udp_expect(client, "x", 1);
    }
    stats_await(fixture.proxy, "web", NULL, "active", 50);
    udp_echo_stop();
    proxy_line(fixture.proxy, "state=down cause=timeout");
    stats_await_cause(fixture.proxy, "upstream_down", 50);
    udp_fixture_expect_balanced(&fixture);
    udp_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(reset_ends_the_connections_of_that_upstream),
        E2E(keep_is_the_default),
        E2E(passive_marking_resets_nothing),
        E2E(sessions_of_datagrams_end_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
