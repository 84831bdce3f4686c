/*
 * SRV names of upstreams: addresses, ports, weights and backups by the records
 * of a name server, which change while connections go on.
 */
#include "command.h"
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

#define LINE      "upstream = srv:_web._tcp.example"
#define INTERVAL  "resolve_interval = 100ms\n"
#define UPSTREAMS 3

/* ---- a service whose upstreams are in SRV records ---- */

struct scene {
    struct loopback front;
    struct loopback back[UPSTREAMS]; /* 127.1.0.1, 127.1.0.2, ... */
    int listener[UPSTREAMS];
    struct proxy *proxy;
};

/* The record of that upstream, with the target "at-127-1-0-N.example". */
static const char *record(const struct scene *scene, int number,
                          const char *priority_and_weight)
{
    static char texts[8][80];
    static unsigned next;
    char *text = texts[next++ % 8];

    snprintf(text, sizeof(texts[0]), "%s at-127-1-0-%d.example:%s ",
             priority_and_weight, number + 1,
             strrchr(scene->back[number].text, ':') + 1);
    return text;
}

static void answer(const char *one, const char *two, const char *three)
{
    char records[400];

    snprintf(records, sizeof(records), "%s%s%s", one, two, three);
    nameserver_answer_records(records, 0);
}

static void scene_bind(struct scene *scene)
{
    static const char *const ip[UPSTREAMS] = {"127.1.0.1", "127.1.0.2",
                                              "127.1.0.3"};

    scene->front = loopback_new();
    for (int i = 0; i < UPSTREAMS; i++) {
        scene->back[i] = loopback_on(ip[i]);
        scene->listener[i] = socket_listen(&scene->back[i]);
    }
}

static void scene_start(struct scene *scene, const char *service)
{
    scene->proxy = proxy_start("[service web]\nlisten = %s\n" INTERVAL "%s",
                               scene->front.text, service);
}

static struct pair scene_connect(const struct scene *scene, int number)
{
    struct pair pair = {.client = socket_connect(&scene->front)};

    pair.upstream = socket_accept(scene->listener[number]);
    pair_ping(&pair);
    return pair;
}

static bool listed(const struct scene *scene, int number)
{
    return stats_listed(scene->proxy, "web", scene->back[number].text);
}

static void await_answers(void)
{
    unsigned asked = nameserver_srv_questions();

    wait_until(nameserver_srv_questions() >= asked + 2);
}

/* ---- what records say ---- */

static void addresses_and_ports_come_from_the_records(void **state)
{
    struct scene scene;
    struct pair pair;

    (void)state;
    scene_bind(&scene);
    answer(record(&scene, 1, "0 5"), "", "");
    scene_start(&scene, LINE "\n");
    proxy_line(scene.proxy,
               "^resolve name=_web._tcp.example records=1 added=1 removed=0$");
    proxy_line(scene.proxy,
               "^resolve name=at-127-1-0-2.example addresses=1 added=1 ");
    wait_until(listed(&scene, 1));
    pair = scene_connect(&scene, 1);
    pair_close(&pair);
    proxy_stop(scene.proxy);
}

static void weights_come_from_the_records(void **state)
{
    struct scene scene;

    (void)state;
    scene_bind(&scene);
    answer(record(&scene, 0, "7 30000"), record(&scene, 1, "7 10000"), "");
    scene_start(&scene, LINE "\nbalance = roundrobin\n");
    wait_until(listed(&scene, 0) && listed(&scene, 1));
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
    struct scene scene;
    struct pair pair;

    (void)state;
    scene_bind(&scene);
    answer(record(&scene, 0, "2 1"), record(&scene, 1, "1 0"), "");
    scene_start(&scene, LINE "\nbalance = roundrobin\n");
    wait_until(listed(&scene, 0) && listed(&scene, 1));
    for (int i = 0; i < 4; i++) {
        pair = scene_connect(&scene, 1);
        pair_close(&pair);
    }
    socket_close(scene.listener[1]);
    pair = scene_connect(&scene, 0);
    pair_close(&pair);
    proxy_stop(scene.proxy);
}

