/*
 * hash: 64-bit hashes that are the same on every machine. Pure.
 *
 * Not cryptographic. A table whose keys clients choose needs a secret seed.
 */
#ifndef EVPROXY_BASE_HASH_H
#define EVPROXY_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/*
 * A bijection of 64 bits in which every input bit affects every output bit: the
 * finaliser of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom
 * Number Generators", OOPSLA 2014, variant 13 of Stafford).
 */
static inline uint64_t hash_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    return x;
}

/* FNV-1a (Fowler, Noll, Vo) over the bytes, started from the seed, then mixed.
 */
static inline uint64_t hash_bytes(const void *bytes, size_t count,
                                  uint64_t seed)
{
    const unsigned char *byte = bytes;
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ hash_mix(seed);

    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    }
    return hash_mix(hash);
}

/*
 * The next number of a SplitMix64 sequence whose state is *state: for jitter,
 * tie-breaks and seeded tests, never for secrets.
 */
static inline uint64_t hash_random(uint64_t *state)
{
    return hash_mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

#endif
