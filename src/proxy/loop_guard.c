#include "proxy/loop_guard.h"

#include <stdlib.h>
#include <string.h>

#define NOTED_EACH    64
#define NOTED_EACH_NS NS_PER_S

/* A note has a number, which is its place in the table, and which is not 0. */
#define NOTES_MAX 65535

struct loop_note {
    struct loop_ends ends;
    struct loop_ends client;
    struct upstream *upstream;
    uint16_t next; /* number, in its bucket or among the free ones; 0: none */
    bool looped;
};

int loop_guard_init(struct loop_guard *guard)
{
    memset(guard, 0, sizeof(*guard));
    guard->notes = calloc(NOTES_MAX + 1, sizeof(*guard->notes));
    if (guard->notes == NULL) {
        return -1;
    }
    pthread_mutex_init(&guard->lock, NULL);
    return 0;
}

void loop_guard_fini(struct loop_guard *guard)
{
    pthread_mutex_destroy(&guard->lock);
    free(guard->notes);
}

/* ---- the table, under the lock ---- */

static uint64_t bit_of(uint16_t port)
{
    return UINT64_C(1) << (port % 64);
}

static uint16_t *bucket_of(struct loop_guard *guard, uint16_t port)
{
    return &guard->buckets[port % LOOP_BUCKETS];
}

static struct loop_note *find(struct loop_guard *guard,
                              const struct loop_ends *ends)
{
    uint16_t number = *bucket_of(guard, ends->from.port);

    while (number != 0 &&
           memcmp(&guard->notes[number].ends, ends, sizeof(*ends)) != 0) {
        number = guard->notes[number].next;
    }
    return number == 0 ? NULL : &guard->notes[number];
}

/* 0: all are in use. */
static uint16_t take_number(struct loop_guard *guard)
{
    uint16_t number = guard->free;

    if (number != 0) {
        guard->free = guard->notes[number].next;
    } else if (guard->used < NOTES_MAX) {
        number = ++guard->used;
    }
    return number;
}

/* Answers whether another note of that port is left. */
static bool remove_from_bucket(struct loop_guard *guard, uint16_t number)
{
    uint16_t port = guard->notes[number].ends.from.port;
    uint16_t *link = bucket_of(guard, port);
    bool others = false;

    while (*link != 0) {
        struct loop_note *note = &guard->notes[*link];

        if (*link == number) {
            *link = note->next;
        } else {
            others = others || note->ends.from.port == port;
            link = &note->next;
        }
    }
    return others;
}

/* ---- who connects ---- */

bool loop_guard_is_due(const struct upstream *upstream,
                       struct upstream_counters *counters, uint64_t now_ns)
{
    if (!atomic_load_explicit(&upstream->returns, memory_order_relaxed) &&
        counter_read(&counters->total) % NOTED_EACH != 0 &&
        now_ns - counters->noted_ns < NOTED_EACH_NS) {
        return false;
    }
    counters->noted_ns = now_ns;
    return true;
}

/* A connection of ours has come back to us: all that go where it went are
 * noted from now on. */
static void mark_returned(const struct loop_note *note)
{
    if (note != NULL) {
        atomic_store_explicit(&note->upstream->returns, true,
                              memory_order_relaxed);
    }
}

bool loop_guard_knows(struct loop_guard *guard, const struct loop_ends *ends)
{
    bool known;

    pthread_mutex_lock(&guard->lock);
    known = find(guard, ends) != NULL;
    pthread_mutex_unlock(&guard->lock);
    return known;
}

uint16_t loop_guard_note(struct loop_guard *guard, struct upstream *upstream,
                         const struct loop_ends *ends,
                         const struct loop_ends *client)
{
    uint16_t port = ends->from.port;
    uint16_t *bucket = bucket_of(guard, port);
    uint16_t number;

    pthread_mutex_lock(&guard->lock);
    /* The note of the client's own connection came after we had accepted it. */
    mark_returned(find(guard, client));
    number = take_number(guard);
    if (number != 0) {
        guard->notes[number] = (struct loop_note){
            .ends = *ends,
            .client = *client,
            .upstream = upstream,
            .next = *bucket,
        };
        *bucket = number;
        atomic_fetch_or_explicit(&guard->noted[port / 64], bit_of(port),
                                 memory_order_relaxed);
    }
    pthread_mutex_unlock(&guard->lock);
    return number;
}

bool loop_guard_remove(struct loop_guard *guard, uint16_t *number)
{
    struct loop_note *note = &guard->notes[*number];
    uint16_t port = note->ends.from.port;
    bool looped;

    pthread_mutex_lock(&guard->lock);
    looped = note->looped;
    if (!remove_from_bucket(guard, *number)) {
        atomic_fetch_and_explicit(&guard->noted[port / 64], ~bit_of(port),
                                  memory_order_relaxed);
    }
    note->next = guard->free;
    guard->free = *number;
    pthread_mutex_unlock(&guard->lock);
    *number = 0;
    return looped;
}

/* ---- who accepts ---- */

/* Whether so many turns are a loop, and no chain of services that ends
 * elsewhere: the first upstream appears again. */
static bool is_loop(struct loop_note *const *turns, unsigned count)
{
    unsigned i = 1;

    while (i < count && turns[i]->upstream != turns[0]->upstream) {
        i++;
    }
    return count == LOOP_TURNS_MAX || (count >= LOOP_TURNS && i < count);
}

bool loop_guard_arrive(struct loop_guard *guard, const struct loop_ends *ends)
{
    struct loop_note *turns[LOOP_TURNS_MAX];
    struct loop_note *note;
    unsigned count = 0;
    bool loops;

    pthread_mutex_lock(&guard->lock);
    note = find(guard, ends);
    mark_returned(note);
    while (note != NULL && count < LOOP_TURNS_MAX) {
        turns[count++] = note;
        note = find(guard, &note->client);
    }
    loops = is_loop(turns, count);
    for (unsigned i = 0; loops && i < count; i++) {
        turns[i]->looped = true;
    }
    pthread_mutex_unlock(&guard->lock);
    return loops;
}
