/* SRV names of upstreams: records that change while connections go on. */
#include "nameserver.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "srv.h"
#include "stats.h"
#include "teardown.h"
#include "udp.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void await_answers(void)
{
    unsigned asked = nameserver_srv_questions();

    wait_until(nameserver_srv_questions() >= asked + 2);
}

static void new_records_are_used_and_the_rest_stays(void **state)
{
    struct srv scene;
    struct pair leaves, stays, new;

    (void)state;
    srv_bind(&scene);
    srv_answer(srv_text(&scene, 0, "1 1"), "", "");
    srv_start(&scene, SRV_LINE "\nbalance = roundrobin\n");
    wait_until(srv_listed(&scene, 0));
    leaves = srv_connect(&scene, 0);
    srv_answer(srv_text(&scene, 0, "1 1"), srv_text(&scene, 1, "2 1"), "");
    proxy_line(scene.proxy, "^resolve name=_web._tcp.example records=2 ");
    wait_until(srv_listed(&scene, 1));
    srv_answer(srv_text(&scene, 1, "1 1"), "", "");
    proxy_line(scene.proxy,
               "^resolve name=_web._tcp.example records=1 added=0 removed=1");
    stays = srv_connect(&scene, 1);
    srv_answer(srv_text(&scene, 1, "5 9"), srv_text(&scene, 2, "6 1"), "");
    proxy_line(scene.proxy, "^resolve name=_web._tcp.example records=2 ");
    wait_until(srv_listed(&scene, 2));
    new = srv_connect(&scene, 1);
    pair_ping(&leaves);
    pair_ping(&stays);
    pair_ping(&new);
    stats_await(scene.proxy, "web", scene.back[1].text, "total", 2);
    stats_await(scene.proxy, "web", NULL, "accepted", 3);
    pair_close(&leaves);
    wait_until(!srv_listed(&scene, 0));
    proxy_stop(scene.proxy);
}

static void weights_that_change_move_nobody(void **state)
{
    struct srv scene;
    struct pair pair;

    (void)state;
    srv_bind(&scene);
    srv_answer(srv_text(&scene, 0, "1 1"), srv_text(&scene, 1, "2 1"), "");
    srv_start(&scene, SRV_LINE "\n");
    wait_until(srv_listed(&scene, 0));
    pair = srv_connect(&scene, 0);
    proxy_mark(scene.proxy);
    srv_answer(srv_text(&scene, 0, "2 1"), srv_text(&scene, 1, "1 1"), "");
    proxy_line(scene.proxy,
               "^resolve name=_web._tcp.example records=2 added=0 removed=0$");
    struct pair other = srv_connect(&scene, 1);
    pair_ping(&pair);
    pair_ping(&other);
    proxy_stop(scene.proxy);
}

/* What a check has found holds on over answers, and checks go on. */
static void checks_go_on_over_answers(void **state)
{
    struct srv scene;
    char pattern[200];

    (void)state;
    srv_bind(&scene);
    srv_answer(srv_text(&scene, 0, "1 1"), srv_text(&scene, 1, "1 1"), "");
    srv_start(&scene, SRV_LINE "\nhealth_check = tcp\nhealth_interval = 60ms\n"
                               "health_rise = 1\nhealth_fall = 2\n");
    wait_until(srv_listed(&scene, 0) && srv_listed(&scene, 1));
    socket_close(scene.listener[0]);
    snprintf(pattern, sizeof(pattern),
             "^upstream service=web address=%s state=down ",
             scene.back[0].text);
    proxy_line(scene.proxy, pattern);
    proxy_mark(scene.proxy);
    for (unsigned i = 0; i < 4; i++) {
        srv_answer(srv_text(&scene, 0, i % 2 ? "1 1" : "1 9"),
                   srv_text(&scene, 1, "1 1"), "");
        proxy_line(scene.proxy, "^resolve name=_web._tcp.example records=2 ");
        assert_non_null(
            strstr(stats_line(scene.proxy, "web", scene.back[0].text),
                   " state=down "));
        proxy_mark(scene.proxy);
    }
    assert_int_equal(proxy_count(scene.proxy, "^upstream "), 0);
    scene.listener[0] = socket_listen(&scene.back[0]);
    snprintf(pattern, sizeof(pattern),
             "^upstream service=web address=%s state=up", scene.back[0].text);
    proxy_line(scene.proxy, pattern);
    proxy_stop(scene.proxy);
}

