#include "parsing.h"

#include "config/ini.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
                        "listen address :80 is already used in line 2");
    assert_refused(SERVICE "[service b]\n"
                           "listen = :80\n"
                           "upstream = 10.0.0.1:80\n",
                   5, "listen address :80 is already used in line 2");
}

static void ranges_that_overlap_are_refused_once(void **state)
{
    (void)state;
    assert_line_refused("listen = :70-90",
                        "listen address :80 is already used in line 2");
    assert_refused("[service a]\nlisten = 127.0.0.1:10-99\n"
                   "upstream = 10.0.0.1:80\n[service b]\n"
                   "listen = 127.0.0.1:90-200\nupstream = 10.0.0.1:80\n",
                   5, "listen address 127.0.0.1:90 is already used in line 2");
    config_destroy(parse_good("[service a]\nlisten = 127.0.0.1:10-89\n"
                              "upstream = 10.0.0.1:80\n[service b]\n"
                              "listen = 127.0.0.1:90-200\n"
                              "upstream = 10.0.0.1:80\n[service c]\n"
                              "mode = udp\nlisten = 127.0.0.1:10-200\n"
                              "upstream = 10.0.0.1:80\n"));
    assert_refused("[global]\nmetrics_listen = 127.0.0.1:85\n"
                   "[service a]\nlisten = 127.0.0.1:10-89\n"
                   "upstream = 10.0.0.1:80\n",
                   4,
                   "listen address 127.0.0.1:85 is that of metrics_listen in "
                   "line 2");
}

static void a_port_of_the_client_needs_one(void **state)
{
    (void)state;
    assert_refused("[service a]\nlisten = unix:/run/a\n"
                   "upstream = 10.0.0.1:*\n",
                   3,
                   "an upstream with the port * needs a port to come to, and "
                   "line 2 listens at a unix socket");
    assert_refused("[service a]\nlisten = :80\nupstream = 10.0.0.1:*\n"
                   "health_check = tcp\n",
                   3,
                   "an upstream with the port * needs health_port for "
                   "health_check");
    assert_refused("[service a]\nlisten = :80-99\nupstream = 127.0.0.1:*\n", 3,
                   "upstream 127.0.0.1:* is where this service listens (line "
                   "2): a loop");
    config_destroy(parse_good("[service a]\nlisten = :80-99\n"
                              "upstream = 10.0.0.1:*\nhealth_port = 7\n"
                              "health_check = tcp\n"));
}

static void bad_upstreams_are_refused(void **state)
{
    (void)state;
    assert_line_refused("upstream = :80", "upstream: ':80': an upstream needs "
                                          "an address before the port");
    assert_line_refused("upstream = 10.0.0.1:80 weight=2",
                        "upstream 10.0.0.1:80 is already used in line 3; "
                        "weight= gives it a larger share");
    assert_refused(SERVICE "upstream = db.example:1\n"
                           "upstream = DB.example:1\n",
                   5,
                   "upstream db.example:1 is already used in line 4; weight= "
                   "gives it a larger share");
    assert_refused(SERVICE "upstream = srv:_a._tcp.b\n"
                           "upstream = srv:_A._tcp.b\n",
                   5, "upstream srv:_a._tcp.b is already used in line 4");
}

static void thousands_of_upstreams_are_compared_in_little_time(void **state)
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
    assert_null(load_text(text, used, &errors));
    assert_int_equal(errors.count, 1);
    assert_int_equal(errors.list[0].line, 30003);
    assert_string_equal(errors.list[0].message,
                        "upstream 10.3.4.1:80 is already used in line 775; "
                        "weight= gives it a larger share");
    config_errors_fini(&errors);
    free(text);
}

static void services_may_share_an_address_by_protocols(void **state)
{
    (void)state;
    config_destroy(parse_good(SERVICE "sni = a.example\n"
                                      "[service b]\n"
                                      "listen = :80\n"
                                      "upstream = 10.0.0.1:80\n"
                                      "alpn = h2, H2\n"
                                      "[service c]\n"
                                      "listen = :80\n"
                                      "upstream = 10.0.0.1:80\n"
                                      "sni = a.example\n"
                                      "alpn = h2\n"));
    assert_refused(SERVICE "sni = A.example\n"
                           "alpn = h3, h2\n"
                           "[service b]\n"
                           "listen = :80\n"
                           "upstream = 10.0.0.1:80\n"
                           "sni = a.example\n"
                           "alpn = http/1.1, h2\n",
                   7,
                   "listen address :80 sni=a.example alpn=h2 is already used "
                   "in line 2");
    assert_refused(SERVICE "alpn = h2\n"
                           "[service b]\n"
                           "listen = :80\n"
                           "upstream = 10.0.0.1:80\n"
                           "alpn = h2\n",
                   6, "listen address :80 alpn=h2 is already used in line 2");
    assert_line_refused("alpn = h2, h2",
                        "alpn: 'h2, h2': 'h2' is in the list twice");
}

/* Two services at ranges of ports, the first in line 2. */
#define RANGES(first, first_keys, second, second_keys)                         \
    "[service a]\n"                                                            \
    "listen = " first "\n"                                                     \
    "upstream = 10.0.0.1:80\n" first_keys "[service b]\n"                      \
    "listen = " second "\n"                                                    \
    "upstream = 10.0.0.1:80\n" second_keys

#define OFFERS "sni = a.example\nalpn = h2\n"

