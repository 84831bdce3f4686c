/*
 * Names of upstreams: looked up again and again, and what their answers change.
 */
#include "command.h"
#include "named.h"
#include "nameserver.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "udp.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* The next answers have been asked for and have come. */
static void await_answers(void)
{
    unsigned asked = nameserver_questions();

    wait_until(nameserver_questions() >= asked + 2);
}

/* ---- answers that change ---- */

static void new_answers_are_used_and_sessions_stay(void **state)
{
    struct named scene;
    struct pair old, new;

    (void)state;
    nameserver_answer("127.1.0.1");
    named_open(&scene, "");
    proxy_line(scene.proxy,
               "^resolve name=up.example addresses=1 added=1 removed=0$");
    old = named_connect(&scene, 0);
    proxy_mark(scene.proxy);
    nameserver_answer("127.1.0.2");
    proxy_line(scene.proxy,
               "^resolve name=up.example addresses=2 added=1 removed=0$");
    proxy_line(scene.proxy,
               "^resolve name=up.example addresses=1 added=0 removed=1$");
    for (int i = 0; i < 5; i++) {
        new = named_connect(&scene, 1);
        pair_close(&new);
    }
    pair_ping(&old);
    stats_await(scene.proxy, "web", scene.back[0].text, "active", 1);
    stats_await(scene.proxy, "web", NULL, "accepted", 6);
    pair_close(&old);
    wait_until(!stats_listed(scene.proxy, "web", scene.back[0].text));
    await_answers();
    assert_int_equal(proxy_count(scene.proxy, "^reload"), 0);
    proxy_stop(scene.proxy);
    assert_int_equal(proxy_count(scene.proxy, "^resolve "), 2);
}

/* What stays keeps its counters, and its clients by the hash. */
static void an_upstream_that_stays_keeps_its_state(void **state)
{
    struct named scene;
    struct pair pair;

    (void)state;
    nameserver_answer("127.1.0.1");
    named_open(&scene, "balance = roundrobin\n");
    proxy_line(scene.proxy, "^resolve name=up.example ");
    pair = named_connect(&scene, 0);
    nameserver_answer("127.1.0.1 127.1.0.2 ::1");
    proxy_line(scene.proxy, " addresses=3 added=2 ");
    stats_await(scene.proxy, "web", scene.back[0].text, "total", 1);
    assert_int_equal(
        stats_get(scene.proxy, "web", scene.back[0].text, "active"), 1);
    assert_true(stats_listed(scene.proxy, "web",
                             loopback_at("[::1]", &scene.back[0]).text));
    pair_ping(&pair);
    proxy_stop(scene.proxy);
}

static void five_hundred_addresses_are_all_used(void **state)
{
    struct named scene;

    (void)state;
    nameserver_answer_many(500);
    named_open(&scene, "");
    proxy_line(scene.proxy, "^resolve name=up.example addresses=500 added=500");
    proxy_mark(scene.proxy);
    proxy_signal(scene.proxy, SIGUSR1);
    wait_until(proxy_count(scene.proxy, "^stats service=web upstream=127\\.1\\."
                                        "[01]\\.[0-9]+:") == 500);
    proxy_stop(scene.proxy);
}

static void answers_that_take_turns_lose_no_address(void **state)
{
    struct named scene;

    (void)state;
    nameserver_answer_in_turns("127.1.0.1 127.1.0.2");
    named_open(&scene, "");
    proxy_line(scene.proxy, "^resolve name=up.example addresses=1 ");
    proxy_line(scene.proxy, " addresses=2 ");
    proxy_mark(scene.proxy);
    for (unsigned i = 0; i < 5; i++) {
        await_answers();
    }
    assert_true(stats_listed(scene.proxy, "web", scene.back[0].text));
    assert_true(stats_listed(scene.proxy, "web", scene.back[1].text));
    assert_int_equal(proxy_count(scene.proxy, "^resolve "), 0);
    proxy_stop(scene.proxy);
}

