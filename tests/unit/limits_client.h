/*
 * limits_client: client addresses, and how they enter a table of sources and
 * leave it.
 */
#ifndef EVPROXY_TESTS_LIMITS_CLIENT_H
#define EVPROXY_TESTS_LIMITS_CLIENT_H

#include "addresses.h"
#include "service/limits.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The address with this number. The port is another for each, and does not
 * count. */
static inline struct addr ipv4(uint32_t ip)
{
    struct addr addr = {.family = AF_INET, .port = (uint16_t)ip};

    ip = htonl(ip);
    memcpy(addr.ip, &ip, sizeof(ip));
    return addr;
}

/* The source of a client where each address is one. */
static inline struct network whole(const struct addr *client)
{
    return network_of(client, (struct network_prefixes){32, 128});
}

/* connections, rate_per_s: the limits of the source; 0: none. */
static inline enum limits_answer enter(struct source_table *table,
                                       const struct addr *client,
                                       uint32_t connections,
                                       uint64_t rate_per_s, uint64_t now_ns)
{
    struct limits_most most = {connections, rate_per_s};
    struct network source = whole(client);

    return limits_enter(table, &source, &most, now_ns);
}

static inline void leave(struct source_table *table, const struct addr *client)
{
    struct network source = whole(client);

    limits_leave(table, &source);
}

static inline struct source_table *make_table(uint32_t connections)
{
    struct source_table *table = source_table_create(connections);

    assert_non_null(table);
    return table;
}

#endif
