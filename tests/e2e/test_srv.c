/*
 * SRV names of upstreams: addresses, ports, weights and backups by the records
 * of a name server.
 */
#include "command.h"
#include "delay.h"
#include "nameserver.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "srv.h"
#include "stats.h"
#include "teardown.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

/* ---- what records say ---- */

static void addresses_and_ports_come_from_the_records(void **state)
{
    struct srv scene;
    struct pair pair;

    (void)state;
    srv_bind(&scene);
    srv_answer(srv_text(&scene, 1, "0 5"), "", "");
    srv_start(&scene, SRV_LINE "\n");
    proxy_line(scene.proxy,
               "^resolve name=_web._tcp.example records=1 added=1 removed=0$");
    proxy_line(scene.proxy,
               "^resolve name=at-127-1-0-2.example addresses=1 added=1 ");
    wait_until(srv_listed(&scene, 1));
    pair = srv_connect(&scene, 1);
    pair_close(&pair);
    proxy_stop(scene.proxy);
}

static void weights_come_from_the_records(void **state)
{
    struct srv scene;

    (void)state;
    srv_bind(&scene);
    srv_answer(srv_text(&scene, 0, "7 30000"), srv_text(&scene, 1, "7 10000"),
               "");
    srv_start(&scene, SRV_LINE "\nbalance = roundrobin\n");
    wait_until(srv_listed(&scene, 0) && srv_listed(&scene, 1));
    for (int i = 0; i < 8; i++) {
        (void)socket_connect(&scene.front);
    }
    for (int i = 0; i < 8; i++) {
        (void)socket_accept(scene.listener[i < 6 ? 0 : 1]);
    }
    assert_int_equal(
        stats_get(scene.proxy, "web", scene.back[0].text, "active"), 6);
    assert_int_equal(
        stats_get(scene.proxy, "web", scene.back[1].text, "active"), 2);
    proxy_stop(scene.proxy);
}

static void a_priority_above_the_lowest_is_a_backup(void **state)
{
    struct srv scene;
    struct pair pair;

    (void)state;
    srv_bind(&scene);
    srv_answer(srv_text(&scene, 0, "2 1"), srv_text(&scene, 1, "1 0"), "");
    srv_start(&scene, SRV_LINE "\nbalance = roundrobin\n");
    wait_until(srv_listed(&scene, 0) && srv_listed(&scene, 1));
    for (int i = 0; i < 4; i++) {
        pair = srv_connect(&scene, 1);
        pair_close(&pair);
    }
    socket_close(scene.listener[1]);
    pair = srv_connect(&scene, 0);
    pair_close(&pair);
    proxy_stop(scene.proxy);
}

static void options_hold_for_all_upstreams_of_the_line(void **state)
{
    struct srv scene;
    char line[80];
    int backup;

    (void)state;
    srv_bind(&scene);
    srv_answer(srv_text(&scene, 0, "1 1"), srv_text(&scene, 1, "2 1"), "");
    srv_start(&scene, SRV_LINE " max_connections=1 proxy_protocol=v1\n");
    wait_until(srv_listed(&scene, 0) && srv_listed(&scene, 1));
    (void)socket_connect(&scene.front);
    (void)socket_accept(scene.listener[0]);
    (void)socket_connect(&scene.front);
    backup = socket_accept(scene.listener[1]);
    assert_true(wait_readable(backup, 10000));
    assert_true(recv(backup, line, sizeof(line), 0) > 6);
    assert_memory_equal(line, "PROXY ", 6);
    proxy_stop(scene.proxy);
}

/* ---- when it asks ---- */

/* After a second, though the interval is an hour. */
static void records_are_asked_for_again_when_they_expire(void **state)
{
    struct srv scene;
    unsigned asked;

    (void)state;
    srv_bind(&scene);
    nameserver_answer_records(srv_text(&scene, 0, "1 1"), 1);
    asked = nameserver_srv_questions();
    scene.proxy = proxy_start("[service web]\nlisten = %s\n" SRV_LINE "\n"
                              "resolve_interval = 1h\n",
                              scene.front.text);
    wait_until(nameserver_srv_questions() >= asked + 3);
    proxy_stop(scene.proxy);
}

