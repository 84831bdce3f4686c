#include "config/key_table.h"

#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE (60 * NS_PER_S)

static void every_global_key_is_read(void **state)
{
    struct config *config = parse_good("[global]\n"
                                       "workers = 7\n"
                                       "max_connections = 100000\n"
                                       "buffer_memory = 2G\n"
                                       "buffer_size = 64K\n"
                                       "drain_timeout = 5m\n"
                                       "stats_interval = 10\n"
                                       "log_level = debug\n"
                                       "access_log = yes\n"
                                       "user = nobody\n"
                                       "group = nogroup\n"
                                       "metrics_listen = off\n" SERVICE);

    (void)state;
    assert_int_equal(config->workers, 7);
    assert_int_equal(config->max_connections, 100000);
    assert_int_equal(config->buffer_memory, UINT64_C(2) << 30);
    assert_int_equal(config->buffer_size, 64 << 10);
    assert_int_equal(config->drain_timeout_ns, 5 * MINUTE);
    assert_int_equal(config->stats_interval_ns, 10 * NS_PER_S);
    assert_int_equal(config->log_level, LOG_DEBUG);
    assert_true(config->access_log);
    assert_string_equal(config->user, "nobody");
    assert_string_equal(config->group, "nogroup");
    config_destroy(config);
}

static void every_time_of_a_service_is_read(void **state)
{
    struct config *config = parse_good(SERVICE "connect_timeout = 1s\n"
                                               "idle_timeout = 2s\n"
                                               "read_timeout = 3s\n"
                                               "write_timeout = 4s\n"
                                               "half_close_timeout = 5s\n"
                                               "header_timeout = 6s\n"
                                               "max_lifetime = 7d\n"
                                               "health_interval = 8s\n"
                                               "health_timeout = 900ms\n"
                                               "fail_window = 10s\n"
                                               "tcp_keepalive = 32767s\n"
                                               "tcp_user_timeout = 24d\n");
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_int_equal(service->connect_timeout_ns, 1 * NS_PER_S);
    assert_int_equal(service->idle_timeout_ns, 2 * NS_PER_S);
    assert_int_equal(service->read_timeout_ns, 3 * NS_PER_S);
    assert_int_equal(service->write_timeout_ns, 4 * NS_PER_S);
    assert_int_equal(service->half_close_timeout_ns, 5 * NS_PER_S);
    assert_int_equal(service->header_timeout_ns, 6 * NS_PER_S);
    assert_int_equal(service->max_lifetime_ns, 7 * 24 * 60 * MINUTE);
    assert_int_equal(service->health_interval_ns, 8 * NS_PER_S);
    assert_int_equal(service->health_timeout_ns, 900 * NS_PER_MS);
    assert_int_equal(service->fail_window_ns, 10 * NS_PER_S);
    assert_int_equal(service->tcp_keepalive_ns, 32767 * NS_PER_S);
    assert_int_equal(service->tcp_user_timeout_ns, 24 * 24 * 60 * MINUTE);
    config_destroy(config);
}

static void every_limit_of_a_service_is_read(void **state)
{
    struct config *config =
        parse_good(SERVICE "rate_up = 1K\n"
                           "rate_down = 2M\n"
                           "service_rate_up = 3G\n"
                           "service_rate_down = 4\n"
                           "rate_burst = 5\n"
                           "rate_burst_up = 6K\n"
                           "rate_burst_down = 7K\n"
                           "max_connections = 6\n"
                           "max_connections_per_source = 7\n"
                           "accept_rate = 8\n"
                           "accept_rate_per_source = 9\n");
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_int_equal(service->rate_up, 1 << 10);
    assert_int_equal(service->rate_down, 2 << 20);
    assert_int_equal(service->service_rate_up, UINT64_C(3) << 30);
    assert_int_equal(service->service_rate_down, 4);
    assert_int_equal(service->rate_burst, 5);
    assert_int_equal(service->rate_burst_up, 6 << 10);
    assert_int_equal(service->rate_burst_down, 7 << 10);
    assert_int_equal(service->max_connections, 6);
    assert_int_equal(service->max_connections_per_source, 7);
    assert_int_equal(service->accept_rate, 8);
    assert_int_equal(service->accept_rate_per_source, 9);
    config_destroy(config);
}

static void every_other_key_of_a_service_is_read(void **state)
{
    struct config *config = parse_good(SERVICE "mode = tcp\n"
                                               "balance = leastconn\n"
                                               "hash_prefix_v4 = 0\n"
                                               "hash_prefix_v6 = 64\n"
                                               "connect_attempts = 1000\n"
                                               "health_check = tcp\n"
                                               "health_rise = 4\n"
                                               "health_fall = 5\n"
                                               "fail_threshold = off\n"
                                               "proxy_protocol = off\n"
                                               "tcp_fastopen = yes\n"
                                               "tcp_notsent_lowat = off\n"
                                               "backlog = 65535\n"
                                               "access_log = yes\n");
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_int_equal(service->balance, BALANCE_LEASTCONN);
    assert_int_equal(service->hash_prefix_v4, 0);
    assert_int_equal(service->hash_prefix_v6, 64);
    assert_int_equal(service->connect_attempts, 1000);
    assert_true(service->health_check);
    assert_int_equal(service->health_rise, 4);
    assert_int_equal(service->health_fall, 5);
    assert_int_equal(service->fail_threshold, 0);
    assert_true(service->tcp_fastopen);
    assert_int_equal(service->tcp_notsent_lowat, 0);
    assert_int_equal(service->backlog, 65535);
    assert_true(service->access_log);
    config_destroy(config);
}