static void udp_sessions_stay_too(void **state)
{
    struct loopback front = loopback_new();
    struct loopback back[2] = {loopback_on("127.1.0.1")};
    struct socket_address session;
    struct proxy *proxy;
    int upstream[2], old, new;

    (void)state;
    back[1] = loopback_at("127.1.0.2", &back[0]);
    upstream[0] = udp_bind(&back[0]);
    upstream[1] = udp_bind(&back[1]);
    nameserver_answer("127.1.0.1");
    proxy =
        proxy_start("[global]\ndrain_timeout = 50ms\n[service web]\n"
                    "mode = udp\nlisten = %s\nupstream = %s\n" NAMED_INTERVAL,
                    front.text, loopback_at("up.example", &back[0]).text);
    proxy_line(proxy, "^resolve name=up.example ");
    old = udp_connect(NULL, &front);
    udp_send(old, "a", 1);
    udp_expect(upstream[0], "a", 1);
    nameserver_answer("127.1.0.2");
    proxy_line(proxy, " removed=1$");
    udp_send(old, "b", 1);
    udp_expect_from(upstream[0], "b", 1, &session);
    udp_reply(upstream[0], &session, "c", 1);
    udp_expect(old, "c", 1);
    new = udp_connect(NULL, &front);
    udp_send(new, "d", 1);
    udp_expect(upstream[1], "d", 1);
    proxy_stop(proxy);
}

/* ---- answers that fail ---- */

static void expect_last_answer_kept(enum nameserver_code code)
{
    struct named scene;
    struct pair pair;

    nameserver_answer("127.1.0.1");
    named_open(&scene, "");
    proxy_line(scene.proxy, "^resolve name=up.example addresses=1 ");
    pair = named_connect(&scene, 0);
    nameserver_refuse(code);
    proxy_line(scene.proxy, "^resolve name=up.example error=\"");
    await_answers();
    proxy_reload(scene.proxy);
    await_answers();
    pair_ping(&pair);
    pair_close(&pair);
    pair = named_connect(&scene, 0);
    stats_await(scene.proxy, "web", NULL, "accepted", 2);
    proxy_mark(scene.proxy);
    assert_int_equal(proxy_count(scene.proxy, "^resolve "), 0);
    nameserver_answer("127.1.0.1");
    proxy_line(scene.proxy,
               "^resolve name=up.example addresses=1 added=0 removed=0$");
    proxy_stop(scene.proxy);
}

static void a_failed_answer_keeps_the_last_good_one(void **state)
{
    (void)state;
    expect_last_answer_kept(NAMESERVER_SERVFAIL);
}

static void no_such_name_keeps_the_last_good_answer(void **state)
{
    (void)state;
    expect_last_answer_kept(NAMESERVER_NXDOMAIN);
}

static void an_empty_answer_keeps_the_last_good_one(void **state)
{
    (void)state;
    expect_last_answer_kept(NAMESERVER_EMPTY);
}

static void a_name_that_fails_is_told_once(void **state)
{
    struct named scene;

    (void)state;
    nameserver_refuse(NAMESERVER_SERVFAIL);
    named_open(&scene, "");
    proxy_line(scene.proxy, "^resolve name=up.example error=\"");
    proxy_mark(scene.proxy);
    await_answers();
    proxy_reload(scene.proxy);
    await_answers();
    assert_int_equal(proxy_count(scene.proxy, "^resolve "), 0);
    nameserver_answer("127.1.0.2");
    proxy_line(scene.proxy, "^resolve name=up.example addresses=1 added=1 ");
    struct pair pair = named_connect(&scene, 1);
    pair_close(&pair);
    proxy_stop(scene.proxy);
}

/* Each state is told once, and none of them loses a connection. */
static void a_server_that_flaps_loses_nothing(void **state)
{
    struct named scene;
    struct pair pair;

    (void)state;
    nameserver_answer("127.1.0.1");
    named_open(&scene, "");
    proxy_line(scene.proxy, "^resolve name=up.example addresses=1 ");
    pair = named_connect(&scene, 0);
    for (unsigned i = 0; i < 5; i++) {
        proxy_mark(scene.proxy);
        nameserver_refuse(i % 2 ? NAMESERVER_SERVFAIL : NAMESERVER_NXDOMAIN);
        proxy_line(scene.proxy, "^resolve name=up.example error=\"");
        nameserver_answer("127.1.0.1");
        proxy_line(scene.proxy,
                   "^resolve name=up.example addresses=1 added=0 removed=0$");
        struct pair new = named_connect(&scene, 0);
        pair_close(&new);
        pair_ping(&pair);
    }
    proxy_stop(scene.proxy);
}

