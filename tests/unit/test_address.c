#include "base/address.h"

#include "addresses.h"

#include <stdio.h>
#include <string.h>

#define SEED UINT64_C(791)

#define PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

static void check_refused(const char *text, const char *wanted)
{
    struct address address;
    const char *sentence = parse_address(text, &address);

    if (sentence == NULL) {
        fail_msg("'%s' was taken", text);
    } else {
        assert_string_equal(sentence, wanted);
    }
}

static const struct {
    const char *text;
    enum address_kind kind;
    const char *written;
} good[] = {
    {"127.0.0.1:80", ADDRESS_IP, "127.0.0.1:80"},
    {"0.0.0.0:1", ADDRESS_IP, "0.0.0.0:1"},
    {"255.255.255.255:65535", ADDRESS_IP, "255.255.255.255:65535"},
    {"[::1]:80", ADDRESS_IP, "[::1]:80"},
    {"[2001:DB8:0:0::1]:443", ADDRESS_IP, "[2001:db8::1]:443"},
    {"[::ffff:1.2.3.4]:80", ADDRESS_IP, "1.2.3.4:80"},
    {"[fe80::1%2]:80", ADDRESS_IP, "[fe80::1%2]:80"},
    {"[fe80::1%4294967295]:80", ADDRESS_IP, "[fe80::1%4294967295]:80"},
    {":80", ADDRESS_ANY, ":80"},
    {"[::]:80", ADDRESS_ANY, ":80"},
    {"unix:/run/x.sock", ADDRESS_UNIX, "unix:/run/x.sock"},
    {"unix:/with space:80", ADDRESS_UNIX, "unix:/with space:80"},
    {"localhost:80", ADDRESS_NAME, "-"},
    {"a-b_c.example.:8080", ADDRESS_NAME, "-"},
    {"1.2.3.example:80", ADDRESS_NAME, "-"},
    {"0xcafe.example:80", ADDRESS_NAME, "-"},
    {"srv:_web._tcp.example", ADDRESS_SRV, "-"},
    {"srv:_a-b._x.a.example.", ADDRESS_SRV, "-"},
};

static void addresses_of_the_manual_are_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct address address = good_address(good[i].text);
        char text[ADDR_TEXT_MAX];

        assert_int_equal(address.kind, good[i].kind);
        assert_ptr_equal(endpoint_format(&address.endpoint, text), text);
        assert_string_equal(text, good[i].written);
    }
}

static void an_address_is_what_the_socket_calls_want(void **state)
{
    struct address four = good_address("1.2.3.4:258");
    struct address six = good_address("[fe80::1%7]:258");
    struct address un = good_address("unix:/abc");

    (void)state;
    assert_int_equal(four.endpoint.length, sizeof(struct sockaddr_in));
    assert_int_equal(four.endpoint.u.in.sin_family, AF_INET);
    assert_memory_equal(&four.endpoint.u.in.sin_port, "\1\2", 2);
    assert_memory_equal(&four.endpoint.u.in.sin_addr, "\1\2\3\4", 4);
    assert_int_equal(six.endpoint.length, sizeof(struct sockaddr_in6));
    assert_int_equal(six.endpoint.u.in6.sin6_family, AF_INET6);
    assert_memory_equal(&six.endpoint.u.in6.sin6_port, "\1\2", 2);
    assert_int_equal(six.endpoint.u.in6.sin6_scope_id, 7);
    assert_int_equal(un.endpoint.length,
                     offsetof(struct sockaddr_un, sun_path) + 5);
    assert_int_equal(un.endpoint.u.un.sun_family, AF_UNIX);
    assert_string_equal(un.endpoint.u.un.sun_path, "/abc");
}

static void a_name_is_kept_with_its_port_and_no_endpoint(void **state)
{
    struct address name = good_address("web.example:8080");
    struct address ip = good_address("1.2.3.4:80");

    (void)state;
    assert_string_equal(name.host, "web.example");
    assert_int_equal(name.port, 8080);
    assert_int_equal(name.endpoint.length, 0);
    assert_string_equal(ip.host, "");
    assert_int_equal(ip.port, 80);
}

static void names_are_written_as_they_were(void **state)
{
    static const char *const names[] = {"web.example:8080",
                                        "srv:_web._tcp.a.example"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct address address = good_address(names[i]);
        char text[ADDRESS_NAME_MAX];

        assert_true(address_is_name(&address));
        assert_string_equal(address_format_name(&address, text), names[i]);
    }
}

