/*
 * seeded: repeatable random numbers for tests, and an assertion that names the
 * seed it failed with. One generator for one thread.
 */
#ifndef EVPROXY_TESTS_SEEDED_H
#define EVPROXY_TESTS_SEEDED_H

#include <inttypes.h>
#include <stdint.h>

struct seeded {
    uint64_t seed;
    uint64_t state;
};

static inline struct seeded seeded_start(uint64_t seed)
{
    return (struct seeded){.seed = seed, .state = seed};
}

/* splitmix64: Steele, Lea and Flood, OOPSLA 2014. */
static inline uint64_t seeded_next(struct seeded *seeded)
{
    uint64_t z = seeded->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 to limit - 1. */
static inline uint64_t seeded_below(struct seeded *seeded, uint64_t limit)
{
    return seeded_next(seeded) % limit;
}

/* Every order of magnitude up to 2^bits - 1 alike. */
static inline uint64_t seeded_magnitude(struct seeded *seeded, unsigned bits)
{
    uint64_t shift = 64 - bits + seeded_below(seeded, bits);

    return seeded_next(seeded) >> shift;
}

#define seeded_assert(seeded, condition)                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fail_msg("seed %" PRIu64 ": %s", (seeded)->seed, #condition);      \
        }                                                                      \
    } while (0)

#endif
