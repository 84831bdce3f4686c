#include "config/config.h"
#include "config/ini.h"

#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SERVICE                                                                \
    "[service web]\n"                                                          \
    "listen = :80\n"                                                           \
    "upstream = 10.0.0.1:80\n"
#define MINUTE (60 * NS_PER_S)

static struct config *parse_good(const char *text)
{
    struct config_errors errors = {0};
    struct config *config = config_parse(text, strlen(text), &errors);

    if (config == NULL) {
        fail_msg("line %u: %s", errors.list[0].line, errors.list[0].message);
    }
    assert_int_equal(errors.count, 0);
    return config;
}

static struct config_errors parse_bad(const char *text)
{
    struct config_errors errors = {0};

    assert_null(config_parse(text, strlen(text), &errors));
    assert_true(errors.count > 0);
    return errors;
}

/* The text has this error and no other. */
static void assert_refused(const char *text, unsigned line, const char *message)
{
    struct config_errors errors = parse_bad(text);

    assert_string_equal(errors.list[0].message, message);
    assert_int_equal(errors.list[0].line, line);
    assert_int_equal(errors.count, 1);
    config_errors_fini(&errors);
}

/* A service with this line as its fourth is refused for it alone. */
static void assert_line_refused(const char *line, const char *message)
{
    char text[512];

    snprintf(text, sizeof(text), "%s%s\n", SERVICE, line);
    assert_refused(text, 4, message);
}

static const char *address_of(const struct address *address)
{
    static char text[ADDR_TEXT_MAX];

    return endpoint_format(&address->endpoint, text);
}

static const char *ip_of(const struct addr *addr)
{
    static char text[ADDR_TEXT_MAX];

    return addr_format(addr, text);
}

/* ---- good ones ---- */

static void an_unsaid_global_key_has_its_default(void **state)
{
    struct config *config = parse_good(SERVICE);

    (void)state;
    assert_int_equal(config->workers, 0);
    assert_int_equal(config->max_connections, 0);
    assert_int_equal(config->buffer_memory, 256 << 20);
    assert_int_equal(config->buffer_size, 16 << 10);
    assert_int_equal(config->drain_timeout_ns, 30 * NS_PER_S);
    assert_int_equal(config->stats_interval_ns, 0);
    assert_int_equal(config->log_level, LOG_INFO);
    assert_false(config->access_log);
    assert_null(config->user);
    assert_null(config->group);
    assert_int_equal(config->service_count, 1);
    config_destroy(config);
}

static void assert_default_times(const struct config_service *service)
{
    assert_int_equal(service->connect_timeout_ns, 5 * NS_PER_S);
    assert_int_equal(service->idle_timeout_ns, 10 * MINUTE);
    assert_int_equal(service->read_timeout_ns, 0);
    assert_int_equal(service->write_timeout_ns, 30 * NS_PER_S);
    assert_int_equal(service->half_close_timeout_ns, 30 * NS_PER_S);
    assert_int_equal(service->header_timeout_ns, 5 * NS_PER_S);
    assert_int_equal(service->max_lifetime_ns, 0);
    assert_int_equal(service->health_interval_ns, 2 * NS_PER_S);
    assert_int_equal(service->health_timeout_ns, NS_PER_S);
    assert_int_equal(service->fail_window_ns, 30 * NS_PER_S);
    assert_int_equal(service->tcp_keepalive_ns, 60 * NS_PER_S);
    assert_int_equal(service->tcp_user_timeout_ns, 0);
}

static void assert_default_limits(const struct config_service *service)
{
    assert_int_equal(service->rate_up, 0);
    assert_int_equal(service->rate_down, 0);
    assert_int_equal(service->service_rate_up, 0);
    assert_int_equal(service->service_rate_down, 0);
    assert_int_equal(service->rate_burst, 64 << 10);
    assert_int_equal(service->max_connections, 0);
    assert_int_equal(service->max_connections_per_source, 0);
    assert_int_equal(service->accept_rate, 0);
    assert_int_equal(service->accept_rate_per_source, 0);
    assert_int_equal(service->rule_count, 0);
}

static void an_unsaid_service_key_has_its_default(void **state)
{
    struct config *config = parse_good(SERVICE);
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_string_equal(service->name, "web");
    assert_int_equal(service->line, 1);
    assert_int_equal(service->mode, CONFIG_TCP);
    assert_int_equal(service->balance, BALANCE_SOURCE);
    assert_int_equal(service->hash_prefix_v4, 32);
    assert_int_equal(service->hash_prefix_v6, 128);
    assert_int_equal(service->connect_attempts, 3);
    assert_false(service->health_check);
    assert_int_equal(service->health_rise, 2);
    assert_int_equal(service->health_fall, 3);
    assert_int_equal(service->fail_threshold, 5);
    assert_int_equal(service->source_count, 0);
    assert_false(service->tcp_fastopen);
    assert_int_equal(service->tcp_notsent_lowat, 32 << 10);
    assert_int_equal(service->backlog, 4096);
    assert_false(service->access_log);
    assert_default_times(service);
    assert_default_limits(service);
    config_destroy(config);
}

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

