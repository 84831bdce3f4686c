#include "config/hint.h"

#include "config/key_table.h"
#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A line of [service web], and the end of its error. */
static const struct {
    const char *line;
    const char *hint;
} values[] = {
    {"upstream = http://10.0.0.1:80", "': an address has no scheme"
                                      " (example: 10.0.0.1:80)"},
    {"listen = tcp://0.0.0.0:80",
     "': an address has no scheme (example: 10.0.0.1:80)"},
    {"upstream = 10.0.0.1:80, 10.0.0.2:80",
     "': each address has a line 'upstream = ADDRESS'"},
    {"listen = :80, :81", "': each address has a line 'listen = ADDRESS'"},
    {"upstream = /run/app.sock",
     "': a unix path begins with unix: (unix:/run/app.sock)"},
    {"listen = /run/app.sock",
     "': a unix path begins with unix: (unix:/run/app.sock)"},
    {"upstream = \"10.0.0.1:80\"", "': a value has no quotes around it"},
    {"upstream = 10.0.0.1:80;", "': a value does not end with ';'"},
    {"idle_timeout = 30s;", "': a value does not end with ';'"},
    {"idle_timeout = '30s'", "': a value has no quotes around it"},
    {"source_address = \"10.0.0.1\"", "': a value has no quotes around it"},
    {"access_log = On", "; did you mean 'yes'?"},
    {"proxy_protocol = True", "; did you mean 'yes'?"},
    {"access_log = OFF", "; did you mean 'no'?"},
    {"access_log = Yes", "; did you mean 'yes'?"},
    {"balance = least_conn", "; did you mean 'leastconn'?"},
    {"balance = rr", "; did you mean 'roundrobin'?"},
    {"balance = ip_hash", "; did you mean 'source'?"},
    {"balance = rondom", "; did you mean 'random'?"},
    {"mode = tcpp", "; did you mean 'tcp'?"},
    {"health_check = htpp", "; did you mean 'http'?"},
    {"on_down = rest", "; did you mean 'reset'?"},
    {"idle_timeout = soon", NULL},
    {"balance = whatever", NULL},
};

static void expect_end_of(const char *message, const char *hint)
{
    size_t length = strlen(message), wanted = hint == NULL ? 0 : strlen(hint);

    if (hint == NULL) {
        assert_null(strstr(message, "; "));
    } else if (length < wanted ||
               strcmp(message + length - wanted, hint) != 0) {
        fail_msg("\"%s\" does not end with \"%s\"", message, hint);
    }
}

static void a_value_of_another_habit_is_answered_with_ours(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct config_errors errors;
        char text[256];

        snprintf(text, sizeof(text), SERVICE "%s\n", values[i].line);
        errors = parse_bad(text);
        assert_int_equal(errors.count, 1);
        assert_int_equal(errors.list[0].line, 4);
        expect_end_of(errors.list[0].message, values[i].hint);
        config_errors_fini(&errors);
    }
}

static void text_in_quotes_is_refused(void **state)
{
    (void)state;
    assert_refused("[global]\nuser = \"nobody\"\n" SERVICE, 2,
                   "user: '\"nobody\"': a value has no quotes around it");
    assert_refused("[global]\nuser = nobody;\n" SERVICE, 2,
                   "user: 'nobody;': a value does not end with ';'");
    config_destroy(parse_good("[global]\nuser = \"\n" SERVICE));
    config_destroy(parse_good("[global]\nuser = it's\n" SERVICE));
}

static void expect_doubt(const char *line, const char *doubt)
{
    struct config *config;
    char text[256];

    snprintf(text, sizeof(text), SERVICE "%s\n", line);
    config = parse_good(text);
    if (doubt == NULL) {
        assert_int_equal(config->warnings.count, 0);
    } else {
        assert_int_equal(config->warnings.count, 1);
        assert_int_equal(config->warnings.list[0].line, 4);
        assert_string_equal(config->warnings.list[0].message, doubt);
    }
    config_destroy(config);
}