static void the_name_of_a_service_has_its_form(void **state)
{
    static const char *const wrong[] = {
        "",        "_web._tcp",  "web._tcp.a",   "_web.tcp.a",    "_._tcp.a",
        "_web..a", "_web._tcp.", "_web._tcp..a", "_web._tcp.a b",
    };
    char name[300] = "_web._tcp.", text[310], sentence[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(text, sizeof(text), "srv:%s", wrong[i]);
        snprintf(sentence, sizeof(sentence),
                 "'%s' is not the name of a service (example: "
                 "srv:_http._tcp.a.example)",
                 wrong[i]);
        check_refused(text, sentence);
    }
    check_refused("srv:_web._tcp.a:80",
                  "'_web._tcp.a:80' has a ':'; SRV records tell the port");
    for (size_t i = 10; i < 253; i++) {
        name[i] = i % 60 == 0 ? '.' : 'a';
    }
    snprintf(text, sizeof(text), "srv:%s", name);
    assert_string_equal(good_address(text).host, name);
    snprintf(text, sizeof(text), "srv:%sa", name);
    snprintf(sentence, sizeof(sentence),
             "'%.40s' is not the name of a service (example: "
             "srv:_http._tcp.a.example)",
             name);
    check_refused(text, sentence);
}

static void what_is_wrong_with_a_port_is_said(void **state)
{
    (void)state;
    check_refused("1.2.3.4:70000", "port 70000 is not between 1 and 65535");
    check_refused("[::1]:65536", "port 65536 is not between 1 and 65535");
    check_refused(":0", "port 0 is not between 1 and 65535");
    check_refused("a:080",
                  "'080' is not a port (a number between 1 and 65535)");
    check_refused("a:00", "'00' is not a port (a number between 1 and 65535)");
    check_refused("a:+80",
                  "'+80' is not a port (a number between 1 and 65535)");
    check_refused("a:-1", "'-1' is not a port (a number between 1 and 65535)");
    check_refused("a:80 ",
                  "'80 ' is not a port (a number between 1 and 65535)");
    check_refused("a:", "'' is not a port (a number between 1 and 65535)");
    check_refused("a:http",
                  "'http' is not a port (a number between 1 and 65535)");
    check_refused("1.2.3.4", "'1.2.3.4' has no port (example: 127.0.0.1:80)");
    check_refused("[::1]", "'[::1]' has no port (example: [::1]:80)");
    check_refused("[::1]80", "'[::1]80' has no port (example: [::1]:80)");
    check_refused("", "'' has no port (example: 127.0.0.1:80)");
}

static void what_would_be_right_is_said(void **state)
{
    (void)state;
    check_refused("*:80", "'*' is not an address; all addresses are written"
                          " as ':80'");
    check_refused("::1:80", "'::1:80' has more than one ':'; an IPv6 address"
                            " needs brackets (example: [::1]:80)");
    check_refused("::1", "'::1' has more than one ':'; an IPv6 address"
                         " needs brackets (example: [::1]:80)");
    check_refused("[::1:80", "'[::1:80' has no ']'");
    check_refused("[1.2.3.4]:80", "'1.2.3.4' is not an IPv6 address");
    check_refused("[]:80", "'' is not an IPv6 address");
    check_refused("a b:80", "'a b' is not a host name");
    check_refused("[fe80::1%eth0]:80", "zone 'eth0' is not an interface number"
                                       " (example: [fe80::1%2]:80)");
    check_refused("[fe80::1%]:80", "zone '' is not an interface number"
                                   " (example: [fe80::1%2]:80)");
    check_refused("[fe80::1%0]:80", "zone '0' is not an interface number"
                                    " (example: [fe80::1%2]:80)");
    check_refused("[fe80::1]:80", "'fe80::1' is link-local and needs a zone"
                                  " (example: [fe80::1%2]:80)");
    check_refused("[febf::1]:80", "'febf::1' is link-local and needs a zone"
                                  " (example: [fe80::1%2]:80)");
    check_refused("[::1%2]:80", "'::1' is not link-local and takes no zone");
    check_refused("[::ffff:1.2.3.4%2]:80",
                  "'::ffff:1.2.3.4' is not link-local and takes no zone");
}

/* inet_aton reads each of these as an address; so would a resolver. */
static void numbers_are_addresses_only_in_dotted_quad_form(void **state)
{
    static const char *const bad[] = {
        "127.1",     "2130706433", "0x7f000001", "0177.0.0.1", "1.2.3",
        "1.2.3.256", "01.2.3.4",   "1.2.3.0x4",  "1.2.3.4.5",  "0X7F.1",
        "0x",        "example.1",  "00.0.0.0",   "1.2.3.08",
    };
    char text[64];
    char wanted[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof(text), "%s:80", bad[i]);
        (void)snprintf(wanted, sizeof(wanted),
                       "'%s' is not an IPv4 address (example: 127.0.0.1)",
                       bad[i]);
        check_refused(text, wanted);
    }
}

/* length bytes in labels of `label` bytes, then the port. */
static const char *make_name(char *text, size_t length, size_t label)
{
    for (size_t i = 0; i < length; i++) {
        text[i] = i % (label + 1) == label ? '.' : 'a';
    }
    strcpy(text + length, ":80");
    return text;
}