static void listens_keep_their_order_and_lines(void **state)
{
    struct config *config = parse_good("[service a]\n"
                                       "listen = 127.0.0.1:80\n"
                                       "upstream = 10.0.0.1:80\n"
                                       "listen = [::1]:81\n"
                                       "listen = :82\n"
                                       "listen = unix:/run/a\n");
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_int_equal(service->listen_count, 4);
    assert_string_equal(address_of(&service->listens[0].address),
                        "127.0.0.1:80");
    assert_string_equal(address_of(&service->listens[1].address), "[::1]:81");
    assert_string_equal(address_of(&service->listens[2].address), ":82");
    assert_string_equal(address_of(&service->listens[3].address),
                        "unix:/run/a");
    assert_int_equal(service->listens[0].line, 2);
    assert_int_equal(service->listens[3].line, 6);
    config_destroy(config);
}

static void upstreams_take_options_in_any_order(void **state)
{
    struct config *config =
        parse_good("[service a]\n"
                   "listen = :80\n"
                   "upstream = 10.0.0.1:80\n"
                   "upstream = db.example:5432 backup weight=256\n"
                   "upstream = unix:/run/a\tmax_connections=9  "
                   "proxy_protocol=off weight=1\n"
                   "upstream = [::1]:1 max_connections=off\n");
    const struct config_upstream *upstreams = config->services[0].upstreams;

    (void)state;
    assert_int_equal(config->services[0].upstream_count, 4);
    assert_int_equal(upstreams[0].weight, 1);
    assert_false(upstreams[0].backup);
    assert_int_equal(upstreams[0].max_connections, 0);
    assert_int_equal(upstreams[0].line, 3);
    assert_int_equal(upstreams[1].address.kind, ADDRESS_NAME);
    assert_string_equal(upstreams[1].address.host, "db.example");
    assert_int_equal(upstreams[1].address.port, 5432);
    assert_int_equal(upstreams[1].weight, 256);
    assert_true(upstreams[1].backup);
    assert_int_equal(upstreams[2].max_connections, 9);
    assert_string_equal(address_of(&upstreams[2].address), "unix:/run/a");
    assert_int_equal(upstreams[3].max_connections, 0);
    config_destroy(config);
}

static void rules_keep_their_order_over_both_keys(void **state)
{
    struct config *config = parse_good(SERVICE "deny = 10.1.0.0/16\n"
                                               "allow = 10.0.0.0/8\n"
                                               "deny = 10.2.0.0/16\n"
                                               "allow = ::1\n");
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_int_equal(service->rule_count, 4);
    assert_false(service->rules[0].allow);
    assert_true(service->rules[1].allow);
    assert_false(service->rules[2].allow);
    assert_true(service->rules[3].allow);
    assert_int_equal(service->rules[0].network.prefix, 16);
    assert_int_equal(service->rules[1].network.prefix, 8);
    assert_int_equal(service->rules[3].network.prefix, 128);
    config_destroy(config);
}

static void source_addresses_are_lists_of_ranges(void **state)
{
    struct config *config =
        parse_good(SERVICE "source_address = 10.0.0.1, 10.0.0.5 - 10.0.0.9,"
                           "fd00::1-fd00::ff\n");
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_int_equal(service->source_count, 3);
    assert_string_equal(ip_of(&service->sources[0].first), "10.0.0.1:0");
    assert_string_equal(ip_of(&service->sources[0].last), "10.0.0.1:0");
    assert_string_equal(ip_of(&service->sources[1].first), "10.0.0.5:0");
    assert_string_equal(ip_of(&service->sources[1].last), "10.0.0.9:0");
    assert_string_equal(ip_of(&service->sources[2].last), "[fd00::ff]:0");
    config_destroy(config);
}

static void access_log_is_the_global_one_unless_said(void **state)
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

