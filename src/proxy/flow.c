#include "proxy/flow.h"

#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_MIN 16u

void flow_table_init(struct flow_table *table, uint64_t seed)
{
    *table = (struct flow_table){.seed = seed};
}

void flow_table_fini(struct flow_table *table)
{
    free(table->buckets);
    table->buckets = NULL;
}

static uint32_t hash_key(const struct flow_table *table,
                         const struct flow_key *key)
{
    uint64_t words[sizeof(*key) / sizeof(uint64_t)];
    uint64_t hash = table->seed;

    memcpy(words, key, sizeof(words));
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        hash = hash_mix(hash ^ words[i]);
    }
    return (uint32_t)hash;
}

/* The greatest power of two that is not above n, n > 0. */
static uint32_t power_within(uint32_t n)
{
    return UINT32_C(1) << (31 - __builtin_clz(n));
}

/* The bucket of a hash among so many, used > 0. */
static uint32_t place_among(uint32_t used, uint32_t hash)
{
    uint32_t base = power_within(used);
    uint32_t place = hash & (2 * base - 1);

    return place < used ? place : hash & (base - 1);
}

static struct flow **bucket_of(const struct flow_table *table, uint32_t hash)
{
    return &table->buckets[place_among(table->used, hash)];
}

struct flow *flow_find(const struct flow_table *table,
                       const struct flow_key *key)
{
    uint32_t hash = hash_key(table, key);
    struct flow *flow;

    if (table->used == 0) {
        return NULL;
    }
    flow = *bucket_of(table, hash);
    while (flow != NULL &&
           (flow->hash != hash || memcmp(&flow->key, key, sizeof(*key)) != 0)) {
        flow = flow->next;
    }
    return flow;
}

static int resize(struct flow_table *table, uint32_t size)
{
    struct flow **buckets =
        realloc(table->buckets, size * sizeof(struct flow *));

    if (buckets == NULL) {
        return -1;
    }
    table->buckets = buckets;
    table->size = size;
    return 0;
}

/* Moves those of the chain that belong elsewhere by now to that bucket. */
static void divide(struct flow_table *table, uint32_t from, uint32_t to)
{
    struct flow **link = &table->buckets[from];

    while (*link != NULL) {
        struct flow *flow = *link;

        if (place_among(table->used, flow->hash) == from) {
            link = &flow->next;
            continue;
        }
        *link = flow->next;
        flow->next = table->buckets[to];
        table->buckets[to] = flow;
    }
}

/* One more bucket, taken out of its partner. */
static int grow(struct flow_table *table)
{
    uint32_t added = table->used;
    uint32_t wanted = table->size == 0 ? SIZE_MIN : 2 * table->size;

    if (added == table->size && resize(table, wanted) < 0) {
        return -1;
    }
    table->buckets[added] = NULL;
    table->used++;
    if (added > 0) {
        divide(table, added - power_within(added), added);
    }
    return 0;
}

/* The last bucket goes back into its partner. */
static void shrink(struct flow_table *table)
{
    uint32_t last = table->used - 1;
    struct flow **link = &table->buckets[last - power_within(last)];

    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = table->buckets[last];
    table->used--;
    if (table->size > SIZE_MIN && table->used <= table->size / 4) {
        (void)resize(table, table->size / 2); /* or it stays */
    }
}

int flow_insert(struct flow_table *table, struct flow *flow)
{
    struct flow **bucket;

    if (table->count >= table->used && grow(table) < 0) {
        return -1;
    }
    flow->hash = hash_key(table, &flow->key);
    bucket = bucket_of(table, flow->hash);
    flow->next = *bucket;
    *bucket = flow;
    table->count++;
    return 0;
}

void flow_remove(struct flow_table *table, struct flow *flow)
{
    struct flow **link = bucket_of(table, flow->hash);

    while (*link != flow) {
        link = &(*link)->next;
    }
    *link = flow->next;
    flow->next = NULL;
    table->count--;
    /* Two, or the buckets would fall behind. */
    for (int i = 0; i < 2 && table->used > 1 && table->count < table->used / 2;
         i++) {
        shrink(table);
    }
}

void flow_table_check(const struct flow_table *table)
{
    uint32_t count = 0;

    assert(table->used <= table->size);
    for (uint32_t i = 0; i < table->used; i++) {
        for (const struct flow *flow = table->buckets[i]; flow != NULL;
             flow = flow->next) {
            assert(flow->hash == hash_key(table, &flow->key));
            assert(place_among(table->used, flow->hash) == i);
            count++;
        }
    }
    assert(count == table->count);
}
