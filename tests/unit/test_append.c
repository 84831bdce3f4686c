#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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
                   "upstream = db.example:5432 backup drain weight=256\n"
                   "upstream = unix:/run/a\tmax_connections=9  "
                   "proxy_protocol=off weight=1\n"
                   "upstream = [::1]:1 max_connections=off\n");
    const struct config_upstream *upstreams = config->services[0].upstreams;

    (void)state;
    assert_int_equal(config->services[0].upstream_count, 4);
    assert_int_equal(upstreams[0].weight, 1);
    assert_false(upstreams[0].backup);
    assert_false(upstreams[0].drain);
    assert_int_equal(upstreams[0].max_connections, 0);
    assert_int_equal(upstreams[0].line, 3);
    assert_int_equal(upstreams[1].address.kind, ADDRESS_NAME);
    assert_string_equal(upstreams[1].address.host, "db.example");
    assert_int_equal(upstreams[1].address.port, 5432);
    assert_int_equal(upstreams[1].weight, 256);
    assert_true(upstreams[1].backup);
    assert_true(upstreams[1].drain);
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
                                               "allow = ::1, unix\n");
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_int_equal(service->rule_count, 5);
    assert_false(service->rules[0].allow);
    assert_true(service->rules[1].allow);
    assert_false(service->rules[2].allow);
    assert_true(service->rules[3].allow);
    assert_int_equal(service->rules[0].network.prefix, 16);
    assert_int_equal(service->rules[1].network.prefix, 8);
    assert_int_equal(service->rules[3].network.prefix, 128);
    assert_int_equal(service->rules[4].clients, CLIENTS_UNIX);
    assert_true(service->rules[4].allow);
    assert_int_equal(service->rules[4].line, 7);
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
    assert_line_refused("upstream = srv:_a._tcp.b weight=2",
                        "upstream: 'weight=2': an srv: name takes its weights "
                        "from its records");
    assert_line_refused("listen = srv:_a._tcp.b",
                        "listen: 'srv:_a._tcp.b': listen needs an address, not "
                        "a name");
    assert_line_refused("upstream = a.b:1 backup=yes",
                        "upstream: 'backup=yes': it takes no value");
    assert_line_refused("upstream = a.b:1 drain=no",
                        "upstream: 'drain=no': it takes no value");
    assert_line_refused("upstream = a.b:1 backup backup",
                        "upstream: 'backup': the option is given twice");
    assert_line_refused("upstream = a.b:1 weigh=1",
                        "upstream: unknown option 'weigh=1' (options: "
                        "weight=N, backup, drain, max_connections=N, "
                        "proxy_protocol=off|v1|v2|v2-each)");
    assert_line_refused("upstream = a.b:1 max_connections=x",
                        "upstream: 'max_connections=x': 'x' is neither off nor "
                        "a number between 0 and 134217728");
    assert_line_refused("upstream = a.b:1 proxy_protocol=v3",
                        "upstream: 'proxy_protocol=v3': 'v3' is not one of "
                        "off, v1, v2, v2-each");
}

static void bad_networks_and_ranges_are_refused(void **state)
{
    (void)state;
    assert_line_refused("allow = 10.0.0.1/8",
                        "allow: '10.0.0.1/8' has bits set beyond the prefix "
                        "(the network is 10.0.0.0/8)");
    assert_line_refused("deny = any", "deny: 'any' is not an IP address");
    assert_line_refused("deny = unix, all, ::1/129",
                        "deny: 'unix, all, ::1/129': prefix '129' is not a "
                        "number between 0 and 128");
    assert_line_refused("source_address = 10.0.0.2-10.0.0.1",
                        "source_address: '10.0.0.2-10.0.0.1': the range ends "
                        "before it starts");
    assert_line_refused("source_address = 10.0.0.2-::1",
                        "source_address: '10.0.0.2-::1': a range has both ends "
                        "in one family");
    assert_line_refused("source_address = fe80::1",
                        "source_address: 'fe80::1': a link-local address "
                        "cannot be a source");
    assert_line_refused("source_address = fe7f::1-fe80::1",
                        "source_address: 'fe7f::1-fe80::1': a link-local "
                        "address cannot be a source");
    assert_line_refused("source_address = 10.0.0.1,,10.0.0.2",
                        "source_address: '10.0.0.1,,10.0.0.2': '' is not an IP "
                        "address");
}

#if EVPROXY_TLS
/* As assert_line_refused, where TLS begins. */
static void assert_tls_refused(const char *line, const char *message)
{
    char text[512];

    snprintf(text, sizeof(text), SERVICE "%s\nupstream_tls = yes\n", line);
    assert_refused(text, 4, message);
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
                       "tls_alpn: 'h2, h3,h2': 'h2' is in the list twice");
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
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listens_keep_their_order_and_lines),
        cmocka_unit_test(upstreams_take_options_in_any_order),
        cmocka_unit_test(rules_keep_their_order_over_both_keys),
        cmocka_unit_test(source_addresses_are_lists_of_ranges),
        cmocka_unit_test(bad_upstream_options_are_refused),
        cmocka_unit_test(bad_networks_and_ranges_are_refused),
#if EVPROXY_TLS
        cmocka_unit_test(bad_protocols_are_refused),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
