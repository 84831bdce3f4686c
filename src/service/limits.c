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

/* IPv4 as ::ffff:a.b.c.d; unix clients as ::1/0, which no IP client has. */
struct source {
    uint64_t high;
    uint64_t low;
    uint8_t prefix; /* of two networks with one base each is a source */
};

struct entry {
    uint64_t high; /* of its source */
    uint64_t low;
    struct rate rate;
    uint32_t active;
    uint16_t next; /* in its chain or the free list: index + 1; 0: the last */
    uint8_t prefix;
};

_Static_assert(sizeof(struct entry) == 32, "two entries in a cache line");
_Static_assert(LIMITS_ENTRIES_MAX / SHARDS < UINT16_MAX, "see entry.next");

/*
 * A shard is a table with chained hashing:
 *
 *      heads[]  ──▶ entry ──▶ entry ──▶ end     as many heads as entries
 *      free     ──▶ entry ──▶ entry ──▶ end     used before
 *      entries[touched...size]                  never used
 *
 * An idle entry is freed by its last limits_leave if it has used no bucket,
 * otherwise by the next search of its chain or by a sweep of the full shard. A
 * shard that is still full then doubles, up to the bound.
 */
struct shard {
    _Alignas(CACHE_LINE_BYTES) pthread_mutex_t lock; /* guards all of it */
    struct entry *entries;
    uint16_t *heads;
    struct rate **bytes; /* by entry, for both directions: where they are stays
                            when the table grows. NULL: no source has any */
    uint32_t size;       /* of all three; 0: no memory yet */
    uint32_t free;       /* the first of the free list, as entry.next */
    uint32_t touched;    /* entries below it were used before */
    uint64_t sweep_ns;   /* when the next sweep may come */
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
        for (uint32_t j = 0; shard->bytes != NULL && j < shard->size; j++) {
            free(shard->bytes[j]);
        }
        free(shard->bytes);
        free(shard->entries);
        free(shard->heads);
    }
    free(limits);
}

static struct source source_of(const struct network *network)
{
    const struct addr *base = &network->base;
    struct source source = {.prefix = network->prefix};
    uint32_t ipv4;

    switch (base->family) {
    case AF_INET:
        memcpy(&ipv4, base->ip, sizeof(ipv4));
        source.low = UINT64_C(0xffff) << 32 | ipv4;
        break;
    case AF_INET6:
        memcpy(&source.high, base->ip, 8);
        memcpy(&source.low, base->ip + 8, 8);
        break;
    default:
        source.low = 1;
        break;
    }
    return source;
}

static bool entry_is_of(const struct entry *entry, const struct source *source)
{
    return entry->high == source->high && entry->low == source->low &&
           entry->prefix == source->prefix;
}

/*
 * Two rounds, each with a secret. The seed of hash_bytes is too weak against
 * clients that can choose 64 bits of their address: some sets of bytes collide
 * under many seeds.
 */
static uint64_t source_hash(const struct limits *limits, uint64_t high,
                            uint64_t low)
{
    return hash_mix(hash_mix(high ^ limits->seed[0]) ^ low ^ limits->seed[1]);
}

/* Where a source belongs. Shard and chain come from different bits of a hash.
 */
struct place {
    struct source source;
    struct shard *shard;
    uint32_t hash; /* chooses the chain */
};

static struct place place_of(struct limits *limits,
                             const struct network *network)
{
    struct place place = {.source = source_of(network)};
    uint64_t hash = source_hash(limits, place.source.high, place.source.low);

    place.shard = &limits->shards[hash >> (64 - SHARD_BITS)];
    place.hash = (uint32_t)hash;
    return place;
}

/* The shard has memory, and the caller its lock. */
static uint16_t *head_of(const struct shard *shard, uint32_t hash)
{
    return &shard->heads[((uint64_t)hash * shard->size) >> 32];
}