static void failed_answers_change_nothing(void **state)
{
    static const enum nameserver_code codes[] = {
        NAMESERVER_SERVFAIL, NAMESERVER_NXDOMAIN, NAMESERVER_EMPTY};
    struct srv scene;
    struct pair pair;

    (void)state;
    srv_bind(&scene);
    srv_answer(srv_text(&scene, 0, "1 1"), "", "");
    srv_start(&scene, SRV_LINE "\n");
    wait_until(srv_listed(&scene, 0));
    for (size_t i = 0; i < 4; i++) {
        proxy_mark(scene.proxy);
        if (i < 3) {
            nameserver_refuse(codes[i]);
        } else {
            nameserver_answer_records("0 0 .:0", 0); /* there is no service */
        }
        proxy_line(scene.proxy, "^resolve name=_web._tcp.example error=\"");
        await_answers();
        proxy_reload(scene.proxy);
        await_answers();
        pair = srv_connect(&scene, 0);
        pair_close(&pair);
        srv_answer(srv_text(&scene, 0, "1 1"), "", "");
        proxy_line(
            scene.proxy,
            "^resolve name=_web._tcp.example records=1 added=0 removed=0$");
    }
    proxy_stop(scene.proxy);
}

/* A target that does not resolve is down by its name, and the others go on. */
static void a_target_without_an_address_is_down(void **state)
{
    struct srv scene;
    struct pair pair;

    (void)state;
    srv_bind(&scene);
    srv_answer(srv_text(&scene, 0, "1 1"), "1 1 nowhere.example:80", "");
    srv_start(&scene, SRV_LINE "\n");
    proxy_line(scene.proxy, "^resolve name=nowhere.example error=\"");
    wait_until(srv_listed(&scene, 0));
    assert_non_null(strstr(stats_line(scene.proxy, "web", "nowhere.example:80"),
                           " state=down "));
    pair = srv_connect(&scene, 0);
    pair_close(&pair);
    proxy_stop(scene.proxy);
}

static void without_an_answer_the_name_is_down(void **state)
{
    struct srv scene;

    (void)state;
    srv_bind(&scene);
    nameserver_refuse(NAMESERVER_NXDOMAIN);
    srv_start(&scene, SRV_LINE "\n");
    proxy_line(scene.proxy, "^resolve name=_web._tcp.example error=\"");
    assert_non_null(
        strstr(stats_line(scene.proxy, "web", "srv:_web._tcp.example"),
               " state=down "));
    srv_answer(srv_text(&scene, 2, "1 1"), "", "");
    wait_until(srv_listed(&scene, 2));
    struct pair pair = srv_connect(&scene, 2);
    pair_close(&pair);
    proxy_stop(scene.proxy);
}

static void five_hundred_records_are_all_used(void **state)
{
    static char records[40000];
    size_t length = 0;
    struct srv scene;

    (void)state;
    srv_bind(&scene);
    for (unsigned i = 0; i < 500; i++) {
        length += (size_t)snprintf(records + length, sizeof(records) - length,
                                   "1 %u at-127-2-%u-%u.example:80 ", i,
                                   i / 250, 1 + i % 250);
    }
    nameserver_answer_records(records, 0);
    srv_start(&scene, SRV_LINE "\n");
    proxy_line(scene.proxy,
               "^resolve name=_web._tcp.example records=500 added=500 ");
    wait_until(stats_listed(scene.proxy, "web", "127.2.0.1:80"));
    wait_until(proxy_count(scene.proxy, "^resolve name=at-127-2-") == 500);
    await_answers();
    proxy_mark(scene.proxy);
    proxy_signal(scene.proxy, SIGUSR1);
    wait_until(proxy_count(scene.proxy, "^stats service=web upstream=127\\.2\\."
                                        "[01]\\.[0-9]+:80 ") == 500);
    proxy_stop(scene.proxy);
}

static void udp_sessions_stay(void **state)
{
    struct srv scene;
    struct socket_address session;
    int upstream[2], old, new;

    (void)state;
    srv_bind(&scene);
    for (int i = 0; i < 2; i++) {
        upstream[i] = udp_bind(&scene.back[i]);
    }
    srv_answer(srv_text(&scene, 0, "1 1"), "", "");
    scene.proxy =
        proxy_start("[global]\ndrain_timeout = 50ms\n[service web]\n"
                    "mode = udp\nlisten = %s\n" SRV_LINE "\n" SRV_INTERVAL,
                    scene.front.text);
    wait_until(srv_listed(&scene, 0));
    old = udp_connect(NULL, &scene.front);
    udp_send(old, "a", 1);
    udp_expect(upstream[0], "a", 1);
    srv_answer(srv_text(&scene, 1, "1 1"), "", "");
    proxy_line(scene.proxy, " removed=1$");
    udp_send(old, "b", 1);
    udp_expect_from(upstream[0], "b", 1, &session);
    udp_reply(upstream[0], &session, "c", 1);
    udp_expect(old, "c", 1);
    new = udp_connect(NULL, &scene.front);
    udp_send(new, "d", 1);
    udp_expect(upstream[1], "d", 1);
    proxy_stop(scene.proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMES(new_records_are_used_and_the_rest_stays),
        NAMES(weights_that_change_move_nobody),
        NAMES(checks_go_on_over_answers),
        NAMES(failed_answers_change_nothing),
        NAMES(a_target_without_an_address_is_down),
        NAMES(without_an_answer_the_name_is_down),
        NAMES(five_hundred_records_are_all_used),
        NAMES(udp_sessions_stay),
    };

    nameserver_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
