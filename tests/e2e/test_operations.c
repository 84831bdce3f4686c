/*
 * Running it: the command line, the signals, reload, the service manager, the
 * log.
 */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the command line ---- */

static int status_of(const char *first, const char *second, const char *third,
                     struct outcome *outcome)
{
    const char *const arguments[] = {"evproxy", first, second, third, NULL};
    run_once(outcome, arguments);
    return outcome->status;
}

static void help_and_version_go_to_standard_output(void **state)
{
    static const char *const flags[] = {"-h", "--help", "-V", "--version"};
    struct outcome outcome;
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(status_of(flags[i], NULL, NULL, &outcome), 0);
        assert_non_null(strstr(outcome.out, "evproxy"));
        assert_string_equal(outcome.err, "");
    }
}

static void wrong_usage_is_status_2_and_says_why(void **state)
{
    static const char *const wrong[][3] = {
        {"-x"},      {"--nonsense"},         {"argument"},
        {"-c"},      {"-l", "127.0.0.1:80"}, {"-u", "127.0.0.1:80"},
        {"-w", "2"}, {"-t", "more"},
    };
    struct outcome outcome;
    (void)state;
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status = status_of(wrong[i][0], wrong[i][1], wrong[i][2], &outcome);
        if (status != 2 || outcome.err[0] == '\0' || outcome.out[0] != '\0') {
            fail_msg("%s: status %d, '%s'", wrong[i][0], status, outcome.err);
        }
    }
}

static void a_file_that_is_not_there_is_status_1(void **state)
{
    struct outcome outcome;
    (void)state;
    assert_int_equal(status_of("-c", "/nonexistent.ini", NULL, &outcome), 1);
    assert_non_null(strstr(outcome.err, "/nonexistent.ini"));
    assert_int_equal(status_of("-t", "-c", "/nonexistent.ini", &outcome), 1);
    assert_non_null(strstr(outcome.err, "/nonexistent.ini"));
}

static void a_good_file_is_ok(void **state)
{
    struct outcome outcome;
    char expected[256];
    (void)state;
    const char *path =
        file_write("good.ini", "# all is well\r\n[service web]\r\n"
                               "listen = 127.0.0.1:81 ; here\r\n"
                               "upstream = 127.0.0.1:80 weight=3\r\n");
    snprintf(expected, sizeof expected, "%s: ok\n", path);
    assert_int_equal(status_of("-t", "-c", path, &outcome), 0);
    assert_int_equal(strncmp(outcome.out, expected, strlen(expected)), 0);
    assert_string_equal(outcome.err, "");
}

/* Each wrong line is told by its number, and starting tells the same. */
static void every_error_is_told_with_its_line(void **state)
{
    static const char text[] = "[global]\n"
                               "workers = lots\n"  /* 2 */
                               "no_such_key = 1\n" /* 3 */
                               "buffer_size = 1\n" /* 4 */
                               "[nonsense]\n"      /* 5 */
                               "[service web]\n"   /* 6: no upstream */
                               "listen = 127.0.0.1:81\n"
                               "idle_timeout = 5 weeks\n" /* 8 */
                               "balance = fairly\n"       /* 9 */
                               "backlog = 1\n"
                               "backlog = 2\n"         /* 11 */
                               "not a pair\n"          /* 12 */
                               "allow = 1.2.3.4/77\n"; /* 13 */
    static const int lines[] = {2, 3, 4, 5, 6, 8, 9, 11, 12, 13};
    struct outcome check;
    struct outcome start;
    (void)state;
    const char *path = file_write("bad.ini", text);
    assert_int_equal(status_of("-t", "-c", path, &check), 1);
    assert_int_equal(status_of("-c", path, NULL, &start), 1);
    assert_null(strstr(check.out, "ok"));
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        char place[256];
        snprintf(place, sizeof place, "%s:%d: ", path, lines[i]);
        if (!strstr(check.err, place) || !strstr(start.err, place)) {
            fail_msg("no line '%s' in:\n%s\nor:\n%s", place, check.err,
                     start.err);
        }
    }
}