static bool is_full(const struct rate *rate, uint64_t now_ns)
{
    return atomic_load_explicit(&rate->full_ns, memory_order_relaxed) <= now_ns;
}

/* Full, or none. */
static bool bytes_are_full(const struct shard *shard, uint32_t index,
                           uint64_t now_ns)
{
    const struct rate *rates =
        shard->bytes == NULL ? NULL : shard->bytes[index];

    return rates == NULL ||
           (is_full(&rates[UP], now_ns) && is_full(&rates[DOWN], now_ns));
}

/* No connection, and full buckets. */
static bool entry_is_idle(const struct shard *shard, uint32_t index,
                          uint64_t now_ns)
{
    const struct entry *entry = &shard->entries[index];

    return entry->active == 0 && is_full(&entry->rate, now_ns) &&
           bytes_are_full(shard, index, now_ns);
}

/* Removes the entry that the link leads to from its chain. */
static void entry_free(struct shard *shard, uint16_t *link)
{
    uint16_t number = *link;
    struct entry *entry = &shard->entries[number - 1];

    if (shard->bytes != NULL) {
        free(shard->bytes[number - 1]);
        shard->bytes[number - 1] = NULL;
    }
    *link = entry->next;
    memset(entry, 0, sizeof(*entry));
    entry->next = (uint16_t)shard->free;
    shard->free = number;
}

/*
 * The link to the source's entry, or the one that ends the chain. Frees idle
 * entries on the way. source NULL: searches to the end.
 */
static uint16_t *chain_find(struct shard *shard, uint16_t *link,
                            const struct source *source, uint64_t now_ns)
{
    while (*link != 0) {
        struct entry *entry = &shard->entries[*link - 1];

        if (source != NULL && entry_is_of(entry, source)) {
            break;
        }
        if (entry_is_idle(shard, *link - 1u, now_ns)) {
            entry_free(shard, link);
        } else {
            link = &entry->next;
        }
    }
    return link;
}

/* The source's entry, or NULL; its link in *link. */
static struct entry *shard_find(const struct place *place, uint64_t now_ns,
                                uint16_t **link)
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

/* More places for byte rates, if there are any. */
static int shard_resize_bytes(struct shard *shard, uint32_t size)
{
    struct rate **bytes =
        shard->bytes == NULL ? NULL
                             : reallocarray(shard->bytes, size, sizeof(*bytes));

    if (bytes == NULL) {
        return shard->bytes == NULL ? 0 : -1;
    }
    memset(bytes + shard->size, 0, (size - shard->size) * sizeof(*bytes));
    shard->bytes = bytes;
    return 0;
}

/* Gives the shard that size. -1: out of memory, and nothing has changed. */
static int shard_resize(struct limits *limits, struct shard *shard,
                        uint32_t size)
{
    uint16_t *heads = calloc(size, sizeof(*heads));
    struct entry *entries =
        heads == NULL || shard_resize_bytes(shard, size) < 0
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
        uint64_t hash = source_hash(limits, entries[i].high, entries[i].low);
        uint16_t *head = head_of(shard, (uint32_t)hash);

        entries[i].next = *head;
        *head = (uint16_t)(i + 1);
    }
    return 0;
}

/* The shard's entries are all in use. LIMITS_ENTERED: now one is not. */
static enum limits_answer shard_make_room(struct limits *limits,
                                          struct shard *shard, uint64_t now_ns)
{
    uint32_t size = shard->size == 0 ? SHARD_ENTRIES_FIRST : 2 * shard->size;

    shard_sweep(shard, now_ns);
    if (shard->free != 0) {
        return LIMITS_ENTERED;
    }
    if (shard->size == limits->shard_entries) {
        return LIMITS_FULL;
    }
    return shard_resize(limits, shard, MIN(size, limits->shard_entries)) < 0
               ? LIMITS_NO_MEMORY
               : LIMITS_ENTERED;
}