static void an_upstream_may_be_shared_by_services(void **state)
{
    struct config *config = parse_good("[service a]\n"
                                       "listen = :1\n"
                                       "upstream = 127.0.0.1:2\n"
                                       "[service b.c_D-9]\n"
                                       "listen = 127.0.0.1:2\n"
                                       "upstream = 10.0.0.1:80\n"
                                       "[service c]\n"
                                       "listen = :3\n"
                                       "upstream = 10.0.0.1:80\n");

    (void)state;
    assert_int_equal(config->service_count, 3);
    assert_string_equal(config->services[1].name, "b.c_D-9");
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

static void udp_has_no_unix_sockets_and_no_active_checks(void **state)
{
    (void)state;
    assert_refused("[service a]\nmode = udp\nlisten = unix:/run/a\n"
                   "upstream = 10.0.0.1:80\n",
                   3, "unix:/run/a: mode = udp takes no unix sockets");
    assert_refused("[service a]\nmode = udp\nlisten = :80\n"
                   "upstream = unix:/run/a\n",
                   4, "unix:/run/a: mode = udp takes no unix sockets");
    assert_refused("[service a]\nhealth_check = tcp\nmode = udp\n"
                   "listen = :80\nupstream = 10.0.0.1:80\n",
                   2, "health_check is not available for mode = udp");
    assert_refused("[service a]\nmode = udp\nsni = a.b\nlisten = :80\n"
                   "upstream = 10.0.0.1:80\n",
                   3, "sni is not available for mode = udp");
    assert_refused("[service a]\nmode = udp\nlisten = :80\n"
                   "upstream = 10.0.0.1:80 proxy_protocol=v1\n",
                   4, "proxy_protocol=v1 has no word for datagrams; v2 has");
    assert_refused("[service a]\nmode = udp\nlisten = :80\n"
                   "proxy_protocol = on\nproxy_protocol_from = ::/0\n"
                   "upstream = 10.0.0.1:80\n",
                   4, "proxy_protocol is not available for mode = udp");
    assert_refused("[service a]\nmode = udp\nlisten = :80\n"
                   "upstream = 10.0.0.1:80\n"
                   "[service b]\nmode = udp\nlisten = :80\n"
                   "upstream = 10.0.0.1:80\n",
                   7, "listen address :80 stands in line 3 already");
}

static void carriage_returns_and_a_cut_end_change_nothing(void **state)
{
    struct config *config = parse_good("[global]\r\n"
                                       "workers = 2\r\n"
                                       "[service a] # the one\r\n"
                                       "listen = :80\r\n"
                                       "upstream = 10.0.0.1:80");

    (void)state;
    assert_int_equal(config->workers, 2);
    assert_int_equal(config->services[0].upstream_count, 1);
    config_destroy(config);
}

/* ---- bad ones ---- */

static void sections_are_checked(void **state)
{
    (void)state;
    assert_refused("", 0, "there is no [service NAME]");
    assert_refused("[global]\nworkers = 1\n", 0, "there is no [service NAME]");
    assert_refused("workers = 1\n" SERVICE, 1,
                   "key 'workers' stands before any section");
    assert_refused(SERVICE "[servise b]\nanything = 1\n", 4,
                   "unknown section 'servise' (sections: [global], "
                   "[service NAME])");
    assert_refused("[service web\nlisten = :80\n", 1,
                   "']' is missing at the end of the section's line");
    assert_refused("[global x]\nworkers = 1\n" SERVICE, 1,
                   "[global] takes no name, but has 'x'");
    assert_refused("[global]\n" SERVICE "[global]\nworkers = 1\n", 5,
                   "[global] stands in line 1 already");
}

static void assert_name_length(size_t length, bool good)
{
    struct config_errors errors = {0};
    struct config *config;
    char name[80] = "";
    char text[256];

    memset(name, 'n', length);
    snprintf(text, sizeof(text),
             "[service %s]\nlisten = :80\nupstream = 10.0.0.1:80\n", name);
    config = config_parse(text, strlen(text), &errors);
    assert_int_equal(config != NULL, good);
    if (!good) {
        assert_int_equal(errors.list[0].line, 1);
        assert_non_null(
            strstr(errors.list[0].message, "is longer than 63 bytes"));
    }
    config_destroy(config);
    config_errors_fini(&errors);
}

static void service_names_are_checked(void **state)
{
    (void)state;
    assert_refused("[service]\nlisten = :80\nupstream = 10.0.0.1:80\n", 1,
                   "[service] needs a name: [service NAME]");
    assert_refused(
        "[service a b]\nlisten = :80\nupstream = 10.0.0.1:80\n", 1,
        "service name 'a b' has more than messages, digits, '.', '_' "
        "and '-'");
    assert_refused(SERVICE "[service web]\n"
                           "listen = :81\n"
                           "upstream = 10.0.0.1:80\n",
                   4, "service name web stands in line 1 already");
    assert_name_length(63, true);
    assert_name_length(64, false);
}

static void a_service_needs_listen_and_upstream(void **state)
{
    struct config_errors errors = parse_bad("\n[service web]\nbacklog = 1\n");

    (void)state;
    assert_int_equal(errors.count, 2);
    assert_string_equal(errors.list[0].message, "[service web] has no listen");
    assert_string_equal(errors.list[1].message,
                        "[service web] has no upstream");
    assert_int_equal(errors.list[1].line, 2);
    config_errors_fini(&errors);
    /* One that is wrong is one too many, not one too few. */
    assert_refused("[service web]\nlisten = x\nupstream = 10.0.0.1:80\n", 2,
                   "listen: 'x' has no port (example: 127.0.0.1:80)");
}

static void unknown_keys_are_named_with_the_nearest_known(void **state)
{
    (void)state;
    assert_line_refused("lissten = :81", "unknown key 'lissten' in [service "
                                         "web]; did you mean 'listen'?");
    assert_line_refused("conect_timeot = 1s",
                        "unknown key 'conect_timeot' in [service web]; did you "
                        "mean 'connect_timeout'?");
    assert_line_refused("color = red", "unknown key 'color' in [service web]");
    assert_line_refused("x = 1", "unknown key 'x' in [service web]");
    assert_line_refused("workers = 1", "key 'workers' belongs in [global], not "
                                       "in [service web]");
    assert_refused("[global]\nlisten = :81\n" SERVICE, 2,
                   "key 'listen' belongs in [service], not in [global]");
    assert_refused("[global]\nworker = 1\n" SERVICE, 2,
                   "unknown key 'worker' in [global]; did you mean 'workers'?");
}

static void a_key_stands_once_unless_it_may_be_repeated(void **state)
{
    (void)state;
    assert_refused(SERVICE "backlog = 1\n\nbacklog = 2\n", 6,
                   "backlog = 2: backlog stands in line 4 already");
    assert_refused("[global]\nuser = a\nuser = b\n" SERVICE, 3,
                   "user = b: user stands in line 2 already");
}

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
        "access_log = true",
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
        "stats_interval = -1",   "access_log = on",
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

static void a_block_fits_into_each_half_of_the_memory(void **state)
{
    (void)state;
    config_destroy(
        parse_good("[global]\nbuffer_memory = 2M\nbuffer_size = 1M\n" SERVICE));
    assert_refused("[global]\nbuffer_size = 1M\nbuffer_memory = 1M\n" SERVICE,
                   3,
                   "buffer_memory holds less than one block of buffer_size for "
                   "each direction");
}

static void empty_values_are_refused(void **state)
{
    (void)state;
    assert_line_refused("backlog =", "backlog has no value");
    assert_line_refused("allow = # all", "allow has no value");
    assert_refused("[global]\nuser =\n" SERVICE, 2, "user has no value");
}

static void bad_listens_are_refused(void **state)
{
    (void)state;
    assert_line_refused("listen = web.example:80",
                        "listen: 'web.example:80': listen needs an address, "
                        "not a name");
    assert_line_refused("listen = 127.0.0.1:70000",
                        "listen: '127.0.0.1:70000': port 70000 is not between "
                        "1 and 65535");
    assert_line_refused("listen = :80",
                        "listen address :80 stands in line 2 already");
    assert_refused(SERVICE "[service b]\n"
                           "listen = :80\n"
                           "upstream = 10.0.0.1:80\n",
                   5, "listen address :80 stands in line 2 already");
}

static void bad_upstreams_are_refused(void **state)
{
    (void)state;
    assert_line_refused("upstream = :80", "upstream: ':80': an upstream needs "
                                          "an address before the port");
    assert_line_refused("upstream = 10.0.0.1:80 weight=2",
                        "upstream 10.0.0.1:80 stands in line 3 already");
    assert_refused(SERVICE "upstream = db.example:1\n"
                           "upstream = DB.example:1\n",
                   5, "upstream db.example:1 stands in line 4 already");
}

static void an_upstream_at_which_its_service_listens_is_refused(void **state)
{
    (void)state;
    assert_refused(SERVICE "listen = 127.0.0.1:1\n"
                           "upstream = 127.0.0.1:1\n",
                   5,
                   "upstream 127.0.0.1:1 is where this service listens (line "
                   "4): a loop");
    assert_refused(SERVICE "listen = unix:/run/a\n"
                           "upstream = unix:/run/a\n",
                   5,
                   "upstream unix:/run/a is where this service listens (line "
                   "4): a loop");
    assert_line_refused("upstream = 127.0.0.2:80",
                        "upstream 127.0.0.2:80 is where this service listens "
                        "(line 2): a loop");
    assert_line_refused("upstream = [::1]:80",
                        "upstream [::1]:80 is where this service listens (line "
                        "2): a loop");
    assert_refused(SERVICE "listen = 0.0.0.0:1\n"
                           "upstream = 127.0.0.1:1\n",
                   5,
                   "upstream 127.0.0.1:1 is where this service listens (line "
                   "4): a loop");
    config_destroy(parse_good(SERVICE "listen = 0.0.0.0:1\n"
                                      "upstream = [::1]:1\n"
                                      "upstream = 127.0.0.1:81\n"
                                      "upstream = web.example:80\n"));
}

static void bad_upstream_options_are_refused(void **state)
{
    (void)state;
    assert_line_refused("upstream = a.b:1 weight=0",
                        "upstream: 'weight=0': '0' is not a number between 1 "
                        "and 256");
    assert_line_refused("upstream = a.b:1 weight=257",
                        "upstream: 'weight=257': '257' is not a number between "
                        "1 and 256");
    assert_line_refused("upstream = a.b:1 weight",
                        "upstream: 'weight': the option needs a value");
    assert_line_refused("upstream = a.b:1 backup=yes",
                        "upstream: 'backup=yes': it takes no value");
    assert_line_refused("upstream = a.b:1 backup backup",
                        "upstream: 'backup': the option is given twice");
    assert_line_refused("upstream = a.b:1 weigh=1",
                        "upstream: unknown option 'weigh=1' (options: "
                        "weight=N, backup, max_connections=N, "
                        "proxy_protocol=off|v1|v2)");
    assert_line_refused("upstream = a.b:1 max_connections=x",
                        "upstream: 'max_connections=x': 'x' is neither off nor "
                        "a number between 0 and 134217728");
    assert_line_refused("upstream = a.b:1 proxy_protocol=v3",
                        "upstream: 'proxy_protocol=v3': 'v3' is not one of "
                        "off, v1, v2");
}

static void bad_networks_and_ranges_are_refused(void **state)
{
    (void)state;
    assert_line_refused("allow = 10.0.0.1/8",
                        "allow: '10.0.0.1/8' has bits set beyond the prefix "
                        "(the network is 10.0.0.0/8)");
    assert_line_refused("deny = all", "deny: 'all' is not an IP address");
    assert_line_refused("source_address = 10.0.0.2-10.0.0.1",
                        "source_address: '10.0.0.2-10.0.0.1': the range ends "
                        "before it starts");
    assert_line_refused("source_address = 10.0.0.2-::1",
                        "source_address: '10.0.0.2-::1': a range has both ends "
                        "in one family");
    assert_line_refused("source_address = 10.0.0.1,,10.0.0.2",
                        "source_address: '10.0.0.1,,10.0.0.2': '' is not an IP "
                        "address");
}

static void a_proxy_header_needs_senders_that_may_send_it(void **state)
{
    (void)state;
    assert_line_refused("proxy_protocol = on",
                        "proxy_protocol = on needs proxy_protocol_from");
    assert_line_refused("proxy_protocol_from = 10.0.0.0/8, 10.1.0.0/33",
                        "proxy_protocol_from: '10.0.0.0/8, 10.1.0.0/33': "
                        "prefix '33' is not a number between 0 and 32");
}

static void what_this_build_has_not_is_refused(void **state)
{
    struct config_key_info info;
    char line[128];
    char message[128];

    (void)state;
    for (size_t i = 0; config_key(i, &info); i++) {
        if (info.available || strcmp(info.section, "service") != 0) {
            continue;
        }
        snprintf(line, sizeof(line), "%s = on", info.name);
        snprintf(message, sizeof(message),
                 info.optional
                     ? "%s: this build has no TLS (make TLS=1 builds it in)"
                     : "%s is not available in this build",
                 info.name);
        assert_line_refused(line, message);
    }
    assert_line_refused("upstream = srv:_a._tcp.b",
                        "upstream: 'srv:_a._tcp.b': srv: names are not "
                        "available in this build");
    assert_refused("[global]\nmetrics_listen = :9100\n" SERVICE, 2,
                   "metrics_listen is not available in this build");
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
                                               "upstream_tls_name = a.b\n");
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
    assert_int_equal(service->tls_alpn_count, 2);
    assert_string_equal(service->tls_alpn[0], "h2");
    assert_string_equal(service->tls_alpn[1], "http/1.1");
    assert_true(service->upstream_tls);
    assert_false(service->upstream_tls_unverified);
    assert_string_equal(service->upstream_tls_ca.path, "/up");
    assert_int_equal(service->upstream_tls_ca.line, 12);
    assert_string_equal(service->upstream_tls_name, "a.b");
    config_destroy(config);
}

