/*
 * /metrics and /status.json: that they say what the stats lines say, also of
 * ten thousand upstreams, and that nobody waits for that.
 */
#include "expect.h"
#include "fixture.h"
#include "http.h"
#include "loopback.h"
#include "pair.h"
#include "proc.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loopback http;

/* A fixture whose proxy serves HTTP at that address. */
static void open_watched(struct fixture *fixture, const char *service)
{
    char text[256];

    http = loopback_new();
    snprintf(text, sizeof(text), "metrics_listen = %s\n", http.text);
    fixture_open(fixture, text, service);
}

static uint64_t metric(const char *body, const char *format, const char *key)
{
    char series[256];
    double value;

    snprintf(series, sizeof(series), format, key);
    value = http_metric_in(body, series);
    if (value < 0) {
        fail_msg("no %s", series);
    }
    return (uint64_t)value;
}

/* ---- the numbers ---- */

static void use_proxy(struct fixture *fixture)
{
    for (unsigned i = 0; i < 20; i++) {
        struct pair pair = pair_establish(fixture);

        if (i % 4 == 0) {
            socket_reset(pair.client);
        } else if (i % 4 == 1) {
            socket_reset(pair.upstream);
        } else {
            pair_close(&pair);
        }
    }
    stats_await(fixture->proxy, "web", NULL, "active", 0);
}

static void metrics_agree_with_the_stats_lines(void **state)
{
    static const char *const causes[] = {"client_fin", "client_reset",
                                         "upstream_reset", "drain"};
    struct fixture fixture;
    struct http_reply reply;
    const char *line;

    (void)state;
    open_watched(&fixture, "");
    use_proxy(&fixture);
    struct pair pair = pair_establish(&fixture);
    line = stats_line(fixture.proxy, "web", NULL);
    reply = http_get(&http, "/metrics");
    assert_int_equal(
        metric(reply.body, "evproxy_accepted_total{service=\"%s\"}", "web"),
        proxy_line_value(line, "accepted"));
    assert_int_equal(
        metric(reply.body, "evproxy_active{service=\"%s\"}", "web"), 1);
    for (size_t i = 0; i < 4; i++) {
        char key[64];

        snprintf(key, sizeof(key), "ended_%s", causes[i]);
        assert_int_equal(
            metric(reply.body,
                   "evproxy_ended_total{service=\"web\",cause=\"%s\"}",
                   causes[i]),
            proxy_line_value(line, key));
    }
    assert_int_equal(
        metric(reply.body,
               "evproxy_bytes_total{service=\"web\",direction=\"%s\"}", "up"),
        proxy_line_value(line, "bytes_up"));
    line = stats_line(fixture.proxy, "web", fixture.back.text);
    assert_int_equal(metric(reply.body,
                            "evproxy_upstream_connections_total{service=\"web\""
                            ",upstream=\"%s\"}",
                            fixture.back.text),
                     proxy_line_value(line, "total"));
    assert_int_equal(
        metric(reply.body,
               "evproxy_upstream_active{service=\"web\",upstream=\"%s\"}",
               fixture.back.text),
        1);
    http_free(&reply);
    pair_ping(&pair);
    fixture_close(&fixture);
}