static void keys_of_later_builds_are_refused_by_name(void **state)
{
    static const char *const keys[] = {
        "resolve_interval = 10s",
        "upstream = srv:_http._tcp.a.example",
    };
    struct outcome outcome;
    (void)state;
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "[service web]\nlisten = 127.0.0.1:81\n"
                 "upstream = 127.0.0.1:80\n%s\n",
                 keys[i]);
        const char *path = file_write("later.ini", text);
        assert_int_equal(status_of("-t", "-c", path, &outcome), 1);
        if (!strstr(outcome.err, ":4: ") ||
            !strstr(outcome.err, "not available in this build")) {
            fail_msg("%s: %s", keys[i], outcome.err);
        }
    }
}

static void without_a_file_addresses_come_from_the_command_line(void **state)
{
    struct place front[2] = {place_new(), place_new()};
    struct place back[2] = {place_new(), place_new()};
    char list[256];
    (void)state;
    int listener = listen_on(&back[0]);
    int other = listen_on(&back[1]);
    snprintf(list, sizeof list, "%s weight=1,%s backup", back[0].text,
             back[1].text);
    const char *const arguments[] = {"evproxy",     "-l", front[0].text, "-l",
                                     front[1].text, "-u", list,          "-w",
                                     "1",           NULL};
    const struct launch launch = {.arguments = arguments};
    struct proxy *proxy = proxy_launch(&launch, NULL);
    assert_int_equal(line_number(proxy_line(proxy, "^ready "), "workers"), 1);
    for (int i = 0; i < 2; i++) {
        int fd = dial(&front[i]);
        send_text(fd, "by hand");
        expect_text(take(listener), "by hand");
    }
    assert_false(pending(other, 0));
    proxy_reload(proxy);
    hang_up(dial(&front[0]));
    proxy_stop(proxy);
}

static void an_address_in_use_does_not_start(void **state)
{
    const struct launch launch = {.unready = true};
    struct place front = place_new();
    char config[256];
    (void)state;
    listen_on(&front);
    snprintf(config, sizeof config,
             "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n",
             front.text);
    struct proxy *proxy = proxy_launch(&launch, config);
    assert_int_equal(proxy_wait(proxy), 1);
    proxy_line(proxy, front.text);
}

/* ---- reload ---- */

enum { BUSY = 5000 };

static void ask_all(const struct pair *pairs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        send_text(pairs[i].client, "ping");
    }
}

static void answer_all(const struct pair *pairs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        expect_text(pairs[i].upstream, "ping");
        send_text(pairs[i].upstream, "pong");
    }
    for (unsigned i = 0; i < count; i++) {
        expect_text(pairs[i].client, "pong");
    }
}

static void ping_all(const struct pair *pairs, unsigned count)
{
    ask_all(pairs, count);
    answer_all(pairs, count);
}

static void reload_touches_no_established_connection(void **state)
{
    static struct pair pairs[BUSY];
    struct scene scene;
    struct place other = place_new();
    struct flow out = {.bytes = 256 * 1024 * 1024, .finish = true};
    unsigned busy = BUSY;
    (void)state;
    if (test_slow()) {
        out.bytes /= 16;
        busy /= 5;
    }
    scene_open(&scene, "", "");
    for (unsigned i = 0; i < busy; i++) {
        pairs[i] = scene_pair(&scene);
    }
    struct pair stream = scene_pair(&scene);
    struct flow in = out;
    out.fd = stream.client;
    in.fd = stream.upstream;
    flow_send(&out);
    flow_receive(&in);
    ask_all(pairs, busy);
    proxy_configure(scene.proxy, "[service new]\nlisten = %s\nupstream = %s\n",
                    other.text,
                    scene.back.text); /* web is gone, with its upstream */
    proxy_reload(scene.proxy);
    answer_all(pairs, busy);
    struct pair born = {.client = dial(&other)};
    born.upstream = take(scene.listener);
    ask_all(&born, 1);
    ask_all(pairs, busy);
    assert_int_equal(dial_try(NULL, &scene.front), -1);
    assert_int_equal(errno, ECONNREFUSED);
    proxy_configure(scene.proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n"
                    "idle_timeout = 1m\n",
                    scene.front.text, scene.back.text);
    proxy_reload(scene.proxy);
    answer_all(pairs, busy);
    answer_all(&born, 1);
    flow_join(&out);
    flow_join(&in);
    scene_close(&scene);
}