static void upstreams_may_be_trusted_blindly(void **state)
{
    struct config *config = parse_good(SERVICE "upstream = unix:/run/a\n"
                                               "upstream_tls = yes\n"
                                               "upstream_tls_ca = off\n");

    (void)state;
    assert_true(config->services[0].upstream_tls_unverified);
    assert_null(config->services[0].upstream_tls_ca.path);
    config_destroy(config);
    config = parse_good(SERVICE "upstream = unix:/run/a\n"
                                "upstream_tls = yes\n"
                                "upstream_tls_name = 2001:db8::1\n");
    assert_string_equal(config->services[0].upstream_tls_name, "2001:db8::1");
    config_destroy(config);
}

static void a_tls_key_needs_what_it_belongs_to(void **state)
{
    (void)state;
    assert_line_refused("tls_key = a", "tls_key needs tls_certificate");
    assert_line_refused("tls_client_ca = a",
                        "tls_client_ca needs tls_certificate");
    assert_line_refused("tls_min_version = 1.3",
                        "tls_min_version needs tls_certificate");
    assert_line_refused("upstream_tls_ca = a",
                        "upstream_tls_ca needs upstream_tls = yes");
    assert_line_refused("upstream_tls_ca = off",
                        "upstream_tls_ca needs upstream_tls = yes");
    assert_refused(SERVICE "upstream_tls = no\nupstream_tls_name = a\n", 5,
                   "upstream_tls_name needs upstream_tls = yes");
    assert_line_refused("tls_alpn = h2", "tls_alpn needs tls_certificate or "
                                         "upstream_tls = yes");
    config_destroy(parse_good(SERVICE "tls_min_version = 1.2\n"
                                      "tls_alpn = h2\n"
                                      "upstream_tls = yes\n"));
}

