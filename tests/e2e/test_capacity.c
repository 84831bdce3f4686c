/*
 * How many connections a configuration can hold: what -t says of it, and that
 * the metrics of a running proxy say the same.
 */
#include "command.h"
#include "expect.h"
#include "file.h"
#include "fixture.h"
#include "http.h"
#include "loopback.h"
#include "network.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A service with that global key, and these lines of its own. */
static const char *write_config(const char *global, const char *service)
{
    static struct loopback front;
    static char path[160], text[1024];

    front = loopback_new();
    snprintf(text, sizeof(text),
             "[global]\nworkers = 2\n%s\n"
             "[service web]\nlisten = %s\n%s\n",
             global, front.text, service);
    snprintf(path, sizeof(path), "%s", file_write("capacity.ini", text));
    return path;
}

/* -t of a good file within so many descriptors. Answers the report. */
static const char *check(const char *path, rlim_t descriptors)
{
    static struct command_result result;
    const char *const arguments[] = {"evproxy", "-t", "-c", path, NULL};
    char ok[192];
    size_t length = (size_t)snprintf(ok, sizeof(ok), "%s: ok\n", path);

    command_run_within(&result, descriptors, arguments);
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, 0);
    assert_int_equal(strncmp(result.out, ok, length), 0);
    return result.out + length;
}

/* The number behind "connections=" or such in the line of that limit. */
static uint64_t number_of(const char *report, const char *line, const char *key)
{
    const char *at = strstr(report, line);
    const char *end = at == NULL ? NULL : strchr(at, '\n');
    const char *value = at == NULL ? NULL : strstr(at, key);

    if (value == NULL || value > end) {
        fail_msg("no '%s' in a line '%s' of:\n%s", key, line, report);
    }
    return strtoull(value + strlen(key), NULL, 10);
}

static uint64_t total_of(const char *report)
{
    assert_int_equal(strncmp(report, "connections=", 12), 0);
    return number_of(report, "connections=", "connections=");
}

/* That limit alone is marked, and has the number of the whole. */
static void expect_first(const char *report, const char *limit)
{
    char line[128];
    const char *first = strstr(report, "first=yes");

    snprintf(line, sizeof(line), "\nlimit=%s connections=%llu first=yes ",
             limit, (unsigned long long)total_of(report));
    if (strstr(report, line) == NULL || strstr(first + 1, "first=yes")) {
        fail_msg("'%s' is not the first of:\n%s", limit, report);
    }
}

static void the_report_names_the_limit_of_descriptors(void **state)
{
    const char *path = write_config("", "upstream = 127.0.0.1:1");
    uint64_t total;

    (void)state;
    total = total_of(check(path, 1000));
    assert_in_range(total, 450, 500);
    expect_first(check(path, 1000), "descriptors");
    assert_int_equal(
        number_of(check(path, 1000), "limit=descriptors", "RLIMIT_NOFILE="),
        1000);
    assert_int_equal(total_of(check(path, 1200)), total + 100);
}

/* What a start within the same limit takes. */
static void a_start_holds_as_many(void **state)
{
    const char *path = write_config("", "upstream = 127.0.0.1:1");
    const char *const arguments[] = {"evproxy", "-c", path, NULL};
    const struct proxy_options options = {.arguments = arguments,
                                          .descriptors = 1000};
    uint64_t total = total_of(check(path, 1000));
    struct proxy *proxy;

    (void)state;
    proxy = proxy_launch(&options, "%s", "");
    assert_int_equal(
        proxy_line_value(proxy_line(proxy, "^ready "), "max_connections"),
        total);
    proxy_stop(proxy);
}

static void limits_of_the_configuration_are_told(void **state)
{
    const char *report;

    (void)state;
    report = check(
        write_config("max_connections = 100", "upstream = 127.0.0.1:1"), 1000);
    expect_first(report, "max_connections");
    assert_int_equal(total_of(report), 100);
    report = check(write_config("max_connections = 100\nbuffer_memory = 2M",
                                "upstream = 127.0.0.1:1 max_connections=90"),
                   1000);
    expect_first(report, "services");
    assert_int_equal(total_of(report), 90);
    assert_int_equal(number_of(report, "limit=buffer_memory", "in_flight="),
                     64);
}