/* Its connections are still there, so it is listed still, and once only. */
static void a_service_that_comes_back_goes_on_with_its_counters(void **state)
{
    struct scene scene;
    struct place other = place_new();
    (void)state;
    scene_open(&scene, "", "");
    struct pair old = scene_pair_open(&scene);
    proxy_configure(scene.proxy, "[service new]\nlisten = %s\nupstream = %s\n",
                    other.text, scene.back.text);
    proxy_reload(scene.proxy);
    proxy_configure(scene.proxy, "[service web]\nlisten = %s\nupstream = %s\n",
                    scene.front.text, scene.back.text);
    proxy_reload(scene.proxy);
    ping_all(&old, 1);
    assert_int_equal(stat_get(scene.proxy, "web", NULL, "active"), 1);
    assert_int_equal(stat_get(scene.proxy, "web", scene.back.text, "total"), 1);
    scene_close(&scene);
}

static void a_removed_service_is_listed_until_its_last_connection(void **state)
{
    struct scene scene;
    struct place other = place_new();
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair_open(&scene);
    proxy_configure(scene.proxy, "[service new]\nlisten = %s\nupstream = %s\n",
                    other.text, scene.back.text);
    proxy_reload(scene.proxy);
    assert_int_equal(stat_get(scene.proxy, "web", NULL, "active"), 1);
    assert_true(stat_listed(scene.proxy, "web", scene.back.text));
    pair_hang_up(&pair);
    eventually(!stat_listed(scene.proxy, "web", NULL));
    assert_false(stat_listed(scene.proxy, "web", scene.back.text));
    assert_true(stat_listed(scene.proxy, "new", scene.back.text));
    scene_close(&scene);
}

static void counters_go_on_over_reloads(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair_open(&scene);
    proxy_reload(scene.proxy);
    struct pair next = scene_pair_open(&scene);
    stat_await(scene.proxy, "web", NULL, "accepted", 2);
    stat_await(scene.proxy, "web", scene.back.text, "total", 2);
    stat_await(scene.proxy, "web", scene.back.text, "active", 2);
    pair_hang_up(&pair);
    pair_hang_up(&next);
    await_cause(scene.proxy, "client_fin", 2);
    scene_close(&scene);
}

static void a_connection_keeps_the_keys_it_was_born_with(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "idle_timeout = off");
    struct pair old = scene_pair_open(&scene);
    proxy_configure(scene.proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n"
                    "idle_timeout = 150ms\n",
                    scene.front.text, scene.back.text);
    proxy_reload(scene.proxy);
    struct pair new = scene_pair_open(&scene);
    expect_end(new.client);
    await_cause(scene.proxy, "idle_timeout", 1);
    ping_all(&old, 1);
    scene_close(&scene);
}

static void upstreams_come_and_go_by_reload(void **state)
{
    struct scene scene;
    struct place second = place_new();
    (void)state;
    scene_open(&scene, "", "");
    int listener = listen_on(&second);
    struct pair old = scene_pair_open(&scene);
    proxy_configure(scene.proxy, "[service web]\nlisten = %s\nupstream = %s\n",
                    scene.front.text, second.text);
    proxy_reload(scene.proxy);
    proxy_line(scene.proxy,
               "^reloaded generation=2 services=1 upstreams=1( |$)");
    int fd = dial(&scene.front);
    send_text(fd, "to the second");
    expect_text(take(listener), "to the second");
    ping_all(&old, 1);
    scene_close(&scene);
}

/* One line with the place, and all goes on as before. */
static void expect_reload_refused(struct scene *scene, const char *pattern)
{
    proxy_mark(scene->proxy);
    proxy_signal(scene->proxy, SIGHUP);
    proxy_line(scene->proxy, pattern);
    assert_int_equal(proxy_count(scene->proxy, "^reloaded"), 0);
    assert_int_equal(proxy_count(scene->proxy, "^reload refused: "), 1);
    assert_int_equal(stat_get(scene->proxy, NULL, NULL, "generation"), 1);
    scene_pair_open(scene);
}

