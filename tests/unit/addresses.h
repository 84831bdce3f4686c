/*
 * addresses: texts to addresses, networks and IP addresses for tests, which
 * fail if one is refused.
 */
#ifndef EVPROXY_TESTS_ADDRESSES_H
#define EVPROXY_TESTS_ADDRESSES_H

#include "base/address.h"
#include "base/hash.h"
#include "base/network.h"
#include "sentence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Parses a copy that ends where its memory ends, so that ASan sees a read
 * beyond it. */
static inline const char *parse_address(const char *text,
                                        struct address *address)
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

static inline const char *parse_network(const char *text,
                                        struct network *network)
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

static inline struct address good_address(const char *text)
{
    struct address address;
    const char *sentence = parse_address(text, &address);

    if (sentence != NULL) {
        fail_msg("'%s' was refused: %s", text, sentence);
    }
    return address;
}

static inline struct network good_network(const char *text)
{
    struct network network;
    const char *sentence = parse_network(text, &network);

    if (sentence != NULL) {
        fail_msg("'%s' was refused: %s", text, sentence);
    }
    return network;
}

static inline struct addr good_ip(const char *text)
{
    struct addr addr;
    const char *sentence = addr_parse_ip(text, &addr);

    if (sentence != NULL) {
        fail_msg("'%s' was refused: %s", text, sentence);
    }
    return addr;
}

static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port &&
           memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static inline struct addr random_addr(uint64_t *random)
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

#endif
