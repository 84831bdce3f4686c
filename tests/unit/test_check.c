#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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

static void a_bound_needs_the_source_and_a_number_above_a_share(void **state)
{
    struct config *config;

    (void)state;
    assert_line_refused("balance_bound = 100",
                        "balance_bound: '100' is not a number between 101 and "
                        "1000");
    assert_line_refused("balance_bound = 1001",
                        "balance_bound: '1001' is not a number between 101 "
                        "and 1000");
    assert_refused(SERVICE "balance = leastconn\nbalance_bound = 125\n", 5,
                   "balance_bound needs balance = source");
    config = parse_good(SERVICE "balance_bound = 125\n");
    assert_int_equal(config->services[0].balance_bound, 125);
    config_destroy(config);
    config = parse_good(SERVICE "balance = first\nbalance_bound = 0\n");
    assert_int_equal(config->services[0].balance_bound, 0);
    config_destroy(config);
}

static void a_proxy_header_needs_senders_that_may_send_it(void **state)
{
    (void)state;
    assert_line_refused("proxy_protocol = on",
                        "proxy_protocol = on needs proxy_protocol_from");
    assert_line_refused("proxy_protocol = yes",
                        "proxy_protocol = on needs proxy_protocol_from");
    assert_line_refused("proxy_protocol_from = 10.0.0.0/8, 10.1.0.0/33",
                        "proxy_protocol_from: '10.0.0.0/8, 10.1.0.0/33': "
                        "prefix '33' is not a number between 0 and 32");
}

static void udp_has_no_unix_sockets_and_no_headers_of_streams(void **state)
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
                   2,
                   "health_check is not available for mode = udp, "
                   "except expect");
    assert_refused("[service a]\nmode = udp\nsni = a.b\nlisten = :80\n"
                   "upstream = 10.0.0.1:80\n",
                   3, "sni is not available for mode = udp");
    assert_refused("[service a]\nmode = udp\nlisten = :80\n"
                   "upstream = 10.0.0.1:80 proxy_protocol=v1\n",
                   4,
                   "proxy_protocol=v1 is not available for mode = udp; v2 is");
    assert_line_refused("upstream = 10.0.0.9:80 proxy_protocol=v2-each",
                        "proxy_protocol=v2-each needs mode = udp");
    assert_refused("[service a]\nmode = udp\nlisten = :80\n"
                   "proxy_protocol = on\nproxy_protocol_from = ::/0\n"
                   "upstream = 10.0.0.1:80\n",
                   4, "proxy_protocol is not available for mode = udp");
    assert_refused("[service a]\nmode = udp\nlisten = :80\n"
                   "upstream = 10.0.0.1:80\n"
                   "[service b]\nmode = udp\nlisten = :80\n"
                   "upstream = 10.0.0.1:80\n",
                   7, "listen address :80 is already used in line 3");
    config_destroy(parse_good(SERVICE "mode = udp\nhealth_check = off\n"
                                      "proxy_protocol = off\n"));
    config_destroy(parse_good(SERVICE "mode = udp\n"
                                      "proxy_protocol = false\n"));
}

/* Also where TLS is not built in. */
static void off_and_false_are_the_default_no(void **state)
{
    (void)state;
    config_destroy(parse_good(SERVICE "upstream_tls = off\n"
                                      "health_tls = false\n"));
}

#if EVPROXY_TLS
static void some_tls_keys_need_others(void **state)
{
    (void)state;
    assert_line_refused("tls_key = a", "tls_key needs tls_certificate");
    assert_line_refused("tls_client_ca = a",
                        "tls_client_ca needs tls_certificate");
    assert_line_refused("tls_ticket_keys = a",
                        "tls_ticket_keys needs tls_certificate");
    assert_line_refused("tls_min_version = 1.3",
                        "tls_min_version needs tls_certificate");
    assert_line_refused("upstream_tls_ca = a",
                        "upstream_tls_ca needs upstream_tls = yes "
                        "or health_tls = yes");
    assert_line_refused("upstream_tls_certificate = a",
                        "upstream_tls_certificate needs upstream_tls = yes "
                        "or health_tls = yes");
    assert_line_refused("upstream_tls_key = a",
                        "upstream_tls_key needs upstream_tls_certificate");
    assert_line_refused("upstream_tls_ca = off",
                        "upstream_tls_ca needs upstream_tls = yes "
                        "or health_tls = yes");
    assert_refused(SERVICE "upstream_tls = no\nupstream_tls_name = a\n", 5,
                   "upstream_tls_name needs upstream_tls = yes "
                   "or health_tls = yes");
    assert_line_refused("tls_alpn = h2", "tls_alpn needs tls_certificate or "
                                         "upstream_tls = yes");
    config_destroy(parse_good(SERVICE "tls_min_version = 1.2\n"
                                      "tls_alpn = h2\n"
                                      "upstream_tls = yes\n"));
}

static void each_certificate_has_a_key_file_or_none_has(void **state)
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
    assert_not_for_udp("tls_ticket_keys = a");
    assert_not_for_udp("tls_min_version = 1.3");
    assert_not_for_udp("tls_alpn = h2");
    assert_not_for_udp("upstream_tls = yes");
    assert_not_for_udp("upstream_tls_ca = off");
    assert_not_for_udp("upstream_tls_certificate = a");
    assert_not_for_udp("upstream_tls_name = a");
    config_destroy(parse_good(
        SERVICE "mode = udp\ntls_min_version = 1.2\nupstream_tls = no\n"));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_needs_listen_and_upstream),
        cmocka_unit_test(a_block_fits_into_each_half_of_the_memory),
        cmocka_unit_test(a_bound_needs_the_source_and_a_number_above_a_share),
        cmocka_unit_test(a_proxy_header_needs_senders_that_may_send_it),
        cmocka_unit_test(udp_has_no_unix_sockets_and_no_headers_of_streams),
        cmocka_unit_test(off_and_false_are_the_default_no),
#if EVPROXY_TLS
        cmocka_unit_test(some_tls_keys_need_others),
        cmocka_unit_test(each_certificate_has_a_key_file_or_none_has),
        cmocka_unit_test(a_unix_socket_has_no_name_to_verify),
        cmocka_unit_test(udp_has_no_tls),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