static void a_time_that_looks_like_milliseconds_is_doubted(void **state)
{
    (void)state;
    expect_doubt("idle_timeout = 30000",
                 "warning: idle_timeout = 30000: a number without a unit is in "
                 "seconds, 8.3 hours here (30000ms is milliseconds)");
    expect_doubt("connect_timeout = 86401",
                 "warning: connect_timeout = 86401: a number without a unit is "
                 "in seconds, 24.0 hours here (86401ms is milliseconds)");
    expect_doubt("idle_timeout = 30000s", NULL);
    expect_doubt("idle_timeout = 3600", NULL);
    expect_doubt("idle_timeout = 86400", NULL);
    expect_doubt("idle_timeout = 30", NULL);
    expect_doubt("max_lifetime = 30d", NULL);
}

static void lists_stand_in_one_line(void **state)
{
    (void)state;
    config_destroy(parse_good(SERVICE "allow = 10.0.0.0/8, 192.0.2.1\n"
                                      "allow = all\n"));
    config_destroy(parse_good(SERVICE "deny = all\n"));
}

static void keys_of_others_are_answered_with_ours(void **state)
{
    static const char *const theirs[] = {
        "maxconn",          "server",          "bind",       "timeout client",
        "timeout server",   "timeout connect", "least_conn", "proxy_pass",
        "worker_processes", "ssl_certificate"};

    (void)state;
    assert_line_refused("maxconn = 5", "unknown key 'maxconn' in [service web];"
                                       " here it is 'max_connections'");
    assert_line_refused("timeout client = 5s",
                        "unknown key 'timeout client' in [service web]; here "
                        "it is 'idle_timeout'");
    assert_line_refused("least_conn = yes",
                        "unknown key 'least_conn' in [service web]; here it is "
                        "'balance = leastconn'");
    assert_line_refused("send-proxy = yes",
                        "unknown key 'send-proxy' in [service web]; here it is "
                        "'upstream = ADDRESS proxy_protocol=v1'");
    for (size_t i = 0; i < ARRAY_LEN(theirs); i++) {
        char ours[64];

        assert_non_null(hint_key(theirs[i]));
        snprintf(ours, sizeof(ours), "%s", hint_key(theirs[i]));
        ours[strcspn(ours, " ")] = '\0';
        assert_true(key_table_find(KEY_SERVICE, ours) != NULL ||
                    key_table_find(KEY_GLOBAL, ours) != NULL);
    }
    assert_null(hint_key("color"));
}

static void another_syntax_is_one_error(void **state)
{
    (void)state;
    assert_refused("# mine\nstream {\n    server {\n        listen 80;\n"
                   "    }\n}\n",
                   2,
                   "this looks like nginx's syntax; evproxy reads "
                   "'[service NAME]' and lines 'KEY = VALUE'");
    assert_refused("upstream a {\n}\n", 1,
                   "this looks like nginx's syntax; evproxy reads "
                   "'[service NAME]' and lines 'KEY = VALUE'");
    assert_refused("frontend web\n    bind :80\n", 1,
                   "this looks like HAProxy's syntax; evproxy reads "
                   "'[service NAME]' and lines 'KEY = VALUE'");
    assert_refused("\nservices:\n  - listen: 80\r\n", 2,
                   "this looks like YAML syntax; evproxy reads "
                   "'[service NAME]' and lines 'KEY = VALUE'");
    assert_refused("{\n  \"listen\": 80\n}\n", 1,
                   "this looks like JSON syntax; evproxy reads "
                   "'[service NAME]' and lines 'KEY = VALUE'");
    assert_refused(SERVICE "listen 80;\n", 4, "'=' is missing in 'listen 80;'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_of_another_habit_is_answered_with_ours),
        cmocka_unit_test(text_in_quotes_is_refused),
        cmocka_unit_test(a_time_that_looks_like_milliseconds_is_doubted),
        cmocka_unit_test(lists_stand_in_one_line),
        cmocka_unit_test(keys_of_others_are_answered_with_ours),
        cmocka_unit_test(another_syntax_is_one_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
