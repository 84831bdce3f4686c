#include "control/report.h"

#include "base/direction.h"
#include "base/log.h"
#include "control/kernel_drops.h"
#include "control/machine.h"

#include <inttypes.h>

/* The service of the generation that shares the state, or NULL. */
static const struct service *find_service(const struct generation *generation,
                                          const struct service_state *state)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        if (generation->services[i].state == state) {
            return &generation->services[i];
        }
    }
    return NULL;
}

static bool has_upstream(const struct service *service,
                         const struct upstream *upstream)
{
    for (uint32_t i = 0; i < service->upstream_count; i++) {
        if (service->upstreams[i] == upstream) {
            return true;
        }
    }
    return false;
}

/* Whether a generation after the one with that index has the service. */
static bool newer_has_service(const struct generations *generations,
                              size_t index, const struct service_state *state)
{
    for (size_t i = index + 1; i < generations->count; i++) {
        if (find_service(generations->alive[i], state) != NULL) {
            return true;
        }
    }
    return false;
}

static bool newer_has_upstream(const struct generations *generations,
                               size_t index, const struct service_state *state,
                               const struct upstream *upstream)
{
    for (size_t i = index + 1; i < generations->count; i++) {
        const struct service *newer =
            find_service(generations->alive[i], state);

        if (newer != NULL && has_upstream(newer, upstream)) {
            return true;
        }
    }
    return false;
}

static void add_upstream(struct log_burst *burst, const char *service,
                         const struct upstream *upstream,
                         const struct config_upstream *line)
{
    char name[LOG_QUOTED_MAX(UPSTREAM_TEXT_MAX)];
    struct upstream_sums sums;

    upstream_counters_sum(upstream->counters, upstream->workers + 1, &sums);
    log_burst_add(burst,
                  "stats service=%s upstream=%s state=%s active=%" PRIu32
                  " total=%" PRIu64 " failed=%" PRIu64 " bytes_up=%" PRIu64
                  " bytes_down=%" PRIu64,
                  service, log_quote(upstream->text, name, sizeof(name)),
                  upstream_state_name(upstream_up(upstream), line->drain),
                  atomic_load_explicit(&upstream->active, memory_order_relaxed),
                  sums.total, upstream_sums_failed(&sums), sums.bytes[UP],
                  sums.bytes[DOWN]);
}

static void add_service(struct log_burst *burst, const char *service,
                        const struct service_sums *sums)
{
    char ended[STATS_ENDED_MAX];

    stats_format_ended(sums, ended, sizeof(ended));
    log_burst_add(burst,
                  "stats service=%s active=%" PRIu64 " accepted=%" PRIu64
                  " bytes_up=%" PRIu64 " bytes_down=%" PRIu64
                  "%s dropped=%" PRIu64,
                  service, sums->active, sums->accepted, sums->bytes[UP],
                  sums->bytes[DOWN], ended, service_sums_dropped(sums));
}

/* Adds the lines of a service of the generation with that index. If that is
 * not the current one, only what no newer one has and what has connections. */
static void add_service_lines(struct log_burst *burst,
                              const struct generations *generations,
                              size_t index, const struct service *service)
{
    bool current = index + 1 == generations->count;
    const struct service_state *state = service->state;
    char name[LOG_QUOTED_MAX(CONFIG_NAME_MAX)];
    const char *quoted = log_quote(state->name, name, sizeof(name));
    struct service_sums sums;

    service_counters_sum(state->counters, state->workers + 1, &sums);
    if (current ||
        (sums.active > 0 && !newer_has_service(generations, index, state))) {
        add_service(burst, quoted, &sums);
    }
    for (uint32_t i = 0; i < service->upstream_count; i++) {
        const struct upstream *upstream = service->upstreams[i];
        bool used =
            atomic_load_explicit(&upstream->active, memory_order_relaxed) > 0;

        if (current || (used && !newer_has_upstream(generations, index, state,
                                                    upstream))) {
            add_upstream(burst, quoted, upstream, service->lines[i]);
        }
    }
}

static void add_sums(struct service_sums *all,
                     const struct service_state *state)
{
    struct service_sums sums;

    service_counters_sum(state->counters, state->workers + 1, &sums);
    all->active += sums.active;
    all->accepted += sums.accepted;
    all->bytes[UP] += sums.bytes[UP];
    all->bytes[DOWN] += sums.bytes[DOWN];
}

static void add_process(struct log_burst *burst,
                        const struct generations *generations,
                        const struct workers *workers, uint64_t uptime_ns)
{
    const struct shared *shared = &workers->shared;
    struct service_sums all = generations->removed;
    uint64_t lent, peak, nameless;
    struct machine_tcp tcp;

    for (size_t i = 0; i < generations->count; i++) {
        const struct generation *generation = generations->alive[i];

        for (size_t j = 0; j < generation->service_count; j++) {
            const struct service_state *state = generation->services[j].state;

            if (!newer_has_service(generations, i, state)) {
                add_sums(&all, state);
            }
        }
    }
    /* After the services: one that a service counts meanwhile is missed once,
     * never counted twice. */
    nameless =
        atomic_load_explicit(&shared->waiting.nameless, memory_order_acquire);
    workers_memory(workers, &lent, &peak);
    machine_read_tcp(&tcp, MACHINE_PROC);
    log_burst_add(
        burst,
        "stats uptime_s=%" PRIu64 " workers=%u active=%" PRIu64
        " accepted=%" PRIu64 " bytes_up=%" PRIu64 " bytes_down=%" PRIu64
        " buffers_lent=%" PRIu64 " buffers_peak=%" PRIu64
        " buffer_bytes=%" PRIu64 " accept_paused=%" PRIu64
        " generation=%" PRIu64 " log_lost=%" PRIu64 " longest_turn_us=%" PRIu64
        " kernel_tcp_bytes=%" PRIu64 " kernel_tcp_pressure_bytes=%" PRIu64,
        uptime_ns / NS_PER_S, workers->count, all.active + nameless,
        all.accepted + nameless, all.bytes[UP], all.bytes[DOWN], lent, peak,
        lent * shared->slab[UP].block_bytes,
        atomic_load_explicit(&shared->accept_paused, memory_order_relaxed),
        generations_current(generations)->number, log_lost(),
        atomic_load_explicit(&shared->longest_turn_ns, memory_order_relaxed) /
            1000,
        machine_tcp_used(&tcp), tcp.pressure_bytes);
}

void report_write(const struct reporter *reporter)
{
    const struct generations *generations = reporter->generations;
    struct log_burst burst = {0};

    kernel_drops_count_all(generations_current(generations));
    add_process(&burst, generations, reporter->workers,
                reporter->loop->now_ns - reporter->started_ns);
    for (size_t i = generations->count; i-- > 0;) {
        const struct generation *generation = generations->alive[i];

        for (size_t j = 0; j < generation->service_count; j++) {
            add_service_lines(&burst, generations, i, &generation->services[j]);
        }
    }
    log_burst_end(&burst);
}

void report_configure(struct reporter *reporter, uint64_t interval_ns)
{
    wheel_disarm(&reporter->loop->wheel, &reporter->timer);
    reporter->interval_ns = interval_ns;
    if (interval_ns > 0) {
        wheel_arm(&reporter->loop->wheel, &reporter->timer,
                  reporter->loop->now_ns + interval_ns);
    }
}

void report_timer(struct reporter *reporter)
{
    report_write(reporter);
    report_configure(reporter, reporter->interval_ns);
}
