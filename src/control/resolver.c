#include "control/resolver.h"

#include "base/clock.h"
#include "base/list.h"
#include "wire/dns_answer.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <resolv.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

/* Of a thread. The resolver's modules run on it; the default of 8 MB would
 * count against a memory limit. */
#define STACK_BYTES (1 << 20)

struct resolver {
    pthread_mutex_t lock;    /* guards all of it */
    struct mailbox *mailbox; /* NULL: the owner has gone */
    int type;
    struct list prompt; /* look-ups that wait */
    struct list slow;   /* those that are expected to be slow */
    unsigned threads;
    unsigned slow_threads; /* in a slow look-up */
};

/* ---- host names ---- */

static int address_order(const void *a, const void *b)
{
    return endpoint_compare_ip(a, b);
}

static size_t unique_addresses(struct endpoint *list, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !endpoint_equal(&list[kept - 1], &list[i])) {
            list[kept++] = list[i];
        }
    }
    return kept;
}

static void fail(struct lookup *lookup, const char *error)
{
    snprintf(lookup->error, sizeof(lookup->error), "%s", error);
}

static void collect(struct lookup *lookup, const struct addrinfo *answer)
{
    struct endpoint *list;
    size_t count = 0;

    for (const struct addrinfo *at = answer; at != NULL; at = at->ai_next) {
        count++;
    }
    list = calloc(count, sizeof(*list));
    if (list == NULL) {
        fail(lookup, "out of memory");
        return;
    }
    count = 0;
    for (const struct addrinfo *at = answer; at != NULL; at = at->ai_next) {
        endpoint_from_sockaddr(&list[count], at->ai_addr);
        /* A name server cannot tell a zone: such an answer is of no use. */
        count += !endpoint_lacks_zone(&list[count]);
    }
    if (count == 0) {
        fail(lookup, "no usable address");
        free(list);
        return;
    }
    qsort(list, count, sizeof(*list), address_order);
    lookup->found = list;
    lookup->count = unique_addresses(list, count);
}

static void find_addresses(struct lookup *lookup)
{
    /* AI_ADDRCONFIG: only families of which this machine has an address. */
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_ADDRCONFIG,
    };
    struct addrinfo *answer;
    int error = getaddrinfo(lookup->host, NULL, &hints, &answer);

    if (error == 0) {
        collect(lookup, answer);
        freeaddrinfo(answer);
    } else {
        fail(lookup,
             error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
    }
}

/* ---- SRV names ---- */

enum { CLASS_IN = 1, TYPE_SRV = 33 }; /* RFC 1035, 2782 */

/* Of two that lead to the same place the one of the lower priority comes first.
 */
static int record_order(const void *a, const void *b)
{
    const struct srv_record *left = a, *right = b;
    int order = srv_record_compare(left, right);

    if (order == 0) {
        order = (int)left->priority - (int)right->priority;
    }
    return order != 0 ? order : (int)right->weight - (int)left->weight;
}

static size_t unique_records(struct srv_record *list, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || srv_record_compare(&list[kept - 1], &list[i]) != 0) {
            list[kept++] = list[i];
        }
    }
    return kept;
}

static void collect_records(struct lookup *lookup, const uint8_t *bytes,
                            size_t length)
{
    struct dns_answer answer = {
        .records = calloc(DNS_ANSWER_RECORDS(length), sizeof(*answer.records)),
    };

    if (answer.records == NULL) {
        fail(lookup, "out of memory");
    } else if (dns_answer_parse(bytes, length, lookup->host, &answer) < 0) {
        fail(lookup, "malformed answer");
    } else if (answer.count == 0) {
        fail(lookup, "no usable SRV record");
    } else {
        qsort(answer.records, answer.count, sizeof(*answer.records),
              record_order);
        lookup->count = unique_records(answer.records, answer.count);
        lookup->records = answer.records;
        lookup->ttl_s = answer.ttl_s;
        return;
    }
    free(answer.records);
}

static const char *query_error(int error)
{
    switch (error) {
    case HOST_NOT_FOUND:
        return "Name or service not known";
    case NO_DATA:
        return "no SRV record";
    case TRY_AGAIN:
        return "Temporary failure in name resolution";
    default:
        return "the name server refuses or fails";
    }
}

/* res_query has a state of its own for each thread in glibc, which follows
 * /etc/resolv.conf, and none in musl. It asks again by TCP if the answer is too
 * long for UDP. */
