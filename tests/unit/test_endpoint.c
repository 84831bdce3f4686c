#include "base/endpoint.h"

#include "addresses.h"

#include <arpa/inet.h>
#include <string.h>

#define PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

static void a_mapped_address_is_an_ipv4_address(void **state)
{
    struct addr four = good_ip("1.2.3.4");
    struct addr mapped = good_ip("::ffff:1.2.3.4");
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    struct addr addr;
    struct endpoint raw = {.length = sizeof(in6), .u.in6 = in6};
    struct endpoint turned;
    char text[ADDR_TEXT_MAX];

    (void)state;
    assert_true(addr_equal(&four, &mapped));
    memcpy(&raw.u.in6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\1\2\3\4", 16);
    addr_from_sockaddr(&addr, &raw.u.any);
    assert_int_equal(addr.family, AF_INET);
    assert_int_equal(addr.port, 9);
    assert_int_equal(addr_compare_ip(&addr, &four), 0);
    assert_string_equal(endpoint_format(&raw, text), "1.2.3.4:9");
    endpoint_from_addr(&turned, &addr);
    assert_true(endpoint_equal(&raw, &turned));
}

static void unix_clients_and_unknown_families_have_a_text(void **state)
{
    struct endpoint unnamed = {.length = sizeof(sa_family_t)};
    struct endpoint none = {0};
    struct sockaddr other = {.sa_family = AF_NETLINK};
    struct addr addr;
    char text[ADDR_TEXT_MAX];

    (void)state;
    unnamed.u.any.sa_family = AF_UNIX;
    assert_string_equal(endpoint_format(&unnamed, text), "unix:");
    assert_string_equal(endpoint_format(&none, text), "-");
    addr_from_sockaddr(&addr, &unnamed.u.any);
    assert_int_equal(addr.family, AF_UNIX);
    assert_string_equal(addr_format(&addr, text), "unix:");
    addr_from_sockaddr(&addr, &other);
    assert_int_equal(addr.family, 0);
    assert_string_equal(addr_format(&addr, text), "-");
}

static void only_a_link_local_address_lacks_a_zone(void **state)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
    struct endpoint endpoint;
    char text[ADDR_TEXT_MAX];

    (void)state;
    memcpy(&in6.sin6_addr, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
    endpoint_from_sockaddr(&endpoint, (const struct sockaddr *)&in6);
    assert_true(endpoint_lacks_zone(&endpoint));
    in6.sin6_scope_id = 3;
    endpoint_from_sockaddr(&endpoint, (const struct sockaddr *)&in6);
    assert_false(endpoint_lacks_zone(&endpoint));
    assert_string_equal(endpoint_format(&endpoint, text), "[fe80::1%3]:9");
    endpoint = good_address("[::1]:9").endpoint;
    assert_false(endpoint_lacks_zone(&endpoint));
    endpoint = good_address("1.2.3.4:9").endpoint;
    assert_false(endpoint_lacks_zone(&endpoint));
    endpoint = (struct endpoint){0};
    assert_false(endpoint_lacks_zone(&endpoint));
}

/* The kernel may fill the path to the last byte, without a final zero. */
static void a_path_without_a_final_zero_is_not_overread(void **state)
{
    struct endpoint full;
    struct endpoint same;
    char text[ADDR_TEXT_MAX];

    (void)state;
    memset(&full, '/', sizeof(full));
    full.length = sizeof(struct sockaddr_un);
    full.u.un.sun_family = AF_UNIX;
    same = full;
    assert_int_equal(strlen(endpoint_format(&full, text)), 5 + PATH_BYTES);
    assert_true(endpoint_equal(&full, &same));
    same.u.un.sun_path[PATH_BYTES - 1] = 'x';
    assert_false(endpoint_equal(&full, &same));
    full.length++;
    assert_int_equal(strlen(endpoint_format(&full, text)), 5 + PATH_BYTES);
}

static struct endpoint abstract_endpoint(const char *name, size_t length)
{
    struct endpoint endpoint = {0};
    size_t head = offsetof(struct sockaddr_un, sun_path) + 1;

    endpoint.u.un.sun_family = AF_UNIX;
    endpoint.length = (socklen_t)(head + length);
    memcpy(endpoint.u.un.sun_path + 1, name, length);
    return endpoint;
}

static void abstract_names_differ_and_are_not_written(void **state)
{
    struct endpoint a = abstract_endpoint("a\0b", 3);
    struct endpoint b = abstract_endpoint("a\0c", 3);
    char text[ADDR_TEXT_MAX];

    (void)state;
    assert_true(endpoint_equal(&a, &a));
    assert_false(endpoint_equal(&a, &b));
    assert_string_equal(endpoint_format(&a, text), "unix:");
}

static void endpoints_are_equal_when_every_part_is(void **state)
{
    static const char *const texts[] = {
        "1.2.3.4:80",     "1.2.3.4:81", "1.2.3.5:80",
        "[::1]:80",       "[::2]:80",   "[fe80::1%2]:80",
        "[fe80::1%3]:80", "unix:/a",    "unix:/b",
        "unix:/aa",       ":80",        "0.0.0.0:80",
        "name:80",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        for (size_t j = 0; j < ARRAY_LEN(texts); j++) {
            struct address a = good_address(texts[i]);
            struct address b = good_address(texts[j]);

            assert_int_equal(endpoint_equal(&a.endpoint, &b.endpoint), i == j);
        }
    }
}

static void flow_labels_do_not_make_endpoints_differ(void **state)
{
    struct address a = good_address("[::1]:80");
    struct address b = a;

    (void)state;
    b.endpoint.u.in6.sin6_flowinfo = htonl(5);
    assert_true(endpoint_equal(&a.endpoint, &b.endpoint));
}

static void all_addresses_of_a_port_cover_each(void **state)
{
    static const struct {
        const char *any, *one;
        bool covers;
    } cases[] = {
        {":80", "1.2.3.4:80", true},
        {":80", "[::1]:80", true},
        {":80", ":80", true},
        {":80", "0.0.0.0:80", true},
        {":80", "1.2.3.4:81", false},
        {":80", "unix:/a", false},
        {"0.0.0.0:80", "1.2.3.4:80", true},
        {"0.0.0.0:80", "[::1]:80", false},
        {"1.2.3.4:80", ":80", false},
        {"1.2.3.4:80", "1.2.3.4:80", false},
        {"unix:/a", "1.2.3.4:80", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct address any = good_address(cases[i].any);
        struct address one = good_address(cases[i].one);

        assert_int_equal(endpoint_covers(&any.endpoint, &one.endpoint),
                         cases[i].covers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mapped_address_is_an_ipv4_address),
        cmocka_unit_test(only_a_link_local_address_lacks_a_zone),
        cmocka_unit_test(unix_clients_and_unknown_families_have_a_text),
        cmocka_unit_test(a_path_without_a_final_zero_is_not_overread),
        cmocka_unit_test(abstract_names_differ_and_are_not_written),
        cmocka_unit_test(endpoints_are_equal_when_every_part_is),
        cmocka_unit_test(flow_labels_do_not_make_endpoints_differ),
        cmocka_unit_test(all_addresses_of_a_port_cover_each),
    };

    return cmocka_run_group_tests_name("endpoint", tests, NULL, NULL);
}
