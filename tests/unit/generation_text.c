#include "generation_text.h"

#include "parsing.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

const char *generation_records = "";

static size_t find(const struct resolution_names *names, const char *host,
                   const struct endpoint **found)
{
    static struct endpoint list[CONFIG_UPSTREAMS_MAX + 1];

    (void)names;
    for (uint32_t i = 0; i < CONFIG_UPSTREAMS_MAX + 1; i++) {
        struct addr addr = {.family = AF_INET};
        uint32_t ip = htonl(UINT32_C(0x0a090001) + i);

        memcpy(addr.ip, &ip, sizeof(ip));
        endpoint_from_addr(&list[i], &addr);
    }
    *found = list;
    if (strcmp(host, "two.example") == 0) {
        return 2;
    }
    return strcmp(host, "many.example") == 0 ? CONFIG_UPSTREAMS_MAX + 1 : 0;
}

static size_t find_records(const struct resolution_names *known,
                           const char *host, const struct srv_record **found)
{
    static struct srv_record list[16];
    const char *at = generation_records;
    size_t count = 0;
    int length;

    (void)known;
    (void)host;
    while (sscanf(at, " %hu %hu %253[^:]:%hu%n", &list[count].priority,
                  &list[count].weight, list[count].target, &list[count].port,
                  &length) == 4) {
        at += length;
        count++;
    }
    *found = list;
    return count;
}

const struct resolution_names generation_names = {.find = find,
                                                  .find_records = find_records};

struct generation *make_generation(const char *text,
                                   struct generation *previous)
{
    struct generation *generation =
        generation_create(parse_good(text), previous, GENERATION_WORKERS, 1000,
                          &generation_names);

    assert_non_null(generation);
    return generation;
}