static void services_may_share_a_range_by_names_and_protocols(void **state)
{
    static const char *const others[] = {
        "sni = a.example\nalpn = http/1.1\n",
        "sni = b.example\nalpn = h2\n",
        "sni = *.example\nalpn = h2\n",
        "sni = a.example\n",
        "alpn = h2\n",
        "",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        char text[512];

        snprintf(text, sizeof(text),
                 RANGES("127.0.0.1:10-89", OFFERS, "127.0.0.1:10-89", "%s"),
                 others[i]);
        config_destroy(parse_good(text));
        snprintf(text, sizeof(text),
                 RANGES("127.0.0.1:10-89", OFFERS, "127.0.0.1:50-99", "%s"),
                 others[i]);
        config_destroy(parse_good(text));
    }
}

/* The error is one, for the lowest of the ports. */
static void a_range_has_each_name_and_protocol_once(void **state)
{
    (void)state;
    assert_refused(RANGES(":10-89", OFFERS, ":10-89", OFFERS), 7,
                   "listen address :10 sni=a.example alpn=h2 is already used "
                   "in line 2");
    assert_refused(
        RANGES(":10-89", "sni = b.example, A.example\nalpn = h3, h2\n",
               ":10-89", "sni = a.example, c.example\nalpn = h2, http/1.1\n"),
        7,
        "listen address :10 sni=a.example alpn=h2 is already used "
        "in line 2");
    assert_refused(RANGES(":10-89", "alpn = h2\n", ":10-89", "alpn = h2\n"), 6,
                   "listen address :10 alpn=h2 is already used in line 2");
}

static void overlapping_ranges_have_each_name_and_protocol_once(void **state)
{
    (void)state;
    assert_refused(RANGES(":10-89", OFFERS, ":50-99", OFFERS), 7,
                   "listen address :50 sni=a.example alpn=h2 is already used "
                   "in line 2");
    assert_refused(RANGES(":50-99", OFFERS, ":10-50", OFFERS), 7,
                   "listen address :50 sni=a.example alpn=h2 is already used "
                   "in line 2");
    assert_refused(RANGES(":10-89", OFFERS, ":88", OFFERS), 7,
                   "listen address :88 sni=a.example alpn=h2 is already used "
                   "in line 2");
    assert_refused(RANGES(":88", OFFERS, ":10-89", OFFERS), 7,
                   "listen address :88 sni=a.example alpn=h2 is already used "
                   "in line 2");
    config_destroy(parse_good(RANGES(":10-89", OFFERS, ":90-99", OFFERS)));
    config_destroy(parse_good(
        RANGES("127.0.0.1:10-89", OFFERS, "127.0.0.2:10-89", OFFERS)));
}

/* One error for each service that it overlaps. */
static void a_range_that_overlaps_two_is_refused_twice(void **state)
{
    struct config_errors errors =
        parse_bad(RANGES(":10-19", OFFERS, ":30-39",
                         OFFERS) "[service c]\nlisten = :15-35\nupstream = "
                                 "10.0.0.1:80\n" OFFERS);

    (void)state;
    assert_int_equal(errors.count, 2);
    for (size_t i = 0; i < errors.count; i++) {
        assert_int_equal(errors.list[i].line, 12);
    }
    assert_string_equal(errors.list[0].message,
                        "listen address :15 sni=a.example alpn=h2 is already "
                        "used in line 2");
    assert_string_equal(errors.list[1].message,
                        "listen address :30 sni=a.example alpn=h2 is already "
                        "used in line 7");
    config_errors_fini(&errors);
}

static void two_pairs_that_alternate_by_port_are_two_errors(void **state)
{
    struct config_errors errors =
        parse_bad(RANGES(":10-89", "sni = a.example\n", ":10-89",
                         "sni = b.example\n") "[service c]\nlisten = "
                                              ":10-89\nupstream = 10.0.0.1:80\n"
                                              "sni = a.example, b.example\n");

    (void)state;
    assert_int_equal(errors.count, 2);
    config_errors_fini(&errors);
}

/* What comes before the ClientHello is the same for all at a port. */
static void services_that_share_a_part_of_a_range_agree_on_it(void **state)
{
    (void)state;
    assert_refused(
        RANGES(":10-89", OFFERS, ":50-99", "sni = a.example\nmptcp = yes\n"), 7,
        "listen address :50 is shared with line 2, but mptcp "
        "differs");
    config_destroy(parse_good(
        RANGES(":10-89", OFFERS, ":90-99", "sni = a.example\nmptcp = yes\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upstream_may_be_shared_by_services),
        cmocka_unit_test(bad_listens_are_refused),
        cmocka_unit_test(ranges_that_overlap_are_refused_once),
        cmocka_unit_test(a_port_of_the_client_needs_one),
        cmocka_unit_test(services_may_share_an_address_by_protocols),
        cmocka_unit_test(services_may_share_a_range_by_names_and_protocols),
        cmocka_unit_test(a_range_has_each_name_and_protocol_once),
        cmocka_unit_test(overlapping_ranges_have_each_name_and_protocol_once),
        cmocka_unit_test(a_range_that_overlaps_two_is_refused_twice),
        cmocka_unit_test(two_pairs_that_alternate_by_port_are_two_errors),
        cmocka_unit_test(services_that_share_a_part_of_a_range_agree_on_it),
        cmocka_unit_test(bad_upstreams_are_refused),
        cmocka_unit_test(thousands_of_upstreams_are_compared_in_little_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
