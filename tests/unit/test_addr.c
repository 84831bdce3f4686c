#include "base/addr.h"

#include "base/hash.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(791)

#define PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

typedef unsigned __int128 wide;

/* Short, printable, no final stop. */
static void check_sentence(const char *sentence)
{
    size_t length = strlen(sentence);

    assert_in_range(length, 1, 200);
    assert_int_not_equal(sentence[length - 1], '.');
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)sentence[i];

        assert_true(byte >= 0x20 && byte != 0x7f);
    }
}

/* Parses a copy that ends where its memory ends, so that a step beyond it is
 * seen by ASan. */
static const char *parse(const char *text, struct address *address)
{
    char *copy = strdup(text);
    const char *sentence;

    assert_non_null(copy);
    sentence = address_parse(copy, address);
    free(copy);
    if (sentence != NULL) {
        check_sentence(sentence);
    }
    return sentence;
}

static const char *parse_network(const char *text, struct network *network)
{
    char *copy = strdup(text);
    const char *sentence;

    assert_non_null(copy);
    sentence = network_parse(copy, network);
    free(copy);
    if (sentence != NULL) {
        check_sentence(sentence);
    }
    return sentence;
}

static struct address good_address(const char *text)
{
    struct address address;
    const char *sentence = parse(text, &address);

    if (sentence != NULL) {
        fail_msg("'%s' was refused: %s", text, sentence);
    }
    return address;
}

static struct network good_network(const char *text)
{
    struct network network;
    const char *sentence = parse_network(text, &network);

    if (sentence != NULL) {
        fail_msg("'%s' was refused: %s", text, sentence);
    }
    return network;
}

static struct addr good_ip(const char *text)
{
    struct addr addr;
    const char *sentence = addr_parse_ip(text, &addr);

    if (sentence != NULL) {
        fail_msg("'%s' was refused: %s", text, sentence);
    }
    return addr;
}

static void check_refused(const char *text, const char *wanted)
{
    struct address address;
    const char *sentence = parse(text, &address);

    if (sentence == NULL) {
        fail_msg("'%s' was taken", text);
    } else {
        assert_string_equal(sentence, wanted);
    }
}

static void check_network_refused(const char *text, const char *wanted)
{
    struct network network;
    const char *sentence = parse_network(text, &network);

    if (sentence == NULL) {
        fail_msg("'%s' was taken", text);
    } else {
        assert_string_equal(sentence, wanted);
    }
}

static bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port &&
           memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static struct addr random_addr(uint64_t *random)
{
    bool four = hash_random(random) % 2 == 0;
    struct addr addr = {
        .family = four ? AF_INET : AF_INET6,
        .port = (uint16_t)(1 + hash_random(random) % UINT16_MAX),
    };

    for (unsigned i = 0; i < (four ? 4 : 16); i++) {
        uint64_t dice = hash_random(random);

        addr.ip[i] = dice % 3 == 0 ? 0 : (uint8_t)(dice >> 8);
    }
    return addr;
}

/* The address as a number, to compare with plain arithmetic. */
static wide addr_number(const struct addr *addr)
{
    wide number = 0;

    for (unsigned i = 0; i < (addr->family == AF_INET ? 4 : 16); i++) {
        number = number << 8 | addr->ip[i];
    }
    return number;
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
    {"[fe80::1]:80", ADDRESS_IP, "[fe80::1]:80"},
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
    check_refused("srv:_web._tcp.example",
                  "srv: names are not available in this build");
    check_refused("a b:80", "'a b' is not a host name");
    check_refused("[fe80::1%eth0]:80", "zone 'eth0' is not an interface number"
                                       " (example: [fe80::1%2]:80)");
    check_refused("[fe80::1%]:80", "zone '' is not an interface number"
                                   " (example: [fe80::1%2]:80)");
    check_refused("[fe80::1%0]:80", "zone '0' is not an interface number"
                                    " (example: [fe80::1%2]:80)");
    check_refused("[::1%2]:80", "'::1' is not link-local and takes no zone");
    check_refused("[::ffff:1.2.3.4%2]:80",
                  "'::ffff:1.2.3.4' is not link-local and takes no zone");
}

