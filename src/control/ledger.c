#include "control/ledger.h"

#include "base/clock.h"
#include "control/source_record.h"

#include <stdlib.h>

/* ---- what there is ---- */

static bool add_upstreams(struct ledger *ledger, const struct service *service)
{
    uint32_t number = service->state->number;
    struct ledger_upstream *list = reallocarray(
        ledger->upstreams, ledger->upstream_count + service->upstream_count + 1,
        sizeof(*list));

    if (list == NULL) {
        return false;
    }
    ledger->upstreams = list;
    for (uint32_t i = 0; i < service->upstream_count; i++) {
        struct upstream *upstream = service->upstreams[i];

        /* Older generations may have it too. */
        if (upstream->number < ledger->upstream_count &&
            list[upstream->number].upstream == upstream) {
            continue;
        }
        upstream->number = ledger->upstream_count;
        list[ledger->upstream_count++] =
            (struct ledger_upstream){.upstream = upstream, .service = number};
    }
    return true;
}

static bool add_service(struct ledger *ledger, const struct service *service)
{
    struct service_state *state = service->state;
    struct ledger_service *list;

    if (state->number < ledger->service_count &&
        ledger->services[state->number].service->state == state) {
        return add_upstreams(ledger, service);
    }
    list = reallocarray(ledger->services, ledger->service_count + 1,
                        sizeof(*list));
    if (list == NULL) {
        return false;
    }
    ledger->services = list;
    state->number = ledger->service_count;
    list[ledger->service_count++] = (struct ledger_service){.service = service};
    return add_upstreams(ledger, service);
}

int ledger_open(struct ledger *ledger, struct generations *generations,
                const struct health *health)
{
    *ledger = (struct ledger){
        .generations = generations,
        .health = health,
        .held = calloc(generations->count, sizeof(struct generation *)),
    };
    if (ledger->held == NULL) {
        return -1;
    }
    for (size_t i = 0; i < generations->count; i++) {
        ledger->held[i] = generations->alive[i];
        generations_hold(ledger->held[i]);
        ledger->held_count++;
    }
    for (size_t i = ledger->held_count; i-- > 0;) {
        const struct generation *generation = ledger->held[i];

        for (size_t j = 0; j < generation->service_count; j++) {
            if (!add_service(ledger, &generation->services[j])) {
                ledger_close(ledger);
                return -1;
            }
        }
    }
    return 0;
}

void ledger_close(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->held_count; i++) {
        generations_release(ledger->generations, ledger->held[i]);
    }
    free(ledger->held);
    free(ledger->services);
    free(ledger->upstreams);
    *ledger = (struct ledger){0};
}

/* ---- counters ---- */

/* Writes what has been counted since. */
static void put_difference(struct record_writer *writer, unsigned tag,
                           uint64_t now, uint64_t told)
{
    if (now != told) {
        record_put_number(writer, tag, now - told);
    }
}

static void put_differences(struct record_writer *writer, unsigned tag,
                            const uint64_t *now, const uint64_t *told,
                            unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        put_difference(writer, tag + i, now[i], told[i]);
    }
}

static void put_sums(struct record_writer *writer,
                     const struct service_sums *now,
                     const struct service_sums *told)
{
    put_difference(writer, LEDGER_BYTES_UP, now->bytes[UP], told->bytes[UP]);
    put_difference(writer, LEDGER_BYTES_DOWN, now->bytes[DOWN],
                   told->bytes[DOWN]);
    put_difference(writer, LEDGER_ACCEPTED, now->accepted, told->accepted);
    put_difference(writer, LEDGER_MULTIPATH, now->multipath, told->multipath);
    put_difference(writer, LEDGER_SOURCES_REFUSED, now->sources_refused,
                   told->sources_refused);
    put_differences(writer, LEDGER_ENDED, now->ended, told->ended, CAUSES);
    put_differences(writer, LEDGER_DROPPED, now->dropped, told->dropped, DROPS);
}

