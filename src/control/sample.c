#include "control/sample.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/kernel_drops.h"

#include <stdio.h>
#include <stdlib.h>

/* Between two looks at the clock. */
#define ITEMS_A_LOOK 16

/* Makes room for one more element. False: no memory. */
static bool reserve(void **list, uint32_t count, uint32_t *size, size_t width)
{
    uint32_t more = *size == 0 ? 64 : 2 * *size;
    void *larger;

    if (count < *size) {
        return true;
    }
    larger = realloc(*list, more * width);
    if (larger == NULL) {
        return false;
    }
    *list = larger;
    *size = more;
    return true;
}

/* ---- the beginning and the end ---- */

void sample_begin(struct sample *sample, const struct sample_source *source)
{
    struct generations *generations = source->generations;
    static uint64_t numbers;
    size_t count = generations->count;

    sample->state = SAMPLE_FAILED;
    sample->held = calloc(count + 1, sizeof(struct generation *));
    sample->workers =
        calloc(source->workers->count + 1, sizeof(*sample->workers));
    if (sample->held == NULL || sample->workers == NULL) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        sample->held[i] = generations->alive[i];
        generations_hold(sample->held[i]);
    }
    sample->held_count = sample->generation = count;
    sample->number = ++numbers;
    /* Those that go during the sample are held, and in it. */
    sample->process.sums = generations->removed;
    sample->state = SAMPLE_BEGUN;
}

void sample_fini(struct sample *sample, const struct sample_source *source)
{
    for (size_t i = 0; i < sample->held_count; i++) {
        generations_release(source->generations, sample->held[i]);
    }
    free(sample->held);
    free(sample->workers);
    free(sample->services);
    free(sample->upstreams);
}

/* ---- services ---- */

static void add_sums(struct service_sums *all, const struct service_sums *sums)
{
    all->active += sums->active;
    all->accepted += sums->accepted;
    all->bytes[UP] += sums->bytes[UP];
    all->bytes[DOWN] += sums->bytes[DOWN];
    for (unsigned cause = 0; cause < CAUSES; cause++) {
        all->ended[cause] += sums->ended[cause];
    }
}

/* A service that no newer generation has. False: no memory. */
static bool add_service(struct sample *sample, const struct service *service)
{
    struct service_state *state = service->state;
    struct sample_service *added;
    struct service_sums sums;

    service_counters_sum(state->counters, state->workers + 1, &sums);
    add_sums(&sample->process.sums, &sums);
    sample->service_index = UINT32_MAX;
    if (sample->generation < sample->held_count && sums.active == 0) {
        return true;
    }
    if (!reserve((void **)&sample->services, sample->service_count,
                 &sample->service_size, sizeof(*added))) {
        return false;
    }
    sample->service_index = sample->service_count++;
    added = &sample->services[sample->service_index];
    *added = (struct sample_service){.service = service, .sums = sums};
    service_counters_times(state->counters, state->workers + 1, &added->times);
    return true;
}

/* False: no memory. */
static bool enter_service(struct sample *sample, const struct service *service)
{
    struct service_state *state = service->state;
    bool done = true;

    sample->entered = true;
    sample->upstream = 0;
    if (state->sampled != sample->number) {
        state->sampled = sample->number;
        done = add_service(sample, service);
        state->sample_index = sample->service_index;
    }
    sample->service_index = state->sample_index;
    return done;
}

/* ---- upstreams ---- */

static void fill_upstream(struct sample_upstream *added,
                          const struct upstream *upstream)
{
    char text[CHECK_CAUSE_MAX];
    const char *cause;

    upstream_counters_sum(upstream->counters, upstream->workers + 1,
                          &added->sums);
    added->upstream = upstream;
    cause = upstream_format_cause(upstream, text);
    added->up = cause == NULL;
    snprintf(added->cause, sizeof(added->cause), "%s",
             cause == NULL ? "" : cause);
    added->active =
        atomic_load_explicit(&upstream->active, memory_order_relaxed);
    added->check_ns =
        atomic_load_explicit(&upstream->check_ns, memory_order_relaxed);
    added->since_ns =
        atomic_load_explicit(&upstream->since_ns, memory_order_relaxed);
}