/* inet_aton reads each of these as an address, and so would a resolver. */
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

/* length bytes in labels of at most 63, then the port. */
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
    assert_non_null(parse(make_name(text, 254, 62), &address));
    (void)good_address(make_name(text, 63, 63));
    assert_non_null(parse(make_name(text, 64, 64), &address));
    assert_non_null(parse("a..b:80", &address));
    assert_non_null(parse(".a:80", &address));
    assert_non_null(parse(".:80", &address));
    assert_non_null(parse("a.b..:80", &address));
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

        address = good_address(addr_format(&addr, text));
        endpoint_from_addr(&endpoint, &addr);
        addr_from_sockaddr(&back, &address.endpoint.u.any);
        assert_true(endpoint_equal(&endpoint, &address.endpoint));
        assert_true(addr_equal(&addr, &back));
        assert_string_equal(endpoint_format(&endpoint, again), text);
    }
}

/* What was taken can be written, and means the same when read again. */
static void check_answer(const char *text)
{
    struct address address;
    struct address again;
    struct network network;
    struct addr addr;
    char written[ADDR_TEXT_MAX];

    if (parse(text, &address) == NULL && address.kind != ADDRESS_NAME) {
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

/* Messages of the grammar are likelier than others, so that some get far. */
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

/* Whatever room a part of the text is copied to is exceeded by some length. */
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

/* The kernel may fill the path to the last byte, and then ends it with none. */
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
        "1.2.3.4:80", "1.2.3.4:81",     "1.2.3.5:80",     "[::1]:80",
        "[::2]:80",   "[fe80::1%2]:80", "[fe80::1%3]:80", "[fe80::1]:80",
        "unix:/a",    "unix:/b",        "unix:/aa",       ":80",
        "0.0.0.0:80", "name:80",
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

static void networks_of_the_manual_are_taken(void **state)
{
    static const struct {
        const char *text;
        const char *base;
        unsigned prefix;
    } networks[] = {
        {"10.0.0.0/8", "10.0.0.0", 8},
        {"10.1.2.3", "10.1.2.3", 32},
        {"10.1.2.3/32", "10.1.2.3", 32},
        {"0.0.0.0/0", "0.0.0.0", 0},
        {"::/0", "::", 0},
        {"::1", "::1", 128},
        {"2001:db8::/32", "2001:db8::", 32},
        {"::ffff:10.0.0.0/104", "10.0.0.0", 8},
        {"::ffff:0:0/96", "0.0.0.0", 0},
        {"::ffff:10.1.2.3", "10.1.2.3", 32},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(networks); i++) {
        struct network network = good_network(networks[i].text);
        struct addr base = good_ip(networks[i].base);

        assert_true(addr_equal(&network.base, &base));
        assert_int_equal(network.prefix, networks[i].prefix);
    }
}

static void what_is_wrong_with_a_network_is_said(void **state)
{
    (void)state;
    check_network_refused("10.1.2.3/8",
                          "'10.1.2.3/8' has bits set beyond the prefix"
                          " (the network is 10.0.0.0/8)");
    check_network_refused("2001:db8::1/33",
                          "'2001:db8::1/33' has bits set beyond the prefix"
                          " (the network is 2001:db8::/33)");
    check_network_refused("::ffff:10.1.0.0/104",
                          "'::ffff:10.1.0.0/104' has bits set beyond the"
                          " prefix (the network is 10.0.0.0/8)");
    check_network_refused("10.0.0.0/33",
                          "prefix '33' is not a number between 0 and 32");
    check_network_refused("::/129",
                          "prefix '129' is not a number between 0 and 128");
    check_network_refused("::ffff:10.0.0.0/95",
                          "prefix '95' is not a number between 96 and 128");
    check_network_refused("10.0.0.0/",
                          "prefix '' is not a number between 0 and 32");
    check_network_refused("10.0.0.0/08",
                          "prefix '08' is not a number between 0 and 32");
    check_network_refused("10.0.0.0/8/8",
                          "prefix '8/8' is not a number between 0 and 32");
    check_network_refused("10.0.0.0/255.0.0.0",
                          "prefix '255.0.0.0' is not a number between 0 and"
                          " 32");
    check_network_refused("10.0.0/8", "'10.0.0' is not an IP address");
    check_network_refused("example", "'example' is not an IP address");
    check_network_refused("fe80::1%2/64", "'fe80::1%2' is not an IP address"
                                          " (a zone cannot be used here)");
}

static void a_network_holds_what_its_leading_bits_say(void **state)
{
    uint64_t random = SEED;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct addr addr = random_addr(&random);
        unsigned bits = addr.family == AF_INET ? 32 : 128;
        unsigned prefix = (unsigned)(hash_random(&random) % (bits + 1));
        unsigned turned = (unsigned)(hash_random(&random) % bits);
        char text[ADDR_TEXT_MAX];
        struct network network = {.base = addr, .prefix = (uint8_t)prefix};

        network.base.port = 0;
        for (unsigned bit = prefix; bit < bits; bit++) {
            network.base.ip[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
        }
        assert_true(network_contains(&network, &addr));
        (void)inet_ntop(addr.family, network.base.ip, text, sizeof(text));
        (void)snprintf(text + strlen(text), 8, "/%u", prefix);
        assert_int_equal(good_network(text).prefix, prefix);
        addr.ip[turned / 8] ^= (uint8_t)(0x80u >> turned % 8);
        assert_int_equal(network_contains(&network, &addr), turned >= prefix);
    }
}

static void a_network_holds_no_address_of_another_family(void **state)
{
    struct network all4 = good_network("0.0.0.0/0");
    struct network all6 = good_network("::/0");
    struct addr four = good_ip("0.0.0.0");
    struct addr six = good_ip("::");
    struct addr un = {.family = AF_UNIX};

    (void)state;
    assert_true(network_contains(&all4, &four));
    assert_true(network_contains(&all6, &six));
    assert_false(network_contains(&all4, &six));
    assert_false(network_contains(&all6, &four));
    assert_false(network_contains(&all4, &un));
    assert_false(network_contains(&all6, &un));
}

/* Other numbers here would move every client to another upstream. */
static void the_hash_of_known_addresses_never_changes(void **state)
{
    struct addr four = good_ip("10.1.2.3");
    struct addr six = good_ip("2001:db8::1");
    struct addr un = {.family = AF_UNIX};

    (void)state;
    assert_true(addr_hash(&four, 32, 128) == UINT64_C(0xe995b7579a06dab2));
    assert_true(addr_hash(&four, 16, 128) == UINT64_C(0xad6d514b5f0fa39c));
    assert_true(addr_hash(&six, 32, 128) == UINT64_C(0x216dba65aa6c0c57));
    assert_true(addr_hash(&six, 32, 64) == UINT64_C(0xae3b6929d8b892e9));
    assert_true(addr_hash(&un, 32, 128) == UINT64_C(0xf52a15e9a9b5e89b));
}

static void only_the_leading_bits_and_no_port_are_hashed(void **state)
{
    uint64_t random = SEED;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct addr addr = random_addr(&random);
        unsigned bits = addr.family == AF_INET ? 32 : 128;
        unsigned prefix = (unsigned)(hash_random(&random) % (bits + 1));
        unsigned bit = (unsigned)(hash_random(&random) % bits);
        unsigned four = bits == 32 ? prefix : 7;
        unsigned six = bits == 32 ? 7 : prefix;
        struct addr other = addr;

        other.port ^= 1;
        assert_true(addr_hash(&addr, four, six) ==
                    addr_hash(&other, four, six));
        other.ip[bit / 8] ^= (uint8_t)(0x80u >> bit % 8);
        assert_int_equal(addr_hash(&addr, four, six) ==
                             addr_hash(&other, four, six),
                         bit >= prefix);
    }
}

static void addresses_compare_as_numbers(void **state)
{
    struct addr highest4 = good_ip("255.255.255.255");
    struct addr lowest6 = good_ip("::");
    struct addr un = {.family = AF_UNIX};
    uint64_t random = SEED;

    (void)state;
    assert_true(addr_compare_ip(&highest4, &lowest6) < 0);
    assert_true(addr_compare_ip(&lowest6, &highest4) > 0);
    assert_true(addr_compare_ip(&lowest6, &un) < 0);
    for (unsigned i = 0; i < 20000; i++) {
        struct addr a = random_addr(&random);
        struct addr b = random_addr(&random);
        int order = addr_compare_ip(&a, &b);
        wide x = addr_number(&a);
        wide y = addr_number(&b);

        if (a.family == b.family) {
            assert_int_equal((order > 0) - (order < 0), (x > y) - (x < y));
        }
        b = a;
        b.port ^= 1;
        assert_int_equal(addr_compare_ip(&a, &b), 0);
    }
}

static void adding_to_an_address_is_adding_to_a_number(void **state)
{
    uint64_t random = SEED;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct addr addr = random_addr(&random);
        uint64_t shift = hash_random(&random) % 64;
        uint64_t offset = hash_random(&random) >> shift;
        struct addr sum = addr_plus(&addr, offset);
        wide wanted = addr_number(&addr) + offset;

        wanted = addr.family == AF_INET ? (uint32_t)wanted : wanted;
        assert_true(addr_number(&sum) == wanted);
        assert_int_equal(sum.port, addr.port);
        assert_int_equal(sum.family, addr.family);
    }
}

