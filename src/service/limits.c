#include "service/limits.h"

#include "base/hash.h"
#include "base/rate.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/random.h>

#define SHARDS     64
#define SHARD_BITS 6

/* Sources fall on shards at random: with a lower bound one shard could reach it
 * long before the others. */
#define SHARD_ENTRIES_MIN 1024

#define SHARD_ENTRIES_FIRST 16 /* of a shard that has got its first source */

#define SWEEP_EVERY_NS (100 * NS_PER_MS)

/* IPv4 as ::ffff:a.b.c.d; unix clients as ::, which no IP client has. */
struct source {
    uint64_t high;
    uint64_t low;
};

struct entry {
    struct source source;
    struct rate rate;
    uint32_t active;
    uint32_t next; /* in its chain or the free list: index + 1; 0: the last */
};

_Static_assert(sizeof(struct entry) == 32, "two entries in a cache line");

/*
 * A shard is a table with chained hashing:
 *
 *      heads[]  ──▶ entry ──▶ entry ──▶ end     as many heads as entries
 *      free     ──▶ entry ──▶ entry ──▶ end     used before
 *      entries[touched...size]                  never used
 *
 * An idle entry is freed by its last limits_leave if it has no bucket,
 * otherwise by the next search of its chain or by a sweep of the full shard. A
 * shard that is still full then doubles, up to the bound.
 */
struct shard {
    _Alignas(CACHE_LINE_BYTES) pthread_mutex_t lock; /* guards all of it */
    struct entry *entries;
    uint32_t *heads;
    uint32_t size;     /* of both; 0: no memory yet */
    uint32_t free;     /* the first of the free list, as entry.next */
    uint32_t touched;  /* entries below it were used before */
    uint64_t sweep_ns; /* when the next sweep may come */
};

struct limits {
    uint64_t seed[2]; /* secret, so that no client can cause a long chain */
    uint32_t shard_entries; /* bound of a shard's size */
    struct shard shards[SHARDS];
};

static uint32_t shard_entries_for(uint32_t connections)
{
    uint64_t entries = 2 * (uint64_t)connections;

    if (entries > LIMITS_ENTRIES_MAX) {
        entries = LIMITS_ENTRIES_MAX;
    }
    if (entries < SHARDS * SHARD_ENTRIES_MIN) {
        entries = SHARDS * SHARD_ENTRIES_MIN;
    }
    return (uint32_t)((entries + SHARDS - 1) / SHARDS);
}

struct limits *limits_create(uint32_t connections)
{
    struct limits *limits;

    limits = aligned_alloc(_Alignof(struct limits), sizeof(*limits));
    if (limits == NULL) {
        return NULL;
    }
    memset(limits, 0, sizeof(*limits));
    limits->shard_entries = shard_entries_for(connections);
    if (getrandom(limits->seed, sizeof(limits->seed), 0) !=
        sizeof(limits->seed)) {
        free(limits);
        return NULL;
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&limits->shards[i].lock, NULL);
    }
    return limits;
}

void limits_destroy(struct limits *limits)
{
    if (limits == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &limits->shards[i];

        pthread_mutex_destroy(&shard->lock);
        free(shard->entries);
        free(shard->heads);
    }
    free(limits);
}

static struct source source_of(const struct addr *client)
{
    struct source source = {0};
    uint32_t ipv4;

    switch (client->family) {
    case AF_INET:
        memcpy(&ipv4, client->ip, sizeof(ipv4));
        source.low = UINT64_C(0xffff) << 32 | ipv4;
        break;
    case AF_INET6:
        memcpy(&source.high, client->ip, 8);
        memcpy(&source.low, client->ip + 8, 8);
        break;
    }
    return source;
}

static bool source_equal(const struct source *a, const struct source *b)
{
    return a->high == b->high && a->low == b->low;
}

/*
 * Two rounds, each with a secret. The seed of hash_bytes is too weak against
 * clients that can choose 64 bits of their address: some sets of bytes collide
 * under many seeds.
 */
static uint64_t source_hash(const struct limits *limits,
                            const struct source *source)
{
    return hash_mix(hash_mix(source->high ^ limits->seed[0]) ^ source->low ^
                    limits->seed[1]);
}

/* Where a source belongs. Shard and chain come from different bits of a hash.
 */
struct place {
    struct source source;
    struct shard *shard;
    uint32_t hash; /* chooses the chain */
};

static struct place place_of(struct limits *limits, const struct addr *client)
{
    struct place place = {.source = source_of(client)};
    uint64_t hash = source_hash(limits, &place.source);

    place.shard = &limits->shards[hash >> (64 - SHARD_BITS)];
    place.hash = (uint32_t)hash;
    return place;
}

/* The shard has memory, and the caller its lock. */
static uint32_t *head_of(const struct shard *shard, uint32_t hash)
{
    return &shard->heads[((uint64_t)hash * shard->size) >> 32];
}

/* No connection, and a full bucket. */
static bool entry_is_idle(const struct entry *entry, uint64_t now_ns)
{
    return entry->active == 0 &&
           atomic_load_explicit(&entry->rate.full_ns, memory_order_relaxed) <=
               now_ns;
}

/* Removes the entry that the link leads to from its chain. */
static void entry_free(struct shard *shard, uint32_t *link)
{
    uint32_t number = *link;
    struct entry *entry = &shard->entries[number - 1];

    *link = entry->next;
    memset(entry, 0, sizeof(*entry));
    entry->next = shard->free;
    shard->free = number;
}

/*
 * The link to the source's entry, or the one that ends the chain. Frees idle
 * entries on the way. source NULL: searches to the end.
 */