static void choices_are_told_apart(void **state)
{
    static const struct {
        const char *text;
        enum config_balance balance;
        enum log_level level;
    } rows[] = {
        {"[global]\nlog_level = error\n" SERVICE "balance = source",
         BALANCE_SOURCE, LOG_ERROR},
        {"[global]\nlog_level = warn\n" SERVICE "balance = roundrobin",
         BALANCE_ROUNDROBIN, LOG_WARN},
        {"[global]\nlog_level = info\n" SERVICE "balance = leastconn",
         BALANCE_LEASTCONN, LOG_INFO},
        {"[global]\nlog_level = debug\n" SERVICE "balance = random",
         BALANCE_RANDOM, LOG_DEBUG},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct config *config = parse_good(rows[i].text);

        assert_int_equal(config->log_level, rows[i].level);
        assert_int_equal(config->services[0].balance, rows[i].balance);
        config_destroy(config);
    }
}

static void access_log_is_the_global_one_unless_set(void **state)
{
    /* The global section may stand anywhere. */
    struct config *config = parse_good("[service a]\n"
                                       "listen = :1\n"
                                       "upstream = 10.0.0.1:80\n"
                                       "[service b]\n"
                                       "listen = :2\n"
                                       "upstream = 10.0.0.1:80\n"
                                       "access_log = no\n"
                                       "[global]\n"
                                       "access_log = yes\n");

    (void)state;
    assert_int_equal(config->service_count, 2);
    assert_true(config->services[0].access_log);
    assert_false(config->services[1].access_log);
    config_destroy(config);
}

static void udp_has_keys_and_a_default_of_its_own(void **state)
{
    struct config *config = parse_good(SERVICE "[service b]\n"
                                               "mode = udp\n"
                                               "listen = :80\n"
                                               "upstream = 10.0.0.1:80\n"
                                               "[service c]\n"
                                               "listen = :82\n"
                                               "upstream = 10.0.0.1:80 "
                                               "proxy_protocol=v2\n"
                                               "udp_responses = 3\n"
                                               "max_sessions = off\n"
                                               "idle_timeout = 10m\n"
                                               "mode = udp\n");

    (void)state;
    assert_int_equal(config->services[0].idle_timeout_ns, 10 * MINUTE);
    assert_int_equal(config->services[1].mode, CONFIG_UDP);
    assert_int_equal(config->services[1].idle_timeout_ns, MINUTE);
    assert_int_equal(config->services[1].udp_responses, 0);
    assert_int_equal(config->services[1].max_sessions, 65536);
    assert_int_equal(config->services[2].idle_timeout_ns, 10 * MINUTE);
    assert_int_equal(config->services[2].udp_responses, 3);
    assert_int_equal(config->services[2].max_sessions, 0);
    assert_int_equal(config->services[2].upstreams[0].proxy_protocol, PROXY_V2);
    config_destroy(config);
}

#if EVPROXY_TLS
static void every_tls_key_is_read(void **state)
{
    struct config *config = parse_good(SERVICE "tls_certificate = /a b.pem\n"
                                               "tls_key = a.key\n"
                                               "tls_certificate = c.pem\n"
                                               "tls_key = c.key\n"
                                               "tls_client_ca = /ca\n"
                                               "tls_min_version = 1.3\n"
                                               "tls_alpn = h2 ,http/1.1\n"
                                               "upstream_tls = yes\n"
                                               "upstream_tls_ca = /up\n"
                                               "upstream_tls_name = a.b\n"
                                               "tls_ticket_keys = /keys\n");
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_int_equal(service->tls_certificate_count, 2);
    assert_string_equal(service->tls_certificates[0].path, "/a b.pem");
    assert_int_equal(service->tls_certificates[0].line, 4);
    assert_string_equal(service->tls_certificates[1].path, "c.pem");
    assert_int_equal(service->tls_key_count, 2);
    assert_string_equal(service->tls_keys[1].path, "c.key");
    assert_int_equal(service->tls_keys[1].line, 7);
    assert_string_equal(service->tls_client_ca.path, "/ca");
    assert_int_equal(service->tls_client_ca.line, 8);
    assert_int_equal(service->tls_min_version, CONFIG_TLS_1_3);
    assert_string_equal(service->tls_ticket_keys.path, "/keys");
    assert_int_equal(service->tls_ticket_keys.line, 14);
    assert_int_equal(service->tls_alpn_count, 2);
    assert_string_equal(service->tls_alpn[0], "h2");
    assert_string_equal(service->tls_alpn[1], "http/1.1");
    assert_true(service->upstream_tls);
    assert_false(service->upstream_tls_ca.off);
    assert_string_equal(service->upstream_tls_ca.path, "/up");
    assert_int_equal(service->upstream_tls_ca.line, 12);
    assert_string_equal(service->upstream_tls_name, "a.b");
    config_destroy(config);
}

