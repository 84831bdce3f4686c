#include "service/upstream.h"

#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

struct upstream *upstream_create(const struct endpoint *endpoint,
                                 const char *text, unsigned workers)
{
    struct upstream *upstream;
    size_t bytes = (workers + 1) * sizeof(*upstream->counters);

    upstream = aligned_alloc(_Alignof(struct upstream), sizeof(*upstream));
    if (upstream == NULL) {
        return NULL;
    }
    memset(upstream, 0, sizeof(*upstream));
    upstream->counters =
        aligned_alloc(_Alignof(struct upstream_counters), bytes);
    if (upstream->counters == NULL) {
        free(upstream);
        errno = ENOMEM;
        return NULL;
    }
    memset(upstream->counters, 0, bytes);
    upstream->workers = workers;
    snprintf(upstream->text, sizeof(upstream->text), "%s", text);
    upstream->id = hash_bytes(upstream->text, strlen(upstream->text), 0);
    if (endpoint != NULL) {
        upstream->endpoint = *endpoint;
        upstream->any_port = endpoint->u.any.sa_family != AF_UNIX &&
                             endpoint_port(endpoint) == 0;
    } else {
        atomic_init(&upstream->down, UPSTREAM_UNRESOLVED);
    }
    pthread_mutex_init(&upstream->lock, NULL);
    return upstream;
}

void upstream_destroy(struct upstream *upstream)
{
    if (upstream == NULL) {
        return;
    }
    pthread_mutex_destroy(&upstream->lock);
    free(upstream->failures);
    free(upstream->counters);
    free(upstream);
}

bool upstream_enter(struct upstream *upstream, uint32_t max)
{
    uint32_t active =
        atomic_load_explicit(&upstream->active, memory_order_relaxed);

    do {
        if (max != 0 && active + atomic_load(&upstream->elsewhere) >= max) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &upstream->active, &active, active + 1, memory_order_relaxed,
        memory_order_relaxed));
    return true;
}

void upstream_leave(struct upstream *upstream)
{
    atomic_fetch_sub(&upstream->active, 1);
    queue_freed(upstream->queue);
}

/* In this order, so that no other thread finds a free place in between. */
void upstream_depart(struct upstream *upstream, bool finished)
{
    if (finished) {
        atomic_fetch_sub_explicit(&upstream->finished, 1, memory_order_relaxed);
    }
    atomic_fetch_add(&upstream->elsewhere, 1);
    atomic_fetch_sub(&upstream->active, 1);
}

void upstream_finish(struct upstream *upstream)
{
    atomic_fetch_add_explicit(&upstream->finished, 1, memory_order_relaxed);
}

void upstream_leave_finished(struct upstream *upstream)
{
    atomic_fetch_sub_explicit(&upstream->finished, 1, memory_order_relaxed);
    upstream_leave(upstream);
}

/* The counts may be of different moments. */
uint32_t upstream_load(const struct upstream *upstream)
{
    uint32_t active =
        atomic_load_explicit(&upstream->active, memory_order_relaxed);
    uint32_t finished =
        atomic_load_explicit(&upstream->finished, memory_order_relaxed);

    return active - MIN(active, finished);
}

/*
 * Resizes the ring and keeps the latest failures. The threshold can change at a
 * reload, and sessions of both configurations count failures here.
 */
static bool failures_resize(struct upstream *upstream, uint32_t size)
{
    uint64_t *ring = calloc(size, sizeof(*ring));
    uint32_t old_size = upstream->failures_size;
    uint32_t count = MIN(upstream->failures_count, size);

    if (ring == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t back = count - i;

        ring[i] =
            upstream->failures[(upstream->failures_next + old_size - back) %
                               old_size];
    }
    free(upstream->failures);
    upstream->failures = ring;
    upstream->failures_size = size;
    upstream->failures_next = count % size;
    upstream->failures_count = count;
    return true;
}

/* True if the ring is now full of failures within the window. */
static bool failures_add(struct upstream *upstream, uint64_t window_ns,
                         uint64_t now_ns)
{
    uint32_t size = upstream->failures_size;

    upstream->failures[upstream->failures_next] = now_ns;
    upstream->failures_next = (upstream->failures_next + 1) % size;
    if (upstream->failures_count < size) {
        upstream->failures_count++;
    }
    /* Each thread has read the clock at a slightly different time: the oldest
     * may be later than now_ns. */
    return upstream->failures_count == size &&
           upstream->failures[upstream->failures_next] + window_ns >= now_ns;
}