static void a_refused_reload_changes_nothing(void **state)
{
    struct scene scene;
    struct place taken = place_new();
    (void)state;
    scene_open(&scene, "", "");
    struct pair old = scene_pair_open(&scene);
    proxy_configure(scene.proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n"
                    "balance = badly\n",
                    scene.front.text, scene.back.text);
    expect_reload_refused(&scene, "^reload refused: [^ ]*\\.ini:4: ");
    listen_on(&taken);
    proxy_configure(scene.proxy,
                    "[service new]\nlisten = %s\nupstream = %s\n"
                    "[service web]\nlisten = %s\nupstream = %s\n",
                    place_new().text, scene.back.text, taken.text,
                    scene.back.text);
    expect_reload_refused(&scene, "^reload refused: .*[Aa]ddress");
    assert_false(stat_listed(scene.proxy, "new", NULL));
    proxy_configure(scene.proxy, "%s", "");
    expect_reload_refused(&scene, "^reload refused: ");
    ping_all(&old, 1);
    scene_close(&scene);
}

static void a_key_that_needs_a_restart_is_left_with_a_warning(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "workers = 1\nbuffer_size = 16K", "");
    proxy_configure(scene.proxy,
                    "[global]\nworkers = 2\nbuffer_size = 8K\n"
                    "[service web]\nlisten = %s\nupstream = %s\n",
                    scene.front.text, scene.back.text);
    proxy_reload(scene.proxy);
    proxy_line(scene.proxy, "workers.*restart");
    proxy_line(scene.proxy, "buffer_size.*restart");
    assert_int_equal(stat_get(scene.proxy, NULL, NULL, "workers"), 1);
    scene_pair_open(&scene);
    scene_close(&scene);
}

static void a_hundred_reloads_leave_nothing_behind(void **state)
{
    struct scene scene;
    struct place more = place_new();
    (void)state;
    scene_open(&scene, "", "");
    struct pair held = scene_pair_open(&scene);
    unsigned fds = 0;
    unsigned threads = 0;
    uint64_t resident = 0;
    for (int i = 0; i < 100; i++) {
        bool with = i % 2 == 1;
        proxy_configure(scene.proxy,
                        "[service web]\nlisten = %s\nupstream = %s\n"
                        "%s%s%s%s%s",
                        scene.front.text, scene.back.text,
                        with ? "[service more]\nlisten = " : "",
                        with ? more.text : "", with ? "\nupstream = " : "",
                        with ? scene.back.text : "", with ? "\n" : "");
        proxy_reload(scene.proxy);
        struct pair pair = scene_pair_open(&scene);
        pair_hang_up(&pair);
        stat_await(scene.proxy, NULL, NULL, "active", 1);
        if (i == 10) {
            fds = proxy_entries(scene.proxy, "fd");
            threads = proxy_entries(scene.proxy, "task");
            resident = proxy_resident(scene.proxy);
        }
    }
    proxy_configure(scene.proxy, "[service web]\nlisten = %s\nupstream = %s\n",
                    scene.front.text, scene.back.text);
    proxy_reload(scene.proxy); /* as at the time of the count */
    eventually(proxy_entries(scene.proxy, "fd") <= fds);
    assert_int_equal(proxy_entries(scene.proxy, "task"), threads);
    if (!test_slow()) {
        assert_true(proxy_resident(scene.proxy) < resident + 512 * 1024);
    }
    ping_all(&held, 1);
    scene_close(&scene);
}

/* Each reload comes while others connect, and no listener that stays closes. */
static void clients_connect_all_through_reloads(void **state)
{
    struct place front = place_new();
    struct place back = place_new();
    (void)state;
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n", front.text, back.text);
    int rounds = test_slow() ? 10 : 40;
    for (int round = 0; round < rounds; round++) {
        int fds[25];
        proxy_mark(proxy);
        proxy_signal(proxy, SIGHUP);
        for (int i = 0; i < 25; i++) {
            fds[i] = dial(&front);
            send_text(fds[i], "still here");
        }
        for (int i = 0; i < 25; i++) {
            expect_text(fds[i], "still here");
            hang_up(fds[i]);
        }
        proxy_line(proxy, "^reloaded ");
    }
    await_cause(proxy, "client_fin", 25 * (uint64_t)rounds);
    proxy_stop(proxy);
    server_stop(server);
}