static void verification_of_upstreams_can_be_turned_off(void **state)
{
    struct config *config = parse_good(SERVICE "upstream = unix:/run/a\n"
                                               "upstream_tls = yes\n"
                                               "upstream_tls_ca = off\n");

    (void)state;
    assert_true(config->services[0].upstream_tls_ca.off);
    assert_null(config->services[0].upstream_tls_ca.path);
    config_destroy(config);
    config = parse_good(SERVICE "upstream = unix:/run/a\n"
                                "upstream_tls = yes\n"
                                "upstream_tls_name = 2001:db8::1\n");
    assert_string_equal(config->services[0].upstream_tls_name, "2001:db8::1");
    config_destroy(config);
}
#endif

/* ---- keys that need a restart ---- */

static struct config *parse_global(const char *name, const char *value)
{
    struct config_errors errors = {0};
    struct config *config;
    char text[256];

    snprintf(text, sizeof(text), "[global]\n%s = %s\n" SERVICE, name, value);
    config = load_text(text, strlen(text), &errors);
    config_errors_fini(&errors);
    return config;
}

/* A configuration in which the global key is set to another value than its
 * default: the first of these that the key takes. */
static struct config *parse_changed(const struct key *key)
{
    static const char *const values[] = {"3", "1G", "8K", "yes", "debug", "a"};
    struct config *defaults = parse_good(SERVICE);
    struct config *config = NULL;

    for (size_t i = 0; i < ARRAY_LEN(values) && config == NULL; i++) {
        config = parse_global(key->name, values[i]);
        if (config != NULL && key_equal(key, config, defaults)) {
            config_destroy(config);
            config = NULL;
        }
    }
    config_destroy(defaults);
    if (config == NULL) {
        fail_msg("none of the values is another one of %s", key->name);
    }
    return config;
}

static void collect_key(void *arg, const char *key)
{
    strcat(arg, key);
    strcat(arg, " ");
}

/* The running value replaces the wanted one, and nothing else changes. */
static void assert_kept(const struct key *key, const struct config *running,
                        struct config *wanted)
{
    char names[128] = "";
    char expected[128];

    snprintf(expected, sizeof(expected), "%s ", key->name);
    assert_int_equal(
        config_keep_restart_keys(wanted, running, collect_key, names), 0);
    assert_string_equal(names, expected);
    for (size_t i = 0; i < key_table_count; i++) {
        if (key_table[i].section == KEY_GLOBAL) {
            assert_true(key_equal(&key_table[i], running, wanted));
        }
    }
    names[0] = '\0';
    assert_int_equal(
        config_keep_restart_keys(wanted, running, collect_key, names), 0);
    assert_string_equal(names, "");
}

static void each_key_that_needs_a_restart_keeps_its_running_value(void **state)
{
    unsigned count = 0;

    (void)state;
    for (size_t i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];
        struct config *one;
        struct config *two;

        if (!key->restart) {
            continue;
        }
        one = parse_changed(key);
        two = parse_good(SERVICE);
        assert_kept(key, one, two);
        config_destroy(two);
        two = parse_good(SERVICE);
        assert_kept(key, two, one);
        /* Each owns its value: a shared text would be freed twice. */
        config_destroy(two);
        config_destroy(one);
        count++;
    }
    assert_true(count >= 5);
}

static void other_keys_take_their_new_value(void **state)
{
    struct config *running =
        parse_good("[global]\nmax_connections = 1\nlog_level = warn\n" SERVICE);
    struct config *wanted = parse_good(SERVICE);
    char names[128] = "";

    (void)state;
    assert_int_equal(
        config_keep_restart_keys(wanted, running, collect_key, names), 0);
    assert_string_equal(names, "");
    assert_int_equal(wanted->max_connections, 0);
    assert_int_equal(wanted->log_level, LOG_INFO);
    config_destroy(running);
    config_destroy(wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_global_key_is_read),
        cmocka_unit_test(every_time_of_a_service_is_read),
        cmocka_unit_test(every_limit_of_a_service_is_read),
        cmocka_unit_test(every_other_key_of_a_service_is_read),
        cmocka_unit_test(choices_are_told_apart),
        cmocka_unit_test(access_log_is_the_global_one_unless_set),
        cmocka_unit_test(udp_has_keys_and_a_default_of_its_own),
#if EVPROXY_TLS
        cmocka_unit_test(every_tls_key_is_read),
        cmocka_unit_test(verification_of_upstreams_can_be_turned_off),
#endif
        cmocka_unit_test(each_key_that_needs_a_restart_keeps_its_running_value),
        cmocka_unit_test(other_keys_take_their_new_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
