/*
 * gcd: the greatest common divisor, by Euclid's algorithm. Pure.
 */
#ifndef EVPROXY_BASE_GCD_H
#define EVPROXY_BASE_GCD_H

#include <stdint.h>

/* Of 0 and a number it is the number. */
static inline uint32_t gcd(uint32_t a, uint32_t b)
{
    while (b != 0) {
        uint32_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

#endif