static void there_is_a_key_for_each_certificate_or_none(void **state)
{
    (void)state;
    config_destroy(
        parse_good(SERVICE "tls_certificate = a\ntls_certificate = b\n"));
    assert_refused(SERVICE "tls_key = a\n"
                           "tls_certificate = a\n"
                           "tls_key = b\n"
                           "tls_key = c\n"
                           "tls_certificate = b\n",
                   7,
                   "tls_key: 3 for 2 of tls_certificate: there is one for "
                   "each, in the same order, or none");
    assert_refused(SERVICE "tls_certificate = a\n"
                           "tls_key = a\n"
                           "tls_certificate = b\n",
                   5,
                   "tls_key: 1 for 2 of tls_certificate: there is one for "
                   "each, in the same order, or none");
}

static void a_unix_socket_has_no_name_to_verify(void **state)
{
    (void)state;
    assert_refused(SERVICE "upstream_tls = yes\nupstream = unix:/run/a\n", 5,
                   "unix:/run/a: upstream_tls needs upstream_tls_name for a "
                   "unix socket");
}

static void assert_not_for_udp(const char *line)
{
    size_t name = strcspn(line, " ");
    char text[256];
    char message[128];

    snprintf(text, sizeof(text), SERVICE "%s\nmode = udp\n", line);
    snprintf(message, sizeof(message), "%.*s is not available for mode = udp",
             (int)name, line);
    assert_refused(text, 4, message);
}

static void udp_has_no_tls(void **state)
{
    (void)state;
    assert_not_for_udp("tls_certificate = a");
    assert_not_for_udp("tls_key = a");
    assert_not_for_udp("tls_client_ca = a");
    assert_not_for_udp("tls_min_version = 1.3");
    assert_not_for_udp("tls_alpn = h2");
    assert_not_for_udp("upstream_tls = yes");
    assert_not_for_udp("upstream_tls_ca = off");
    assert_not_for_udp("upstream_tls_name = a");
    config_destroy(parse_good(
        SERVICE "mode = udp\ntls_min_version = 1.2\nupstream_tls = no\n"));
}

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

/* A list of that many protocols, each of its own and of so many bytes. */
static void list_protocols(char *text, unsigned count, int bytes)
{
    text += sprintf(text, SERVICE "tls_certificate = a\ntls_alpn = ");
    for (unsigned i = 0; i < count; i++) {
        text += sprintf(text, "%s%0*u", i == 0 ? "" : ",", bytes, i);
    }
}

