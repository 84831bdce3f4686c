#include "service/source_table.h"

#include "base/hash.h"

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

_Static_assert(sizeof(struct source_entry) == 32, "two in a cache line");
_Static_assert(SOURCE_TABLE_MAX / SHARDS < UINT16_MAX, "see below: numbers");

/*
 * A shard is a table with chained hashing. Links are numbers: an index + 1; 0
 * ends a list.
 *
 *      heads[]  ──▶ entry ──▶ entry ──▶ end     as many heads as entries
 *      free     ──▶ entry ──▶ entry ──▶ end     used before
 *      entries[touched...size]                  never used
 *
 * An idle entry is freed by source_table_tidy if it has used no bucket,
 * otherwise by the next search of its chain or by a sweep of the full shard. A
 * shard that is still full then doubles, up to the bound.
 */
struct source_shard {
    _Alignas(CACHE_LINE_BYTES) pthread_mutex_t lock; /* guards all of it */
    struct source_entry *entries;
    uint16_t *heads;
    struct rate **bytes; /* by entry, for both directions: where they are stays
                            when the table grows. NULL: no source has any */
    uint32_t size;       /* of all three; 0: no memory yet */
    uint32_t free;       /* the first of the free list, as entry.next */
    uint32_t touched;    /* entries below it were used before */
    uint64_t sweep_ns;   /* when the next sweep may come */
};

struct source_table {
    uint64_t seed[2]; /* secret, so that no client can cause a long chain */
    uint32_t shard_entries; /* bound of a shard's size */
    struct source_shard shards[SHARDS];
};

static uint32_t shard_entries_for(uint32_t connections)
{
    uint64_t entries = 2 * (uint64_t)connections;

    if (entries > SOURCE_TABLE_MAX) {
        entries = SOURCE_TABLE_MAX;
    }
    if (entries < SHARDS * SHARD_ENTRIES_MIN) {
        entries = SHARDS * SHARD_ENTRIES_MIN;
    }
    return (uint32_t)((entries + SHARDS - 1) / SHARDS);
}

struct source_table *source_table_create(uint32_t connections)
{
    struct source_table *table;

    table = aligned_alloc(_Alignof(struct source_table), sizeof(*table));
    if (table == NULL) {
        return NULL;
    }
    memset(table, 0, sizeof(*table));
    table->shard_entries = shard_entries_for(connections);
    if (getrandom(table->seed, sizeof(table->seed), 0) != sizeof(table->seed)) {
        free(table);
        return NULL;
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&table->shards[i].lock, NULL);
    }
    return table;
}

void source_table_destroy(struct source_table *table)
{
    if (table == NULL) {
        return;
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct source_shard *shard = &table->shards[i];

        pthread_mutex_destroy(&shard->lock);
        for (uint32_t j = 0; shard->bytes != NULL && j < shard->size; j++) {
            free(shard->bytes[j]);
        }
        free(shard->bytes);
        free(shard->entries);
        free(shard->heads);
    }
    free(table);
}

struct source_id source_id_of(const struct network *network)
{
    const struct addr *base = &network->base;
    struct source_id id = {.prefix = network->prefix};
    uint32_t ipv4;

    switch (base->family) {
    case AF_INET:
        memcpy(&ipv4, base->ip, sizeof(ipv4));
        id.low = UINT64_C(0xffff) << 32 | ipv4;
        break;
    case AF_INET6:
        memcpy(&id.high, base->ip, 8);
        memcpy(&id.low, base->ip + 8, 8);
        break;
    default:
        id.low = 1;
        break;
    }
    return id;
}

static bool entry_is_of(const struct source_entry *entry,
                        const struct source_id *id)
{
    return entry->high == id->high && entry->low == id->low &&
           entry->prefix == id->prefix;
}

/*
 * Two rounds, each with a secret. The seed of hash_bytes is too weak against
 * clients that can choose 64 bits of their address: some sets of bytes collide
 * under many seeds.
 */
static uint64_t source_hash(const struct source_table *table, uint64_t high,
                            uint64_t low)
{
    return hash_mix(hash_mix(high ^ table->seed[0]) ^ low ^ table->seed[1]);
}

/* The shard has memory, and the caller its lock. */
static uint16_t *head_of(const struct source_shard *shard, uint32_t hash)
{
    return &shard->heads[((uint64_t)hash * shard->size) >> 32];
}

static bool is_full(const struct rate *rate, uint64_t now_ns)
{
    return atomic_load_explicit(&rate->full_ns, memory_order_relaxed) <= now_ns;
}

/* Full, or none. */
static bool bytes_are_full(const struct source_shard *shard, uint32_t index,
                           uint64_t now_ns)
{
    const struct rate *rates =
        shard->bytes == NULL ? NULL : shard->bytes[index];

    return rates == NULL ||
           (is_full(&rates[UP], now_ns) && is_full(&rates[DOWN], now_ns));
}

/* No connection, and full buckets. */
static bool entry_is_idle(const struct source_shard *shard, uint32_t index,
                          uint64_t now_ns)
{
    const struct source_entry *entry = &shard->entries[index];

    return entry->active == 0 && is_full(&entry->rate, now_ns) &&
           bytes_are_full(shard, index, now_ns);
}