/* ---- the end ---- */

static void after_sigterm_connections_finish_and_no_new_one_comes(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct scene scene;
        scene_open(&scene, "", "");
        struct pair pair = scene_pair_open(&scene);
        proxy_signal(scene.proxy, signals[i]);
        int fd = 0;
        eventually((fd = dial_try(NULL, &scene.front)) < 0);
        assert_int_equal(errno, ECONNREFUSED);
        ping_all(&pair, 1);
        expect_silence(pair.client, 100);
        int64_t begin = time_ms();
        pair_hang_up(&pair);
        hang_up_all(); /* those that came in before the listener closed */
        assert_int_equal(proxy_wait(scene.proxy), 0);
        assert_in_range(time_ms() - begin, 0, 8000);
    }
}

static void a_second_sigterm_ends_at_once(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "drain_timeout = 1h", "");
    struct pair pair = scene_pair_open(&scene);
    proxy_signal(scene.proxy, SIGTERM);
    expect_silence(pair.client, 100);
    ping_all(&pair, 1);
    proxy_signal(scene.proxy, SIGTERM);
    assert_int_equal(proxy_wait(scene.proxy), 0);
    expect_end(pair.client);
}

/* ---- the service manager ---- */

static int notify_open(const char *path)
{
    struct sockaddr_un here = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(here.sun_path, sizeof here.sun_path, "%.100s", path);
    unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof here), 0);
    return fd;
}

/* The next message that has the assignment; WATCHDOG=1 is passed over. */
static void expect_notice(int fd, const char *assignment, char *text,
                          size_t size)
{
    for (;;) {
        if (!pending(fd, test_slow() ? 50000 : 10000)) {
            fail_msg("no message with %s", assignment);
        }
        ssize_t count = recv(fd, text, size - 1, 0);
        assert_true(count > 0);
        text[count] = '\0';
        if (strstr(text, assignment)) {
            return;
        }
        assert_non_null(strstr(text, "WATCHDOG=1"));
    }
}

static void the_service_manager_is_told_each_step(void **state)
{
    struct place front = place_new();
    char variable[256];
    char config[512];
    char text[2048];
    char path[160];
    (void)state;
    snprintf(path, sizeof path, "%s", file_path("notify"));
    snprintf(variable, sizeof variable, "NOTIFY_SOCKET=%s", path);
    const char *const environment[] = {variable, NULL};
    const struct launch launch = {.environment = environment};
    int fd = notify_open(path);
    snprintf(config, sizeof config,
             "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n",
             front.text);
    struct proxy *proxy = proxy_launch(&launch, config);
    expect_notice(fd, "READY=1", text, sizeof text);
    hang_up(dial(&front));
    proxy_signal(proxy, SIGHUP);
    expect_notice(fd, "RELOADING=1", text, sizeof text);
    const char *stamp = strstr(text, "MONOTONIC_USEC=");
    assert_non_null(stamp);
    int64_t us = atoll(stamp + strlen("MONOTONIC_USEC="));
    assert_in_range(time_ms() - us / 1000, 0, 50000);
    expect_notice(fd, "READY=1", text, sizeof text);
    proxy_configure(proxy, "%s", "nonsense\n");
    proxy_signal(proxy, SIGHUP);
    expect_notice(fd, "RELOADING=1", text, sizeof text);
    expect_notice(fd, "READY=1", text, sizeof text);
    assert_non_null(strstr(text, "STATUS="));
    proxy_signal(proxy, SIGTERM);
    expect_notice(fd, "STOPPING=1", text, sizeof text);
    assert_int_equal(proxy_wait(proxy), 0);
    close(fd);
}

