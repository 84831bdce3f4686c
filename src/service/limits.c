#include "service/limits.h"

#include "base/hash.h"
#include "base/rate.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

bool limits_allowed(const struct config_rule *rules, size_t count,
                    const struct addr *client)
{
    bool any_allow = false;

    if (client->family != AF_INET && client->family != AF_INET6) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (network_contains(&rules[i].network, client)) {
            return rules[i].allow;
        }
        any_allow |= rules[i].allow;
    }
    return !any_allow;
}

#define PARTS      64
#define PARTS_BITS 6

/* So that chance does not fill one part long before the others: sources fall on
 * parts like dice. */
#define PART_ENTRIES_MIN 1024

#define SEARCH_EVERY_NS (100 * NS_PER_MS)

/* IPv4 as ::ffff:a.b.c.d; all unix clients are ::, which is no one's source. */
struct source {
    uint64_t high;
    uint64_t low;
};

struct entry {
    struct source source;
    struct rate rate;
    uint32_t active;
    uint32_t next; /* in its chain or among the free: 1 more than its place, 0
                      at the end */
};

_Static_assert(sizeof(struct entry) == 32, "two entries to a cache line");

/*
 * One part, by chained hashing:
 *
 *      heads ──▶ entry ──▶ entry ──▶ end     as many as there are entries
 *      free  ──▶ entry ──▶ entry ──▶ end     were in use
 *      entries[touched...]                   never were in use
 *
 * An entry goes back to the free ones when it says nothing any more: at its
 * last leave if it has no bucket, else when someone comes by in its chain, or
 * when the part is full.
 */
struct part {
    _Alignas(CACHE_LINE_BYTES) pthread_mutex_t lock; /* guards all of it */
    struct entry *entries;
    uint32_t *heads;
    uint32_t free;      /* first of the free ones, as entry.next */
    uint32_t touched;   /* entries used so far, the first ones */
    uint64_t search_ns; /* when a full part may be searched again */
};

struct limits {
    uint64_t seed[2]; /* secret, so that no one can choose a long chain */
    void *memory;     /* of all parts */
    size_t memory_bytes;
    uint32_t part_entries;
    struct part parts[PARTS];
};

static uint32_t part_entries_for(uint32_t connections)
{
    uint64_t entries = 2 * (uint64_t)connections;

    if (entries > LIMITS_ENTRIES_MAX) {
        entries = LIMITS_ENTRIES_MAX;
    }
    if (entries < PARTS * PART_ENTRIES_MIN) {
        entries = PARTS * PART_ENTRIES_MIN;
    }
    return (uint32_t)((entries + PARTS - 1) / PARTS);
}

/* Small pages: what is touched here and there must not become all of it. */
static void *map_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        return NULL;
    }
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    return memory;
}

static void parts_init(struct limits *limits)
{
    struct entry *entries = limits->memory;
    uint32_t *heads = (uint32_t *)(entries + PARTS * limits->part_entries);

    for (uint32_t i = 0; i < PARTS; i++) {
        struct part *part = &limits->parts[i];

        pthread_mutex_init(&part->lock, NULL);
        part->entries = entries + i * limits->part_entries;
        part->heads = heads + i * limits->part_entries;
    }
}

struct limits *limits_create(uint32_t connections)
{
    struct limits *limits;

    limits = aligned_alloc(_Alignof(struct limits), sizeof(*limits));
    if (limits == NULL) {
        return NULL;
    }
    memset(limits, 0, sizeof(*limits));
    limits->part_entries = part_entries_for(connections);
    limits->memory_bytes = (size_t)PARTS * limits->part_entries *
                           (sizeof(struct entry) + sizeof(uint32_t));
    if (getrandom(limits->seed, sizeof(limits->seed), 0) !=
        sizeof(limits->seed)) {
        goto free_limits;
    }
    limits->memory = map_memory(limits->memory_bytes);
    if (limits->memory == NULL) {
        goto free_limits;
    }
    parts_init(limits);
    return limits;

free_limits:
    free(limits);
    return NULL;
}

