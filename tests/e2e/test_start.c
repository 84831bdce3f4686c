/*
 * What a process is started with: signals that come at once, limits, standard
 * streams, users.
 */
#include "expect.h"
#include "file.h"
#include "fixture.h"
#include "loopback.h"
#include "proc.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "wait.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- signals ---- */

/* So long that reading it takes a while. */
static const char *long_config(const struct loopback *front)
{
    enum { NETWORKS = 20000 };
    static char text[NETWORKS * sizeof("allow = 10.255.255.0/24\n") + 256];
    int at =
        sprintf(text, "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n",
                front->text);

    for (int i = 0; i < NETWORKS; i++) {
        at += sprintf(text + at, "allow = 10.%d.%d.0/24\n", i / 256, i % 256);
    }
    return text;
}

/* Starts it, and sends the signal as soon as it has opened its configuration.
 */
static struct proxy *start_and_signal(int signal)
{
    struct loopback front = loopback_new();
    char path[160];
    const char *const arguments[] = {"evproxy", "-c", path, NULL};
    const struct proxy_options options = {.arguments = arguments,
                                          .no_ready = true};
    int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    struct proxy *proxy;

    snprintf(path, sizeof(path), "%s",
             file_write("long.ini", long_config(&front)));
    assert_true(inotify_add_watch(watch, path, IN_OPEN) >= 0);
    proxy = proxy_launch(&options, "%s", "");
    assert_true(wait_events(watch, POLLIN, wait_limit_ms()));
    proxy_signal(proxy, signal);
    close(watch);
    return proxy;
}

static void a_signal_during_the_start_is_obeyed_after_it(void **state)
{
    struct proxy *proxy;
    pid_t old;

    (void)state;
    proxy = start_and_signal(SIGHUP);
    proxy_line(proxy, "^reloaded generation=2 ");
    proxy_stop(proxy);
    proxy = start_and_signal(SIGUSR1);
    proxy_line(proxy, "^stats uptime_s=");
    proxy_stop(proxy);
    proxy = start_and_signal(SIGUSR2);
    old = proxy_pid(proxy);
    proxy_follow(proxy);
    proxy_await_old(old);
    proxy_stop(proxy);
    proxy = start_and_signal(SIGTERM);
    assert_int_equal(proxy_wait(proxy), 0);
    assert_int_equal(proxy_count(proxy, "^ready "), 1);
    assert_int_equal(proxy_count(proxy, "^stopped"), 1);
}

#define LOG_BYTES 4096

static char log_path[160];

/* Its log is a file with a limit. */
static void limit_log(void)
{
    const struct rlimit limit = {LOG_BYTES, LOG_BYTES};
    int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_TRUNC, 0600);

    dup2(fd, STDERR_FILENO);
    close(fd);
    signal(SIGXFSZ, SIG_DFL); /* whatever this program was started with */
    setrlimit(RLIMIT_FSIZE, &limit);
}

/* Lines that were lost, by the last line of that log. */
static uint64_t lost_lines(void)
{
    char text[LOG_BYTES + 1] = "";
    FILE *file = fopen(log_path, "r");
    const char *found;

    assert_non_null(file);
    text[fread(text, 1, LOG_BYTES, file)] = '\0';
    fclose(file);
    found = strstr(text, " log_lost=");
    return found == NULL ? 0 : strtoull(found + strlen(" log_lost="), NULL, 10);
}

static void a_log_at_its_limit_loses_lines_and_no_more(void **state)
{
    const struct proxy_options options = {.prepare = limit_log,
                                          .no_ready = true};
    struct loopback front = loopback_new(), back = loopback_new();
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy;
    int fd = -1;

    (void)state;
    snprintf(log_path, sizeof(log_path), "%s", file_path("limited.log"));
    proxy = proxy_launch(&options,
                         "[global]\naccess_log = yes\n"
                         "[service web]\nlisten = %s\nupstream = %s\n",
                         front.text, back.text);
    wait_until((fd = socket_try_connect(NULL, &front)) >= 0);
    for (int i = 0; i < 100; i++) {
        socket_send_text(fd, "x");
        expect_text(fd, "x");
        socket_close(fd);
        fd = socket_connect(&front);
    }
    proxy_signal(proxy, SIGUSR1); /* lines by the thread of the signals too */
    expect_silence(fd, 100);
    assert_int_equal(truncate(log_path, 0), 0);
    proxy_signal(proxy, SIGUSR1);
    wait_until(lost_lines() >= 50);
    proxy_stop(proxy);
    server_stop(server);
}

