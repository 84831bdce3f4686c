#include "service/balance.h"

#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Random draws before all nodes are looked at: with half of the weight usable,
 * one in 256 picks comes to that. */
#define DRAWS 8

/* One call of balance_pick, for one class. */
struct pick {
    struct balance *balance;
    struct balance_class *class;
    const struct balance_view *view;
    uint64_t client;
    uint64_t random; /* state of a sequence */
    bool backup;
};

static bool is_member(const struct pick *pick, uint32_t i)
{
    return pick->balance->nodes[i].backup == pick->backup;
}

static bool is_usable(const struct pick *pick, uint32_t i)
{
    return pick->view->usable(pick->view->arg, i);
}

/* A number below the limit; their probabilities differ by at most 2^-20. */
static uint64_t random_below(uint64_t *random, uint64_t limit)
{
    return (uint64_t)(((unsigned __int128)hash_random(random) * limit) >> 64);
}

/* Its weight, of its present share; a number that says nothing by itself. */
static uint64_t weight_now(const struct pick *pick, uint32_t i)
{
    uint64_t weight = pick->balance->nodes[i].weight;

    return pick->view->share == NULL
               ? weight
               : weight * pick->view->share(pick->view->arg, i);
}

/* Whether it takes a turn or a draw that it has by its full weight. */
static bool takes_part(struct pick *pick, uint32_t i)
{
    return pick->view->share == NULL ||
           random_below(&pick->random, BALANCE_SHARE_ALL) <
               pick->view->share(pick->view->arg, i);
}

static uint64_t next_turn(const struct pick *pick)
{
    return atomic_fetch_add_explicit(&pick->class->cursor, 1,
                                     memory_order_relaxed);
}

/* ---- source -------------------------------------------------------------- */

/*
 * The cost of a node is -log2(hash / 2^64) / weight, and the least cost wins.
 * It falls as the hash rises: among equal weights the greatest hash wins, and
 * no logarithm is needed.
 */

#define COST_BITS 48 /* of the fraction */

struct score {
    uint64_t hash;
    uint64_t id;
    uint64_t cost; /* -log2(hash / 2^64), COST_BITS after the point */
    uint32_t weight;
};

/* Every node beats it. */
static const struct score score_none = {
    .id = UINT64_MAX, .cost = UINT64_C(65) << COST_BITS, .weight = 1};

/*
 * -log2(x / 2^64), rounded up, bit by bit: the square of a number of [1, 2) is
 * 2 or more if the next bit of its logarithm is 1 (Knuth, "The Art of Computer
 * Programming" 1, section 1.2.2). Monotonic: never rises with x. 0 counts as 1.
 */
static uint64_t minus_log2(uint64_t x)
{
    int zeros = __builtin_clzll(x | 1);
    uint64_t power = (x | (x == 0)) << zeros; /* of [1, 2), 63 bits after */
    uint64_t log = 0;

    for (unsigned bit = 0; bit < COST_BITS; bit++) {
        uint64_t one;

        power = (uint64_t)(((unsigned __int128)power * power) >> 64);
        one = power >> 63;
        log = log << 1 | one;
        power <<= 1 - one;
    }
    return ((uint64_t)(zeros + 1) << COST_BITS) - log;
}

static bool beats_by_hash(const struct score *score, const struct score *best)
{
    return score->hash > best->hash ||
           (score->hash == best->hash && score->id < best->id);
}

/*
 * Compares costs by cross-multiplication. -log2(x) >= 1 - x: so nearly all
 * losers are found without a logarithm, and of n nodes about ln n need one.
 */
static bool beats_by_cost(struct score *score, const struct score *best)
{
    uint64_t limit = best->cost * score->weight;
    uint64_t cost;

    if ((~score->hash >> (64 - COST_BITS)) * best->weight > limit) {
        return false;
    }
    score->cost = minus_log2(score->hash);
    cost = score->cost * best->weight;
    return cost < limit || (cost == limit && beats_by_hash(score, best));
}

/* The same with shares of weights, whose products need more bits. */
static bool beats_by_share(struct score *score, const struct score *best)
{
    unsigned __int128 cost, limit;

    score->cost = minus_log2(score->hash);
    cost = (unsigned __int128)score->cost * best->weight;
    limit = (unsigned __int128)best->cost * score->weight;
    return cost < limit || (cost == limit && beats_by_hash(score, best));
}

static bool beats(const struct pick *pick, struct score *score,
                  const struct score *best)
{
    if (pick->view->share != NULL) {
        return beats_by_share(score, best);
    }
    return pick->balance->weighted ? beats_by_cost(score, best)
                                   : beats_by_hash(score, best);
}

/* Whether the upstream has less than the bound allows it; weights: the sum of
 * those of all usable ones. */
static bool has_room(const struct pick *pick, uint32_t i, uint64_t weights)
{
    const struct balance_view *view = pick->view;
    unsigned __int128 has = view->active(view->arg, i);
    unsigned __int128 most = weight_now(pick, i);

    return has * 100 * weights < most * view->bound * view->total;
}

