#include "proxy/spread.h"

#include <stdlib.h>
#include <string.h>

#define AGE_NS NS_PER_S
/* What is left of the counts after that time: a sixteenth, so that a burst is
 * forgotten in a few seconds. */
#define AGE_SHIFT 4
#define AGES_MAX  (32 / AGE_SHIFT)
/* A look at the others is good for so long, unless there is reason to hand a
 * connection over. */
#define LOOK_NS    (100 * NS_PER_MS)
#define MEASURE_NS (250 * NS_PER_MS)
/* Tries, when others give the same places away. */
#define TRIES 4

_Static_assert(sizeof(struct spread_worker) == 2 * CACHE_LINE_BYTES,
               "what others read is on one line");

struct spread *spread_create(unsigned workers)
{
    size_t bytes =
        sizeof(struct spread) + workers * sizeof(struct spread_worker);
    struct spread *spread = aligned_alloc(CACHE_LINE_BYTES, bytes);

    if (spread != NULL) {
        memset(spread, 0, bytes);
        spread->workers = workers;
    }
    return spread;
}

void spread_destroy(struct spread *spread)
{
    free(spread);
}

static uint32_t get(const _Atomic uint32_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

/* Of what one thread writes. */
static void set(_Atomic uint32_t *count, uint32_t value)
{
    atomic_store_explicit(count, value, memory_order_relaxed);
}

static void age(struct spread_worker *worker, uint64_t now_ns)
{
    uint64_t ages = (now_ns - atomic_load_explicit(&worker->aged_ns,
                                                   memory_order_relaxed)) /
                    AGE_NS;

    if (ages > 0) {
        unsigned shift = ages < AGES_MAX ? (unsigned)ages * AGE_SHIFT : 31;

        set(&worker->begun, get(&worker->begun) >> shift);
        set(&worker->brief, get(&worker->brief) >> shift);
        atomic_store_explicit(&worker->aged_ns, now_ns, memory_order_relaxed);
    }
}

void spread_begin(struct spread_worker *worker, uint64_t now_ns)
{
    age(worker, now_ns);
    set(&worker->begun, get(&worker->begun) + 1);
    set(&worker->active, get(&worker->active) + 1);
}

void spread_end(struct spread_worker *worker, uint64_t born_ns, uint64_t now_ns)
{
    age(worker, now_ns);
    if (now_ns - born_ns < SPREAD_BRIEF_NS) {
        set(&worker->brief, get(&worker->brief) + 1);
    }
    set(&worker->active, get(&worker->active) - 1);
}

void spread_measure(struct spread_worker *worker, uint64_t turns_ns,
                    uint64_t now_ns)
{
    uint64_t past_ns =
        now_ns - atomic_load_explicit(&worker->busy_ns, memory_order_relaxed);

    if (past_ns >= MEASURE_NS) {
        set(&worker->busy, (uint32_t)((turns_ns - worker->turns_ns) *
                                      SPREAD_BUSY_ALL / past_ns));
        worker->turns_ns = turns_ns;
        atomic_store_explicit(&worker->busy_ns, now_ns, memory_order_relaxed);
    }
}

/* A worker that has not come round since then was not busy. */
static uint32_t busy(const struct spread_worker *worker, uint64_t now_ns)
{
    uint64_t busy_ns =
        atomic_load_explicit(&worker->busy_ns, memory_order_relaxed);

    return now_ns > busy_ns + 4 * MEASURE_NS ? 0 : get(&worker->busy);
}

/* Most of what comes there is over soon. */
static bool is_brief(const struct spread_worker *worker, uint64_t now_ns)
{
    uint64_t aged_ns =
        atomic_load_explicit(&worker->aged_ns, memory_order_relaxed);

    return now_ns < aged_ns + 2 * AGE_NS &&
           2 * (uint64_t)get(&worker->brief) > get(&worker->begun);
}

/* Its sessions, and those that it is going to have. In this order: one that
 * arrives meanwhile is counted twice, not missed. */
static uint32_t load(const struct spread_worker *worker, uint32_t *coming)
{
    *coming = atomic_load_explicit(&worker->coming, memory_order_acquire);
    return get(&worker->active) + *coming;
}

/* One in sixteen may be missing, of few none. */
static bool is_far_below(uint32_t least, uint32_t own)
{
    return least < own - own / 16;
}

/* Whether it may get one from a worker that is so busy. */
static bool may_get(const struct spread_worker *worker, uint32_t own_busy,
                    uint64_t now_ns)
{
    uint32_t its = busy(worker, now_ns);
    bool busier = its > SPREAD_BUSY_ALL * 3 / 4 && its > 2 * own_busy;

    return !busier && !is_brief(worker, now_ns);
}

struct place {
    struct spread_worker *worker; /* NULL: none */
    uint32_t load;
    uint32_t coming;
};

/* Beginning with the next one, so that not all give to the first. */
static struct place least_other(struct spread *spread, unsigned own,
                                uint64_t now_ns)
{
    uint32_t own_busy = busy(&spread->list[own], now_ns);
    struct place least = {.load = UINT32_MAX};

    for (unsigned i = 1; i < spread->workers; i++) {
        struct spread_worker *worker =
            &spread->list[(own + i) % spread->workers];
        struct place place = {.worker = worker};

        place.load = load(worker, &place.coming);
        if (place.load < least.load && place.coming < SPREAD_COMING_MAX &&
            may_get(worker, own_busy, now_ns)) {
            least = place;
        }
    }
    return least;
}

unsigned spread_choose(struct spread *spread, unsigned own, uint64_t now_ns)
{
    struct spread_worker *worker = &spread->list[own];
    uint32_t coming;
    uint32_t mine = load(worker, &coming);

    if (spread->workers == 1 || is_brief(worker, now_ns) ||
        (!is_far_below(worker->least, mine) &&
         now_ns < worker->least_ns + LOOK_NS)) {
        return own;
    }
    for (unsigned i = 0; i < TRIES; i++) {
        struct place place = least_other(spread, own, now_ns);

        worker->least = place.load;
        worker->least_ns = now_ns;
        if (place.worker == NULL || !is_far_below(place.load, mine)) {
            break;
        }
        if (atomic_compare_exchange_strong_explicit(
                &place.worker->coming, &place.coming, place.coming + 1,
                memory_order_relaxed, memory_order_relaxed)) {
            return (unsigned)(place.worker - spread->list);
        }
    }
    return own;
}

/* Release: who sees that it no longer comes sees it among the sessions. */
void spread_arrived(struct spread_worker *worker)
{
    atomic_fetch_sub_explicit(&worker->coming, 1, memory_order_release);
}

void spread_count_handed(struct spread_worker *worker)
{
    atomic_store_explicit(
        &worker->handed,
        atomic_load_explicit(&worker->handed, memory_order_relaxed) + 1,
        memory_order_relaxed);
}