bool upstream_connect_failed(struct upstream *upstream, uint32_t threshold,
                             uint64_t window_ns, uint64_t now_ns)
{
    bool taken_out = false;

    if (threshold == 0) {
        return false;
    }
    pthread_mutex_lock(&upstream->lock);
    /* An upstream that is out already: its late failures must not count when it
     * is back. */
    if (atomic_load_explicit(&upstream->down, memory_order_relaxed) &
        UPSTREAM_FAILED) {
        goto unlock;
    }
    /* Without memory this failure is not counted. */
    if (upstream->failures_size != threshold &&
        !failures_resize(upstream, threshold)) {
        goto unlock;
    }
    if (failures_add(upstream, window_ns, now_ns)) {
        upstream->failures_count = 0;
        upstream_set_down(upstream, UPSTREAM_FAILED, now_ns);
        taken_out = true;
    }
unlock:
    pthread_mutex_unlock(&upstream->lock);
    return taken_out;
}

uint32_t upstream_list_failures(struct upstream *upstream, uint64_t *times,
                                uint32_t size)
{
    uint32_t count;

    pthread_mutex_lock(&upstream->lock);
    count = MIN(upstream->failures_count, size);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = upstream->failures_next + upstream->failures_size - count;

        times[i] = upstream->failures[(at + i) % upstream->failures_size];
    }
    pthread_mutex_unlock(&upstream->lock);
    return count;
}

/* The ring grows by one; the next failure gives it the size of its threshold.
 * Without memory this failure is not counted. */
void upstream_restore_failure(struct upstream *upstream, uint64_t at_ns)
{
    pthread_mutex_lock(&upstream->lock);
    if (failures_resize(upstream, upstream->failures_count + 1)) {
        (void)failures_add(upstream, 0, at_ns);
    }
    pthread_mutex_unlock(&upstream->lock);
}

bool upstream_set_down(struct upstream *upstream, uint32_t reason,
                       uint64_t now_ns)
{
    bool taken_down = atomic_fetch_or_explicit(&upstream->down, reason,
                                               memory_order_relaxed) == 0;

    if (taken_down) {
        atomic_store_explicit(&upstream->since_ns, now_ns,
                              memory_order_relaxed);
    }
    return taken_down;
}

bool upstream_clear_down(struct upstream *upstream, uint32_t reason,
                         uint64_t now_ns)
{
    uint32_t before =
        atomic_load_explicit(&upstream->down, memory_order_relaxed);

    if (before != 0 && (before & ~reason) == 0) {
        /* First, so that nobody who finds it up takes it for one that has been
         * up for long. */
        atomic_store_explicit(&upstream->since_ns, now_ns,
                              memory_order_relaxed);
    }
    before = atomic_fetch_and(&upstream->down, ~reason);
    if (before == 0 || (before & ~reason) != 0) {
        return false;
    }
    queue_freed(upstream->queue);
    return true;
}

uint32_t upstream_share(uint64_t since_ns, uint64_t slow_start_ns,
                        uint64_t now_ns)
{
    uint64_t up_ns = now_ns > since_ns ? now_ns - since_ns : 0;

    if (since_ns == 0 || up_ns >= slow_start_ns) {
        return UPSTREAM_SHARE_ALL;
    }
    /* In microseconds, so that a year of them times 900 fits. */
    return (uint32_t)(UPSTREAM_SHARE_ALL / 10 + UPSTREAM_SHARE_ALL * 9 / 10 *
                                                    (up_ns / 1000) /
                                                    (slow_start_ns / 1000));
}

const char *upstream_format_cause(const struct upstream *upstream,
                                  char text[CHECK_CAUSE_MAX])
{
    uint32_t reasons =
        atomic_load_explicit(&upstream->down, memory_order_relaxed);
    uint32_t cause;

    if (reasons == 0) {
        return NULL;
    }
    if (reasons & UPSTREAM_UNRESOLVED) {
        return "unresolved";
    }
    if (reasons & UPSTREAM_LOOP) {
        return cause_name(CAUSE_LOOP);
    }
    cause = atomic_load_explicit(&upstream->cause, memory_order_relaxed);
    /* A check may have passed since a connect took it out. */
    return cause == CHECK_PASSED ? "failed connects"
                                 : check_cause_format(cause, text);
}