void limits_destroy(struct limits *limits)
{
    if (limits == NULL) {
        return;
    }
    for (uint32_t i = 0; i < PARTS; i++) {
        pthread_mutex_destroy(&limits->parts[i].lock);
    }
    munmap(limits->memory, limits->memory_bytes);
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
 * Two rounds with a secret before each. hash_bytes keeps its seed apart from
 * the bytes too little for who can choose 64 bits of an address: some sets of
 * bytes collide under many seeds.
 */
static uint64_t source_hash(const struct limits *limits,
                            const struct source *source)
{
    return hash_mix(hash_mix(source->high ^ limits->seed[0]) ^ source->low ^
                    limits->seed[1]);
}

/* Where a source belongs. The part's bits are not the chain's. */
struct place {
    struct source source;
    struct part *part;
    uint32_t *head;
};

static struct place place_of(struct limits *limits, const struct addr *client)
{
    struct place place = {.source = source_of(client)};
    uint64_t hash = source_hash(limits, &place.source);

    place.part = &limits->parts[hash >> (64 - PARTS_BITS)];
    place.head =
        &place.part->heads[((hash & UINT32_MAX) * limits->part_entries) >> 32];
    return place;
}

/* The bucket is full, and no one is there. */
static bool entry_says_nothing(const struct entry *entry, uint64_t now_ns)
{
    return entry->active == 0 &&
           atomic_load_explicit(&entry->rate.full_ns, memory_order_relaxed) <=
               now_ns;
}

/* Takes the entry that the link leads to out of its chain. */
static void entry_free(struct part *part, uint32_t *link)
{
    uint32_t number = *link;
    struct entry *entry = &part->entries[number - 1];

    *link = entry->next;
    memset(entry, 0, sizeof(*entry));
    entry->next = part->free;
    part->free = number;
}

/*
 * The link to the source's entry, or the one that ends the chain. Entries on
 * the way that say nothing are freed; of source NULL there are no others.
 */
static uint32_t *chain_find(struct part *part, uint32_t *link,
                            const struct source *source, uint64_t now_ns)
{
    while (*link != 0) {
        struct entry *entry = &part->entries[*link - 1];

        if (source != NULL && source_equal(&entry->source, source)) {
            break;
        }
        if (entry_says_nothing(entry, now_ns)) {
            entry_free(part, link);
        } else {
            link = &entry->next;
        }
    }
    return link;
}

/* Frees every entry of a full part that says nothing. */
static void part_search(struct part *part, uint32_t entries, uint64_t now_ns)
{
    if (now_ns < part->search_ns) {
        return;
    }
    part->search_ns = now_ns + SEARCH_EVERY_NS;
    for (uint32_t i = 0; i < entries; i++) {
        chain_find(part, &part->heads[i], NULL, now_ns);
    }
}

/* A new entry for the source, first of its chain; NULL if there is none. */
static struct entry *part_add(const struct place *place, uint32_t entries,
                              uint64_t now_ns)
{
    struct part *part = place->part;
    struct entry *entry;
    uint32_t number;

    if (part->free == 0 && part->touched == entries) {
        part_search(part, entries, now_ns);
    }
    if (part->free != 0) {
        number = part->free;
        part->free = part->entries[number - 1].next;
    } else if (part->touched < entries) {
        number = ++part->touched;
    } else {
        return NULL;
    }
    entry = &part->entries[number - 1];
    entry->source = place->source;
    entry->next = *place->head;
    *place->head = number;
    return entry;
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
    enum cause cause = CAUSE_LIMIT_SOURCE;
    struct entry *entry;
    uint32_t *link;

    pthread_mutex_lock(&place.part->lock);
    link = chain_find(place.part, place.head, &place.source, now_ns);
    entry = *link != 0 ? &place.part->entries[*link - 1]
                       : part_add(&place, limits->part_entries, now_ns);
    if (entry != NULL) {
        cause = entry_enter(entry, max_connections, rate_per_s, now_ns);
    }
    pthread_mutex_unlock(&place.part->lock);
    return cause;
}

void limits_leave(struct limits *limits, const struct addr *client)
{
    struct place place = place_of(limits, client);
    struct entry *entry;
    uint32_t *link;

    pthread_mutex_lock(&place.part->lock);
    link = chain_find(place.part, place.head, &place.source, 0);
    assert(*link != 0);
    entry = &place.part->entries[*link - 1];
    assert(entry->active > 0);
    entry->active--;
    if (entry_says_nothing(entry, 0)) {
        entry_free(place.part, link);
    }
    pthread_mutex_unlock(&place.part->lock);
}

uint32_t limits_used(struct limits *limits, uint64_t now_ns)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < PARTS; i++) {
        struct part *part = &limits->parts[i];

        pthread_mutex_lock(&part->lock);
        for (uint32_t j = 0; j < part->touched; j++) {
            used += !entry_says_nothing(&part->entries[j], now_ns);
        }
        pthread_mutex_unlock(&part->lock);
    }
    return used;
}
