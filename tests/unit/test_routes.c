/* Loops by addresses: through the loader, as far as it knows them, and by the
 * graph itself with addresses of this machine. */
#include "config/routes.h"

#include "config/config.h"
#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

static void a_ring_of_services_is_refused(void **state)
{
    (void)state;
    assert_refused("[service a]\n"
                   "listen = 127.0.0.1:1\n"
                   "upstream = 127.0.0.1:2\n"
                   "[service b]\n"
                   "listen = :2\n"
                   "upstream = 127.0.0.1:1\n",
                   6,
                   "upstream 127.0.0.1:1 leads back to this service, by line "
                   "3: a loop");
    assert_refused("[service a]\n"
                   "listen = 127.0.0.1:1\n"
                   "upstream = 10.0.0.1:80\n"
                   "upstream = [::1]:2 backup\n"
                   "[service b]\n"
                   "listen = :2\n"
                   "upstream = unix:/run/c\n"
                   "[service c]\n"
                   "listen = unix:/run/c\n"
                   "upstream = 127.0.0.1:1\n",
                   10,
                   "upstream 127.0.0.1:1 leads back to this service, by lines "
                   "4, 7: a loop");
}

static void no_address_is_the_loopback_one(void **state)
{
    (void)state;
    assert_refused(SERVICE "listen = 127.0.0.1:1\n"
                           "upstream = 0.0.0.0:1\n",
                   5,
                   "upstream 0.0.0.0:1 is where this service listens (line "
                   "4): a loop");
    config_destroy(parse_good("[service a]\n"
                              "listen = 127.0.0.2:1\n"
                              "upstream = 0.0.0.0:1\n"));
}

static void a_chain_that_ends_elsewhere_is_good(void **state)
{
    (void)state;
    config_destroy(parse_good("[service a]\n"
                              "listen = :1\n"
                              "upstream = 127.0.0.1:2\n"
                              "upstream = 127.0.0.1:3\n"
                              "[service b]\n"
                              "listen = :2\n"
                              "upstream = 127.0.0.1:3\n"
                              "[service c]\n"
                              "listen = :3\n"
                              "upstream = 10.0.0.1:1\n"));
}

/* The kernel gives it to the socket of just this address. */
static void an_exact_listen_address_goes_before_a_wildcard(void **state)
{
    (void)state;
    config_destroy(parse_good("[service a]\n"
                              "listen = :1\n"
                              "upstream = 127.0.0.1:1\n"
                              "[service b]\n"
                              "listen = 127.0.0.1:1\n"
                              "upstream = 10.0.0.1:1\n"));
}

static void tcp_and_udp_are_different(void **state)
{
    (void)state;
    config_destroy(parse_good("[service a]\n"
                              "listen = :1\n"
                              "upstream = 127.0.0.1:2\n"
                              "[service b]\n"
                              "mode = udp\n"
                              "listen = :2\n"
                              "upstream = 127.0.0.1:1\n"));
    assert_refused("[service a]\n"
                   "mode = udp\n"
                   "listen = :1\n"
                   "upstream = 127.0.0.1:2\n"
                   "[service b]\n"
                   "mode = udp\n"
                   "listen = :2\n"
                   "upstream = 127.0.0.1:1\n",
                   8,
                   "upstream 127.0.0.1:1 leads back to this service, by line "
                   "4: a loop");
}

/* What comes without one of its names goes elsewhere. */
static void server_names_make_a_loop_only_where_they_stay(void **state)
{
    (void)state;
    assert_refused("[service a]\n"
                   "listen = :1\n"
                   "sni = a.example\n"
                   "upstream = 127.0.0.1:1\n"
                   "[service b]\n"
                   "listen = :1\n"
                   "upstream = 10.0.0.1:1\n",
                   4,
                   "upstream 127.0.0.1:1 is where this service listens (line "
                   "2): a loop");
    assert_refused("[service a]\n"
                   "listen = :1\n"
                   "sni = a.example\n"
                   "upstream = 10.0.0.1:1\n"
                   "[service b]\n"
                   "listen = :1\n"
                   "upstream = 127.0.0.1:2\n"
                   "[service c]\n"
                   "listen = :2\n"
                   "upstream = 127.0.0.1:1\n",
                   10,
                   "upstream 127.0.0.1:1 leads back to this service, by line "
                   "7: a loop");
    config_destroy(parse_good("[service a]\n"
                              "listen = :1\n"
                              "sni = a.example\n"
                              "upstream = 127.0.0.1:2\n"
                              "[service b]\n"
                              "listen = :2\n"
                              "sni = b.example\n"
                              "upstream = 127.0.0.1:1\n"));
}