/* weights: 0, or their sum for the bound. */
static ssize_t pick_best(const struct pick *pick, uint64_t weights)
{
    uint64_t client = hash_mix(pick->client);
    struct score best = score_none;
    ssize_t found = -1;

    for (uint32_t i = 0; i < pick->balance->count; i++) {
        uint64_t id = pick->balance->nodes[i].id;
        struct score score = {.hash = hash_mix(client ^ id),
                              .id = id,
                              .weight = (uint32_t)weight_now(pick, i)};

        if (is_member(pick, i) && beats(pick, &score, &best) &&
            is_usable(pick, i) &&
            (weights == 0 || has_room(pick, i, weights))) {
            best = score;
            found = i;
        }
    }
    return found;
}

/* What is usable may change between the passes. No client is refused by it. */
static ssize_t pick_bounded(const struct pick *pick)
{
    uint64_t weights = 0;
    ssize_t found;

    for (uint32_t i = 0; i < pick->balance->count; i++) {
        if (is_member(pick, i) && is_usable(pick, i)) {
            weights += weight_now(pick, i);
        }
    }
    if (weights == 0) {
        return -1;
    }
    found = pick_best(pick, weights);
    return found >= 0 ? found : pick_best(pick, 0);
}

static ssize_t pick_source(struct pick *pick)
{
    const struct balance *balance = pick->balance;
    uint64_t client = hash_mix(pick->client);
    struct score best = score_none;
    ssize_t found = -1;

    if (pick->view->bound != 0) {
        return pick_bounded(pick);
    }
    if (pick->view->share != NULL) {
        return pick_best(pick, 0);
    }
    for (uint32_t i = 0; i < balance->count; i++) {
        const struct balance_node *node = &balance->nodes[i];
        struct score score = {.hash = hash_mix(client ^ node->id),
                              .id = node->id,
                              .weight = node->weight};

        if (is_member(pick, i) &&
            (balance->weighted ? beats_by_cost(&score, &best)
                               : beats_by_hash(&score, &best)) &&
            is_usable(pick, i)) {
            best = score;
            found = i;
        }
    }
    return found;
}

/* ---- the others ---------------------------------------------------------- */

/*
 * A usable member other than `except` (-1: none), by weight, in one pass of
 * reservoir sampling: each replaces the one found so far with the probability
 * of its weight in the sum of weights so far.
 */
static ssize_t draw_from_all(struct pick *pick, ssize_t except)
{
    uint64_t sum = 0;
    ssize_t found = -1;

    for (uint32_t i = 0; i < pick->balance->count; i++) {
        if (is_member(pick, i) && i != except && is_usable(pick, i)) {
            uint64_t weight = weight_now(pick, i);

            sum += weight;
            if (random_below(&pick->random, sum) < weight) {
                found = i;
            }
        }
    }
    return found;
}

/* A turn that cannot be used is lost. Otherwise the neighbour of a node that is
 * down would get its share as well. */
static ssize_t pick_roundrobin(struct pick *pick)
{
    const struct balance_class *class = pick->class;

    for (uint32_t tries = 0; tries < class->members; tries++) {
        uint32_t i = class->turns.nodes[next_turn(pick) % class->turns.count];

        if (is_usable(pick, i) && takes_part(pick, i)) {
            return i;
        }
    }
    return draw_from_all(pick, -1);
}

/* Whether node a has less load per weight than b. */
static bool is_less_loaded(const struct pick *pick, uint32_t a, uint32_t a_load,
                           uint32_t b, uint32_t b_load)
{
    return a_load * weight_now(pick, b) < b_load * weight_now(pick, a);
}

/* One in slow_start takes part in a share of the picks, or else it would get
 * every client while it has no connection. */
static ssize_t pick_leastconn(struct pick *pick)
{
    uint32_t count = pick->balance->count;
    uint32_t i = (uint32_t)(next_turn(pick) % count);
    uint32_t least = 0;
    ssize_t found = -1;

    for (uint32_t seen = 0; seen < count; seen++, i = (i + 1) % count) {
        uint32_t load;

        if (!is_member(pick, i)) {
            continue;
        }
        load = pick->view->load(pick->view->arg, i);
        if (found >= 0 &&
            !is_less_loaded(pick, i, load, (uint32_t)found, least)) {
            continue;
        }
        if (takes_part(pick, i) && is_usable(pick, i)) {
            found = i;
            least = load;
        }
    }
    return found < 0 && pick->view->share != NULL ? draw_from_all(pick, -1)
                                                  : found;
}

/* A member by weight, usable or not: the first whose cumulative weight exceeds
 * a random number. */
