#include "base/network.h"

#include "addresses.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define SEED UINT64_C(791)

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_of_the_manual_are_taken),
        cmocka_unit_test(what_is_wrong_with_a_network_is_said),
        cmocka_unit_test(a_network_holds_what_its_leading_bits_say),
        cmocka_unit_test(a_network_holds_no_address_of_another_family),
    };

    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