static void bad_protocols_are_refused(void **state)
{
    char text[CONFIG_ALPN_MAX * 300];

    (void)state;
    assert_tls_refused("tls_alpn = h2, ,a",
                       "tls_alpn: 'h2, ,a': a protocol has 1 to 255 bytes");
    assert_tls_refused("tls_alpn = h2, h3,h2",
                       "tls_alpn: 'h2, h3,h2': 'h2' stands in the list twice");
    list_protocols(text, CONFIG_ALPN_MAX, 255);
    config_destroy(parse_good(text));
    list_protocols(text, CONFIG_ALPN_MAX + 1, 2);
    assert_refused(text, 5,
                   "tls_alpn: '00,01,02,03,04,05,06,07,08,09,10,11,12,1': the "
                   "list has too many protocols");
    list_protocols(text, 1, 256);
    assert_refused(text, 5,
                   "tls_alpn: '0000000000000000000000000000000000000000': a "
                   "protocol has 1 to 255 bytes");
}
#else
static void
without_tls_its_keys_are_refused_unless_they_ask_nothing(void **state)
{
    (void)state;
    assert_refused(SERVICE "upstream_tls_name = a\n"
                           "upstream_tls = no\n"
                           "tls_min_version = 1.2\n",
                   4,
                   "upstream_tls_name: this build has no TLS (make TLS=1 "
                   "builds it in)");
    assert_line_refused("upstream_tls = yes", "upstream_tls: this build has no "
                                              "TLS (make TLS=1 builds it in)");
    config_destroy(
        parse_good(SERVICE "upstream_tls = no\ntls_min_version = 1.2\n"));
}
#endif

static void all_errors_are_told_in_the_order_of_the_lines(void **state)
{
    static const unsigned lines[] = {1, 3, 4, 5, 7, 7, 8, 10, 12};
    struct config_errors errors = parse_bad("early = 1\n"
                                            "[global]\n"
                                            "workers = x\n"
                                            "junk\n"
                                            "wrokers = 1\n"
                                            "\n"
                                            "[service a]\n"
                                            "backlog = 0\n"
                                            "[service b]\n"
                                            "listen = a\n"
                                            "upstream = 10.0.0.1:1\n"
                                            "upstream = 10.0.0.1:1\n");

    (void)state;
    assert_int_equal(errors.count, ARRAY_LEN(lines));
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        assert_int_equal(errors.list[i].line, lines[i]);
    }
    config_errors_fini(&errors);
    assert_int_equal(errors.count, 0);
}

static void errors_are_added_after_those_that_stand_there(void **state)
{
    static const char text[] = "a\n" SERVICE "b\n";
    struct config_errors errors = {0};

    (void)state;
    assert_null(config_parse(text, strlen(text), &errors));
    assert_null(config_parse(text, strlen(text), &errors));
    assert_int_equal(errors.count, 4);
    assert_int_equal(errors.list[1].line, 5);
    assert_int_equal(errors.list[2].line, 1);
    config_errors_fini(&errors);
}

static void too_many_errors_are_cut_with_a_last_word(void **state)
{
    char text[2 * (CONFIG_ERRORS_MAX + 1) + 1] = "";
    struct config_errors errors;

    (void)state;
    for (size_t i = 0; i <= CONFIG_ERRORS_MAX; i++) {
        memcpy(text + 2 * i, "x\n", 2);
    }
    errors = parse_bad(text);
    assert_int_equal(errors.count, CONFIG_ERRORS_MAX + 1);
    assert_int_equal(errors.list[99].line, 100);
    assert_int_equal(errors.list[100].line, 0);
    assert_string_equal(errors.list[100].message,
                        "there are more errors, which are not shown");
    config_errors_fini(&errors);
}

static void thousands_of_upstreams_are_compared_in_no_time(void **state)
{
    struct config_errors errors = {0};
    size_t used;
    char *text = malloc(INI_BYTES_MAX);

    (void)state;
    assert_non_null(text);
    used = (size_t)sprintf(text, "[service a]\nlisten = :1\n");
    for (unsigned i = 0; i < 30000; i++) {
        used += (size_t)sprintf(text + used, "upstream = 10.%u.%u.1:80\n",
                                i >> 8, i & 255);
    }
    used += (size_t)sprintf(text + used, "upstream = 10.3.4.1:80\n");
    assert_null(config_parse(text, used, &errors));
    assert_int_equal(errors.count, 1);
    assert_int_equal(errors.list[0].line, 30003);
    assert_string_equal(errors.list[0].message,
                        "upstream 10.3.4.1:80 stands in line 775 already");
    config_errors_fini(&errors);
    free(text);
}

/* ---- any text ---- */

#if EVPROXY_TLS
#define SAMPLE_TLS                                                             \
    "tls_certificate = /a.pem\n"                                               \
    "tls_key = /a.key\n"                                                       \
    "tls_alpn = h2, http/1.1\n"                                                \
    "upstream_tls = yes\n"                                                     \
    "upstream_tls_ca = off\n"
#else
#define SAMPLE_TLS "upstream_tls = no\n"
#endif

static const char sample[] = "[global]\n"
                             "workers = 2\n"
                             "buffer_memory = 1G\n"
                             "user = nobody # drop\n"
                             "\n"
                             "[service web]\n"
                             "listen = :80\n"
                             "listen = [::1]:81\n"
                             "upstream = 10.0.0.1:80 weight=3 backup\n"
                             "upstream = db.example:5432\n"
                             "allow = 10.0.0.0/8\n"
                             "source_address = 10.0.0.1, 10.0.0.5-10.0.0.9\n"
                             "idle_timeout = 10m\n" SAMPLE_TLS "[service two]\n"
                             "listen = unix:/run/two\n"
                             "upstream = unix:/run/one max_connections=9\n"
                             "rate_up = 10M\n"
                             "balance = random\n";

