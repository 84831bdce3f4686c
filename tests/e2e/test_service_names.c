/*
 * Service names that are any text, and upstreams whose paths need quotes, in
 * every place where they are printed: the log, the metrics, status.json, paths
 * of /healthz and errors.
 */
#include "command.h"
#include "expect.h"
#include "http.h"
#include "loopback.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "teardown.h"
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* A name, and how some places write it. */
struct named {
    const char *name;
    const char *escaped; /* in metrics and in JSON */
    const char *encoded; /* in a path */
};

static const struct named all[] = {
    {"a b", "a b", "a%20b"},
    {"a\"b\\c", "a\\\"b\\\\c", "a%22b%5cc"},
    {"\xc3\xbc=1 x", "\xc3\xbc=1 x", "%C3%BC=1%20x"},
    {"<b>", "<b>", "%3Cb%3E"},
    {"=", "=", "="},
    {"a\\nb", "a\\\\nb", "a%5Cnb"},
    {"a # b; [c", "a # b; [c", "a%20%23%20b;%20%5Bc"},
    {"a/b?c%41", "a/b?c%41", "a%2fb%3fc%2541"},
    {"web state=up", "web state=up", "web%20state=up"},
};

#define COUNT (sizeof(all) / sizeof(all[0]))

/* ---- the log, as a reader of key=value parses it ---- */

/* Reads a value and what quotes it; answers what follows. */
static const char *read_value(const char *at, char *value)
{
    bool quoted = *at == '"';

    for (at += quoted; *at != '\0' && *at != (quoted ? '"' : ' '); at++) {
        if (quoted && *at == '\\') {
            at++;
            assert_non_null(strchr("\"\\", *at));
        }
        *value++ = *at;
    }
    *value = '\0';
    return at + quoted;
}

/* The line has the key once, with that value. */
static void expect_pair(const char *line, const char *key, const char *wanted)
{
    char value[1024];
    unsigned found = 0;

    for (const char *at = line; *at != '\0'; at += *at == ' ') {
        size_t length = strcspn(at, " =");
        bool is_key = length == strlen(key) && strncmp(at, key, length) == 0;

        if (at[length] != '=') {
            at += length; /* a word of the line's name */
            continue;
        }
        at = read_value(at + length + 1, value);
        if (is_key) {
            assert_string_equal(value, wanted);
            found++;
        }
    }
    assert_int_equal(found, 1);
}

struct scene {
    const char *name;
    struct loopback metrics, front, back;
    struct proxy *proxy;
};

/* upstream: the key of the upstream, or NULL: the line has none. */
static void expect_line(const struct scene *scene, const char *regex,
                        const char *upstream)
{
    const char *line = proxy_line(scene->proxy, regex);

    expect_pair(line, "service", scene->name);
    if (upstream != NULL) {
        expect_pair(line, upstream, scene->back.text);
    }
}

/* The upstream is at a path where nobody listens yet. */
static void open_scene(struct scene *scene, const char *name, const char *keys)
{
    static unsigned scenes;
    char path[32];

    snprintf(path, sizeof(path), "%u\"\\=\xc3\xbc", scenes++);
    *scene = (struct scene){
        .name = name,
        .metrics = loopback_new(),
        .front = loopback_new(),
        .back = loopback_unix(path),
    };
    scene->proxy = proxy_start(
        "[global]\nmetrics_listen = %s\naccess_log = yes\n"
        "[service %s]\nlisten = %s\nupstream = %s\n%s",
        scene->metrics.text, name, scene->front.text, scene->back.text, keys);
}

static void end_connection(const struct scene *scene, const char *text)
{
    int client = socket_connect(&scene->front);

    socket_send_text(client, text);
    expect_end(client);
    socket_close(client);
}

static void the_log_has_values_that_can_be_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        struct scene scene;
        struct server *server;

        open_scene(&scene, all[i].name,
                   "proxy_protocol = on\nproxy_protocol_from = 127.0.0.0/8\n"
                   "fail_threshold = 1\nfail_window = 200ms\n"
                   "health_interval = 60ms\n");
        end_connection(&scene, "no header\r\n\r\n");
        expect_line(&scene, "^bad header service=", NULL);
        end_connection(&scene, "PROXY UNKNOWN\r\n");
        expect_line(&scene, "^upstream .* state=down cause=", "address");
        expect_line(&scene, "^service .* state=down upstreams=1$", NULL);
        expect_line(&scene, "^conn .* cause=connect_", "upstream");
        proxy_signal(scene.proxy, SIGUSR1);
        expect_line(&scene, "^stats service=.* accepted=2 ", NULL);
        expect_line(&scene, "^stats service=.* upstream=.* failed=1 ",
                    "upstream");
        server = server_start(&scene.back, serve_close, NULL);
        expect_line(&scene, "^upstream .* state=up$", "address");
        expect_line(&scene, "^service .* state=up$", NULL);
        proxy_stop(scene.proxy);
        server_stop(server);
    }
}