static void put_times(struct record_writer *writer,
                      const struct service_times *now,
                      const struct service_times *told)
{
    put_difference(writer, LEDGER_CONNECT_SUM_NS, now->connect.sum_ns,
                   told->connect.sum_ns);
    put_difference(writer, LEDGER_DURATION_SUM_NS, now->durations.sum_ns,
                   told->durations.sum_ns);
    put_differences(writer, LEDGER_CONNECT, now->connect.buckets,
                    told->connect.buckets, ARRAY_LEN(now->connect.buckets));
    put_differences(writer, LEDGER_DURATION, now->durations.buckets,
                    told->durations.buckets, ARRAY_LEN(now->durations.buckets));
}

static void put_atomic(struct record_writer *writer, unsigned tag,
                       const _Atomic uint64_t *number)
{
    uint64_t now = atomic_load_explicit(number, memory_order_relaxed);

    if (now != 0) {
        record_put_number(writer, tag, now);
    }
}

/* ---- records ---- */

/* Keeps what was written since, unless nothing was that tells anything, or it
 * does not fit. False: it does not fit. */
static bool finish(struct record_writer *writer, size_t begun, bool empty)
{
    if (writer->failed || empty) {
        writer->used = begun - RECORD_HEADER_BYTES;
    } else {
        record_end(writer, begun);
    }
    return !writer->failed;
}

static bool write_process(struct ledger *ledger, struct record_writer *writer)
{
    struct service_sums now = ledger->generations->removed;
    size_t begun = record_begin(writer, LEDGER_PROCESS);
    bool fits;

    if (writer->failed) {
        return false;
    }
    put_sums(writer, &now, &ledger->removed);
    fits = finish(writer, begun, writer->used == begun);
    if (fits) {
        ledger->removed = now;
    }
    return fits;
}

static void put_rates(struct record_writer *writer,
                      const struct service_state *state)
{
    put_atomic(writer, LEDGER_RATE_ACCEPT, &state->accept_rate.full_ns);
    put_atomic(writer, LEDGER_RATE_UP, &state->rate[UP].full_ns);
    put_atomic(writer, LEDGER_RATE_DOWN, &state->rate[DOWN].full_ns);
    put_atomic(writer, LEDGER_SLOW_UNTIL_NS, &state->slow_until_ns);
}

static void put_turns(struct record_writer *writer,
                      const struct balance *balance)
{
    put_atomic(writer, LEDGER_TURN, &balance->classes[false].cursor);
    put_atomic(writer, LEDGER_TURN_BACKUP, &balance->classes[true].cursor);
}

static bool write_service(struct ledger *ledger, uint32_t number,
                          struct record_writer *writer)
{
    struct ledger_service *entry = &ledger->services[number];
    const struct service_state *state = entry->service->state;
    size_t begun = record_begin(writer, LEDGER_SERVICE), least;
    struct service_sums now;
    struct service_times times;
    bool fits;

    if (writer->failed) {
        return false;
    }
    service_counters_sum(state->counters, state->workers + 1, &now);
    service_counters_times(state->counters, state->workers + 1, &times);
    record_put_number(writer, LEDGER_NUMBER, number);
    least = writer->used;
    if (ledger->pass == LEDGER_FIRST) {
        record_put_text(writer, LEDGER_NAME, state->name);
    }
    put_sums(writer, &now, &entry->told);
    put_times(writer, &times, &entry->told_times);
    put_rates(writer, state);
    put_turns(writer, &entry->service->balance);
    fits = finish(writer, begun, writer->used == least);
    if (fits) {
        entry->told = now;
        entry->told_times = times;
    }
    return fits;
}

static void put_failures(struct record_writer *writer,
                         struct upstream *upstream)
{
    uint64_t times[LEDGER_FAILURES_MAX];
    uint32_t count =
        upstream_list_failures(upstream, times, LEDGER_FAILURES_MAX);

    for (uint32_t i = 0; i < count; i++) {
        record_put_number(writer, LEDGER_FAILURE_NS, times[i]);
    }
}

/* Nothing of it changes for long, so a later pass leaves it out. */
static void put_state(const struct ledger *ledger,
                      const struct ledger_upstream *entry,
                      struct record_writer *writer)
{
    const struct upstream *upstream = entry->upstream;