static void names_are_as_long_as_the_name_system_allows(void **state)
{
    char text[ADDR_HOST_MAX + 8];
    struct address address;

    (void)state;
    (void)good_address(make_name(text, 253, 63));
    assert_non_null(parse_address(make_name(text, 254, 62), &address));
    (void)good_address(make_name(text, 63, 63));
    assert_non_null(parse_address(make_name(text, 64, 64), &address));
    assert_non_null(parse_address("a..b:80", &address));
    assert_non_null(parse_address(".a:80", &address));
    assert_non_null(parse_address(".:80", &address));
    assert_non_null(parse_address("a.b..:80", &address));
}

static const char *make_path(char *text, size_t length)
{
    strcpy(text, "unix:/");
    memset(text + 6, 'p', length - 1);
    text[5 + length] = '\0';
    return text;
}

static void a_path_is_absolute_and_fits_the_socket_address(void **state)
{
    char text[PATH_BYTES + 8];
    char written[ADDR_TEXT_MAX];
    struct address address = good_address(make_path(text, PATH_BYTES - 1));

    (void)state;
    assert_string_equal(endpoint_format(&address.endpoint, written), text);
    assert_int_equal(address.endpoint.length, sizeof(struct sockaddr_un));
    check_refused(make_path(text, PATH_BYTES),
                  "unix path '/ppppppppppppppppppppppppppppppppppppppp...'"
                  " is longer than 107 bytes");
    check_refused("unix:", "unix path '' is not absolute"
                           " (example: unix:/path)");
    check_refused("unix:run/x", "unix path 'run/x' is not absolute"
                                " (example: unix:/path)");
    check_refused("unix:@x", "unix path '@x' is not absolute"
                             " (example: unix:/path)");
    check_refused("unix:/a\nb", "unix path '/a?b' has a control character");
}

static void any_address_comes_back_as_it_was_written(void **state)
{
    uint64_t random = SEED;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct addr addr = random_addr(&random);
        struct addr back;
        struct address address;
        struct endpoint endpoint;
        char text[ADDR_TEXT_MAX];
        char again[ADDR_TEXT_MAX];

        endpoint_from_addr(&endpoint, &addr);
        if (endpoint_lacks_zone(&endpoint)) {
            endpoint.u.in6.sin6_scope_id = 1 + i;
        }
        address = good_address(endpoint_format(&endpoint, text));
        addr_from_sockaddr(&back, &address.endpoint.u.any);
        assert_true(endpoint_equal(&endpoint, &address.endpoint));
        assert_true(addr_equal(&addr, &back));
        assert_string_equal(endpoint_format(&endpoint, again), text);
    }
}

/* What was accepted can be written and means the same when read again. */
static void check_answer(const char *text)
{
    struct address address;
    struct address again;
    struct network network;
    struct addr addr;
    char written[ADDR_TEXT_MAX];

    if (parse_address(text, &address) == NULL && !address_is_name(&address)) {
        again = good_address(endpoint_format(&address.endpoint, written));
        assert_true(endpoint_equal(&address.endpoint, &again.endpoint));
        assert_int_equal(address.kind, again.kind);
    }
    if (parse_network(text, &network) == NULL) {
        assert_true(network_contains(&network, &network.base));
        assert_in_range(network.prefix, 0,
                        network.base.family == AF_INET ? 32 : 128);
    }
    if (addr_parse_ip(text, &addr) == NULL) {
        assert_int_equal(addr.port, 0);
    }
}

static void every_beginning_of_an_address_is_answered(void **state)
{
    static const char *const networks[] = {
        "10.0.0.0/8",
        "2001:db8::/32",
        "::ffff:10.0.0.0/104",
        "fe80::1%eth0/64",
    };
    char text[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good) + ARRAY_LEN(networks); i++) {
        const char *whole =
            i < ARRAY_LEN(good) ? good[i].text : networks[i - ARRAY_LEN(good)];

        for (size_t length = 0; length <= strlen(whole); length++) {
            memcpy(text, whole, length);
            text[length] = '\0';
            check_answer(text);
        }
    }
}

static void every_address_with_a_wrong_byte_is_answered(void **state)
{
    char text[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        for (size_t at = 0; at < strlen(good[i].text); at++) {
            for (unsigned byte = 1; byte < 256; byte++) {
                strcpy(text, good[i].text);
                text[at] = (char)byte;
                check_answer(text);
            }
        }
    }
}

/* Characters of the grammar are likelier than others, so that some texts get
 * far. */
