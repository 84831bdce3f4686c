#include "service/limits.h"

#include <assert.h>

/* Adds an entry for the source unless it has one. */
static enum limits_answer add(struct source_table *table,
                              struct source_place *place, uint64_t now_ns)
{
    switch (source_table_add(table, place, now_ns)) {
    case SOURCE_ADDED:
        return LIMITS_ENTERED;
    case SOURCE_FULL:
        return LIMITS_FULL;
    default:
        return LIMITS_NO_MEMORY;
    }
}

static enum limits_answer enter(struct source_entry *entry,
                                const struct limits_most *most, uint64_t now_ns)
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

enum limits_answer limits_enter(struct source_table *table,
                                const struct network *network,
                                const struct limits_most *most, uint64_t now_ns)
{
    struct source_id id = source_id_of(network);
    struct source_place place;
    enum limits_answer answer;

    source_table_lock(table, &id, now_ns, &place);
    answer = add(table, &place, now_ns);
    if (answer == LIMITS_ENTERED) {
        answer = enter(place.entry, most, now_ns);
    }
    source_table_unlock(&place);
    return answer;
}

void limits_leave(struct source_table *table, const struct network *network)
{
    struct source_id id = source_id_of(network);
    struct source_place place;

    source_table_lock(table, &id, 0, &place);
    assert(place.entry != NULL && place.entry->active > 0);
    place.entry->active--;
    source_table_tidy(&place);
    source_table_unlock(&place);
}

struct rate *limits_byte_rates(struct source_table *table,
                               const struct network *network)
{
    struct source_id id = source_id_of(network);
    struct source_place place;
    struct rate *rates;

    source_table_lock(table, &id, 0, &place);
    assert(place.entry != NULL);
    rates = source_table_byte_rates(&place);
    source_table_unlock(&place);
    return rates;
}

/* ---- what is owed ---- */

bool limits_next_debt(struct source_table *table, uint64_t *at, uint64_t now_ns,
                      struct source_state *debt)
{
    while (source_table_next(table, at, now_ns, debt)) {
        if (debt->accept_full_ns > now_ns || debt->byte_full_ns[UP] > now_ns ||
            debt->byte_full_ns[DOWN] > now_ns) {
            return true;
        }
    }
    return false;
}

static void owe_bytes(const struct source_place *place,
                      const struct source_state *debt)
{
    struct rate *rates;

    if ((debt->byte_full_ns[UP] | debt->byte_full_ns[DOWN]) == 0) {
        return;
    }
    rates = source_table_byte_rates(place);
    for (enum direction i = UP; rates != NULL && i < DIRECTIONS; i++) {
        rate_owe(&rates[i], debt->byte_full_ns[i]);
    }
}

void limits_owe(struct source_table *table, const struct source_state *debt,
                uint64_t now_ns)
{
    struct source_place place;

    source_table_lock(table, &debt->id, now_ns, &place);
    if (source_table_add(table, &place, now_ns) == SOURCE_ADDED) {
        rate_owe(&place.entry->rate, debt->accept_full_ns);
        owe_bytes(&place, debt);
    }
    source_table_unlock(&place);
}
