#include "control/crew.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* Processors in the affinity mask, however large the machine is. */
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

unsigned crew_size(const struct config *config)
{
    return config->workers > 0 ? config->workers : processors();
}

int crew_start(struct crew *crew, const struct config *config,
               struct mailbox *control)
{
    unsigned count = crew_size(config);

    *crew = (struct crew){.count = 0};
    if (worker_shared_init(&crew->shared, config->buffer_size,
                           config->buffer_memory, control) < 0) {
        return -1;
    }
    crew->workers = calloc(count, sizeof(struct worker *));
    crew->answered = calloc(count, sizeof(bool));
    if (crew->workers == NULL || crew->answered == NULL) {
        return -1;
    }
    while (crew->count < count) {
        struct worker *worker = worker_start(crew->count, &crew->shared);

        if (worker == NULL) {
            return -1;
        }
        crew->workers[crew->count] = worker;
        crew->answered[crew->count] = true;
        crew->count++;
    }
    return 0;
}

void crew_join(struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++) {
        worker_join(crew->workers[i]);
    }
    crew->count = 0;
}

void crew_fini(struct crew *crew)
{
    worker_shared_fini(&crew->shared);
    free(crew->workers);
    free(crew->answered);
}

void crew_drain(struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++) {
        worker_drain(crew->workers[i]);
    }
}

void crew_reset_all(struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++) {
        worker_reset_all(crew->workers[i]);
    }
}

bool crew_drained(struct crew *crew)
{
    return ++crew->drained == crew->count;
}

bool crew_beat(struct crew *crew)
{
    bool moving = true;

    for (unsigned i = 0; i < crew->count; i++) {
        moving = moving && crew->answered[i];
    }
    for (unsigned i = 0; i < crew->count; i++) {
        crew->answered[i] = false;
        worker_beat(crew->workers[i]);
    }
    return moving;
}

void crew_answered(struct crew *crew, unsigned worker)
{
    crew->answered[worker] = true;
}

void crew_memory(const struct crew *crew, uint64_t *lent, uint64_t *peak)
{
    uint64_t blocks =
        (uint64_t)crew->shared.slab[UP].blocks + crew->shared.slab[DOWN].blocks;

    *lent = *peak = 0;
    for (unsigned i = 0; i < crew->count; i++) {
        uint32_t lent_here, peak_here;

        worker_memory(crew->workers[i], &lent_here, &peak_here);
        *lent += lent_here;
        *peak += peak_here;
    }
    /* Not all had their most at one time; but never more than there are. */
    if (*peak > blocks) {
        *peak = blocks;
    }
}