static void a_long_ring_is_named_in_part(void **state)
{
    struct config_errors errors = {0};
    char text[4096];
    int used = 0;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        used += sprintf(text + used,
                        "[service s%u]\n"
                        "listen = 127.0.0.1:%u\n"
                        "upstream = 127.0.0.1:%u\n",
                        i, 100 + i, 100 + (i + 1) % 20);
    }
    assert_null(load_text(text, (size_t)used, &errors));
    assert_int_equal(errors.count, 1);
    assert_int_equal(errors.list[0].line, 60);
    assert_string_equal(errors.list[0].message,
                        "upstream 127.0.0.1:100 leads back to this service, by "
                        "lines 3, 6, 9, 12, 15, 18, 21, 24, ...: a loop");
    config_errors_fini(&errors);
}

/* ---- addresses of this machine ---- */

static struct endpoint endpoint(const char *text)
{
    struct address address;

    assert_null(address_parse(text, &address));
    return address.endpoint;
}

static int add(struct routes *routes, const char *text)
{
    struct endpoint to = endpoint(text);
    char why[ROUTES_TEXT_MAX];

    return routes_add(routes, 0, &to, 9, why);
}

static void wildcards_take_what_goes_to_addresses_of_this_machine(void **state)
{
    struct config *config = parse_good("[service a]\n"
                                       "listen = :80\n"
                                       "listen = 0.0.0.0:81\n"
                                       "listen = 10.0.0.3:82\n"
                                       "upstream = 10.9.9.9:80\n");
    const struct endpoint local[] = {
        endpoint("[fe80::1%2]:1"),
        endpoint("10.0.0.3:1"),
        endpoint("[fd00::3]:1"),
        endpoint("10.0.0.2:1"),
    };
    struct routes *routes = routes_create(config, local, 4);

    (void)state;
    assert_non_null(routes);
    assert_int_equal(add(routes, "10.0.0.2:80"), ROUTES_LOOP);
    assert_int_equal(add(routes, "10.0.0.3:80"), ROUTES_LOOP);
    assert_int_equal(add(routes, "[fd00::3]:80"), ROUTES_LOOP);
    assert_int_equal(add(routes, "[fe80::1%2]:80"), ROUTES_LOOP);
    assert_int_equal(add(routes, "10.0.0.2:81"), ROUTES_LOOP);
    assert_int_equal(add(routes, "10.0.0.3:82"), ROUTES_LOOP);
    assert_int_equal(add(routes, "10.0.0.4:80"), ROUTES_ADDED);
    assert_int_equal(add(routes, "[fe80::1%3]:80"), ROUTES_ADDED);
    assert_int_equal(add(routes, "[fd00::3]:81"), ROUTES_ADDED);
    assert_int_equal(add(routes, "10.0.0.2:82"), ROUTES_ADDED);
    assert_int_equal(add(routes, "10.0.0.2:83"), ROUTES_ADDED);
    assert_int_equal(add(routes, "unix:/run/a"), ROUTES_ADDED);
    routes_destroy(routes);
    config_destroy(config);
}

/* Nothing is a loop then, and the graph has no places: UBSan looks on. */
static void services_that_listen_nowhere_have_routes_too(void **state)
{
    (void)state;
    assert_refused("[service web]\n"
                   "upstream = 127.0.0.1:1\n",
                   1, "[service web] has no listen");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upstream_at_which_its_service_listens_is_refused),
        cmocka_unit_test(a_ring_of_services_is_refused),
        cmocka_unit_test(no_address_is_the_loopback_one),
        cmocka_unit_test(a_chain_that_ends_elsewhere_is_good),
        cmocka_unit_test(an_exact_listen_address_goes_before_a_wildcard),
        cmocka_unit_test(tcp_and_udp_are_different),
        cmocka_unit_test(server_names_make_a_loop_only_where_they_stay),
        cmocka_unit_test(a_long_ring_is_named_in_part),
        cmocka_unit_test(wildcards_take_what_goes_to_addresses_of_this_machine),
        cmocka_unit_test(services_that_listen_nowhere_have_routes_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