/* False: no memory. */
static bool add_upstream(struct sample *sample, const struct service *service,
                         uint32_t i)
{
    struct upstream *upstream = service->upstreams[i];
    struct sample_service *owner = &sample->services[sample->service_index];
    struct sample_upstream *added;

    if (upstream->sampled == sample->number) {
        return true;
    }
    upstream->sampled = sample->number;
    if (sample->generation < sample->held_count &&
        atomic_load_explicit(&upstream->active, memory_order_relaxed) == 0) {
        return true;
    }
    if (!reserve((void **)&sample->upstreams, sample->upstream_count,
                 &sample->upstream_size, sizeof(*added))) {
        return false;
    }
    added = &sample->upstreams[sample->upstream_count++];
    *added =
        (struct sample_upstream){.line = service->lines[i],
                                 .weight = service->balance.nodes[i].weight,
                                 .backup = service->balance.nodes[i].backup,
                                 .service = sample->service_index};
    fill_upstream(added, upstream);
    if (owner->first == 0) {
        owner->first = sample->upstream_count;
    } else {
        sample->upstreams[owner->last - 1].next = sample->upstream_count;
    }
    owner->last = sample->upstream_count;
    return true;
}

/* ---- the steps ---- */

static void read_workers(struct sample *sample, const struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        const struct spread_worker *worker = &workers->shared.spread->list[i];

        sample->workers[i] = (struct sample_worker){
            .active = spread_active(worker), .handed = spread_handed(worker)};
    }
}

/* The counters of the process, after those of the services: a connection that
 * a service counts meanwhile is missed once, never counted twice. */
static void complete(struct sample *sample, const struct sample_source *source)
{
    const struct shared *shared = &source->workers->shared;
    struct sample_process *process = &sample->process;
    const struct generation *current = sample->held[sample->held_count - 1];

    process->nameless =
        atomic_load_explicit(&shared->waiting.nameless, memory_order_acquire);
    process->connections = shared_active(shared);
    process->connection_limit =
        atomic_load_explicit(&shared->max_connections, memory_order_relaxed);
    workers_memory(source->workers, &process->buffers_lent,
                   &process->buffers_peak);
    process->buffer_bytes =
        process->buffers_lent * shared->slab[UP].block_bytes;
    process->buffer_limit_bytes = workers_buffer_limit(source->workers);
    process->longest_turn_ns =
        atomic_load_explicit(&shared->longest_turn_ns, memory_order_relaxed);
    process->accept_paused =
        atomic_load_explicit(&shared->accept_paused, memory_order_relaxed);
    process->log_lost = log_lost();
    process->generation = current->number;
    process->workers = source->workers->count;
    read_workers(sample, source->workers);
    process->facts = *source->facts;
    process_read(&process->figures, 2 * process->connections);
    machine_read_tcp(&process->tcp, MACHINE_PROC);
    sample->now_ns = clock_now_ns();
    sample->now_unix_ns = clock_unix_ns();
    sample->state = SAMPLE_COMPLETE;
}

/* What the kernel dropped at one address. False: all are read. */
static bool count_drops(struct sample *sample, const struct generation *current)
{
    if (sample->listen >= current->listen_count) {
        return false;
    }
    kernel_drops_count(current, sample->listen++);
    return true;
}

/* One address, service or upstream. */
static void step(struct sample *sample, const struct sample_source *source)
{
    const struct generation *generation;
    const struct service *service;
    bool done = true;

    if (count_drops(sample, generations_current(source->generations))) {
        return;
    }
    if (sample->generation == 0) {
        complete(sample, source);
        return;
    }
    generation = sample->held[sample->generation - 1];
    if (sample->service == generation->service_count) {
        sample->generation--;
        sample->service = 0;
        return;
    }
    service = &generation->services[sample->service];
    if (!sample->entered) {
        done = enter_service(sample, service);
    } else if (sample->service_index != UINT32_MAX &&
               sample->upstream < service->upstream_count) {
        done = add_upstream(sample, service, sample->upstream++);
    } else {
        sample->service++;
        sample->entered = false;
    }
    if (!done) {
        sample->state = SAMPLE_FAILED;
    }
}

bool sample_step(struct sample *sample, const struct sample_source *source,
                 uint64_t until_ns)
{
    while (sample->state == SAMPLE_BEGUN) {
        for (unsigned i = 0; i < ITEMS_A_LOOK && sample->state == SAMPLE_BEGUN;
             i++) {
            step(sample, source);
        }
        if (clock_now_ns() >= until_ns) {
            break;
        }
    }
    return sample->state != SAMPLE_BEGUN;
}