static void the_watchdog_is_fed_in_time(void **state)
{
    struct place front = place_new();
    char variable[256];
    char config[512];
    char text[2048];
    char path[160];
    (void)state;
    snprintf(path, sizeof path, "%s", file_path("watchdog"));
    snprintf(variable, sizeof variable, "NOTIFY_SOCKET=%s", path);
    const char *const environment[] = {variable, "WATCHDOG_USEC=400000", NULL};
    const struct launch launch = {.environment = environment};
    int fd = notify_open(path);
    snprintf(config, sizeof config,
             "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n",
             front.text);
    struct proxy *proxy = proxy_launch(&launch, config);
    expect_notice(fd, "READY=1", text, sizeof text);
    int64_t last = time_ms();
    for (int i = 0; i < 4; i++) {
        assert_true(pending(fd, test_slow() ? 5000 : 400));
        assert_true(recv(fd, text, sizeof text, 0) > 0);
        assert_int_equal(strncmp(text, "WATCHDOG=1", 10), 0);
        assert_in_range(time_ms() - last, 0, test_slow() ? 5000 : 400);
        last = time_ms();
    }
    proxy_stop(proxy);
    close(fd);
}

static void lines_for_the_journal_carry_their_priority(void **state)
{
    const struct launch launch = {.journal = true};
    struct place front = place_new();
    char config[512];
    (void)state;
    snprintf(config, sizeof config,
             "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n",
             front.text);
    struct proxy *proxy = proxy_launch(&launch, config);
    proxy_line(proxy, "^<6>ready ");
    proxy_signal(proxy, SIGUSR1);
    proxy_line(proxy, "^<6>stats uptime_s=");
    proxy_configure(proxy, "%s", "nonsense\n");
    proxy_signal(proxy, SIGHUP);
    proxy_line(proxy, "^<3>reload refused: ");
    proxy_stop(proxy);
    assert_int_equal(proxy_count(proxy, "^[^<]"), 0);
}

static void a_log_that_nobody_reads_stalls_no_traffic(void **state)
{
    const struct launch launch = {.deaf = true};
    struct place front = place_new();
    struct place back = place_new();
    char config[512];
    (void)state;
    struct server *server = server_start(&back, serve_echo, NULL);
    snprintf(config, sizeof config,
             "[global]\naccess_log = yes\n"
             "[service web]\nlisten = %s\nupstream = %s\n",
             front.text, back.text);
    struct proxy *proxy = proxy_launch(&launch, config);
    int fd = 0;
    eventually((fd = dial_try(NULL, &front)) >= 0);
    for (int i = 0; i < 1500; i++) { /* a pipe holds some 400 lines */
        send_text(fd, "x");
        expect_text(fd, "x");
        hang_up(fd);
        fd = dial(&front);
    }
    for (int i = 0; i < 50; i++) {
        proxy_signal(proxy, SIGUSR1);
        send_text(fd, "y");
        expect_text(fd, "y");
    }
    proxy_stop(proxy);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(help_and_version_go_to_standard_output),
        E2E(wrong_usage_is_status_2_and_says_why),
        E2E(a_file_that_is_not_there_is_status_1),
        E2E(a_good_file_is_ok),
        E2E(every_error_is_told_with_its_line),
        E2E(keys_of_later_builds_are_refused_by_name),
        E2E(without_a_file_addresses_come_from_the_command_line),
        E2E(an_address_in_use_does_not_start),
        E2E(reload_touches_no_established_connection),
        E2E(a_service_that_comes_back_goes_on_with_its_counters),
        E2E(a_removed_service_is_listed_until_its_last_connection),
        E2E(counters_go_on_over_reloads),
        E2E(a_connection_keeps_the_keys_it_was_born_with),
        E2E(upstreams_come_and_go_by_reload),
        E2E(a_refused_reload_changes_nothing),
        E2E(a_key_that_needs_a_restart_is_left_with_a_warning),
        E2E(a_hundred_reloads_leave_nothing_behind),
        E2E(clients_connect_all_through_reloads),
        E2E(after_sigterm_connections_finish_and_no_new_one_comes),
        E2E(a_second_sigterm_ends_at_once),
        E2E(the_service_manager_is_told_each_step),
        E2E(the_watchdog_is_fed_in_time),
        E2E(lines_for_the_journal_carry_their_priority),
        E2E(a_log_that_nobody_reads_stalls_no_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