/* ---- standard streams ---- */

static unsigned closed_streams; /* a bit for each */

static void close_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (closed_streams & 1u << fd) {
            close(fd);
        }
    }
}

static void expect_null(const struct proxy *proxy, int fd)
{
    char path[64];
    char target[64] = "";

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)proxy_pid(proxy), fd);
    assert_true(readlink(path, target, sizeof(target) - 1) > 0);
    assert_string_equal(target, "/dev/null");
}

static void a_closed_standard_stream_is_dev_null(void **state)
{
    const struct proxy_options options = {.prepare = close_streams,
                                          .no_ready = true};
    struct loopback front = loopback_new(), back = loopback_new();
    int listener = socket_listen(&back);

    (void)state;
    for (closed_streams = 1; closed_streams <= 7; closed_streams++) {
        struct proxy *proxy = proxy_launch(
            &options, "[service web]\nlisten = %s\nupstream = %s\n", front.text,
            back.text);
        int fd = -1;

        wait_until((fd = socket_try_connect(NULL, &front)) >= 0);
        for (int i = 0; i <= 2; i++) {
            if (closed_streams & 1u << i) {
                expect_null(proxy, i);
            }
        }
        proxy_signal(proxy, SIGUSR1);
        socket_send_text(fd, "x");
        int upstream = socket_accept(listener);
        expect_text(upstream, "x");
        socket_close(upstream);
        socket_close(fd);
        proxy_signal(proxy, SIGTERM);
        assert_int_equal(proxy_wait(proxy), 0);
    }
}

/* ---- users ---- */

static void skip_unless_root(void)
{
    if (geteuid() != 0 || getpwnam("nobody") == NULL ||
        getgrnam("daemon") == NULL) {
        skip_because("root, nobody and a group daemon are needed");
    }
}

/* As a unit does that forbids to change the user. */
static void lose_the_right(void)
{
    prctl(PR_CAPBSET_DROP, CAP_SETGID);
    prctl(PR_CAPBSET_DROP, CAP_SETUID);
}

static void a_user_that_cannot_be_changed_gets_a_hint(void **state)
{
    const struct proxy_options options = {.prepare = lose_the_right,
                                          .no_ready = true};
    struct loopback front = loopback_new();
    struct proxy *proxy;

    (void)state;
    skip_unless_root();
    proxy = proxy_launch(&options,
                         "[global]\nuser = nobody\n[service web]\n"
                         "listen = %s\nupstream = 127.0.0.1:1\n",
                         front.text);
    assert_int_equal(proxy_wait(proxy), 1);
    proxy_line(proxy, "cannot set the groups: .*; leave out 'user' and 'group' "
                      "where a service manager sets them");
}

/* Root with another group and an inheritable capability, as a start by hand may
 * have. */
static void have_rights(void)
{
    const gid_t group = 4;
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2];

    syscall(SYS_capget, &header, sets);
    sets[0].inheritable = sets[0].permitted & 1u << CAP_NET_BIND_SERVICE;
    syscall(SYS_capset, &header, sets);
    setgroups(1, &group);
}

static struct proxy *start_with(const struct proxy_options *options,
                                const char *global)
{
    return proxy_launch(
        options, "[global]\n%s\n[service web]\nlisten = %s\nupstream = %s\n",
        global, loopback_new().text, "127.0.0.1:1");
}

/* The line is in the status of every thread. */
static void expect_in_threads(const struct proxy *proxy, const char *line)
{
    char path[320], text[4096];
    DIR *list;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)proxy_pid(proxy));
    list = opendir(path);
    assert_non_null(list);
    for (const struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof(path), "/proc/%d/task/%s/status",
                 (int)proxy_pid(proxy), entry->d_name);
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
        fclose(file);
        if (strstr(text, line) == NULL) {
            fail_msg("no '%s' in %s", line, path);
        }
    }
    closedir(list);
}

