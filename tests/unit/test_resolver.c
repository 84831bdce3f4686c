/* Look-ups that the machine answers itself; nothing here asks the network. */
#include "control/resolver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <netdb.h>

/* A bare system may know no name at all. */
static void skip_without_names(void)
{
    struct addrinfo *found = NULL;

    if (getaddrinfo("localhost", NULL, NULL, &found) != 0) {
        print_message("skipped: localhost does not resolve here\n");
        skip();
    }
    freeaddrinfo(found);
}

static void localhost_is_a_loopback_address_with_the_port(void **state)
{
    struct endpoint *found;
    size_t count;

    (void)state;
    skip_without_names();
    count = resolver_lookup("localhost", 8080, &found);
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        char text[ADDR_TEXT_MAX];

        endpoint_format(&found[i], text);
        assert_true(strcmp(text, "127.0.0.1:8080") == 0 ||
                    strcmp(text, "[::1]:8080") == 0);
    }
    free(found);
}

static void addresses_come_sorted_and_each_once(void **state)
{
    struct endpoint *found;
    size_t count = resolver_lookup("localhost", 1, &found);

    (void)state;
    for (size_t i = 1; i < count; i++) {
        struct addr before, after;

        addr_from_sockaddr(&before, &found[i - 1].u.any);
        addr_from_sockaddr(&after, &found[i].u.any);
        assert_true(addr_compare_ip(&before, &after) < 0);
    }
    free(found);
}

static void a_number_is_its_own_answer(void **state)
{
    struct endpoint *found;
    char text[ADDR_TEXT_MAX];

    (void)state;
    assert_int_equal(resolver_lookup("127.0.0.9", 65535, &found), 1);
    assert_string_equal(endpoint_format(&found[0], text), "127.0.0.9:65535");
    free(found);
}

static void a_mapped_address_is_an_ipv4_address(void **state)
{
    struct endpoint *found;
    size_t count = resolver_lookup("::ffff:127.0.0.1", 80, &found);
    char text[ADDR_TEXT_MAX];

    (void)state;
    if (count > 0) { /* not on a machine without IPv6 */
        assert_string_equal(endpoint_format(&found[0], text), "127.0.0.1:80");
    }
    free(found);
}

/* lo is interface 1 on every Linux. */
static void a_link_local_address_keeps_its_zone(void **state)
{
    struct endpoint *found;
    size_t count = resolver_lookup("fe80::1%lo", 80, &found);
    char text[ADDR_TEXT_MAX];

    (void)state;
    if (count > 0) { /* not on a machine without IPv6 */
        assert_int_equal(count, 1);
        assert_string_equal(endpoint_format(&found[0], text), "[fe80::1%1]:80");
    }
    free(found);
}

static void a_link_local_address_without_a_zone_is_no_answer(void **state)
{
    struct endpoint *found;

    (void)state;
    assert_int_equal(resolver_lookup("fe80::1", 80, &found), 0);
    free(found);
}

/* A label of more than 63 bytes cannot be asked for. */
static void what_cannot_be_a_name_has_no_address(void **state)
{
    char name[80];
    struct endpoint *found;

    (void)state;
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(resolver_lookup(name, 80, &found), 0);
    assert_null(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(localhost_is_a_loopback_address_with_the_port),
        cmocka_unit_test(addresses_come_sorted_and_each_once),
        cmocka_unit_test(a_number_is_its_own_answer),
        cmocka_unit_test(a_mapped_address_is_an_ipv4_address),
        cmocka_unit_test(a_link_local_address_keeps_its_zone),
        cmocka_unit_test(a_link_local_address_without_a_zone_is_no_answer),
        cmocka_unit_test(what_cannot_be_a_name_has_no_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
