/*
 * PROXY headers over reloads: connections keep what they began with.
 */
#include "expect.h"
#include "fixture.h"
#include "header.h"
#include "header_fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "wait.h"

static void reload_with(struct fixture *fixture, const char *option,
                        const char *keys)
{
    proxy_configure(fixture->proxy,
                    "[service web]\nlisten = %s\n"
                    "upstream = %s proxy_protocol=%s\n%s\n",
                    fixture->front.text, fixture->back.text, option, keys);
    proxy_reload(fixture->proxy);
}

static void a_reload_changes_which_header_upstreams_get(void **state)
{
    struct loopback front = loopback_new();
    struct fixture fixture;
    struct pair pairs[3];

    (void)state;
    fixture_open_at(&fixture, &front, "proxy_protocol=v1", "", "");
    for (unsigned i = 0; i < 3; i++) {
        static const char *const versions[] = {"v1", "v2", "off"};

        if (i > 0) {
            reload_with(&fixture, versions[i], "");
        }
        pairs[i] = pair_connect(&fixture);
        if (i < 2) {
            header_expect(pairs[i].upstream,
                          header_of_client(pairs[i].client, versions[i]));
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        pair_ping(&pairs[i]);
    }
    fixture_close(&fixture);
}

static void a_reload_changes_who_must_send_a_header(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", "");
    struct pair plain = pair_connect(&fixture);
    pair_ping(&plain);
    reload_with(&fixture, "off", HEADER_TRUSTED);
    struct pair behind =
        header_pair_connect(&fixture, header_v2_from("192.0.2.7"));
    pair_ping(&behind);
    pair_ping(&plain);
    reload_with(&fixture, "off",
                "proxy_protocol = on\nproxy_protocol_from = 127.9.0.1\n");
    expect_connect_reset(NULL, &fixture.front, "PROXY UNKNOWN\r\n");
    pair_ping(&behind);
    reload_with(&fixture, "off", "");
    struct pair other = pair_connect(&fixture);
    pair_ping(&other);
    pair_ping(&behind);
    pair_ping(&plain);
    fixture_close(&fixture);
}

/* A client that has sent the first half of a header. */
static int send_half(const struct fixture *fixture)
{
    int fd = socket_connect(&fixture->front);

    socket_send_text(fd, "PROXY UNK");
    stats_await(fixture->proxy, "web", NULL, "active", 1);
    return fd;
}

/* It sends the rest, and is served. */
static struct pair send_rest(const struct fixture *fixture, int fd)
{
    struct pair pair = {.client = fd};

    socket_send_text(fd, "NOWN\r\nfirst");
    pair.upstream = socket_accept(fixture->listener);
    expect_text(pair.upstream, "first");
    pair_ping(&pair);
    return pair;
}

/* New clients send no header any more; this one still does. */
static void a_client_amid_its_header_outlasts_a_reload(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", HEADER_TRUSTED);
    int fd = send_half(&fixture);
    reload_with(&fixture, "off", "");
    send_rest(&fixture, fd);
    fixture_close(&fixture);
}

static void a_client_amid_its_header_outlasts_its_service(void **state)
{
    struct loopback other = loopback_new();
    struct fixture fixture;

    (void)state;
    header_fixture_open(&fixture, "");
    int fd = send_half(&fixture);
    fixture_reload_other(&fixture, "other", &other);
    struct pair pair = send_rest(&fixture, fd);
    pair_close(&pair);
    wait_until(!stats_listed(fixture.proxy, "web", NULL));
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_reload_changes_which_header_upstreams_get),
        E2E(a_reload_changes_who_must_send_a_header),
        E2E(a_client_amid_its_header_outlasts_a_reload),
        E2E(a_client_amid_its_header_outlasts_its_service),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