static void a_dropped_privilege_cannot_be_had_again(void **state)
{
    static const char *const lines[] = {
        "\nCapInh:\t0000000000000000\n", "\nCapPrm:\t0000000000000000\n",
        "\nCapEff:\t0000000000000000\n", "\nCapBnd:\t0000000000000000\n",
        "\nCapAmb:\t0000000000000000\n", "\nNoNewPrivs:\t1\n",
    };
    const struct proxy_options options = {.prepare = have_rights};
    struct proxy *proxy;

    (void)state;
    skip_unless_root();
    proxy = start_with(&options, "user = nobody");
    for (unsigned i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
        expect_in_threads(proxy, lines[i]);
    }
    proxy_stop(proxy);
}

static void a_group_without_a_user_is_obeyed(void **state)
{
    const struct proxy_options options = {.prepare = have_rights};
    struct proxy *proxy;

    (void)state;
    skip_unless_root();
    proxy = start_with(&options, "group = daemon");
    assert_int_equal(proc_status(proxy, "Uid"), 0);
    assert_int_equal(proc_status(proxy, "Gid"), getgrnam("daemon")->gr_gid);
    assert_int_equal(proc_status(proxy, "Groups"), 0); /* there are none */
    assert_int_equal(proc_status(proxy, "NoNewPrivs"), 1);
    proxy_stop(proxy);
}

static void no_program_that_it_executes_gains_a_privilege(void **state)
{
    struct proxy *proxy;
    pid_t old;

    (void)state;
    proxy = start_with(&(struct proxy_options){0}, "");
    expect_in_threads(proxy, "\nNoNewPrivs:\t1\n");
    old = proxy_upgrade(proxy);
    proxy_await_old(old);
    expect_in_threads(proxy, "\nNoNewPrivs:\t1\n");
    proxy_stop(proxy);
}

/* ---- a reload as another user ---- */

/* The service at all addresses of a port, then at one, and back. exchange sends
 * from a new client to the upstream's socket. */
static void
narrow_and_widen(const char *mode, int upstream, const struct loopback *back,
                 void (*exchange)(const struct loopback *front, int upstream))
{
    static const char text[] = "[global]\nuser = nobody\n[service web]\n"
                               "mode = %s\nlisten = %s\nupstream = %s\n";
    struct loopback all = loopback_on(""), one = loopback_at("127.0.0.1", &all);
    const struct loopback *const listens[] = {&one, &all};
    struct proxy *proxy = proxy_start(text, mode, all.text, back->text);

    for (unsigned i = 0; i < 2; i++) {
        proxy_configure(proxy, text, mode, listens[i]->text, back->text);
        proxy_reload(proxy);
        /* Before and after each worker has taken it over. */
        for (unsigned j = 0; j < 20; j++) {
            exchange(&one, upstream);
            wait_tick();
        }
    }
    proxy_stop(proxy);
}

static void exchange_tcp(const struct loopback *front, int upstream)
{
    int client = socket_connect(front);

    socket_send_text(client, "x");
    expect_text(socket_accept(upstream), "x");
}

static void exchange_udp(const struct loopback *front, int upstream)
{
    udp_send(udp_connect(NULL, front), "x", 1);
    udp_expect(upstream, "x", 1);
}

static void a_reload_as_another_user_narrows_and_widens_tcp(void **state)
{
    struct loopback back = loopback_new();

    (void)state;
    skip_unless_root();
    narrow_and_widen("tcp", socket_listen(&back), &back, exchange_tcp);
}

static void a_reload_as_another_user_narrows_and_widens_udp(void **state)
{
    struct loopback back = loopback_new();

    (void)state;
    skip_unless_root();
    narrow_and_widen("udp", udp_bind(&back), &back, exchange_udp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_signal_during_the_start_is_obeyed_after_it),
        E2E(a_log_at_its_limit_loses_lines_and_no_more),
        E2E(a_closed_standard_stream_is_dev_null),
        E2E(a_user_that_cannot_be_changed_gets_a_hint),
        E2E(a_dropped_privilege_cannot_be_had_again),
        E2E(a_group_without_a_user_is_obeyed),
        E2E(no_program_that_it_executes_gains_a_privilege),
        E2E(a_reload_as_another_user_narrows_and_widens_tcp),
        E2E(a_reload_as_another_user_narrows_and_widens_udp),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