static unsigned count_lines(const char *text, size_t count)
{
    unsigned lines = 1;

    for (size_t i = 0; i < count; i++) {
        lines += text[i] == '\n';
    }
    return lines;
}

/* Changes some bytes, drops some, or repeats a run; answers the new length. */
static size_t mutate(struct seeded *seeded, char *text, size_t count,
                     size_t size)
{
    static const char likely[] = "\n\r\0=[]#; \t,-:/.\x80\xff"
                                 "09azAZ";
    size_t at = seeded_below(seeded, count);
    size_t run = 1 + seeded_below(seeded, 40);

    run = run > count - at ? count - at : run;
    switch (seeded_below(seeded, 4)) {
    case 0:
        text[at] = (char)seeded_next(seeded);
        return count;
    case 1:
        text[at] = likely[seeded_below(seeded, sizeof(likely))];
        return count;
    case 2:
        memmove(text + at, text + at + run, count - at - run);
        return count > run ? count - run : count;
    default:
        if (count + run > size) {
            return count;
        }
        memmove(text + at + run, text + at, count - at);
        return count + run;
    }
}

static void assert_sensible(struct seeded *seeded, const char *text,
                            size_t count)
{
    struct config_errors errors = {0};
    unsigned lines = count_lines(text, count);
    struct config *config = config_parse(text, count, &errors);

    seeded_assert(seeded, (config == NULL) == (errors.count > 0));
    for (size_t i = 0; i < errors.count; i++) {
        seeded_assert(seeded, errors.list[i].line <= lines);
        seeded_assert(seeded, errors.list[i].message[0] != '\0');
        seeded_assert(seeded,
                      i == 0 || errors.list[i].line == 0 ||
                          errors.list[i - 1].line <= errors.list[i].line);
    }
    config_destroy(config);
    config_errors_fini(&errors);
}

static void any_text_is_a_snapshot_or_errors_with_lines(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct seeded seeded = seeded_start(seed);
        size_t count = sizeof(sample) - 1;
        size_t changes = 1 + seeded_below(&seeded, 8);
        char text[2 * sizeof(sample)];
        char *exact;

        memcpy(text, sample, sizeof(sample));
        for (size_t i = 0; i < changes; i++) {
            count = mutate(&seeded, text, count, sizeof(text));
        }
        exact = malloc(count);
        assert_non_null(exact);
        memcpy(exact, text, count);
        assert_sensible(&seeded, exact, count);
        free(exact);
    }
}

static void the_sample_is_good_before_it_is_changed(void **state)
{
    (void)state;
    config_destroy(parse_good(sample));
}

/* ---- the table ---- */

static void every_default_is_taken_when_written_out(void **state)
{
    struct config_key_info info;
    char text[256];

    (void)state;
    for (size_t i = 0; config_key(i, &info); i++) {
        bool global = strcmp(info.section, "global") == 0;

        if (!info.available || info.default_text[0] == '\0') {
            continue;
        }
        snprintf(text, sizeof(text), "[global]\n%s%s%s%s" SERVICE "%s%s%s%s",
                 global ? info.name : "", global ? " = " : "",
                 global ? info.default_text : "", global ? "\n" : "",
                 global ? "" : info.name, global ? "" : " = ",
                 global ? "" : info.default_text, global ? "" : "\n");
        config_destroy(parse_good(text));
    }
}

static void the_rows_are_whole(void **state)
{
    struct config_key_info info;
    struct config_key_info other;
    size_t count = 0;

    (void)state;
    for (size_t i = 0; config_key(i, &info); i++) {
        assert_true(info.name != NULL && info.name[0] != '\0');
        assert_true(info.help != NULL && info.help[0] != '\0');
        assert_null(strchr(info.help, '\n'));
        for (size_t j = 0; j < i; j++) {
            assert_true(config_key(j, &other));
            assert_false(strcmp(other.name, info.name) == 0 &&
                         strcmp(other.section, info.section) == 0);
        }
        count++;
    }
    assert_true(count > 60);
    assert_false(config_key(count, &info));
    assert_false(config_key((size_t)-1, &info));
}

static void hear_key(void *arg, const char *key)
{
    strcat(arg, key);
    strcat(arg, " ");
}

static void assert_restart(const char *running, const char *wanted,
                           const char *keys)
{
    struct config *one = parse_good(running);
    struct config *two = parse_good(wanted);
    char heard[256] = "";

    config_restart_keys(one, two, hear_key, heard);
    assert_string_equal(heard, keys);
    config_destroy(one);
    config_destroy(two);
}

static void keys_that_need_a_restart_are_named_when_they_differ(void **state)
{
    (void)state;
    assert_restart(SERVICE, SERVICE, "");
    assert_restart(SERVICE,
                   "[global]\nworkers = 3\nbuffer_memory = 1G\n"
                   "buffer_size = 8K\nuser = a\ngroup = b\n" SERVICE,
                   "workers buffer_memory buffer_size user group ");
    assert_restart("[global]\nuser = a\n" SERVICE,
                   "[global]\nuser = b\n" SERVICE, "user ");
    assert_restart("[global]\nuser = a\ngroup = b\n" SERVICE,
                   "[global]\ngroup = b\nuser = a\n" SERVICE, "");
    assert_restart("[global]\nmax_connections = 1\nlog_level = warn\n" SERVICE,
                   SERVICE, "");
}

/* ---- files ---- */