/* A new entry for the source, first in its chain. */
static enum limits_answer shard_add(struct limits *limits,
                                    const struct place *place, uint64_t now_ns,
                                    struct entry **added)
{
    struct shard *shard = place->shard;
    enum limits_answer answer = LIMITS_ENTERED;
    struct entry *entry;
    uint32_t number;
    uint16_t *head;

    if (shard->free == 0 && shard->touched == shard->size) {
        answer = shard_make_room(limits, shard, now_ns);
    }
    if (answer != LIMITS_ENTERED) {
        return answer;
    }
    if (shard->free != 0) {
        number = shard->free;
        shard->free = shard->entries[number - 1].next;
    } else {
        number = ++shard->touched;
    }
    entry = &shard->entries[number - 1];
    head = head_of(shard, place->hash);
    memset(entry, 0, sizeof(*entry));
    entry->high = place->source.high;
    entry->low = place->source.low;
    entry->prefix = place->source.prefix;
    entry->next = *head;
    *head = (uint16_t)number;
    *added = entry;
    return LIMITS_ENTERED;
}

static enum limits_answer entry_enter(struct entry *entry,
                                      const struct limits_most *most,
                                      uint64_t now_ns)
{
    struct rate_limit limit = {.per_s = most->rate_per_s,
                               .burst = most->rate_per_s};

    if (most->connections != 0 && entry->active >= most->connections) {
        return LIMITS_CONNECTIONS;
    }
    if (limit.per_s != 0 && !rate_take_one(&entry->rate, &limit, now_ns)) {
        return LIMITS_RATE;
    }
    entry->active++;
    return LIMITS_ENTERED;
}

enum limits_answer limits_enter(struct limits *limits,
                                const struct network *source,
                                const struct limits_most *most, uint64_t now_ns)
{
    struct place place = place_of(limits, source);
    enum limits_answer answer = LIMITS_ENTERED;
    struct entry *entry;
    uint16_t *link;

    pthread_mutex_lock(&place.shard->lock);
    entry = shard_find(&place, now_ns, &link);
    if (entry == NULL) {
        answer = shard_add(limits, &place, now_ns, &entry);
    }
    if (answer == LIMITS_ENTERED) {
        answer = entry_enter(entry, most, now_ns);
    }
    pthread_mutex_unlock(&place.shard->lock);
    return answer;
}

void limits_leave(struct limits *limits, const struct network *source)
{
    struct place place = place_of(limits, source);
    struct entry *entry;
    uint16_t *link;

    pthread_mutex_lock(&place.shard->lock);
    entry = shard_find(&place, 0, &link);
    assert(entry != NULL && entry->active > 0);
    entry->active--;
    if (entry_is_idle(place.shard, *link - 1u, 0)) {
        entry_free(place.shard, link);
    }
    pthread_mutex_unlock(&place.shard->lock);
}

struct rate *limits_byte_rates(struct limits *limits,
                               const struct network *source)
{
    struct place place = place_of(limits, source);
    struct shard *shard = place.shard;
    struct rate *rates = NULL;
    uint16_t *link;

    pthread_mutex_lock(&shard->lock);
    (void)shard_find(&place, 0, &link);
    assert(*link != 0);
    if (shard->bytes == NULL) {
        shard->bytes = calloc(shard->size, sizeof(*shard->bytes));
    }
    if (shard->bytes != NULL) {
        struct rate **own = &shard->bytes[*link - 1];

        if (*own == NULL) {
            *own = calloc(DIRECTIONS, sizeof(**own));
        }
        rates = *own;
    }
    pthread_mutex_unlock(&shard->lock);
    return rates;
}

uint32_t limits_used(struct limits *limits, uint64_t now_ns)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &limits->shards[i];

        pthread_mutex_lock(&shard->lock);
        for (uint32_t j = 0; j < shard->touched; j++) {
            used += !entry_is_idle(shard, j, now_ns);
        }
        pthread_mutex_unlock(&shard->lock);
    }
    return used;
}