/* The kernel's range of ports, for each pair. */
static void local_ports_are_counted(void **state)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    unsigned first, last;
    uint64_t ports;
    const char *report;

    (void)state;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%u %u", &first, &last), 2);
    fclose(file);
    report = check(write_config("", "upstream = 127.0.0.1:1"), 1000);
    ports = number_of(report, "limit=local_ports", " ports=");
    assert_in_range(ports, 1, last - first + 1);
    assert_int_equal(number_of(report, "limit=local_ports", " connections="),
                     ports);
    report = check(write_config("", "mode = udp\nupstream = 127.0.0.1:1\n"
                                    "upstream = 127.0.0.1:2"),
                   1000);
    assert_int_equal(number_of(report, "limit=local_ports", " connections="),
                     ports);
}

static void each_address_of_a_name_has_local_ports(void **state)
{
    const char *report;

    (void)state;
    test_need_localhost();
    report = check(write_config("", "upstream = 127.0.0.1:1\n"
                                    "upstream = localhost:2\n"
                                    "source_address = 127.0.0.2-127.0.0.4"),
                   1000);
    assert_true(number_of(report, "limit=local_ports", " pairs=") >= 6);
}

/* Without the values of "used=", which other programs change. */
static char *without_used(const char *report)
{
    char *copy = strdup(report);

    assert_non_null(copy);
    for (char *at = copy; (at = strstr(at, " used=")) != NULL;) {
        at += strlen(" used=");
        memmove(at, at + strspn(at, "0123456789"),
                strlen(at + strspn(at, "0123456789")) + 1);
    }
    return copy;
}

static void a_service_is_told_its_own_limits(void **state)
{
    const char *path = write_config("", "upstream = 127.0.0.1:1");
    const char *const arguments[] = {"evproxy", "-t",           "-c",
                                     path,      "--as-service", NULL};
    struct command_result result;
    const char *expected;
    char *one, *other;

    (void)state;
    command_run_within(&result, 1000, arguments);
    assert_int_equal(result.status, 0);
    expected = strstr(result.out, "connections=");
    assert_non_null(expected);
    one = without_used(expected);
    other = without_used(check(path, 1000));
    assert_string_equal(other, one);
    free(one);
    free(other);
}

static void a_bad_file_has_no_report(void **state)
{
    struct command_result result;
    const char *const arguments[] = {
        "evproxy", "-t", "-c",
        write_config("max_connections = 5000", "upstream = 127.0.0.1:1"), NULL};

    (void)state;
    command_run_within(&result, 1000, arguments);
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.err, ":3: max_connections = 5000 is more"));
    assert_string_equal(result.out, "");
}

/* ---- metrics ---- */

static uint64_t gauge(const struct loopback *http, const char *series)
{
    double value = http_metric(http, series);

    if (value < 0) {
        fail_msg("no %s", series);
    }
    return (uint64_t)value;
}

#define HELD(limit) "evproxy_capacity_connections{limit=\"" limit "\"}"

static void metrics_say_the_same_also_after_a_reload(void **state)
{
    struct loopback http = loopback_new(), front = loopback_new();
    char global[512], path[160];
    const char *report;
    struct proxy *proxy;

#define CONFIG "[global]\nmetrics_listen = %s\n[service web]\nlisten = %s\n"

    (void)state;
    snprintf(global, sizeof(global), CONFIG "upstream = 127.0.0.1:1\n",
             http.text, front.text);
    proxy = proxy_start("%s", global);
    snprintf(path, sizeof(path), "%s", file_write("same.ini", global));
    report = check(path, 0);
    assert_int_equal(gauge(&http, HELD("descriptors")),
                     number_of(report, "limit=descriptors", "connections="));
    assert_int_equal(gauge(&http, HELD("local_ports")),
                     number_of(report, "limit=local_ports", "connections="));
    assert_int_equal(
        gauge(&http, "evproxy_capacity_in_flight{limit=\"buffer_memory\"}"),
        number_of(report, "limit=buffer_memory", "in_flight="));
    assert_true(http_metric(&http, HELD("services")) < 0);
    proxy_configure(proxy,
                    CONFIG "upstream = unix:/run/none max_connections=77\n"
                           "upstream = 127.0.0.1:1 max_connections=3\n",
                    http.text, front.text);
    proxy_reload(proxy);
    assert_int_equal(gauge(&http, HELD("services")), 80);
    assert_true(http_metric(&http, HELD("local_ports")) < 0);
    proxy_stop(proxy);
}