/* ---- what is asked over HTTP ---- */

static int health_status(const struct scene *scene, const char *encoded)
{
    char path[256];

    snprintf(path, sizeof(path), "/healthz/%s", encoded);
    return http_status(&scene->metrics, path);
}

static void expect_metrics(const struct scene *scene, const char *escaped)
{
    char series[512], upstream[256] = "";

    for (const char *at = scene->back.text; *at != '\0'; at++) {
        snprintf(upstream + strlen(upstream), 3, "%s%c",
                 *at == '"' || *at == '\\' ? "\\" : "", *at);
    }
    snprintf(series, sizeof(series), "evproxy_accepted_total{service=\"%s\"}",
             escaped);
    assert_true(http_metric(&scene->metrics, series) == 1);
    snprintf(series, sizeof(series),
             "evproxy_upstream_connections_total{service=\"%s\",upstream="
             "\"%s\"}",
             escaped, upstream);
    assert_true(http_metric(&scene->metrics, series) == 1);
}

static void metrics_status_and_health_know_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        struct scene scene;
        struct server *server;
        struct http_reply reply;
        char text[128];

        open_scene(&scene, all[i].name, "");
        server = server_start(&scene.back, serve_close, NULL);
        end_connection(&scene, "");
        expect_line(&scene, "^conn ", "upstream");
        expect_metrics(&scene, all[i].escaped);
        reply = http_get(&scene.metrics, "/status.json");
        snprintf(text, sizeof(text),
                 "{\"service\":\"%s\",\"mode\":", all[i].escaped);
        assert_non_null(strstr(reply.body, text));
        http_free(&reply);
        assert_int_equal(health_status(&scene, all[i].encoded), 200);
        assert_int_equal(health_status(&scene, "web"), 404);
        proxy_stop(scene.proxy);
        server_stop(server);
    }
}

/* ---- errors ---- */

static void errors_quote_them_in_their_lines(void **state)
{
    struct command_result result;

    (void)state;
    command_check(&result, "twice\nevproxy: forged",
                  "[service a \"b]\nlisten = :81\nupstream = 127.0.0.1:82\n"
                  "[service a \"b]\nlisten = :83\nupstream = 127.0.0.1:82\n"
                  "[service a\tb]\nlisten = :84\nupstream = 127.0.0.1:82\n");
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.err,
                           "/twice?evproxy: forged:4: service name "
                           "\"a \\\"b\" is already used in line 1\n"));
    assert_non_null(strstr(result.err, ":7: service name 'a?b' has a control "
                                       "character\n"));
    command_check(&result, "good\nevproxy: forged",
                  "[service a b]\nlisten = 127.0.0.1:81\nupstream = "
                  "127.0.0.1:82\n");
    assert_int_equal(result.status, 0);
    assert_non_null(strstr(result.out, "/good?evproxy: forged: ok\n"));
}

#if EVPROXY_TLS
static void tls_errors_name_them_too(void **state)
{
    struct scene scene;
    struct server *server;

    (void)state;
    open_scene(&scene, "a \"b",
               "upstream_tls = yes\nupstream_tls_ca = off\n"
               "fail_threshold = off\n");
    server = server_start(&scene.back, serve_echo, NULL);
    end_connection(&scene, "");
    expect_line(&scene, "^tls error .* count=1$", "upstream");
    proxy_stop(scene.proxy);
    server_stop(server);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] =
    { cmocka_unit_test_teardown(the_log_has_values_that_can_be_read, teardown),
      cmocka_unit_test_teardown(metrics_status_and_health_know_them, teardown),
      cmocka_unit_test_teardown(errors_quote_them_in_their_lines, teardown),
#if EVPROXY_TLS
      cmocka_unit_test_teardown(tls_errors_name_them_too, teardown),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
