#include "control/workers.h"

#include "base/direction.h"
#include "control/cgroup.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/param.h>
#include <unistd.h>

/* The part of a control group's memory that the default of buffer_memory may
 * be, and the least that it may become. */
#define CGROUP_PART       4
#define BUFFER_MEMORY_MIN (UINT64_C(1) << 20)

/* Processors in the affinity mask. The kernel refuses a set that is smaller
 * than its own. */
static unsigned processors(void)
{
    for (int size = 1024; size <= 1 << 20; size *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)size);
        size_t bytes = CPU_ALLOC_SIZE((size_t)size);
        unsigned count = 0;

        if (set == NULL) {
            break;
        }
        if (sched_getaffinity(0, bytes, set) == 0) {
            count = (unsigned)CPU_COUNT_S(bytes, set);
        }
        CPU_FREE(set);
        if (count > 0) {
            return count;
        }
    }
    return 1;
}

unsigned workers_wanted(const struct config *config)
{
    struct cgroup_limits limits;

    if (config->workers > 0) {
        return config->workers;
    }
    cgroup_read_own(&limits);
    return (unsigned)MIN(limits.processors, processors());
}

uint64_t workers_buffer_memory(const struct config *config)
{
    struct cgroup_limits limits;
    uint64_t least = MAX(BUFFER_MEMORY_MIN, 2 * (uint64_t)config->buffer_size);

    if (config->buffer_memory_line != 0) {
        return config->buffer_memory;
    }
    cgroup_read_own(&limits);
    return MIN(config->buffer_memory,
               MAX(limits.memory_bytes / CGROUP_PART, least));
}

uint64_t workers_buffer_limit(const struct workers *workers)
{
    const struct slab *slab = workers->shared.slab;

    return ((uint64_t)slab[UP].blocks + slab[DOWN].blocks) *
           slab[UP].block_bytes;
}

int workers_start(struct workers *workers, const struct config *config,
                  struct mailbox *control)
{
    unsigned count = workers_wanted(config);

    *workers = (struct workers){.count = 0};
    if (shared_init(&workers->shared, config->buffer_size,
                    workers_buffer_memory(config), count, control) < 0) {
        return -1;
    }
    workers->list = calloc(count, sizeof(struct worker *));
    workers->answered = calloc(count, sizeof(bool));
    if (workers->list == NULL || workers->answered == NULL) {
        return -1;
    }
    while (workers->count < count) {
        struct worker *worker = worker_start(workers->count, &workers->shared);

        if (worker == NULL) {
            return -1;
        }
        workers->list[workers->count] = worker;
        workers->answered[workers->count] = true;
        workers->count++;
    }
    return 0;
}

void workers_join(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        worker_join(workers->list[i]);
    }
    workers->count = 0;
}

void workers_fini(struct workers *workers)
{
    shared_fini(&workers->shared);
    free(workers->list);
    free(workers->answered);
}

void workers_drain(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        worker_drain(workers->list[i]);
    }
}

void workers_reset_all(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        worker_reset_all(workers->list[i]);
    }
}

void workers_reset_evenly(struct workers *workers, uint64_t deadline_ns)
{
    for (unsigned i = 0; i < workers->count; i++) {
        worker_reset_evenly(workers->list[i], deadline_ns);
    }
}

void workers_sweep(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        worker_sweep(workers->list[i]);
    }
}

unsigned workers_announce(struct workers *workers)
{
    unsigned count = 0;

    while (count < workers->count &&
           worker_announce(workers->list[count]) == 0) {
        count++;
    }
    return count;
}

unsigned workers_freeze(struct workers *workers)
{
    unsigned count = 0;

    while (count < workers->count && worker_freeze(workers->list[count]) == 0) {
        count++;
    }
    return count;
}

unsigned workers_thaw(struct workers *workers)
{
    unsigned count = 0;

    for (unsigned i = 0; i < workers->count; i++) {
        count += worker_thaw(workers->list[i]);
    }
    return count;
}

void workers_depart(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        worker_depart(workers->list[i]);
    }
}

bool workers_drained(struct workers *workers)
{
    return ++workers->drained == workers->count;
}

bool workers_beat(struct workers *workers)
{
    bool moving = true;

    for (unsigned i = 0; i < workers->count; i++) {
        moving = moving && workers->answered[i];
    }
    for (unsigned i = 0; i < workers->count; i++) {
        workers->answered[i] = false;
        worker_beat(workers->list[i]);
    }
    return moving;
}

void workers_answered(struct workers *workers, unsigned worker)
{
    workers->answered[worker] = true;
}

void workers_memory(const struct workers *workers, uint64_t *lent,
                    uint64_t *peak)
{
    uint64_t blocks = (uint64_t)workers->shared.slab[UP].blocks +
                      workers->shared.slab[DOWN].blocks;

    *lent = *peak = 0;
    for (unsigned i = 0; i < workers->count; i++) {
        uint32_t lent_here, peak_here;

        worker_memory(workers->list[i], &lent_here, &peak_here);
        *lent += lent_here;
        *peak += peak_here;
    }
    /* The workers had their peaks at different times. */
    if (*peak > blocks) {
        *peak = blocks;
    }
}