/* Removes the entry that the link leads to from its chain. */
static void entry_free(struct source_shard *shard, uint16_t *link)
{
    uint16_t number = *link;
    struct source_entry *entry = &shard->entries[number - 1];

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
 * entries on the way. id NULL: searches to the end.
 */
static uint16_t *chain_find(struct source_shard *shard, uint16_t *link,
                            const struct source_id *id, uint64_t now_ns)
{
    while (*link != 0) {
        struct source_entry *entry = &shard->entries[*link - 1];

        if (id != NULL && entry_is_of(entry, id)) {
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

/* Shard and chain come from different bits of a hash. */
void source_table_lock(struct source_table *table, const struct source_id *id,
                       uint64_t now_ns, struct source_place *place)
{
    uint64_t hash = source_hash(table, id->high, id->low);
    struct source_shard *shard = &table->shards[hash >> (64 - SHARD_BITS)];

    *place = (struct source_place){
        .id = *id, .shard = shard, .hash = (uint32_t)hash};
    pthread_mutex_lock(&shard->lock);
    if (shard->size > 0) {
        place->link =
            chain_find(shard, head_of(shard, place->hash), id, now_ns);
        place->entry =
            *place->link == 0 ? NULL : &shard->entries[*place->link - 1];
    }
}

void source_table_unlock(const struct source_place *place)
{
    pthread_mutex_unlock(&place->shard->lock);
}

/* Frees all idle entries. */
static void shard_sweep(struct source_shard *shard, uint64_t now_ns)
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
static int shard_resize_bytes(struct source_shard *shard, uint32_t size)
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
static int shard_resize(struct source_table *table, struct source_shard *shard,
                        uint32_t size)
{
    uint16_t *heads = calloc(size, sizeof(*heads));
    struct source_entry *entries =
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
        uint64_t hash = source_hash(table, entries[i].high, entries[i].low);
        uint16_t *head = head_of(shard, (uint32_t)hash);

        entries[i].next = *head;
        *head = (uint16_t)(i + 1);
    }
    return 0;
}

/* The shard's entries are all in use. SOURCE_ADDED: now one is not. */
static enum source_table_answer shard_make_room(struct source_table *table,
                                                struct source_shard *shard,
                                                uint64_t now_ns)
{
    uint32_t size = shard->size == 0 ? SHARD_ENTRIES_FIRST : 2 * shard->size;

    shard_sweep(shard, now_ns);
    if (shard->free != 0) {
        return SOURCE_ADDED;
    }
    if (shard->size == table->shard_entries) {
        return SOURCE_FULL;
    }
    return shard_resize(table, shard, MIN(size, table->shard_entries)) < 0
               ? SOURCE_NO_MEMORY
               : SOURCE_ADDED;
}

/* The new entry is the first in its chain. */
enum source_table_answer source_table_add(struct source_table *table,
                                          struct source_place *place,
                                          uint64_t now_ns)
{
    struct source_shard *shard = place->shard;
    enum source_table_answer answer = SOURCE_ADDED;
    struct source_entry *entry;
    uint32_t number;

    if (place->entry == NULL && shard->free == 0 &&
        shard->touched == shard->size) {
        answer = shard_make_room(table, shard, now_ns);
    }
    if (place->entry != NULL || answer != SOURCE_ADDED) {
        return answer;
    }
    if (shard->free != 0) {
        number = shard->free;
        shard->free = shard->entries[number - 1].next;
    } else {
        number = ++shard->touched;
    }
    entry = &shard->entries[number - 1];
    place->link = head_of(shard, place->hash);
    *entry = (struct source_entry){.high = place->id.high,
                                   .low = place->id.low,
                                   .prefix = place->id.prefix,
                                   .next = *place->link};
    *place->link = (uint16_t)number;
    place->entry = entry;
    return SOURCE_ADDED;
}

void source_table_tidy(const struct source_place *place)
{
    if (entry_is_idle(place->shard, *place->link - 1u, 0)) {
        entry_free(place->shard, place->link);
    }
}

struct rate *source_table_byte_rates(const struct source_place *place)
{
    struct source_shard *shard = place->shard;
    struct rate **own;

    if (shard->bytes == NULL) {
        shard->bytes = calloc(shard->size, sizeof(*shard->bytes));
    }
    if (shard->bytes == NULL) {
        return NULL;
    }
    own = &shard->bytes[*place->link - 1];
    if (*own == NULL) {
        *own = calloc(DIRECTIONS, sizeof(**own));
    }
    return *own;
}

static uint64_t full_ns(const struct rate *rate)
{
    return atomic_load_explicit(&rate->full_ns, memory_order_relaxed);
}

static struct source_state state_of(const struct source_shard *shard,
                                    uint32_t index)
{
    const struct source_entry *entry = &shard->entries[index];
    const struct rate *rates =
        shard->bytes == NULL ? NULL : shard->bytes[index];
    struct source_state state = {
        .id = {entry->high, entry->low, entry->prefix},
        .accept_full_ns = full_ns(&entry->rate),
    };

    for (enum direction i = UP; rates != NULL && i < DIRECTIONS; i++) {
        state.byte_full_ns[i] = full_ns(&rates[i]);
    }
    return state;
}

/* *at: the shard and, in the lower 32 bits, the index in it. */
bool source_table_next(struct source_table *table, uint64_t *at,
                       uint64_t now_ns, struct source_state *state)
{
    bool found = false;

    while (!found && *at >> 32 < SHARDS) {
        struct source_shard *shard = &table->shards[*at >> 32];
        uint32_t index = (uint32_t)*at;

        pthread_mutex_lock(&shard->lock);
        while (index < shard->touched && entry_is_idle(shard, index, now_ns)) {
            index++;
        }
        found = index < shard->touched;
        if (found) {
            *state = state_of(shard, index);
        }
        pthread_mutex_unlock(&shard->lock);
        *at = found ? (*at & ~(uint64_t)UINT32_MAX) + index + 1
                    : ((*at >> 32) + 1) << 32;
    }
    return found;
}

uint32_t source_table_used(struct source_table *table, uint64_t now_ns)
{
    struct source_state state;
    uint32_t used = 0;

    for (uint64_t at = 0; source_table_next(table, &at, now_ns, &state);) {
        used++;
    }
    return used;
}