static uint32_t *chain_find(struct shard *shard, uint32_t *link,
                            const struct source *source, uint64_t now_ns)
{
    while (*link != 0) {
        struct entry *entry = &shard->entries[*link - 1];

        if (source != NULL && source_equal(&entry->source, source)) {
            break;
        }
        if (entry_is_idle(entry, now_ns)) {
            entry_free(shard, link);
        } else {
            link = &entry->next;
        }
    }
    return link;
}

/* The source's entry, or NULL; its link in *link. */
static struct entry *shard_find(const struct place *place, uint64_t now_ns,
                                uint32_t **link)
{
    struct shard *shard = place->shard;

    if (shard->size == 0) {
        return NULL;
    }
    *link =
        chain_find(shard, head_of(shard, place->hash), &place->source, now_ns);
    return **link == 0 ? NULL : &shard->entries[**link - 1];
}

/* Frees all idle entries. */
static void shard_sweep(struct shard *shard, uint64_t now_ns)
{
    if (now_ns < shard->sweep_ns) {
        return;
    }
    shard->sweep_ns = now_ns + SWEEP_EVERY_NS;
    for (uint32_t i = 0; i < shard->size; i++) {
        chain_find(shard, &shard->heads[i], NULL, now_ns);
    }
}

/* Gives the shard that size. -1: out of memory, and nothing has changed. */
static int shard_resize(struct limits *limits, struct shard *shard,
                        uint32_t size)
{
    uint32_t *heads = calloc(size, sizeof(*heads));
    struct entry *entries =
        heads == NULL
            ? NULL
            : reallocarray(shard->entries, size, sizeof(*shard->entries));

    if (entries == NULL) {
        free(heads);
        return -1;
    }
    free(shard->heads);
    shard->heads = heads;
    shard->entries = entries;
    shard->size = size;
    for (uint32_t i = 0; i < shard->touched; i++) {
        uint64_t hash = source_hash(limits, &entries[i].source);
        uint32_t *head = head_of(shard, (uint32_t)hash);

        entries[i].next = *head;
        *head = i + 1;
    }
    return 0;
}

/* The shard's entries are all in use. CAUSE_NONE: now one is not. */
static enum cause shard_make_room(struct limits *limits, struct shard *shard,
                                  uint64_t now_ns)
{
    uint32_t size = shard->size == 0 ? SHARD_ENTRIES_FIRST : 2 * shard->size;

    shard_sweep(shard, now_ns);
    if (shard->free != 0) {
        return CAUSE_NONE;
    }
    if (shard->size == limits->shard_entries) {
        return CAUSE_LIMIT_SOURCE;
    }
    return shard_resize(limits, shard, MIN(size, limits->shard_entries)) < 0
               ? CAUSE_LOCAL_RESOURCE
               : CAUSE_NONE;
}

/* A new entry for the source, first in its chain. */
static enum cause shard_add(struct limits *limits, const struct place *place,
                            uint64_t now_ns, struct entry **added)
{
    struct shard *shard = place->shard;
    enum cause cause = CAUSE_NONE;
    struct entry *entry;
    uint32_t number;
    uint32_t *head;

    if (shard->free == 0 && shard->touched == shard->size) {
        cause = shard_make_room(limits, shard, now_ns);
    }
    if (cause != CAUSE_NONE) {
        return cause;
    }
    if (shard->free != 0) {
        number = shard->free;
        shard->free = shard->entries[number - 1].next;
    } else {
        number = ++shard->touched;
    }
    entry = &shard->entries[number - 1];
    memset(entry, 0, sizeof(*entry));
    head = head_of(shard, place->hash);
    entry->source = place->source;
    entry->next = *head;
    *head = number;
    *added = entry;
    return CAUSE_NONE;
}

static enum cause entry_enter(struct entry *entry, uint32_t max_connections,
                              uint64_t rate_per_s, uint64_t now_ns)
{
    struct rate_limit limit = {.per_s = rate_per_s, .burst = rate_per_s};

    if (max_connections != 0 && entry->active >= max_connections) {
        return CAUSE_LIMIT_SOURCE;
    }
    if (rate_per_s != 0 && !rate_take_one(&entry->rate, &limit, now_ns)) {
        return CAUSE_LIMIT_RATE;
    }
    entry->active++;
    return CAUSE_NONE;
}

enum cause limits_enter(struct limits *limits, const struct addr *client,
                        uint32_t max_connections, uint64_t rate_per_s,
                        uint64_t now_ns)
{
    struct place place = place_of(limits, client);
    enum cause cause = CAUSE_NONE;
    struct entry *entry;
    uint32_t *link;

    pthread_mutex_lock(&place.shard->lock);
    entry = shard_find(&place, now_ns, &link);
    if (entry == NULL) {
        cause = shard_add(limits, &place, now_ns, &entry);
    }
    if (cause == CAUSE_NONE) {
        cause = entry_enter(entry, max_connections, rate_per_s, now_ns);
    }
    pthread_mutex_unlock(&place.shard->lock);
    return cause;
}

void limits_leave(struct limits *limits, const struct addr *client)
{
    struct place place = place_of(limits, client);
    struct entry *entry;
    uint32_t *link;

    pthread_mutex_lock(&place.shard->lock);
    entry = shard_find(&place, 0, &link);
    assert(entry != NULL && entry->active > 0);
    entry->active--;
    if (entry_is_idle(entry, 0)) {
        entry_free(place.shard, link);
    }
    pthread_mutex_unlock(&place.shard->lock);
}

uint32_t limits_used(struct limits *limits, uint64_t now_ns)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &limits->shards[i];

        pthread_mutex_lock(&shard->lock);
        for (uint32_t j = 0; j < shard->touched; j++) {
            used += !entry_is_idle(&shard->entries[j], now_ns);
        }
        pthread_mutex_unlock(&shard->lock);
    }
    return used;
}
