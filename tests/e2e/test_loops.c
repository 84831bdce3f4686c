/*
 * Loops: services that lead back to themselves. What can be known is refused or
 * taken out; the rest ends, soon and with a cause. A chain of services goes on.
 */
#include "command.h"
#include "expect.h"
#include "loopback.h"
#include "pair.h"
#include "proc.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

/* A loop has 32 turns; some more may be on their way. */
#define TURNS_MAX 64

/* ---- names ---- */

static void expect_check_refuses(const char *config, const char *error)
{
    struct command_result result;

    command_check(&result, "loop.ini", config);
    assert_int_equal(result.status, 1);
    if (strstr(result.err, error) == NULL) {
        fail_msg("no '%s' in: %s", error, result.err);
    }
}

static void a_name_at_which_its_service_listens_is_taken_out(void **state)
{
    struct loopback front = loopback_on("127.0.0.1");
    struct loopback name = loopback_at("localhost", &front);
    char config[512];

    (void)state;
    test_need_localhost();
    snprintf(config, sizeof(config),
             "[service web]\nlisten = %s\nupstream = %s\n", front.text,
             name.text);
    expect_check_refuses(config,
                         "which is where this service listens (line 2): a "
                         "loop");
    struct proxy *proxy = proxy_start("%s", config);
    proxy_line(proxy, "^upstream service=web address=127\\.0\\.0\\.1:[0-9]+ "
                      "state=down cause=loop reason=\"localhost:[0-9]+ is "
                      "where this service listens \\(line 2\\): a loop\"");
    expect_connect_reset(NULL, &front, "x");
    stats_expect_only(proxy, "no_upstream", 1);
    proxy_stop(proxy);
}

static void a_ring_by_names_is_broken_and_mended_by_a_reload(void **state)
{
    static const char *const config = "[service web]\nlisten = %s\n"
                                      "upstream = %s\n"
                                      "[service other]\nlisten = %s\n"
                                      "upstream = %s\n";
    struct loopback front = loopback_on("");
    struct loopback other = loopback_on("127.0.0.1");
    struct loopback to_front = loopback_at("localhost", &front);
    struct loopback to_other = loopback_at("localhost", &other);
    struct loopback elsewhere = loopback_on("127.0.0.1");
    char text[1024];

    (void)state;
    test_need_localhost();
    snprintf(text, sizeof(text), config, front.text, to_other.text, other.text,
             to_front.text);
    expect_check_refuses(text, "leads back to this service, by line 3: a loop");
    struct proxy *proxy = proxy_start("%s", text);
    proxy_line(proxy, "^upstream service=other address=[^ ]+ state=down "
                      "cause=loop");
    assert_int_equal(proxy_count(proxy, "^upstream service=web"), 0);
    struct loopback at = loopback_at("127.0.0.1", &front);
    /* Before its name has an answer, the first service has no upstream. */
    wait_until((expect_connect_reset(NULL, &at, "x"),
                stats_get(proxy, "other", NULL, "ended_no_upstream") > 0));

    int listener = socket_listen(&elsewhere);
    proxy_configure(proxy, config, front.text, elsewhere.text, other.text,
                    to_front.text);
    proxy_reload(proxy);
    proxy_line(proxy, "^upstream service=other address=127[^ ]+ state=up");
    struct pair pair = {.client = socket_connect(&other)};
    pair.upstream = socket_accept(listener);
    pair_ping(&pair);
    pair_close(&pair);
    proxy_stop(proxy);
}

/* ---- what no check can know ---- */

/* A ClientHello for a.example. */
static const unsigned char hello[] = {
    0x16, 0x03, 0x01, 0x00, 0x41, 0x01, 0x00, 0x00, 0x3d, 0x03, 0x03, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x13, 0x01,
    0x01, 0x00, 0x00, 0x12, 0x00, 0x00, 0x00, 0x0e, 0x00, 0x0c, 0x00, 0x00,
    0x09, 0x61, 0x2e, 0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65,
};

/* Both services are told apart by server names, so that a check cannot know
 * which connections come back. */
static struct proxy *start_hidden_loop(const struct loopback *front,
                                       const char *lines)
{
    struct loopback other = loopback_new();

    return proxy_start("[global]\naccess_log = yes\n"
                       "[service web]\nlisten = %s\nsni = a.example\n"
                       "upstream = %s\n%s\n"
                       "[service other]\nlisten = %s\nsni = *.example\n"
                       "upstream = %s\n",
                       front->text, other.text, lines, other.text, front->text);
}

static void expect_loop_ends(struct proxy *proxy, const struct loopback *front)
{
    uint64_t before = stats_get(proxy, NULL, NULL, "accepted");
    int client = socket_connect(front);

    socket_send(client, hello, sizeof(hello));
    expect_reset(client);
    socket_close(client);
    stats_await(proxy, NULL, NULL, "active", 0);
    assert_in_range(stats_get(proxy, NULL, NULL, "accepted") - before, 2,
                    TURNS_MAX);
}

static void a_loop_ends_after_some_turns(void **state)
{
    struct loopback front = loopback_new();

    (void)state;
    struct proxy *proxy = start_hidden_loop(&front, "");
    unsigned descriptors = proc_entries(proxy, "fd");
    expect_loop_ends(proxy, &front);
    proxy_line(proxy, "^conn service=(web|other) .* cause=loop ");
    /* An upstream that leads back is not at fault. */
    assert_int_equal(proxy_count(proxy, "^upstream .*state=down"), 0);
    for (unsigned i = 0; i < 20; i++) {
        expect_loop_ends(proxy, &front);
    }
    assert_in_range(proc_entries(proxy, "fd"), 0, descriptors);
    proxy_stop(proxy);
}

/* An upstream is tried again after a failed connect, but not by a loop. */
static void a_loop_is_not_tried_again(void **state)
{
    struct loopback front = loopback_new();

    (void)state;
    struct proxy *proxy = start_hidden_loop(&front, "connect_attempts = 10");
    for (unsigned i = 0; i < 20; i++) {
        expect_loop_ends(proxy, &front);
    }
    proxy_stop(proxy);
}

static void a_chain_of_services_is_no_loop(void **state)
{
    enum { PAIRS = 100, ROUNDS = 3 };
    struct loopback front = loopback_new();
    struct loopback middle = loopback_new();
    struct loopback back = loopback_new();
    struct pair pairs[PAIRS];

    (void)state;
    int listener = socket_listen(&back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\n"
                    "upstream = %s\n"
                    "[service middle]\nlisten = %s\n"
                    "upstream = %s\n",
                    front.text, middle.text, middle.text, back.text);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < PAIRS; i++) {
            pairs[i].client = socket_connect(&front);
            pairs[i].upstream = socket_accept(listener);
        }
        for (unsigned i = 0; i < PAIRS; i++) {
            pair_ping(&pairs[i]);
            pair_close(&pairs[i]);
        }
    }
    stats_await(proxy, NULL, NULL, "active", 0);
    stats_await(proxy, NULL, NULL, "accepted", 2 * PAIRS * ROUNDS);
    stats_await(proxy, "web", NULL, "ended_loop", 0);
    stats_await(proxy, "middle", NULL, "ended_loop", 0);
    proxy_stop(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_name_at_which_its_service_listens_is_taken_out),
        E2E(a_ring_by_names_is_broken_and_mended_by_a_reload),
        E2E(a_loop_ends_after_some_turns),
        E2E(a_loop_is_not_tried_again),
        E2E(a_chain_of_services_is_no_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
