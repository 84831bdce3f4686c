#include "base/addr.h"

#include "addresses.h"

#include <string.h>

#define SEED UINT64_C(791)

typedef unsigned __int128 wide;

/* The address as a number, to compare with plain arithmetic. */
static wide addr_number(const struct addr *addr)
{
    wide number = 0;

    for (unsigned i = 0; i < (addr->family == AF_INET ? 4 : 16); i++) {
        number = number << 8 | addr->ip[i];
    }
    return number;
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
        cmocka_unit_test(the_hash_of_known_addresses_never_changes),
        cmocka_unit_test(only_the_leading_bits_and_no_port_are_hashed),
        cmocka_unit_test(addresses_compare_as_numbers),
        cmocka_unit_test(adding_to_an_address_is_adding_to_a_number),
        cmocka_unit_test(a_range_counts_both_its_ends),
        cmocka_unit_test(a_carry_runs_through_every_byte),
    };

    return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