static void options_hold_for_all_upstreams_of_the_line(void **state)
{
    struct scene scene;
    char line[80];
    int backup;

    (void)state;
    scene_bind(&scene);
    answer(record(&scene, 0, "1 1"), record(&scene, 1, "2 1"), "");
    scene_start(&scene, LINE " max_connections=1 proxy_protocol=v1\n");
    wait_until(listed(&scene, 0) && listed(&scene, 1));
    (void)socket_connect(&scene.front);
    (void)socket_accept(scene.listener[0]);
    (void)socket_connect(&scene.front);
    backup = socket_accept(scene.listener[1]);
    assert_true(wait_readable(backup, 10000));
    assert_true(recv(backup, line, sizeof(line), 0) > 6);
    assert_memory_equal(line, "PROXY ", 6);
    proxy_stop(scene.proxy);
}

/* ---- answers that change ---- */

static void new_records_are_used_and_the_rest_stays(void **state)
{
    struct scene scene;
    struct pair leaves, stays, new;

    (void)state;
    scene_bind(&scene);
    answer(record(&scene, 0, "1 1"), "", "");
    scene_start(&scene, LINE "\nbalance = roundrobin\n");
    wait_until(listed(&scene, 0));
    leaves = scene_connect(&scene, 0);
    answer(record(&scene, 0, "1 1"), record(&scene, 1, "2 1"), "");
    proxy_line(scene.proxy, "^resolve name=_web._tcp.example records=2 ");
    wait_until(listed(&scene, 1));
    answer(record(&scene, 1, "1 1"), "", "");
    proxy_line(scene.proxy,
               "^resolve name=_web._tcp.example records=1 added=0 removed=1");
    stays = scene_connect(&scene, 1);
    answer(record(&scene, 1, "5 9"), record(&scene, 2, "6 1"), "");
    proxy_line(scene.proxy, "^resolve name=_web._tcp.example records=2 ");
    wait_until(listed(&scene, 2));
    new = scene_connect(&scene, 1);
    pair_ping(&leaves);
    pair_ping(&stays);
    pair_ping(&new);
    stats_await(scene.proxy, "web", scene.back[1].text, "total", 2);
    stats_await(scene.proxy, "web", NULL, "accepted", 3);
    pair_close(&leaves);
    wait_until(!listed(&scene, 0));
    proxy_stop(scene.proxy);
}

static void weights_that_change_move_nobody(void **state)
{
    struct scene scene;
    struct pair pair;

    (void)state;
    scene_bind(&scene);
    answer(record(&scene, 0, "1 1"), record(&scene, 1, "2 1"), "");
    scene_start(&scene, LINE "\n");
    wait_until(listed(&scene, 0));
    pair = scene_connect(&scene, 0);
    proxy_mark(scene.proxy);
    answer(record(&scene, 0, "2 1"), record(&scene, 1, "1 1"), "");
    proxy_line(scene.proxy,
               "^resolve name=_web._tcp.example records=2 added=0 removed=0$");
    struct pair other = scene_connect(&scene, 1);
    pair_ping(&pair);
    pair_ping(&other);
    proxy_stop(scene.proxy);
}