/* The second number of net.ipv4.tcp_mem, in bytes; 0: not known. */
static uint64_t tcp_pressure(void)
{
    FILE *file = fopen("/proc/sys/net/ipv4/tcp_mem", "re");
    uint64_t pages = 0;

    if (file != NULL) {
        if (fscanf(file, "%*u %" SCNu64, &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Bytes that nobody reads are memory of the kernel: a tenth of them is seen,
 * whatever other programs do meanwhile. */
static void memory_of_the_kernel_is_told(void **state)
{
    uint64_t pressure = tcp_pressure();
    struct fixture fixture;
    struct http_reply reply;
    char part[96];

    (void)state;
    open_watched(&fixture, "");
    struct pair pair = pair_establish(&fixture);
    uint64_t sent = socket_fill(pair.client, 100);
    wait_until(stats_get(fixture.proxy, NULL, NULL, "kernel_tcp_bytes") >
               sent / 10);
    assert_int_equal(
        stats_get(fixture.proxy, NULL, NULL, "kernel_tcp_pressure_bytes"),
        pressure);
    assert_true(http_metric(&http, "evproxy_kernel_tcp_bytes") > sent / 10);
    assert_true(http_metric(&http, "evproxy_kernel_tcp_pressure_bytes") ==
                (pressure > 0 ? (double)pressure : -1));
    reply = http_get(&http, "/status.json");
    snprintf(part, sizeof(part), ",\"kernel_tcp_pressure_bytes\":%" PRIu64 ",",
             pressure);
    assert_non_null(strstr(reply.body, part));
    assert_non_null(strstr(reply.body, ",\"kernel_tcp_bytes\":"));
    assert_null(strstr(reply.body, ",\"kernel_tcp_bytes\":0,"));
    http_free(&reply);
    socket_reset(pair.client);
    fixture_close(&fixture);
}

static void histograms_count_connects_and_ends(void **state)
{
    static const char duration[] = "evproxy_connection_duration_seconds";
    struct fixture fixture;
    struct http_reply reply;
    char series[256];

    (void)state;
    open_watched(&fixture, "");
    struct pair pair = pair_establish(&fixture);
    wait_sleep(50); /* a duration that can be seen */
    pair_close(&pair);
    use_proxy(&fixture);
    reply = http_get(&http, "/metrics");
    snprintf(series, sizeof(series), "%s_count{service=\"web\"}", duration);
    assert_int_equal(metric(reply.body, series, ""), 21);
    snprintf(series, sizeof(series), "%s_bucket{service=\"web\",le=\"+Inf\"}",
             duration);
    assert_int_equal(metric(reply.body, series, ""), 21);
    snprintf(series, sizeof(series), "%s_bucket{service=\"web\",le=\"0.03\"}",
             duration);
    assert_in_range(metric(reply.body, series, ""), 0, 20);
    snprintf(series, sizeof(series), "%s_sum{service=\"web\"}", duration);
    assert_true(http_metric_in(reply.body, series) >= 0.05);
    assert_int_equal(metric(reply.body,
                            "evproxy_connect_seconds_count{service=\"%s\"}",
                            "web"),
                     21);
    http_free(&reply);
    fixture_close(&fixture);
}

static void failures_and_checks_have_their_cause_and_time(void **state)
{
    struct loopback refusing = server_refusing();
    struct fixture fixture;
    char global[256], series[256];

    (void)state;
    http = loopback_new();
    snprintf(global, sizeof(global), "metrics_listen = %s\n", http.text);
    fixture_open_back(&fixture, &refusing, global,
                      "health_check = tcp\nhealth_interval = 50ms\n"
                      "health_fall = 1000\nfail_threshold = off\n");
    expect_connect_reset(NULL, &fixture.front, NULL);
    snprintf(series, sizeof(series),
             "evproxy_upstream_failures_total{service=\"web\",upstream=\"%s\","
             "cause=\"connect_refused\"}",
             refusing.text);
    wait_until(http_metric(&http, series) >= 1);
    snprintf(series, sizeof(series),
             "evproxy_upstream_failures_total{service=\"web\",upstream=\"%s\","
             "cause=\"connect_timeout\"}",
             refusing.text);
    assert_true(http_metric(&http, series) == 0);
    snprintf(series, sizeof(series),
             "evproxy_upstream_check_seconds{service=\"web\",upstream=\"%s\"}",
             refusing.text);
    wait_until(http_metric(&http, series) > 0);
    fixture_close(&fixture);
}

static void dropped_datagrams_have_their_reason(void **state)
{
    static const char series[] =
        "evproxy_datagrams_dropped_total{service=\"%s\",reason=\"%s\"}";
    struct udp_fixture fixture;
    struct http_reply reply;
    char global[256], name[256];

    (void)state;
    http = loopback_new();
    snprintf(global, sizeof(global), "metrics_listen = %s\n", http.text);
    udp_fixture_open(&fixture, global, "max_connections = 1\n");
    udp_fixture_ping(&fixture, udp_connect(NULL, &fixture.front));
    udp_fixture_expect_refused(&fixture, NULL, "limit_connections");
    reply = http_get(&http, "/metrics");
    snprintf(name, sizeof(name), series, "web", "refused");
    assert_int_equal(metric(reply.body, name, ""), 1);
    snprintf(name, sizeof(name), series, "web", "rate");
    assert_int_equal(metric(reply.body, name, ""), 0);
    assert_null(strstr(reply.body, "evproxy_connect_seconds_count"));
    http_free(&reply);
    udp_fixture_close(&fixture);
}

static void a_state_has_its_cause_and_since_when(void **state)
{
    struct fixture fixture;
    struct http_reply reply;

    (void)state;
    open_watched(&fixture, "health_check = tcp\nhealth_interval = 50ms\n"
                           "health_fall = 1\n");
    reply = http_get(&http, "/status.json");
    assert_non_null(strstr(reply.body, "\"state\":\"up\",\"cause\":null,"));
    http_free(&reply);
    proxy_mark(fixture.proxy);
    socket_close(fixture.listener);
    proxy_line(fixture.proxy, "^upstream .*state=down cause=connect_refused");
    reply = http_get(&http, "/status.json");
    assert_non_null(strstr(
        reply.body, "\"state\":\"down\",\"cause\":\"connect_refused\","));
    assert_null(strstr(reply.body, "\"since\":null"));
    assert_null(strstr(reply.body, "\"check_ms\":null"));
    http_free(&reply);
    fixture_close(&fixture);
}

static void reloads_are_counted_and_services_come_and_go(void **state)
{
    struct fixture fixture;
    double loaded;

    (void)state;
    open_watched(&fixture, "");
    struct pair pair = pair_establish(&fixture);
    loaded = http_metric(&http, "evproxy_reload_timestamp_seconds");
    assert_true(loaded > 1e9);
    assert_true(http_metric(&http, "process_start_time_seconds") <= loaded);
    proxy_configure(fixture.proxy,
                    "[global]\nmetrics_listen = %s\n"
                    "[service new]\nlisten = %s\nupstream = %s\n",
                    http.text, loopback_new().text, fixture.back.text);
    proxy_reload(fixture.proxy);
    assert_true(http_metric(&http, "evproxy_reloads_total{result=\"ok\"}") ==
                1);
    assert_true(http_metric(&http, "evproxy_reload_timestamp_seconds") >
                loaded);
    assert_true(http_metric(&http, "evproxy_active{service=\"web\"}") == 1);
    assert_true(http_metric(&http, "evproxy_active{service=\"new\"}") == 0);
    pair_close(&pair);
    wait_until(http_metric(&http, "evproxy_active{service=\"web\"}") < 0);
    fixture_close(&fixture);
}

/* The first rate of a history, or 0. */
static double first_accepted(const char *body)
{
    static const char before[] = "\"history\":{\"accepted\":[";
    const char *at = strstr(body, before);

    return at != NULL ? strtod(at + strlen(before), NULL) : 0;
}

static void a_history_tells_what_happened(void **state)
{
    struct fixture fixture;
    struct http_reply reply = {.status = 0};

    (void)state;
    open_watched(&fixture, "");
    use_proxy(&fixture);
    struct pair pair = pair_establish(&fixture);
    /* 21 connections in 5 s, or in a little more */
    wait_until((http_free(&reply), reply = http_get(&http, "/status.json"),
                first_accepted(reply.body) > 0));
    assert_true(first_accepted(reply.body) > 1);
    assert_true(first_accepted(reply.body) < 4.4);
    assert_non_null(strstr(reply.body, "\"interval_s\":5,\"accepted\":["));
    assert_non_null(strstr(reply.body, "],\"active\":[1],\"bytes_up\":["));
    assert_null(strstr(reply.body, "\"ended_bad\":[0]"));
    http_free(&reply);
    pair_ping(&pair);
    fixture_close(&fixture);
}

/* ---- ten thousand upstreams ---- */

#define UPSTREAMS 10000

/* A proxy in front of a server and of many upstreams that are backups. */
static struct proxy *start_with_many(const struct loopback *front,
                                     const struct loopback *back)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    struct proxy *proxy;

    assert_non_null(file);
    for (unsigned i = 1; i < UPSTREAMS; i++) {
        fprintf(file, "upstream = 10.1.%u.%u:80 backup\n", i / 250,
                i % 250 + 1);
    }
    fclose(file);
    proxy = proxy_start("[global]\nmetrics_listen = %s\n[service web]\n"
                        "listen = %s\nupstream = %s\n%s",
                        http.text, front->text, back->text, text);
    free(text);
    return proxy;
}

static unsigned count(const char *text, const char *part)
{
    unsigned found = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
        found++;
    }
    return found;
}

static void every_upstream_of_many_is_told(void **state)
{
    struct loopback front = loopback_new(), back = loopback_new();
    struct http_reply reply;
    struct server *server;
    struct proxy *proxy;

    (void)state;
    http = loopback_new();
    server = server_start(&back, serve_echo, NULL);
    proxy = start_with_many(&front, &back);
    reply = http_get(&http, "/metrics");
    assert_non_null(strstr(reply.head, "Transfer-Encoding: chunked"));
    assert_int_equal(count(reply.body, "\nevproxy_upstream_up{"), UPSTREAMS);
    assert_int_equal(count(reply.body, "\nevproxy_upstream_bytes_total{"),
                     2 * UPSTREAMS);
    assert_true(http_metric_in(reply.body, "process_threads") > 1);
    http_free(&reply);
    reply = http_ask(&http, "GET /status.json HTTP/1.0\r\n\r\n");
    assert_null(strstr(reply.head, "Transfer-Encoding"));
    assert_int_equal(count(reply.body, "{\"upstream\":\""), UPSTREAMS);
    assert_string_equal(reply.body + reply.count - 6, "}]}]}\n");
    http_free(&reply);
    proxy_stop(proxy);
    server_stop(server);
}

static atomic_bool reading;

/* Asks for everything and reads it, again and again. */
static void *read_again(void *arg)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\n\r\n";
    char buffer[65536];

    (void)arg;
    while (atomic_load(&reading)) {
        int fd = socket_connect_blocking(&http);

        if (fd < 0) {
            continue;
        }
        send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
        while (recv(fd, buffer, sizeof(buffer), 0) > 0) {
        }
        close(fd);
    }
    return NULL;
}

/* While some ask for everything again and again, and others ask and never read,
 * the main thread answers others at once. */
static void nobody_waits_for_many(void **state)
{
    enum { CROWD = 50, READERS = 4, ROUNDS = 100 };
    pthread_t readers[READERS];
    struct loopback front = loopback_new(), back = loopback_new();
    struct server *server;
    struct proxy *proxy;
    int fds[CROWD];
    unsigned late = 0;
    uint64_t resident;

    (void)state;
    http = loopback_new();
    server = server_start(&back, serve_echo, NULL);
    proxy = start_with_many(&front, &back);
    resident = proc_resident(proxy);
    for (unsigned i = 0; i < CROWD; i++) {
        fds[i] = socket_connect_narrow(&http);
        socket_send_text(fds[i], "GET /metrics HTTP/1.1\r\n\r\n");
    }
    atomic_store(&reading, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_create(&readers[i], NULL, read_again, NULL);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        int64_t begin = wait_now_ms();
        int fd = socket_connect(&http);

        socket_send_text(fd, "GET /healthz HTTP/1.1\r\n\r\n");
        expect_text(fd, "HTTP/1.1 200 OK\r\n");
        late += wait_now_ms() - begin > 50;
        socket_close(fd);
    }
    atomic_store(&reading, false);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    if (!test_slow()) {
        assert_in_range(late, 0, ROUNDS / 4);
        assert_true(proc_resident(proxy) < resident + 40 * 1000 * 1000);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        socket_close(fds[i]);
    }
    proxy_stop(proxy);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(metrics_agree_with_the_stats_lines),
        E2E(memory_of_the_kernel_is_told),
        E2E(histograms_count_connects_and_ends),
        E2E(failures_and_checks_have_their_cause_and_time),
        E2E(dropped_datagrams_have_their_reason),
        E2E(a_state_has_its_cause_and_since_when),
        E2E(reloads_are_counted_and_services_come_and_go),
        E2E(a_history_tells_what_happened),
        E2E(every_upstream_of_many_is_told),
        E2E(nobody_waits_for_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