static void garbage_is_answered(void **state)
{
    static const char likely[] = "0123456789:[]./%*fFaunixsrv-_";
    uint64_t random = SEED;
    char text[400];

    (void)state;
    for (unsigned i = 0; i < 30000; i++) {
        size_t most = i % 10 == 0 ? sizeof(text) : 24;
        size_t length = hash_random(&random) % most;

        for (size_t at = 0; at < length; at++) {
            uint64_t dice = hash_random(&random);

            text[at] = dice % 8 == 0
                           ? (char)(dice >> 8)
                           : likely[(dice >> 8) % (sizeof(likely) - 1)];
        }
        text[length] = '\0';
        check_answer(text);
    }
}

/* Some length exceeds each buffer that a part of the text is copied to. */
static void parts_of_any_length_are_answered(void **state)
{
    static const char *const starts[] = {"", "[", "[fe80::1%", "unix:/", "::/"};
    static const char *const ends[] = {"", ":80", "]:80", "/8"};
    char text[400];

    (void)state;
    for (size_t length = 0; length < 300; length++) {
        for (size_t i = 0; i < ARRAY_LEN(starts) * ARRAY_LEN(ends); i++) {
            size_t start = strlen(strcpy(text, starts[i % ARRAY_LEN(starts)]));

            memset(text + start, '1', length);
            strcpy(text + start + length, ends[i / ARRAY_LEN(starts)]);
            check_answer(text);
        }
    }
}

static void a_port_may_be_a_star_where_that_is_asked_for(void **state)
{
    static const char *const texts[] = {"10.0.0.1:*", "[fe80::1%2]:*"};
    struct address address;
    char text[ADDR_TEXT_MAX], name[ADDRESS_NAME_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        check_refused(texts[i],
                      "'*' is not a port (a number between 1 and 65535)");
        assert_null(address_parse_any_port(texts[i], &address));
        assert_true(address_has_any_port(&address));
        assert_string_equal(endpoint_format(&address.endpoint, text), texts[i]);
    }
    assert_null(address_parse_any_port("web.example:*", &address));
    assert_string_equal(address_format_name(&address, name), "web.example:*");
    assert_null(address_parse_any_port("web.example:80", &address));
    assert_false(address_has_any_port(&address));
    assert_null(address_parse_any_port("unix:/run/x:*", &address));
    assert_false(address_has_any_port(&address));
}

static void ports_may_be_a_range(void **state)
{
    static const struct {
        const char *text;
        uint16_t first, last;
    } ranges[] = {
        {"127.0.0.1:80-89", 80, 89},
        {"[::1]:1-65535", 1, 65535},
        {":5-5", 5, 5},
        {"127.0.0.1:80", 80, 80},
        {"unix:/run/a:1-2", 0, 0},
        {"a-b.example:7-9", 7, 9},
    };
    static const char *const bad[][2] = {
        {"1.2.3.4:9-5", "the range of ports ends before it starts: 9-5"},
        {"1.2.3.4:5-", "'' is not a port (a number between 1 and 65535)"},
        {"1.2.3.4:5-*", "'*' is not a port (a number between 1 and 65535)"},
        {"1.2.3.4:*-5", "'*' is not a port (a number between 1 and 65535)"},
        {"1.2.3.4:0-5", "port 0 is not between 1 and 65535"},
        {"1.2.3.4:5-70000", "port 70000 is not between 1 and 65535"},
        {"1.2.3.4:1-2-3", "'2-3' is not a port (a number between 1 and 65535)"},
    };
    struct address address;
    uint16_t last;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        assert_null(address_parse_ports(ranges[i].text, &address, &last));
        assert_int_equal(address.port, ranges[i].first);
        assert_int_equal(last, ranges[i].last);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *why = address_parse_ports(bad[i][0], &address, &last);

        assert_non_null(why);
        assert_string_equal(why, bad[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_the_manual_are_taken),
        cmocka_unit_test(a_port_may_be_a_star_where_that_is_asked_for),
        cmocka_unit_test(ports_may_be_a_range),
        cmocka_unit_test(an_address_is_what_the_socket_calls_want),
        cmocka_unit_test(a_name_is_kept_with_its_port_and_no_endpoint),
        cmocka_unit_test(names_are_written_as_they_were),
        cmocka_unit_test(the_name_of_a_service_has_its_form),
        cmocka_unit_test(what_is_wrong_with_a_port_is_said),
        cmocka_unit_test(what_would_be_right_is_said),
        cmocka_unit_test(numbers_are_addresses_only_in_dotted_quad_form),
        cmocka_unit_test(names_are_as_long_as_the_name_system_allows),
        cmocka_unit_test(a_path_is_absolute_and_fits_the_socket_address),
        cmocka_unit_test(any_address_comes_back_as_it_was_written),
        cmocka_unit_test(every_beginning_of_an_address_is_answered),
        cmocka_unit_test(every_address_with_a_wrong_byte_is_answered),
        cmocka_unit_test(garbage_is_answered),
        cmocka_unit_test(parts_of_any_length_are_answered),
    };

    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
