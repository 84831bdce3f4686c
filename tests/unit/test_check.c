#include "parsed.h"

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

static void a_proxy_header_needs_senders_that_may_send_it(void **state)
{
    (void)state;
    assert_line_refused("proxy_protocol = on",
                        "proxy_protocol = on needs proxy_protocol_from");
    assert_line_refused("proxy_protocol_from = 10.0.0.0/8, 10.1.0.0/33",
                        "proxy_protocol_from: '10.0.0.0/8, 10.1.0.0/33': "
                        "prefix '33' is not a number between 0 and 32");
}

#define SHARING(name, keys)                                                    \
    "[service " name "]\n"                                                     \
    "listen = :443\n"                                                          \
    "upstream = 10.0.0.1:443\n" keys

static void an_address_is_shared_by_server_name_only(void **state)
{
    (void)state;
    config_destroy(parse_good(SHARING("a", "sni = a.example, *.a.example\n")
                                  SHARING("b", "sni = b.example\n")
                                      SHARING("rest", "")));
    assert_refused(SHARING("a", "sni = a.example\n")
                       SHARING("b", "sni = b.example, A.example\n"),
                   6,
                   "listen address :443 sni=a.example stands in line 2 "
                   "already");
    assert_refused(SHARING("a", "") SHARING("b", "sni = b.example\n")
                       SHARING("c", ""),
                   9, "listen address :443 stands in line 2 already");
    assert_refused(SHARING("a", "sni = a.example\n")
                       SHARING("b", "proxy_protocol = on\n"
                                    "proxy_protocol_from = 10.0.0.0/8\n"),
                   6,
                   "listen address :443 is shared with line 2, but "
                   "proxy_protocol differs");
}

#if EVPROXY_TLS
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
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_needs_listen_and_upstream),
        cmocka_unit_test(a_block_fits_into_each_half_of_the_memory),
        cmocka_unit_test(an_upstream_at_which_its_service_listens_is_refused),
        cmocka_unit_test(a_proxy_header_needs_senders_that_may_send_it),
        cmocka_unit_test(an_address_is_shared_by_server_name_only),
#if EVPROXY_TLS
        cmocka_unit_test(a_tls_key_needs_what_it_belongs_to),
        cmocka_unit_test(there_is_a_key_for_each_certificate_or_none),
        cmocka_unit_test(a_unix_socket_has_no_name_to_verify),
        cmocka_unit_test(udp_has_no_tls),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