    record_put_text(writer, LEDGER_NAME, upstream->text);
    record_put_number(writer, LEDGER_OF, entry->service);
    record_put_number(
        writer, LEDGER_DOWN,
        atomic_load_explicit(&upstream->down, memory_order_relaxed));
    record_put_number(
        writer, LEDGER_CAUSE,
        atomic_load_explicit(&upstream->cause, memory_order_relaxed));
    put_atomic(writer, LEDGER_SINCE_NS, &upstream->since_ns);
    put_atomic(writer, LEDGER_CHECK_NS, &upstream->check_ns);
    put_atomic(writer, LEDGER_RESET_NS, &upstream->reset_ns);
    record_put_number(writer, LEDGER_STREAK,
                      health_streak(ledger->health, upstream));
    put_failures(writer, entry->upstream);
}

static bool write_upstream(struct ledger *ledger, uint32_t number,
                           struct record_writer *writer)
{
    struct ledger_upstream *entry = &ledger->upstreams[number];
    const struct upstream *upstream = entry->upstream;
    size_t begun = record_begin(writer, LEDGER_UPSTREAM), least;
    struct upstream_sums now;
    bool fits;

    if (writer->failed) {
        return false;
    }
    upstream_counters_sum(upstream->counters, upstream->workers + 1, &now);
    record_put_number(writer, LEDGER_NUMBER, number);
    least = writer->used;
    if (ledger->pass == LEDGER_FIRST) {
        put_state(ledger, entry, writer);
    }
    put_difference(writer, LEDGER_BYTES_UP, now.bytes[UP],
                   entry->told.bytes[UP]);
    put_difference(writer, LEDGER_BYTES_DOWN, now.bytes[DOWN],
                   entry->told.bytes[DOWN]);
    put_difference(writer, LEDGER_ACCEPTED, now.total, entry->told.total);
    put_differences(writer, LEDGER_FAILED, now.failed, entry->told.failed,
                    FAILURES);
    fits = finish(writer, begun, writer->used == least);
    if (fits) {
        entry->told = now;
    }
    return fits;
}

/* ---- sources ---- */

/* False: not all of them fit. */
static bool write_sources(struct ledger *ledger, uint32_t number,
                          struct record_writer *writer)
{
    const struct service *service = ledger->services[number].service;
    struct source_table *sources = service->state->sources;
    uint64_t at = ledger->source_at, now_ns;
    struct source_state debt;

    if (ledger->pass != LEDGER_FROZEN || sources == NULL) {
        return true;
    }
    now_ns = clock_now_ns();
    while (limits_next_debt(sources, &at, now_ns, &debt)) {
        size_t before = writer->used;

        source_record_write(&debt, LEDGER_SOURCE, number, writer);
        if (writer->failed) {
            writer->used = before;
            return false;
        }
        ledger->source_at = at;
    }
    ledger->source_at = 0;
    return true;
}

/* ---- all ---- */

/* The process, then the services, the upstreams, and the sources by service. */
static bool write_one(struct ledger *ledger, struct record_writer *writer)
{
    uint64_t at = ledger->at;

    if (at == 0) {
        return write_process(ledger, writer);
    }
    at--;
    if (at < ledger->service_count) {
        return write_service(ledger, (uint32_t)at, writer);
    }
    at -= ledger->service_count;
    if (at < ledger->upstream_count) {
        return write_upstream(ledger, (uint32_t)at, writer);
    }
    return write_sources(ledger, (uint32_t)(at - ledger->upstream_count),
                         writer);
}

bool ledger_write(struct ledger *ledger, struct record_writer *writer)
{
    uint64_t count =
        1 + 2 * (uint64_t)ledger->service_count + ledger->upstream_count;

    for (; ledger->at < count; ledger->at++) {
        if (!write_one(ledger, writer)) {
            writer->failed = false;
            return false;
        }
    }
    ledger->at = 0;
    ledger->pass = ledger->pass == LEDGER_FIRST ? LEDGER_FROZEN : LEDGER_LATER;
    return true;
}