/* Answers that are none: with another id, for another name, garbage. */
static void lies_change_nothing(void **state)
{
    static const enum nameserver_lie lies[] = {
        NAMESERVER_OTHER_ID, NAMESERVER_OTHER_QUESTION, NAMESERVER_OTHER_OWNER,
        NAMESERVER_GARBAGE};
    struct named scene;

    (void)state;
    nameserver_be_given_up_soon(true);
    nameserver_answer("127.1.0.1");
    named_open(&scene, "");
    proxy_line(scene.proxy, "^resolve name=up.example addresses=1 ");
    for (unsigned i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        proxy_mark(scene.proxy);
        nameserver_answer("127.1.0.2");
        nameserver_lie(lies[i]);
        proxy_line(scene.proxy, "^resolve name=up.example error=\"");
        struct pair pair = named_connect(&scene, 0);
        pair_close(&pair);
        nameserver_answer("127.1.0.1");
        proxy_line(scene.proxy,
                   "^resolve name=up.example addresses=1 added=0 removed=0$");
    }
    proxy_stop(scene.proxy);
    nameserver_be_given_up_soon(false);
}

static void a_service_without_any_address_is_told(void **state)
{
    struct named scene;

    (void)state;
    nameserver_answer("127.1.0.1");
    named_open(&scene, "upstream = silent.example:80\n");
    proxy_line(scene.proxy, "^resolve name=up.example addresses=1 ");
    proxy_stop(scene.proxy);
    assert_int_equal(proxy_count(scene.proxy, "^service "), 0);
    nameserver_refuse(NAMESERVER_NXDOMAIN);
    named_open(&scene, "");
    proxy_line(scene.proxy, "^service service=web state=down upstreams=1$");
    nameserver_answer("127.1.0.2");
    proxy_line(scene.proxy, "^service service=web state=up$");
    proxy_stop(scene.proxy);
}

/* ---- how often it asks ---- */

static void equal_names_are_asked_once(void **state)
{
    struct loopback front = loopback_new();
    unsigned asked = nameserver_questions();

    (void)state;
    nameserver_answer("127.1.0.1");
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = up.example:80\n"
                    "upstream = UP.example:81\n[service two]\nlisten = %s\n"
                    "upstream = up.example:82\n",
                    front.text, loopback_new().text);
    proxy_line(proxy, "^resolve name=");
    assert_int_equal(nameserver_questions() - asked, 1);
    assert_true(stats_listed(proxy, "web", "127.1.0.1:80"));
    assert_true(stats_listed(proxy, "web", "127.1.0.1:81"));
    assert_true(stats_listed(proxy, "two", "127.1.0.1:82"));
    proxy_stop(proxy);
}

/* ---- the check ---- */

static void the_check_warns_of_names_that_do_not_resolve(void **state)
{
    struct command_result result;
    const char *warning;
    const char *path;
    char expected[256];

    (void)state;
    nameserver_refuse(NAMESERVER_NXDOMAIN);
    path = command_check(&result, "none.ini",
                         NAMED_CHECKED "upstream = no.name:80");
    assert_int_equal(result.status, 0);
    snprintf(expected, sizeof(expected),
             "%s:4: warning: no.name does not resolve: ", path);
    warning = strstr(result.err, expected);
    assert_non_null(warning);
    assert_non_null(strstr(result.out, ": ok"));
    assert_non_null(strstr(result.out, " pairs=2 ")); /* it counts as one */
    nameserver_answer("127.1.0.1 127.1.0.2");
    command_check(&result, "good.ini", NAMED_CHECKED "upstream = a.name:80");
    assert_non_null(strstr(result.out, " pairs=3 "));
    assert_int_equal(result.status, 0);
    assert_string_equal(result.err, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMES(new_answers_are_used_and_sessions_stay),
        NAMES(an_upstream_that_stays_keeps_its_state),
        NAMES(five_hundred_addresses_are_all_used),
        NAMES(answers_that_take_turns_lose_no_address),
        NAMES(udp_sessions_stay_too),
        NAMES(a_failed_answer_keeps_the_last_good_one),
        NAMES(no_such_name_keeps_the_last_good_answer),
        NAMES(an_empty_answer_keeps_the_last_good_one),
        NAMES(a_name_that_fails_is_told_once),
        NAMES(a_server_that_flaps_loses_nothing),
        NAMES(lies_change_nothing),
        NAMES(a_service_without_any_address_is_told),
        NAMES(equal_names_are_asked_once),
        NAMES(the_check_warns_of_names_that_do_not_resolve),
    };

    nameserver_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