static void equal_names_are_asked_once(void **state)
{
    struct srv scene;
    unsigned asked = nameserver_srv_questions();

    (void)state;
    srv_bind(&scene);
    nameserver_answer_records(srv_text(&scene, 0, "1 1"), 3600);
    scene.proxy = proxy_start("[service web]\nlisten = %s\n" SRV_LINE
                              "\n[service two]\nlisten = %s\n"
                              "upstream = srv:_WEB._tcp.example backup\n",
                              scene.front.text, loopback_new().text);
    wait_until(srv_listed(&scene, 0));
    wait_until(stats_listed(scene.proxy, "two", scene.back[0].text));
    assert_int_equal(nameserver_srv_questions() - asked, 1);
    proxy_stop(scene.proxy);
}

static void a_silent_server_delays_nothing(void **state)
{
    struct srv scene;
    struct stopwatch watch = stopwatch_start();

    (void)state;
    srv_bind(&scene);
    nameserver_be_silent();
    srv_start(&scene, SRV_LINE "\n");
    proxy_reload(scene.proxy);
    proxy_stop(scene.proxy);
    stopwatch_expect(&watch, 0, 4500); /* a lookup takes 5 s */
}

/* ---- answers that are lies ---- */

static void lies_change_nothing(void **state)
{
    static const enum nameserver_lie lies[] = {
        NAMESERVER_OTHER_ID, NAMESERVER_OTHER_QUESTION, NAMESERVER_OTHER_OWNER,
        NAMESERVER_GARBAGE};
    struct srv scene;

    (void)state;
    nameserver_be_given_up_soon(true);
    srv_bind(&scene);
    srv_answer(srv_text(&scene, 0, "1 1"), "", "");
    srv_start(&scene, SRV_LINE "\n");
    wait_until(srv_listed(&scene, 0));
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        proxy_mark(scene.proxy);
        srv_answer(srv_text(&scene, 1, "1 1"), "", "");
        nameserver_lie(lies[i]);
        proxy_line(scene.proxy, "^resolve name=_web._tcp.example error=\"");
        struct pair pair = srv_connect(&scene, 0);
        pair_close(&pair);
        assert_false(srv_listed(&scene, 1));
        srv_answer(srv_text(&scene, 0, "1 1"), "", "");
        proxy_line(scene.proxy, "^resolve name=_web._tcp.example records=1 ");
    }
    proxy_stop(scene.proxy);
    nameserver_be_given_up_soon(false);
}

/* ---- the check ---- */

#define CHECKED "[service web]\nlisten = 127.0.0.1:81\n"

static void the_check_looks_targets_up_too(void **state)
{
    struct command_result result;
    const char *path;
    char expected[256];

    (void)state;
    nameserver_answer_records("1 1 nowhere.example:80 1 1 "
                              "at-127-0-0-1.example:80",
                              60);
    path = command_check(&result, "target.ini", CHECKED SRV_LINE);
    assert_int_equal(result.status, 0);
    snprintf(expected, sizeof(expected),
             "%s:3: warning: srv:_web._tcp.example: its target nowhere.example "
             "does not resolve: ",
             path);
    assert_non_null(strstr(result.err, expected));
    nameserver_refuse(NAMESERVER_NXDOMAIN);
    command_check(&result, "none.ini", CHECKED SRV_LINE);
    assert_int_equal(result.status, 0);
    assert_non_null(strstr(
        result.err, ":3: warning: srv:_web._tcp.example does not resolve: "));
    nameserver_answer_records("1 1 at-127-0-0-1.example:81", 60);
    command_check(&result, "loop.ini", CHECKED SRV_LINE);
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.err,
                           ":3: upstream srv:_web._tcp.example resolves to "
                           "127.0.0.1:81, which "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMES(addresses_and_ports_come_from_the_records),
        NAMES(weights_come_from_the_records),
        NAMES(a_priority_above_the_lowest_is_a_backup),
        NAMES(options_hold_for_all_upstreams_of_the_line),
        NAMES(records_are_asked_for_again_when_they_expire),
        NAMES(equal_names_are_asked_once),
        NAMES(a_silent_server_delays_nothing),
        NAMES(lies_change_nothing),
        NAMES(the_check_looks_targets_up_too),
    };

    nameserver_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
