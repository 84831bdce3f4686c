#include "control/resolver.h"

#include "base/log.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

static int endpoint_order(const void *a, const void *b)
{
    const struct endpoint *one = a, *other = b;
    struct addr left, right;
    int order;

    addr_from_sockaddr(&left, &one->u.any);
    addr_from_sockaddr(&right, &other->u.any);
    order = addr_compare_ip(&left, &right);
    if (order != 0 || left.family != AF_INET6) {
        return order;
    }
    return (one->u.in6.sin6_scope_id > other->u.in6.sin6_scope_id) -
           (one->u.in6.sin6_scope_id < other->u.in6.sin6_scope_id);
}

static size_t unique(struct endpoint *list, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !endpoint_equal(&list[kept - 1], &list[i])) {
            list[kept++] = list[i];
        }
    }
    return kept;
}

/* 0: none is of use, or no memory. */
static size_t collect(const struct addrinfo *answer, struct endpoint **found)
{
    struct endpoint *list;
    size_t count = 0;

    for (const struct addrinfo *at = answer; at != NULL; at = at->ai_next) {
        count++;
    }
    list = calloc(count, sizeof(*list));
    if (list == NULL) {
        return 0;
    }
    count = 0;
    for (const struct addrinfo *at = answer; at != NULL; at = at->ai_next) {
        endpoint_from_sockaddr(&list[count], at->ai_addr);
        /* A name server cannot tell a zone: such an answer is of no use. */
        count += !endpoint_lacks_zone(&list[count]);
    }
    if (count == 0) {
        free(list);
        return 0;
    }
    qsort(list, count, sizeof(*list), endpoint_order);
    *found = list;
    return unique(list, count);
}

size_t resolver_lookup(const char *host, uint16_t port, struct endpoint **found)
{
    /* AI_ADDRCONFIG: only families of which this machine has an address. */
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV,
    };
    struct addrinfo *answer;
    char service[8];
    size_t count;
    int error;

    *found = NULL;
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    error = getaddrinfo(host, service, &hints, &answer);
    if (error != 0) {
        log_write(LOG_DEBUG, "resolve name=%s error=\"%s\"", host,
                  gai_strerror(error));
        return 0;
    }
    count = collect(answer, found);
    freeaddrinfo(answer);
    if (count == 0) {
        log_write(LOG_DEBUG, "resolve name=%s error=\"no usable address\"",
                  host);
    }
    return count;
}