/* ---- what the kernel does ---- */

enum { PORTS = 16, CLIENTS = 90 };

struct narrow {
    struct loopback front;
    struct proxy *proxy;
    uint64_t expected; /* by the report */
};

/* A service with two upstreams, which exist, where there are few ports. */
static void open_narrow(struct narrow *narrow, int type, const char *service)
{
    struct loopback back[2] = {loopback_new(), loopback_new()};
    char text[512], path[160];

    for (unsigned i = 0; i < 2; i++) {
        if (type == SOCK_STREAM) {
            socket_listen(&back[i]);
        } else {
            udp_bind(&back[i]);
        }
    }
    snprintf(text, sizeof(text),
             "[global]\nworkers = 1\n[service web]\nlisten = %s\n"
             "upstream = %s\nupstream = %s\nbalance = roundrobin\n%s",
             narrow->front.text, back[0].text, back[1].text, service);
    snprintf(path, sizeof(path), "%s", file_write("narrow.ini", text));
    network_narrow_ports("20000 20015\n");
    narrow->expected =
        number_of(check(path, 0), "limit=local_ports", " connections=");
    narrow->proxy = proxy_start("%s", text);
}

static void expect_held(const struct narrow *narrow, uint64_t connections)
{
    stats_await(narrow->proxy, "web", NULL, "accepted", CLIENTS);
    stats_await(narrow->proxy, "web", NULL, "active", connections);
    assert_int_equal(narrow->expected, connections);
    assert_int_equal(
        stats_get(narrow->proxy, "web", NULL, "ended_local_resource"),
        CLIENTS - connections);
    proxy_stop(narrow->proxy);
}

/* Clients of a unix socket take none of the ports. */
static void expect_streams(const char *service, uint64_t connections)
{
    struct narrow narrow = {.front = loopback_unix("narrow.sock")};

    open_narrow(&narrow, SOCK_STREAM, service);
    for (unsigned i = 0; i < CLIENTS; i++) {
        socket_connect(&narrow.front);
    }
    expect_held(&narrow, connections);
}

/* The clients have theirs while there are many. */
static void expect_datagrams(const char *service, uint64_t connections)
{
    struct narrow narrow = {.front = loopback_new()};
    char whole[128];
    int clients[CLIENTS];

    network_narrow_ports("30000 39999\n");
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = udp_connect(NULL, &narrow.front);
    }
    snprintf(whole, sizeof(whole), "mode = udp\n%s", service);
    open_narrow(&narrow, SOCK_DGRAM, whole);
    for (unsigned i = 0; i < CLIENTS; i++) {
        udp_send(clients[i], "q", 1);
    }
    expect_held(&narrow, connections);
}

static void the_kernel_gives_as_many_ports_as_were_counted(void **state)
{
    (void)state;
    if (!network_enter()) {
        skip_because("no network namespace of its own");
    }
    expect_streams("", 2 * PORTS);
    expect_streams("source_address = 127.0.0.5-127.0.0.6\n", 4 * PORTS);
    expect_datagrams("", PORTS);
    expect_datagrams("source_address = 127.0.0.5-127.0.0.6\n", 2 * PORTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_report_names_the_limit_of_descriptors),
        E2E(a_start_holds_as_many),
        E2E(limits_of_the_configuration_are_told),
        E2E(local_ports_are_counted),
        E2E(each_address_of_a_name_has_local_ports),
        E2E(a_service_is_told_its_own_limits),
        E2E(a_bad_file_has_no_report),
        E2E(metrics_say_the_same_also_after_a_reload),
        E2E(the_kernel_gives_as_many_ports_as_were_counted), /* last: it leaves
                                                                the network */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
