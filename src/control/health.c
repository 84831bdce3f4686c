#include "control/health.h"

#include "base/pool.h"
#include "control/health_check.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

/* One upstream of the current generation. */
struct target {
    struct health_check check;
    uint32_t round; /* the last health_apply that had the upstream */
};

struct health {
    struct health_checks checks;
    struct pool pool;
    struct target **targets; /* sorted by the address of the upstream struct */
    size_t count;
    uint32_t round; /* of health_apply */
};

struct health *health_create(struct loop *loop,
                             const struct health_options *options)
{
    struct health *health = calloc(1, sizeof(*health));

    if (health != NULL) {
        health->checks = (struct health_checks){
            .loop = loop,
            .kind = options->kind,
            .queue = options->queue,
            .random = loop->now_ns,
            .on_down = options->on_down,
            .arg = options->arg,
        };
        pool_init(&health->pool, sizeof(struct target));
    }
    return health;
}

void health_event(struct health *health, uint32_t index, uint32_t instance,
                  uint32_t events)
{
    struct target *target = pool_at(&health->pool, index);

    if (target != NULL) {
        health_check_event(&health->checks, &target->check, instance, events);
    }
}

void health_timer(struct health *health, struct wheel_timer *timer)
{
    health_check_timer(&health->checks, timer);
}

void health_run(struct health *health, struct list *link)
{
    health_check_run(&health->checks, link);
}

/* ---- one target ---- */

static int by_upstream(const void *a, const void *b)
{
    const struct target *const *left = a, *const *right = b;
    uintptr_t x = (uintptr_t)(*left)->check.upstream;
    uintptr_t y = (uintptr_t)(*right)->check.upstream;

    return (x > y) - (x < y);
}

static struct target *find_target(const struct health *health,
                                  const struct upstream *upstream)
{
    struct target wanted = {.check.upstream = (struct upstream *)upstream};
    struct target *key = &wanted, **found;

    if (health->count == 0) {
        return NULL;
    }
    found = bsearch(&key, health->targets, health->count,
                    sizeof(struct target *), by_upstream);
    return found == NULL ? NULL : *found;
}

static struct target *create_target(struct health *health,
                                    struct upstream *upstream)
{
    uint32_t index;
    struct target *target = pool_borrow(&health->pool, &index);

    if (target != NULL) {
        health_check_init(&target->check, upstream, index);
    }
    return target;
}

static void free_target(struct health *health, struct target *target)
{
    health_check_stop(&health->checks, &target->check);
    pool_return(&health->pool, target->check.index);
}

void health_upstream_failed(struct health *health,
                            const struct upstream *upstream)
{
    struct target *target = find_target(health, upstream);

    if (target != NULL) {
        health_check_upstream_failed(&health->checks, &target->check);
    }
}

uint32_t health_streak(const struct health *health,
                       const struct upstream *upstream)
{
    const struct target *target = find_target(health, upstream);

    return target == NULL ? 0 : target->check.streak;
}

void health_restore_streak(struct health *health,
                           const struct upstream *upstream, uint32_t streak)
{
    struct target *target = find_target(health, upstream);

    if (target != NULL) {
        target->check.streak = streak;
    }
}

/* ---- the targets of a generation ---- */

static size_t count_upstreams(const struct generation *generation)
{
    size_t count = 0;

    for (size_t i = 0; i < generation->service_count; i++) {
        count += generation->services[i].upstream_count;
    }
    return count;
}

/* Fills the list with the generation's targets. Returns how many; if fewer than
 * there are, memory ran out. */
static size_t collect_targets(struct health *health,
                              const struct generation *generation,
                              struct target **list)
{
    size_t count = 0;

    for (size_t i = 0; i < generation->service_count; i++) {
        const struct service *service = &generation->services[i];

        for (uint32_t j = 0; j < service->upstream_count; j++) {
            struct upstream *upstream = service->upstreams[j];
            struct target *target = find_target(health, upstream);

            if (target == NULL) {
                target = create_target(health, upstream);
            }
            if (target == NULL) {
                return count;
            }
            list[count++] = target;
        }
    }
    return count;
}

static void configure_targets(struct health *health,
                              const struct generation *generation,
                              struct target **list)
{
    health->round++;
    for (size_t i = 0; i < generation->service_count; i++) {
        const struct service *service = &generation->services[i];

        for (uint32_t j = 0; j < service->upstream_count; j++) {
            struct target *target = *list++;

            target->round = health->round;
            health_check_configure(&health->checks, &target->check, service, j);
        }
    }
}

/* Frees the targets of the list that no generation has had yet. */
static void free_new(struct health *health, struct target **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i]->round == 0) {
            free_target(health, list[i]);
        }
    }
}

/* Frees the targets that the current round does not have, and the list. */
static void free_old(struct health *health)
{
    for (size_t i = 0; i < health->count; i++) {
        if (health->targets[i]->round != health->round) {
            free_target(health, health->targets[i]);
        }
    }
    free(health->targets);
}

/* RLIMIT_NOFILE is raised after health_create. */
static void set_most(struct health_checks *checks)
{
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    checks->most = health_checks_most(limit.rlim_cur);
}

int health_apply(struct health *health, struct generation *generation)
{
    size_t count = count_upstreams(generation);
    struct target **list = calloc(count + 1, sizeof(list[0]));
    size_t collected;

    if (list == NULL) {
        return -1;
    }
    collected = collect_targets(health, generation, list);
    if (collected < count) {
        free_new(health, list, collected);
        free(list);
        errno = ENOMEM;
        return -1;
    }
    set_most(&health->checks);
    configure_targets(health, generation, list);
    free_old(health);
    qsort(list, count, sizeof(list[0]), by_upstream);
    health->targets = list;
    health->count = count;
    health_check_begin_waiting(&health->checks);
    return 0;
}

void health_stop(struct health *health)
{
    health->round++;
    free_old(health);
    health->targets = NULL;
    health->count = 0;
}

void health_destroy(struct health *health)
{
    health_stop(health);
    pool_fini(&health->pool);
    free(health);
}
