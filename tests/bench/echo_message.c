#include "echo_message.h"
#include "echo_load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Spreads consecutive numbers over all 64 bits (splitmix64). */
#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)

static uint32_t size;
static unsigned char *out; /* one message, rounded up to whole words */

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

void echo_message_set_up(uint32_t bytes)
{
    size = bytes;
    out = malloc((size_t)size + 8);
    if (out == NULL) {
        echo_die("set-up: %s", strerror(errno));
    }
}

const unsigned char *echo_message(uint32_t connection, uint32_t number,
                                  uint32_t offset)
{
    uint64_t key = mix(((uint64_t)connection << 32 | number) + 1);

    for (uint32_t i = offset / 8; i < (size + 7) / 8; i++) {
        uint64_t word = mix(key + i * GOLDEN);
        memcpy(out + (size_t)i * 8, &word, sizeof(word));
    }
    return out + offset;
}

uint64_t echo_random(uint64_t max)
{
    static uint64_t counter = 1;
    return mix(counter++ * GOLDEN) % (max + 1);
}
