#include "base/hash.h"

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SEED    UINT64_C(20240607)
#define SAMPLES 4000

/* Other numbers here would move every client to another upstream. */
static void the_mix_of_known_numbers_never_changes(void **state)
{
    (void)state;
    assert_true(hash_mix(0) == 0);
    assert_true(hash_mix(1) == UINT64_C(0x5692161d100b05e5));
    assert_true(hash_mix(2) == UINT64_C(0xdbd238973a2b148a));
    assert_true(hash_mix(UINT64_MAX) == UINT64_C(0xb4d055fcf2cbbd7b));
}

static void the_hash_of_known_bytes_never_changes(void **state)
{
    static const unsigned char ip[4] = {10, 1, 2, 3};
    static const unsigned char zeros[16];

    (void)state;
    assert_true(hash_bytes("", 0, 0) == UINT64_C(0xf52a15e9a9b5e89b));
    assert_true(hash_bytes("a", 1, 0) == UINT64_C(0x02c0bdbf481420f8));
    assert_true(hash_bytes("foobar", 6, 0) == UINT64_C(0x404da9e3b74078c2));
    assert_true(hash_bytes("foobar", 6, 1) == UINT64_C(0x1832d3c221be8070));
    assert_true(hash_bytes(ip, 4, 0) == UINT64_C(0xe995b7579a06dab2));
    assert_true(hash_bytes(zeros, 16, 0) == UINT64_C(0x68752350ae1d483f));
}

/* The first numbers that the authors' own program prints for this seed. */
static void the_random_sequence_is_that_of_splitmix(void **state)
{
    uint64_t sequence = 1234567;

    (void)state;
    assert_true(hash_random(&sequence) == UINT64_C(6457827717110365317));
    assert_true(hash_random(&sequence) == UINT64_C(3203168211198807973));
    assert_true(hash_random(&sequence) == UINT64_C(9817491932198370423));
}

/* The inverse of x ^= x >> shift. */
static uint64_t unshift(uint64_t x, unsigned shift)
{
    uint64_t y = x;

    for (unsigned i = 0; i < 64; i += shift) {
        y = x ^ (y >> shift);
    }
    return y;
}

/* The inverse of an odd number modulo 2^64: each of Newton's steps doubles the
 * correct bits, from three at the start. */
static uint64_t inverse(uint64_t odd)
{
    uint64_t guess = odd;

    for (unsigned bits = 3; bits < 64; bits *= 2) {
        guess *= 2 - odd * guess;
    }
    return guess;
}

static uint64_t unmix(uint64_t x)
{
    x = unshift(x, 31) * inverse(UINT64_C(0x94d049bb133111eb));
    x = unshift(x, 27) * inverse(UINT64_C(0xbf58476d1ce4e5b9));
    return unshift(x, 30);
}

static void mixing_can_be_undone_so_no_two_numbers_collide(void **state)
{
    uint64_t random = SEED;

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t x = hash_random(&random);

        assert_true(unmix(hash_mix(x)) == x);
        assert_true(unmix(hash_mix(i)) == i);
    }
}

typedef uint64_t (*hash_fn)(uint64_t input);

static uint64_t hash_ip(uint64_t input)
{
    return hash_bytes(&input, 4, 0);
}

static uint64_t hash_ip6(uint64_t input)
{
    unsigned char ip[16] = {0x20, 0x01, 0x0d, 0xb8};

    memcpy(ip + 8, &input, sizeof(input));
    return hash_bytes(ip, sizeof(ip), 0);
}

static uint64_t hash_seed(uint64_t input)
{
    return hash_bytes("some bytes", 10, input);
}

/* How often each output bit flips when one input bit flips. */
static void count_turns(hash_fn hash, unsigned bit, unsigned turns[64])
{
    uint64_t random = SEED + bit;

    memset(turns, 0, 64 * sizeof(turns[0]));
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t input = hash_random(&random);
        uint64_t turned = hash(input) ^ hash(input ^ (UINT64_C(1) << bit));

        for (unsigned out = 0; out < 64; out++) {
            turns[out] += (turned >> out) & 1;
        }
    }
}

/* Half the time, give or take 5 %: more than six standard deviations. */
static void check_avalanche(hash_fn hash, unsigned input_bits)
{
    unsigned turns[64];

    for (unsigned bit = 0; bit < input_bits; bit++) {
        count_turns(hash, bit, turns);
        for (unsigned out = 0; out < 64; out++) {
            assert_in_range(turns[out], SAMPLES * 45 / 100, SAMPLES * 55 / 100);
        }
    }
}

static void every_input_bit_affects_every_output_bit(void **state)
{
    (void)state;
    check_avalanche(hash_mix, 64);
    check_avalanche(hash_ip, 32);
    check_avalanche(hash_ip6, 64);
    check_avalanche(hash_seed, 64);
}

/* Pearson's chi-square for 64 equal buckets by the six bits from shift on. */
static double chi_square(hash_fn hash, uint64_t step, unsigned shift)
{
    enum { BUCKETS = 64, INPUTS = 65536 };
    unsigned filled[BUCKETS] = {0};
    double expected = (double)INPUTS / BUCKETS;
    double sum = 0;

    for (uint64_t i = 0; i < INPUTS; i++) {
        filled[(hash(i * step) >> shift) % BUCKETS]++;
    }
    for (unsigned i = 0; i < BUCKETS; i++) {
        sum += (filled[i] - expected) * (filled[i] - expected) / expected;
    }
    return sum;
}

/* 63 degrees of freedom: mean 63, standard deviation 11. */
static void neighbouring_addresses_spread_evenly(void **state)
{
    static const hash_fn hashes[] = {hash_mix, hash_ip, hash_ip6, hash_seed};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
        for (unsigned shift = 0; shift <= 58; shift += 29) {
            assert_true(chi_square(hashes[i], 1, shift) < 63 + 6 * 11);
            assert_true(chi_square(hashes[i], 256, shift) < 63 + 6 * 11);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mix_of_known_numbers_never_changes),
        cmocka_unit_test(the_hash_of_known_bytes_never_changes),
        cmocka_unit_test(the_random_sequence_is_that_of_splitmix),
        cmocka_unit_test(mixing_can_be_undone_so_no_two_numbers_collide),
        cmocka_unit_test(every_input_bit_affects_every_output_bit),
        cmocka_unit_test(neighbouring_addresses_spread_evenly),
    };

    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