static void a_range_counts_both_its_ends(void **state)
{
    uint64_t random = SEED;

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        struct addr first = random_addr(&random);
        uint64_t shift = hash_random(&random) % 64;
        struct addr last = addr_plus(&first, hash_random(&random) >> shift);
        wide size = addr_number(&last) - addr_number(&first) + 1;

        if (addr_compare_ip(&first, &last) <= 0) {
            size = size > UINT32_MAX ? UINT32_MAX : size;
            assert_true(addr_range_size(&first, &last) == size);
        }
    }
}

static void a_carry_runs_through_every_byte(void **state)
{
    struct addr last4 = good_ip("255.255.255.255");
    struct addr last6 = good_ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    struct addr first4 = good_ip("0.0.0.0");
    struct addr first6 = good_ip("::");
    struct addr sum;

    (void)state;
    sum = addr_plus(&last4, 1);
    assert_true(addr_equal(&sum, &first4));
    sum = addr_plus(&last6, 1);
    assert_true(addr_equal(&sum, &first6));
    sum = addr_plus(&last6, UINT64_MAX);
    first6 = good_ip("::ffff:ffff:ffff:fffe");
    assert_true(addr_equal(&sum, &first6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_the_manual_are_taken),
        cmocka_unit_test(an_address_is_what_the_socket_calls_want),
        cmocka_unit_test(a_name_is_kept_with_its_port_and_no_endpoint),
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
        cmocka_unit_test(a_mapped_address_is_an_ipv4_address),
        cmocka_unit_test(unix_clients_and_unknown_families_have_a_text),
        cmocka_unit_test(a_path_without_a_final_zero_is_not_overread),
        cmocka_unit_test(abstract_names_differ_and_are_not_written),
        cmocka_unit_test(endpoints_are_equal_when_every_part_is),
        cmocka_unit_test(flow_labels_do_not_make_endpoints_differ),
        cmocka_unit_test(networks_of_the_manual_are_taken),
        cmocka_unit_test(what_is_wrong_with_a_network_is_said),
        cmocka_unit_test(a_network_holds_what_its_leading_bits_say),
        cmocka_unit_test(a_network_holds_no_address_of_another_family),
        cmocka_unit_test(the_hash_of_known_addresses_never_changes),
        cmocka_unit_test(only_the_leading_bits_and_no_port_are_hashed),
        cmocka_unit_test(addresses_compare_as_numbers),
        cmocka_unit_test(adding_to_an_address_is_adding_to_a_number),
        cmocka_unit_test(a_range_counts_both_its_ends),
        cmocka_unit_test(a_carry_runs_through_every_byte),
    };

    return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