static void assert_not_loaded(const char *path, const char *message)
{
    struct config_errors errors = {0};

    assert_null(config_load(path, &errors));
    assert_int_equal(errors.count, 1);
    assert_int_equal(errors.list[0].line, 0);
    assert_string_equal(errors.list[0].message, message);
    config_errors_fini(&errors);
}

static int make_folder(void **state)
{
    static char folder[] = "/tmp/evproxy-config-XXXXXX";

    *state = mkdtemp(folder);
    return *state == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    return rmdir(*state);
}

static void write_file(const char *path, const char *text, size_t pad)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    for (size_t i = strlen(text); i < pad; i++) {
        fputc('\n', file);
    }
    assert_int_equal(fclose(file), 0);
}

static void a_file_is_read_whole(void **state)
{
    struct config_errors errors = {0};
    struct config *config;
    char path[128];

    snprintf(path, sizeof(path), "%s/a.ini", (char *)*state);
    write_file(path, SERVICE, INI_BYTES_MAX);
    config = config_load(path, &errors);
    assert_non_null(config);
    config_destroy(config);
    write_file(path, SERVICE, INI_BYTES_MAX + 1);
    assert_not_loaded(path, "it is larger than 1 MiB");
    write_file(path, SERVICE "junk\n", 0);
    assert_null(config_load(path, &errors));
    assert_int_equal(errors.list[0].line, 4);
    config_errors_fini(&errors);
    unlink(path);
}

static void what_is_no_file_is_not_read(void **state)
{
    char path[128];

    assert_not_loaded(*state, "it is not a regular file");
    snprintf(path, sizeof(path), "%s/none", (char *)*state);
    assert_not_loaded(path, "cannot be read: No such file or directory");
    snprintf(path, sizeof(path), "%s/fifo", (char *)*state);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_not_loaded(path, "it is not a regular file");
    unlink(path);
    assert_not_loaded("/dev/zero", "it is not a regular file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unsaid_global_key_has_its_default),
        cmocka_unit_test(an_unsaid_service_key_has_its_default),
        cmocka_unit_test(every_global_key_is_read),
        cmocka_unit_test(every_time_of_a_service_is_read),
        cmocka_unit_test(every_limit_of_a_service_is_read),
        cmocka_unit_test(every_other_key_of_a_service_is_read),
        cmocka_unit_test(choices_are_told_apart),
        cmocka_unit_test(listens_keep_their_order_and_lines),
        cmocka_unit_test(upstreams_take_options_in_any_order),
        cmocka_unit_test(rules_keep_their_order_over_both_keys),
        cmocka_unit_test(source_addresses_are_lists_of_ranges),
        cmocka_unit_test(access_log_is_the_global_one_unless_said),
        cmocka_unit_test(an_upstream_may_be_shared_by_services),
        cmocka_unit_test(udp_has_keys_and_a_default_of_its_own),
        cmocka_unit_test(udp_has_no_unix_sockets_and_no_active_checks),
        cmocka_unit_test(carriage_returns_and_a_cut_end_change_nothing),
        cmocka_unit_test(sections_are_checked),
        cmocka_unit_test(service_names_are_checked),
        cmocka_unit_test(a_service_needs_listen_and_upstream),
        cmocka_unit_test(unknown_keys_are_named_with_the_nearest_known),
        cmocka_unit_test(a_key_stands_once_unless_it_may_be_repeated),
        cmocka_unit_test(values_out_of_range_are_refused),
        cmocka_unit_test(global_values_out_of_range_are_refused),
        cmocka_unit_test(a_block_fits_into_each_half_of_the_memory),
        cmocka_unit_test(empty_values_are_refused),
        cmocka_unit_test(bad_listens_are_refused),
        cmocka_unit_test(bad_upstreams_are_refused),
        cmocka_unit_test(an_upstream_at_which_its_service_listens_is_refused),
        cmocka_unit_test(bad_upstream_options_are_refused),
        cmocka_unit_test(bad_networks_and_ranges_are_refused),
        cmocka_unit_test(a_proxy_header_needs_senders_that_may_send_it),
        cmocka_unit_test(what_this_build_has_not_is_refused),
#if EVPROXY_TLS
        cmocka_unit_test(every_tls_key_is_read),
        cmocka_unit_test(upstreams_may_be_trusted_blindly),
        cmocka_unit_test(a_tls_key_needs_what_it_belongs_to),
        cmocka_unit_test(there_is_a_key_for_each_certificate_or_none),
        cmocka_unit_test(a_unix_socket_has_no_name_to_verify),
        cmocka_unit_test(udp_has_no_tls),
        cmocka_unit_test(bad_names_of_upstreams_are_refused),
        cmocka_unit_test(bad_protocols_are_refused),
#else
        cmocka_unit_test(
            without_tls_its_keys_are_refused_unless_they_ask_nothing),
#endif
        cmocka_unit_test(all_errors_are_told_in_the_order_of_the_lines),
        cmocka_unit_test(errors_are_added_after_those_that_stand_there),
        cmocka_unit_test(too_many_errors_are_cut_with_a_last_word),
        cmocka_unit_test(thousands_of_upstreams_are_compared_in_no_time),
        cmocka_unit_test(any_text_is_a_snapshot_or_errors_with_lines),
        cmocka_unit_test(the_sample_is_good_before_it_is_changed),
        cmocka_unit_test(every_default_is_taken_when_written_out),
        cmocka_unit_test(the_rows_are_whole),
        cmocka_unit_test(keys_that_need_a_restart_are_named_when_they_differ),
        cmocka_unit_test(a_file_is_read_whole),
        cmocka_unit_test(what_is_no_file_is_not_read),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