/* What a check has found holds on over answers, and checks go on. */
static void checks_go_on_over_answers(void **state)
{
    struct scene scene;
    char pattern[200];

    (void)state;
    scene_bind(&scene);
    answer(record(&scene, 0, "1 1"), record(&scene, 1, "1 1"), "");
    scene_start(&scene, LINE "\nhealth_check = tcp\nhealth_interval = 60ms\n"
                             "health_rise = 1\nhealth_fall = 2\n");
    wait_until(listed(&scene, 0) && listed(&scene, 1));
    socket_close(scene.listener[0]);
    snprintf(pattern, sizeof(pattern),
             "^upstream service=web address=%s state=down ",
             scene.back[0].text);
    proxy_line(scene.proxy, pattern);
    proxy_mark(scene.proxy);
    for (unsigned i = 0; i < 4; i++) {
        answer(record(&scene, 0, i % 2 ? "1 1" : "1 9"),
               record(&scene, 1, "1 1"), "");
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
    struct scene scene;
    struct pair pair;

    (void)state;
    scene_bind(&scene);
    answer(record(&scene, 0, "1 1"), "", "");
    scene_start(&scene, LINE "\n");
    wait_until(listed(&scene, 0));
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
        pair = scene_connect(&scene, 0);
        pair_close(&pair);
        answer(record(&scene, 0, "1 1"), "", "");
        proxy_line(
            scene.proxy,
            "^resolve name=_web._tcp.example records=1 added=0 removed=0$");
    }
    proxy_stop(scene.proxy);
}

/* A target that does not resolve is down by its name, and the others go on. */
static void a_target_without_an_address_is_down(void **state)
{
    struct scene scene;
    struct pair pair;

    (void)state;
    scene_bind(&scene);
    answer(record(&scene, 0, "1 1"), "1 1 nowhere.example:80", "");
    scene_start(&scene, LINE "\n");
    proxy_line(scene.proxy, "^resolve name=nowhere.example error=\"");
    wait_until(listed(&scene, 0));
    assert_non_null(strstr(stats_line(scene.proxy, "web", "nowhere.example:80"),
                           " state=down "));
    pair = scene_connect(&scene, 0);
    pair_close(&pair);
    proxy_stop(scene.proxy);
}

static void without_an_answer_the_name_is_down(void **state)
{
    struct scene scene;

    (void)state;
    scene_bind(&scene);
    nameserver_refuse(NAMESERVER_NXDOMAIN);
    scene_start(&scene, LINE "\n");
    proxy_line(scene.proxy, "^resolve name=_web._tcp.example error=\"");
    assert_non_null(
        strstr(stats_line(scene.proxy, "web", "srv:_web._tcp.example"),
               " state=down "));
    answer(record(&scene, 2, "1 1"), "", "");
    wait_until(listed(&scene, 2));
    struct pair pair = scene_connect(&scene, 2);
    pair_close(&pair);
    proxy_stop(scene.proxy);
}