static uint32_t draw_one(struct pick *pick)
{
    const uint32_t *cumulative = pick->class->cumulative;
    uint32_t low = 0;
    uint32_t high = pick->balance->count - 1;
    uint64_t draw = random_below(&pick->random, cumulative[high]);

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (cumulative[middle] > draw) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* While one is in slow_start there may be no second: else that one would be
 * looked at too often where there are few. */
static ssize_t draw_usable(struct pick *pick, ssize_t except)
{
    bool once = except >= 0 && pick->view->share != NULL;

    for (unsigned draws = 0; draws < (once ? 1 : DRAWS); draws++) {
        uint32_t i = draw_one(pick);

        if (i != except && is_usable(pick, i) && takes_part(pick, i)) {
            return i;
        }
    }
    return once ? -1 : draw_from_all(pick, except);
}

static ssize_t pick_random(struct pick *pick)
{
    const struct balance_view *view = pick->view;
    ssize_t first = draw_usable(pick, -1);
    ssize_t second = first < 0 ? -1 : draw_usable(pick, first);
    uint32_t a = (uint32_t)first;
    uint32_t b = (uint32_t)second;

    if (second >= 0 && is_less_loaded(pick, b, view->load(view->arg, b), a,
                                      view->load(view->arg, a))) {
        return second;
    }
    return first;
}

static ssize_t pick_first(struct pick *pick)
{
    for (uint32_t i = 0; i < pick->balance->count; i++) {
        if (is_member(pick, i) && is_usable(pick, i)) {
            return i;
        }
    }
    return -1;
}

static ssize_t (*const picks[])(struct pick *pick) = {
    [BALANCE_SOURCE] = pick_source,
    [BALANCE_ROUNDROBIN] = pick_roundrobin,
    [BALANCE_LEASTCONN] = pick_leastconn,
    [BALANCE_RANDOM] = pick_random,
    [BALANCE_FIRST] = pick_first,
};

ssize_t balance_pick(struct balance *balance, uint64_t client, uint64_t random,
                     const struct balance_view *view)
{
    struct pick pick = {
        .balance = balance, .view = view, .client = client, .random = random};
    ssize_t found = -1;

    for (unsigned backup = 0; backup < 2 && found < 0; backup++) {
        pick.backup = backup;
        pick.class = &balance->classes[backup];
        if (pick.class->members > 0) {
            found = picks[balance->kind](&pick);
        }
    }
    return found;
}

/* ---- set-up -------------------------------------------------------------- */

static int class_set_turns(struct balance *balance, bool backup)
{
    uint32_t *weights = calloc(balance->count, sizeof(*weights));
    int result;

    if (weights == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < balance->count; i++) {
        const struct balance_node *node = &balance->nodes[i];

        assert(node->weight >= 1 && node->weight <= TURNS_WEIGHT_MAX);
        weights[i] = node->backup == backup ? node->weight : 0;
    }
    result =
        turns_init(&balance->classes[backup].turns, weights, balance->count);
    free(weights);
    return result;
}

static int class_set_cumulative(struct balance *balance, bool backup)
{
    struct balance_class *class = &balance->classes[backup];
    uint32_t sum = 0;

    class->cumulative = calloc(balance->count, sizeof(*class->cumulative));
    if (class->cumulative == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < balance->count; i++) {
        if (balance->nodes[i].backup == backup) {
            sum += balance->nodes[i].weight;
        }
        class->cumulative[i] = sum;
    }
    return 0;
}

/* What the algorithm needs besides the nodes, if the class has members. */
static int class_init(struct balance *balance, bool backup)
{
    if (balance->classes[backup].members == 0) {
        return 0;
    }
    switch (balance->kind) {
    case BALANCE_ROUNDROBIN:
        return class_set_turns(balance, backup);
    case BALANCE_RANDOM:
        return class_set_cumulative(balance, backup);
    case BALANCE_SOURCE:
    case BALANCE_LEASTCONN:
    case BALANCE_FIRST:
        break;
    }
    return 0;
}

int balance_init(struct balance *balance, enum config_balance kind,
                 const struct balance_node *nodes, uint32_t count)
{
    assert(count <= CONFIG_UPSTREAMS_MAX);
    memset(balance, 0, sizeof(*balance));
    balance->kind = kind;
    balance->count = count;
    if (count == 0) {
        return 0;
    }
    balance->nodes = calloc(count, sizeof(*nodes));
    if (balance->nodes == NULL) {
        goto fail;
    }
    for (uint32_t i = 0; i < count; i++) {
        balance->nodes[i] = nodes[i];
        balance->classes[nodes[i].backup].members++;
        balance->weighted |= nodes[i].weight != nodes[0].weight;
    }
    if (class_init(balance, false) < 0 || class_init(balance, true) < 0) {
        goto fail;
    }
    return 0;

fail:
    balance_fini(balance);
    errno = ENOMEM;
    return -1;
}

void balance_fini(struct balance *balance)
{
    for (unsigned backup = 0; backup < 2; backup++) {
        turns_fini(&balance->classes[backup].turns);
        free(balance->classes[backup].cumulative);
    }
    free(balance->nodes);
    memset(balance, 0, sizeof(*balance));
}
