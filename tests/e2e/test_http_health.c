/* The health that evproxy tells over HTTP: of the process and its services. */
#include "delay.h"
#include "fixture.h"
#include "http.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"
#include "watched.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

static void health_of_a_service_follows_its_upstreams(void **state)
{
    struct watched watched;

    (void)state;
    watched_open(&watched, "",
                 "health_check = tcp\nhealth_interval = 50ms\n"
                 "health_fall = 1\nhealth_rise = 1\n");
    assert_int_equal(http_status(&watched.http, "/healthz/web"), 200);
    socket_close(watched.fixture.listener);
    wait_until(http_status(&watched.http, "/healthz/web") == 503);
    assert_int_equal(http_status(&watched.http, "/healthz"), 200);
    watched.fixture.listener = socket_listen(&watched.fixture.back);
    wait_until(http_status(&watched.http, "/healthz/web") == 200);
    fixture_close(&watched.fixture);
}

static void in_a_drain_it_is_alive_but_not_healthy(void **state)
{
    struct watched watched;
    struct http_reply reply;

    (void)state;
    watched_open(&watched, "drain_timeout = 1h", "");
    struct pair pair = pair_establish(&watched.fixture);
    assert_int_equal(http_status(&watched.http, "/healthz"), 200);
    proxy_mark(watched.fixture.proxy);
    proxy_signal(watched.fixture.proxy, SIGTERM);
    proxy_line(watched.fixture.proxy, "^stopping ");
    reply = http_get(&watched.http, "/healthz");
    assert_int_equal(reply.status, 503);
    assert_string_equal(reply.body, "stopping\n");
    http_free(&reply);
    assert_int_equal(http_status(&watched.http, "/healthz/web"), 503);
    assert_int_equal(http_status(&watched.http, "/healthz/nope"), 404);
    assert_int_equal(http_status(&watched.http, "/livez"), 200);
    assert_true(http_metric(&watched.http, "evproxy_stopping") == 1);
    assert_true(http_metric(&watched.http, "evproxy_active{service=\"web\"}") ==
                1);
    pair_ping(&pair);
    pair_close(&pair);
    socket_close_all();
    assert_int_equal(proxy_wait(watched.fixture.proxy), 0);
}

/* The threads of the proxy but the first, into a list. */
static unsigned other_threads(const struct proxy *proxy, pid_t *list,
                              unsigned size)
{
    char path[64];
    DIR *directory;
    const struct dirent *entry;
    unsigned count = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)proxy_pid(proxy));
    directory = opendir(path);
    assert_non_null(directory);
    while ((entry = readdir(directory)) != NULL && count < size) {
        pid_t id = (pid_t)atoi(entry->d_name);

        if (id > 0 && id != proxy_pid(proxy)) {
            list[count++] = id;
        }
    }
    closedir(directory);
    return count;
}

static void a_worker_that_stands_still_is_told_within_ten_seconds(void **state)
{
    pid_t threads[32];
    struct watched watched;
    unsigned count;
    struct stopwatch watch;
    int status;

    (void)state;
    watched_open(&watched, "workers = 2", "");
    assert_int_equal(http_status(&watched.http, "/livez"), 200);
    count = other_threads(watched.fixture.proxy, threads, 32);
    assert_in_range(count, 2, 31);
    for (unsigned i = 0; i < count; i++) {
        if (ptrace(PTRACE_SEIZE, threads[i], NULL, NULL) < 0) {
            fixture_close(&watched.fixture);
            skip_because("ptrace is not allowed");
        }
        ptrace(PTRACE_INTERRUPT, threads[i], NULL, NULL);
        assert_int_equal(waitpid(threads[i], &status, __WALL), threads[i]);
    }
    watch = stopwatch_start();
    while (http_status(&watched.http, "/livez") == 200) {
        stopwatch_expect(&watch, 0, 10000);
        wait_sleep(100);
    }
    for (unsigned i = 0; i < count; i++) {
        ptrace(PTRACE_DETACH, threads[i], NULL, NULL);
    }
    wait_until(http_status(&watched.http, "/livez") == 200);
    fixture_close(&watched.fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(health_of_a_service_follows_its_upstreams),
        E2E(in_a_drain_it_is_alive_but_not_healthy),
        E2E(a_worker_that_stands_still_is_told_within_ten_seconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