static void five_hundred_records_are_all_used(void **state)
{
    static char records[40000];
    size_t length = 0;
    struct scene scene;

    (void)state;
    scene_bind(&scene);
    for (unsigned i = 0; i < 500; i++) {
        length += (size_t)snprintf(records + length, sizeof(records) - length,
                                   "1 %u at-127-2-%u-%u.example:80 ", i,
                                   i / 250, 1 + i % 250);
    }
    nameserver_answer_records(records, 0);
    scene_start(&scene, LINE "\n");
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
    struct scene scene;
    struct socket_address session;
    int upstream[2], old, new;

    (void)state;
    scene_bind(&scene);
    for (int i = 0; i < 2; i++) {
        upstream[i] = udp_bind(&scene.back[i]);
    }
    answer(record(&scene, 0, "1 1"), "", "");
    scene.proxy = proxy_start("[global]\ndrain_timeout = 50ms\n[service web]\n"
                              "mode = udp\nlisten = %s\n" LINE "\n" INTERVAL,
                              scene.front.text);
    wait_until(listed(&scene, 0));
    old = udp_connect(NULL, &scene.front);
    udp_send(old, "a", 1);
    udp_expect(upstream[0], "a", 1);
    answer(record(&scene, 1, "1 1"), "", "");
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

/* ---- when it asks ---- */

/* After a second, though the interval is an hour. */
static void records_are_asked_for_again_when_they_expire(void **state)
{
    struct scene scene;
    unsigned asked;

    (void)state;
    scene_bind(&scene);
    nameserver_answer_records(record(&scene, 0, "1 1"), 1);
    asked = nameserver_srv_questions();
    scene.proxy = proxy_start("[service web]\nlisten = %s\n" LINE "\n"
                              "resolve_interval = 1h\n",
                              scene.front.text);
    wait_until(nameserver_srv_questions() >= asked + 3);
    proxy_stop(scene.proxy);
}

static void equal_names_are_asked_once(void **state)
{
    struct scene scene;
    unsigned asked = nameserver_srv_questions();

    (void)state;
    scene_bind(&scene);
    nameserver_answer_records(record(&scene, 0, "1 1"), 3600);
    scene.proxy = proxy_start("[service web]\nlisten = %s\n" LINE
                              "\n[service two]\nlisten = %s\n"
                              "upstream = srv:_WEB._tcp.example backup\n",
                              scene.front.text, loopback_new().text);
    wait_until(listed(&scene, 0));
    wait_until(stats_listed(scene.proxy, "two", scene.back[0].text));
    assert_int_equal(nameserver_srv_questions() - asked, 1);
    proxy_stop(scene.proxy);
}

static void a_silent_server_delays_nothing(void **state)
{
    struct scene scene;
    int64_t begun_ms = wait_now_ms();

    (void)state;
    scene_bind(&scene);
    nameserver_be_silent();
    scene_start(&scene, LINE "\n");
    proxy_reload(scene.proxy);
    proxy_stop(scene.proxy);
    assert_in_range(wait_now_ms() - begun_ms, 0, 4500); /* a lookup takes 5 s */
}

/* ---- answers that are lies ---- */

static void lies_change_nothing(void **state)
{
    static const enum nameserver_lie lies[] = {
        NAMESERVER_OTHER_ID, NAMESERVER_OTHER_QUESTION, NAMESERVER_OTHER_OWNER,
        NAMESERVER_GARBAGE};
    struct scene scene;

    (void)state;
    nameserver_be_given_up_soon(true);
    scene_bind(&scene);
    answer(record(&scene, 0, "1 1"), "", "");
    scene_start(&scene, LINE "\n");
    wait_until(listed(&scene, 0));
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        proxy_mark(scene.proxy);
        answer(record(&scene, 1, "1 1"), "", "");
        nameserver_lie(lies[i]);
        proxy_line(scene.proxy, "^resolve name=_web._tcp.example error=\"");
        struct pair pair = scene_connect(&scene, 0);
        pair_close(&pair);
        assert_false(listed(&scene, 1));
        answer(record(&scene, 0, "1 1"), "", "");
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
    path = command_check(&result, "target.ini", CHECKED LINE);
    assert_int_equal(result.status, 0);
    snprintf(expected, sizeof(expected),
             "%s:3: warning: srv:_web._tcp.example: its target nowhere.example "
             "does not resolve: ",
             path);
    assert_non_null(strstr(result.err, expected));
    nameserver_refuse(NAMESERVER_NXDOMAIN);
    command_check(&result, "none.ini", CHECKED LINE);
    assert_int_equal(result.status, 0);
    assert_non_null(strstr(
        result.err, ":3: warning: srv:_web._tcp.example does not resolve: "));
    nameserver_answer_records("1 1 at-127-0-0-1.example:81", 60);
    command_check(&result, "loop.ini", CHECKED LINE);
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
        NAMES(new_records_are_used_and_the_rest_stays),
        NAMES(weights_that_change_move_nobody),
        NAMES(checks_go_on_over_answers),
        NAMES(failed_answers_change_nothing),
        NAMES(a_target_without_an_address_is_down),
        NAMES(without_an_answer_the_name_is_down),
        NAMES(five_hundred_records_are_all_used),
        NAMES(udp_sessions_stay),
        NAMES(records_are_asked_for_again_when_they_expire),
        NAMES(equal_names_are_asked_once),
        NAMES(a_silent_server_delays_nothing),
        NAMES(lies_change_nothing),
        NAMES(the_check_looks_targets_up_too),
    };

    nameserver_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
