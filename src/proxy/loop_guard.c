#include "proxy/loop_guard.h"

#include <stdlib.h>
#include <string.h>

#define NOTED_EACH    64
#define NOTED_EACH_NS NS_PER_S

/* A note is in one of so many slots, from that of its port on. */
#define WAYS 8

struct loop_note {
    struct upstream *upstream; /* NULL: no note */
    struct loop_ends ends;
    struct loop_ends client;
    bool looped;
};

int loop_guard_init(struct loop_guard *guard)
{
    guard->notes = calloc(LOOP_PORTS, sizeof(*guard->notes));
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

static uint64_t bit_of(uint16_t port)
{
    return UINT64_C(1) << (port % 64);
}

/* Slot 0 is none. */
static uint16_t next_slot(uint16_t slot)
{
    return slot == LOOP_PORTS - 1 ? 1 : slot + 1;
}

static struct loop_note *find(const struct loop_guard *guard,
                              const struct loop_ends *ends)
{
    uint16_t slot = ends->from.port;

    for (unsigned i = 0; i < WAYS; i++) {
        struct loop_note *note = &guard->notes[slot];

        if (note->upstream != NULL &&
            memcmp(&note->ends, ends, sizeof(*ends)) == 0) {
            return note;
        }
        slot = next_slot(slot);
    }
    return NULL;
}

static bool has_note_of(const struct loop_guard *guard, uint16_t port)
{
    uint16_t slot = port;

    for (unsigned i = 0; i < WAYS; i++) {
        const struct loop_note *note = &guard->notes[slot];

        if (note->upstream != NULL && note->ends.from.port == port) {
            return true;
        }
        slot = next_slot(slot);
    }
    return false;
}

static void remove_note(struct loop_guard *guard, struct loop_note *note)
{
    uint16_t port = note->ends.from.port;

    note->upstream = NULL;
    if (!has_note_of(guard, port)) {
        atomic_fetch_and_explicit(&guard->noted[port / 64], ~bit_of(port),
                                  memory_order_relaxed);
    }
}

/* A free slot for a note of that port. If there is none, an older note goes. */
static uint16_t take_slot(struct loop_guard *guard, uint16_t port)
{
    uint16_t slot = port;

    for (unsigned i = 0; i < WAYS; i++) {
        if (guard->notes[slot].upstream == NULL) {
            return slot;
        }
        slot = next_slot(slot);
    }
    remove_note(guard, &guard->notes[port]);
    return port;
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
    uint16_t slot;

    pthread_mutex_lock(&guard->lock);
    /* The note of the client's own connection came after we had accepted it. */
    mark_returned(find(guard, client));
    slot = take_slot(guard, port);
    guard->notes[slot] = (struct loop_note){
        .upstream = upstream,
        .ends = *ends,
        .client = *client,
    };
    atomic_fetch_or_explicit(&guard->noted[port / 64], bit_of(port),
                             memory_order_relaxed);
    pthread_mutex_unlock(&guard->lock);
    return slot;
}

bool loop_guard_forget(struct loop_guard *guard,
                       const struct upstream *upstream, uint16_t slot)
{
    struct loop_note *note = &guard->notes[slot];
    bool looped = false;

    pthread_mutex_lock(&guard->lock);
    if (note->upstream == upstream) { /* else another has the slot by now */
        looped = note->looped;
        remove_note(guard, note);
    }
    pthread_mutex_unlock(&guard->lock);
    return looped;
}

/* ---- who accepts ---- */

bool loop_guard_arrive(struct loop_guard *guard, const struct loop_ends *ends)
{
    struct loop_note *turns[LOOP_TURNS_MAX];
    struct loop_note *note;
    unsigned count = 0;

    pthread_mutex_lock(&guard->lock);
    note = find(guard, ends);
    mark_returned(note);
    while (note != NULL && count < LOOP_TURNS_MAX) {
        turns[count++] = note;
        note = find(guard, &note->client);
    }
    for (unsigned i = 0; count == LOOP_TURNS_MAX && i < count; i++) {
        turns[i]->looped = true;
    }
    pthread_mutex_unlock(&guard->lock);
    return count == LOOP_TURNS_MAX;
}
