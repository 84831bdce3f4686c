#include "proxy/shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int shared_init(struct shared *shared, uint32_t block_bytes,
                uint64_t memory_bytes, unsigned workers,
                struct mailbox *control)
{
    int error;

    memset(shared, 0, sizeof(*shared));
    shared->control = control;
    shared->mailboxes = calloc(workers, sizeof(struct mailbox *));
    shared->census = census_create(workers);
    shared->spread = spread_create(workers);
    if (shared->mailboxes == NULL || shared->census == NULL ||
        shared->spread == NULL || waiting_init(&shared->waiting) < 0) {
        goto free_tables;
    }
    if (loop_guard_init(&shared->loops) < 0) {
        goto fini_waiting;
    }
    if (slab_init(&shared->slab[UP], block_bytes, memory_bytes / 2) < 0) {
        goto fini_loops;
    }
    if (slab_init(&shared->slab[DOWN], block_bytes, memory_bytes / 2) < 0) {
        goto fini_slab;
    }
    return 0;

fini_slab:
    error = errno;
    slab_fini(&shared->slab[UP]);
    errno = error;
fini_loops:
    error = errno;
    loop_guard_fini(&shared->loops);
    errno = error;
fini_waiting:
    error = errno;
    waiting_fini(&shared->waiting);
    errno = error;
free_tables:
    error = errno;
    spread_destroy(shared->spread);
    census_destroy(shared->census);
    free(shared->mailboxes);
    errno = error;
    return -1;
}

void shared_fini(struct shared *shared)
{
    slab_fini(&shared->slab[UP]);
    slab_fini(&shared->slab[DOWN]);
    loop_guard_fini(&shared->loops);
    waiting_fini(&shared->waiting);
    spread_destroy(shared->spread);
    census_destroy(shared->census);
    free(shared->mailboxes);
}

uint32_t limited_log_add(struct limited_log *log, uint64_t now_ns)
{
    uint64_t before =
        atomic_load_explicit(&log->logged_ns, memory_order_relaxed);

    atomic_fetch_add_explicit(&log->count, 1, memory_order_relaxed);
    if (before != 0 && now_ns < before + NS_PER_S) {
        return 0;
    }
    if (!atomic_compare_exchange_strong_explicit(&log->logged_ns, &before,
                                                 now_ns, memory_order_relaxed,
                                                 memory_order_relaxed)) {
        return 0; /* another worker writes the line */
    }
    return atomic_exchange_explicit(&log->count, 0, memory_order_relaxed);
}

struct report *report_create(enum report_type type, unsigned worker)
{
    struct report *report = calloc(1, sizeof(*report));

    if (report != NULL) {
        report->message.type = (int)type;
        report->worker = worker;
    }
    return report;
}

void shared_report(struct shared *shared, struct report *report)
{
    mailbox_post(shared->control, &report->message);
}
