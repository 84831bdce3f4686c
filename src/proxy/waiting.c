#include "proxy/waiting.h"

#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/param.h>
#include <sys/random.h>

#define SHARE_PART        4  /* of max_connections, in all */
#define SHARE_PART_SOURCE 64 /* of one source */

/* Counters in each of the sketch's two rows. */
#define ROW 65536u

static uint32_t share_of(uint32_t max_connections, uint32_t part)
{
    return MAX(max_connections / part, WAITING_SHARE_MIN);
}

int waiting_init(struct waiting *waiting)
{
    *waiting = (struct waiting){0};
    if (getrandom(&waiting->seed, sizeof(waiting->seed), 0) !=
        sizeof(waiting->seed)) {
        return -1;
    }
    waiting->sources = calloc(2 * ROW, sizeof(*waiting->sources));
    return waiting->sources == NULL ? -1 : 0;
}

void waiting_fini(struct waiting *waiting)
{
    free(waiting->sources);
}

/* ---- lines ---- */

void waiting_open(struct waiting *waiting, unsigned worker,
                  struct waiting_line *line, struct mailbox *mailbox,
                  int message_type)
{
    unsigned count = atomic_load(&waiting->line_count);

    assert(worker < WAITING_LINES_MAX);
    *line = (struct waiting_line){
        .mailbox = mailbox,
        .message.type = message_type,
        .oldest_ns = UINT64_MAX,
    };
    atomic_store(&waiting->lines[worker], line);
    while (count <= worker && !atomic_compare_exchange_weak(
                                  &waiting->line_count, &count, worker + 1)) {
    }
}

void waiting_close(struct waiting *waiting, unsigned worker)
{
    atomic_store(&waiting->lines[worker], NULL);
}

static struct waiting_place *first_of(struct waiting_line *line)
{
    struct list *link = list_first(&line->places);

    return link == NULL ? NULL : container_of(link, struct waiting_place, link);
}

static void publish_oldest(struct waiting_line *line)
{
    const struct waiting_place *first = first_of(line);

    atomic_store_explicit(&line->oldest_ns,
                          first == NULL ? UINT64_MAX : first->since_ns,
                          memory_order_relaxed);
}

bool waiting_enter(struct waiting *waiting, struct waiting_line *line,
                   struct waiting_place *place, uint64_t now_ns,
                   uint32_t max_connections)
{
    bool first = list_empty(&line->places);

    place->since_ns = now_ns;
    list_append(&line->places, &place->link);
    if (first) {
        publish_oldest(line);
    }
    return atomic_fetch_add_explicit(&waiting->count, 1,
                                     memory_order_relaxed) >=
           share_of(max_connections, SHARE_PART);
}

void waiting_leave(struct waiting *waiting, struct waiting_line *line,
                   struct waiting_place *place)
{
    bool first;

    if (!list_linked(&place->link)) {
        return;
    }
    first = first_of(line) == place;
    list_remove(&place->link);
    if (first) {
        publish_oldest(line);
    }
    atomic_fetch_sub_explicit(&waiting->count, 1, memory_order_relaxed);
}

/* ---- who goes ---- */

/* The other line whose first place is older than the own line's; NULL: none. */
static struct waiting_line *older_line(struct waiting *waiting,
                                       const struct waiting_line *own)
{
    unsigned count = atomic_load(&waiting->line_count);
    uint64_t oldest_ns =
        atomic_load_explicit(&own->oldest_ns, memory_order_relaxed);
    struct waiting_line *found = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct waiting_line *line = atomic_load(&waiting->lines[i]);
        uint64_t first_ns =
            line == NULL
                ? UINT64_MAX
                : atomic_load_explicit(&line->oldest_ns, memory_order_relaxed);

        if (first_ns < oldest_ns) {
            oldest_ns = first_ns;
            found = line;
        }
    }
    return found;
}

struct waiting_place *waiting_choose(struct waiting *waiting,
                                     struct waiting_line *line)
{
    struct waiting_line *older = older_line(waiting, line);

    if (older == NULL) {
        return first_of(line);
    }
    atomic_fetch_add(&older->due, 1);
    mailbox_post(older->mailbox, &older->message);
    return NULL;
}

uint32_t waiting_due(struct waiting_line *line)
{
    return atomic_exchange(&line->due, 0);
}

bool waiting_exceeded(const struct waiting *waiting, uint32_t max_connections)
{
    return atomic_load_explicit(&waiting->count, memory_order_relaxed) >
           share_of(max_connections, SHARE_PART);
}

/* ---- sources ---- */

/* The source's two counters. */
struct cells {
    _Atomic uint32_t *one;
    _Atomic uint32_t *two;
};

static struct cells cells_of(struct waiting *waiting,
                             const struct network *source, uint64_t key)
{
    uint64_t hash =
        hash_mix(addr_hash(&source->base, 32, 128) ^ key ^ waiting->seed);

    return (struct cells){
        .one = &waiting->sources[hash % ROW],
        .two = &waiting->sources[ROW + (hash >> 32) % ROW],
    };
}

uint32_t waiting_source_share(uint32_t max_connections)
{
    return share_of(max_connections, SHARE_PART_SOURCE);
}

bool waiting_enter_source(struct waiting *waiting, const struct network *source,
                          uint64_t key, uint32_t most)
{
    struct cells cells = cells_of(waiting, source, key);
    uint32_t one =
        atomic_fetch_add_explicit(cells.one, 1, memory_order_relaxed);
    uint32_t two =
        atomic_fetch_add_explicit(cells.two, 1, memory_order_relaxed);

    if (MIN(one, two) < most) {
        return true;
    }
    waiting_leave_source(waiting, source, key);
    return false;
}

void waiting_leave_source(struct waiting *waiting, const struct network *source,
                          uint64_t key)
{
    struct cells cells = cells_of(waiting, source, key);

    atomic_fetch_sub_explicit(cells.one, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(cells.two, 1, memory_order_relaxed);
}