static void find_records(struct lookup *lookup)
{
    uint8_t *bytes = malloc(DNS_ANSWER_MAX);
    int length;

    if (bytes == NULL) {
        fail(lookup, "out of memory");
        return;
    }
    length = res_query(lookup->host, CLASS_IN, TYPE_SRV, bytes, DNS_ANSWER_MAX);
    if (length < 0) {
        fail(lookup, query_error(h_errno));
    } else {
        collect_records(lookup, bytes,
                        MIN((size_t)length, (size_t)DNS_ANSWER_MAX));
    }
    free(bytes);
}

/* ---- one look-up ---- */

void lookup_run(struct lookup *lookup)
{
    uint64_t begun_ns = clock_now_ns();

    if (lookup->kind == ADDRESS_SRV) {
        find_records(lookup);
    } else {
        find_addresses(lookup);
    }
    lookup->took_ns = clock_now_ns() - begun_ns;
}

struct lookup *lookup_of(struct message *message)
{
    return container_of(message, struct lookup, message);
}

void lookup_free(struct lookup *lookup)
{
    free(lookup->found);
    free(lookup->records);
    free(lookup);
}

static void free_all(struct list *lookups)
{
    struct list *link;

    while ((link = list_pop(lookups)) != NULL) {
        lookup_free(container_of(link, struct lookup, message.link));
    }
}

/* ---- a thread ---- */

/* Under the lock. NULL: there is none that this thread may take. */
static struct lookup *take(struct resolver *resolver)
{
    struct list *link = list_pop(&resolver->prompt);
    struct lookup *lookup;

    if (link == NULL && resolver->slow_threads < RESOLVER_SLOW) {
        link = list_pop(&resolver->slow);
    }
    if (link == NULL) {
        return NULL;
    }
    lookup = container_of(link, struct lookup, message.link);
    resolver->slow_threads += lookup->slow;
    return lookup;
}

/* Under the lock. */
static void put_back(struct resolver *resolver, struct lookup *lookup)
{
    resolver->slow_threads -= lookup->slow;
    if (resolver->mailbox != NULL) {
        mailbox_post(resolver->mailbox, &lookup->message);
    } else {
        lookup_free(lookup);
    }
}

static void resolver_free(struct resolver *resolver)
{
    pthread_mutex_destroy(&resolver->lock);
    free(resolver);
}

static void *run(void *arg)
{
    struct resolver *resolver = arg;
    struct lookup *lookup;
    bool last;

    pthread_mutex_lock(&resolver->lock);
    while ((lookup = take(resolver)) != NULL) {
        pthread_mutex_unlock(&resolver->lock);
        lookup_run(lookup);
        pthread_mutex_lock(&resolver->lock);
        put_back(resolver, lookup);
    }
    last = --resolver->threads == 0 && resolver->mailbox == NULL;
    pthread_mutex_unlock(&resolver->lock);
    if (last) {
        resolver_free(resolver);
    }
    return NULL;
}

/* Every signal is blocked in it: they are for the control thread. */
static int start_thread(struct resolver *resolver)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int error;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, run, resolver);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

/* ---- the owner ---- */

struct resolver *resolver_create(struct mailbox *mailbox, int type)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (resolver != NULL) {
        pthread_mutex_init(&resolver->lock, NULL);
        resolver->mailbox = mailbox;
        resolver->type = type;
    }
    return resolver;
}

void resolver_destroy(struct resolver *resolver)
{
    bool last;

    if (resolver == NULL) {
        return;
    }
    pthread_mutex_lock(&resolver->lock);
    resolver->mailbox = NULL;
    free_all(&resolver->prompt);
    free_all(&resolver->slow);
    last = resolver->threads == 0;
    pthread_mutex_unlock(&resolver->lock);
    if (last) {
        resolver_free(resolver);
    }
}

/* Under the lock. Starts a thread for the look-up if one is due. -1 with errno:
 * there is none at all. */
static int provide_thread(struct resolver *resolver)
{
    int error;

    if (resolver->threads == RESOLVER_THREADS) {
        return 0;
    }
    error = start_thread(resolver);
    if (error == 0) {
        resolver->threads++;
    } else if (resolver->threads == 0) {
        errno = error;
        return -1;
    }
    return 0;
}

int resolver_ask(struct resolver *resolver, enum address_kind kind,
                 const char *host, bool slow)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    int result;

    if (lookup == NULL) {
        return -1;
    }
    lookup->message.type = resolver->type;
    lookup->slow = slow;
    lookup->kind = kind;
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    pthread_mutex_lock(&resolver->lock);
    result = provide_thread(resolver);
    if (result == 0) {
        list_append(slow ? &resolver->slow : &resolver->prompt,
                    &lookup->message.link);
    }
    pthread_mutex_unlock(&resolver->lock);
    if (result < 0) {
        free(lookup);
    }
    return result;
}
