#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void values_out_of_range_are_refused(void **state)
{
    static const char *const lines[] = {
        "hash_prefix_v4 = 33",
        "hash_prefix_v6 = 129",
        "connect_attempts = 0",
        "connect_attempts = 1001",
        "connect_attempts = off",
        "connect_attempts = -1",
        "rate_burst = 0",
        "rate_burst = off",
        "max_connections = 1234567890123",
        "max_connections = many",
        "accept_rate = 1/s",
        "health_rise = 0",
        "health_fall = 1001",
        "health_interval = 0",
        "health_interval = off",
        "health_timeout = 0ms",
        "fail_window = off",
        "fail_threshold = 1001",
        "tcp_keepalive = 32768s",
        "tcp_user_timeout = 25d",
        "tcp_notsent_lowat = 4G",
        "backlog = 0",
        "backlog = 65536",
        "idle_timeout = 366d",
        "idle_timeout = 5x",
        "rate_up = fast",
        "balance = Source",
        "health_check = yes",
        "tcp_fastopen = 1",
        "mode = sctp",
        "backlog = 1 2",
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        size_t name = strcspn(lines[i], " ");
        const char *value = strstr(lines[i], "= ") + 2;
        struct config_errors errors;

        snprintf(text, sizeof(text), "%s%s\n", SERVICE, lines[i]);
        errors = parse_bad(text);
        assert_int_equal(errors.count, 1);
        assert_int_equal(errors.list[0].line, 4);
        assert_memory_equal(errors.list[0].message, lines[i], name);
        assert_non_null(strstr(errors.list[0].message, value));
        config_errors_fini(&errors);
    }
}

static void global_values_out_of_range_are_refused(void **state)
{
    static const char *const lines[] = {
        "workers = 0",           "workers = 1025",
        "workers = off",         "max_connections = 134217729",
        "buffer_memory = 1023K", "buffer_memory = off",
        "buffer_memory = 1025G", "buffer_size = 2K",
        "buffer_size = 2M",      "buffer_size = 5000",
        "buffer_size = 0",       "log_level = trace",
        "stats_interval = -1",   "access_log = 1",
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        size_t name = strcspn(lines[i], " ");
        const char *value = strstr(lines[i], "= ") + 2;
        struct config_errors errors;

        snprintf(text, sizeof(text), "[global]\n%s\n%s", lines[i], SERVICE);
        errors = parse_bad(text);
        assert_int_equal(errors.count, 1);
        assert_int_equal(errors.list[0].line, 2);
        assert_memory_equal(errors.list[0].message, lines[i], name);
        assert_non_null(strstr(errors.list[0].message, value));
        config_errors_fini(&errors);
    }
}

#if EVPROXY_TLS
/* As assert_line_refused, where TLS begins. */
static void assert_tls_refused(const char *line, const char *message)
{
    char text[512];

    snprintf(text, sizeof(text), SERVICE "%s\nupstream_tls = yes\n", line);
    assert_refused(text, 4, message);
}

static void bad_names_of_upstreams_are_refused(void **state)
{
    (void)state;
    assert_tls_refused("upstream_tls_name = *.a.b",
                       "upstream_tls_name: '*.a.b' is not the name of one "
                       "host");
    assert_tls_refused("upstream_tls_name = 10.0.0.256",
                       "upstream_tls_name: '10.0.0.256' is not an IP address");
    assert_tls_refused("upstream_tls_name = a.b:443",
                       "upstream_tls_name: 'a.b:443' is not an IP address");
    assert_tls_refused("upstream_tls_name = a.b.",
                       "upstream_tls_name: 'a.b.' ends with a dot");
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(global_values_out_of_range_are_refused),
#if EVPROXY_TLS
        cmocka_unit_test(bad_names_of_upstreams_are_refused),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
