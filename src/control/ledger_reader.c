#include "control/ledger_reader.h"

#include "base/clock.h"
#include "base/raise.h"
#include "control/ledger.h"
#include "control/source_record.h"

#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define NUMBERS_MAX (UINT32_C(1) << 22)

void ledger_reader_fini(struct ledger_reader *reader)
{
    free(reader->services);
    free(reader->upstreams);
    reader->services = NULL;
    reader->upstreams = NULL;
    reader->service_count = reader->upstream_count = 0;
}

/* ---- counters ---- */

/* A kind that this version does not know counts as the last resort. */
static void add_kind(counter *counters, unsigned count, unsigned kind,
                     unsigned otherwise, uint64_t value)
{
    counter_add(&counters[kind < count ? kind : otherwise], value);
}

static void add_bucket(struct histogram *histogram, unsigned bucket,
                       uint64_t value)
{
    const unsigned last = ARRAY_LEN(histogram->buckets) - 1;

    counter_add(&histogram->buckets[MIN(bucket, last)], value);
}

/* Of a service that this process has. */
static void add_counter(struct service_counters *counters, unsigned tag,
                        uint64_t value)
{
    unsigned kind = tag % LEDGER_KINDS;

    switch (tag - kind) {
    case LEDGER_ENDED:
        add_kind(counters->ended, CAUSES, kind, CAUSE_INTERNAL, value);
        break;
    case LEDGER_DROPPED:
        add_kind(counters->dropped, DROPS, kind, DROP_SEND, value);
        break;
    case LEDGER_CONNECT:
        add_bucket(&counters->connect, kind, value);
        break;
    case LEDGER_DURATION:
        add_bucket(&counters->durations, kind, value);
        break;
    default:
        break;
    }
}

static void add_service_number(struct service *service, unsigned tag,
                               uint64_t value)
{
    struct service_state *state = service->state;
    struct service_counters *counters = &state->counters[state->workers];

    switch (tag) {
    case LEDGER_BYTES_UP:
        counter_add(&counters->bytes[UP], value);
        break;
    case LEDGER_BYTES_DOWN:
        counter_add(&counters->bytes[DOWN], value);
        break;
    case LEDGER_ACCEPTED:
        counter_add(&counters->accepted, value);
        break;
    case LEDGER_MULTIPATH:
        counter_add(&counters->multipath, value);
        break;
    case LEDGER_SOURCES_REFUSED:
        counter_add(&counters->sources_refused, value);
        break;
    case LEDGER_CONNECT_SUM_NS:
        counter_add(&counters->connect.sum_ns, value);
        break;
    case LEDGER_DURATION_SUM_NS:
        counter_add(&counters->durations.sum_ns, value);
        break;
    default:
        add_counter(counters, tag, value);
        break;
    }
}

/* Times and turns go on from the greater one: what the old process tells later
 * is older than what this one has. */
static void raise_service_number(struct service *service, unsigned tag,
                                 uint64_t value)
{
    struct service_state *state = service->state;

    switch (tag) {
    case LEDGER_RATE_ACCEPT:
        rate_owe(&state->accept_rate, value);
        break;
    case LEDGER_RATE_UP:
        rate_owe(&state->rate[UP], value);
        break;
    case LEDGER_RATE_DOWN:
        rate_owe(&state->rate[DOWN], value);
        break;
    case LEDGER_SLOW_UNTIL_NS:
        raise_to(&state->slow_until_ns, value);
        break;
    case LEDGER_TURN:
        raise_to(&service->balance.classes[false].cursor, value);
        break;
    case LEDGER_TURN_BACKUP:
        raise_to(&service->balance.classes[true].cursor, value);
        break;
    default:
        break;
    }
}

static void add_removed(struct service_sums *removed, unsigned tag,
                        uint64_t value)
{
    unsigned kind = tag % LEDGER_KINDS;

    if (tag - kind == LEDGER_ENDED) {
        removed->ended[kind < CAUSES ? kind : CAUSE_INTERNAL] += value;
        removed->active -= value;
    } else if (tag == LEDGER_ACCEPTED) {
        removed->accepted += value;
        removed->active += value;
    } else if (tag == LEDGER_BYTES_UP) {
        removed->bytes[UP] += value;
    } else if (tag == LEDGER_BYTES_DOWN) {
        removed->bytes[DOWN] += value;
    }
}

/* ---- services ---- */

/* Grows a list of records of zeros, so that it has the number. */
static bool reach(void **list, size_t *count, uint64_t number, size_t width)
{
    size_t wanted = (size_t)number + 1;
    unsigned char *larger;

    if (wanted <= *count) {
        return true;
    }
    wanted = MAX(wanted, *count + *count / 2 + 16);
    larger = reallocarray(*list, wanted, width);
    if (larger == NULL) {
        return false;
    }
    memset(larger + *count * width, 0, (wanted - *count) * width);
    *list = larger;
    *count = wanted;
    return true;
}

static struct service *find_service(const struct ledger_reader *reader,
                                    const char *name)
{
    struct generation *generation = reader->generation;

    for (size_t i = 0; i < generation->service_count; i++) {
        if (strcmp(generation->services[i].state->name, name) == 0) {
            return &generation->services[i];
        }
    }
    return NULL;
}

/* Enters a record, whose number comes first: answers its place in the list, and
 * what follows the number. NULL: it is malformed, or there is no memory. */
static void *enter_numbered(const struct record *record,
                            struct record_reader *rest, void **list,
                            size_t *count, size_t width)
{
    struct record part;
    uint64_t number;

    *rest = record_enter(record);
    if (record_next(rest, &part) <= 0 || part.tag != LEDGER_NUMBER ||
        !record_number(&part, NUMBERS_MAX, &number) ||
        !reach(list, count, number, width)) {
        return NULL;
    }
    return (unsigned char *)*list + number * width;
}

static void add_number(struct ledger_reader *reader,
                       struct ledger_known_service *known, unsigned tag,
                       uint64_t value)
{
    if (tag == LEDGER_ACCEPTED) {
        known->accepted += value;
    } else if (tag - tag % LEDGER_KINDS == LEDGER_ENDED) {
        known->ended += value;
    }
    if (known->service == NULL) {
        add_removed(reader->removed, tag, value);
    } else {
        add_service_number(known->service, tag, value);
        raise_service_number(known->service, tag, value);
    }
}

struct service_parts {
    struct ledger_reader *reader;
    struct ledger_known_service *known;
};

static bool read_service_part(const struct record *part, void *arg)
{
    const struct service_parts *parts = arg;
    struct ledger_known_service *known = parts->known;
    char name[CONFIG_NAME_MAX];
    uint64_t value;

    if (part->tag == LEDGER_NAME) {
        /* One that does not fit is none of ours. */
        known->service = record_text(part, name, sizeof(name))
                             ? find_service(parts->reader, name)
                             : NULL;
        return true;
    }
    if (record_number(part, UINT64_MAX, &value)) {
        add_number(parts->reader, known, part->tag, value);
    }
    return record_may_be_skipped(part);
}

static bool read_service(struct ledger_reader *reader,
                         const struct record *record)
{
    struct record_reader rest;
    struct service_parts parts = {
        .reader = reader,
        .known =
            enter_numbered(record, &rest, (void **)&reader->services,
                           &reader->service_count, sizeof(*reader->services)),
    };

    return parts.known != NULL && record_each(rest, read_service_part, &parts);
}

static bool read_process_part(const struct record *part, void *arg)
{
    struct service_sums *removed = arg;
    uint64_t value;

    if (record_number(part, UINT64_MAX, &value)) {
        add_removed(removed, part->tag, value);
    }
    return record_may_be_skipped(part);
}

/* ---- upstreams ---- */

/* The order is mostly that of the other process. */
static struct upstream *find_upstream(struct ledger_known_service *known,
                                      const char *text)
{
    uint32_t count =
        known->service == NULL ? 0 : known->service->upstream_count;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (known->search_at + i) % count;
        struct upstream *upstream = known->service->upstreams[at];

        if (strcmp(upstream->text, text) == 0) {
            known->search_at = at + 1;
            return upstream;
        }
    }
    return NULL;
}

/* What is known by configuration and names stays as this process has it. */
static void set_down(struct upstream *upstream, uint64_t reasons)
{
    uint32_t found = (uint32_t)reasons & (UPSTREAM_FAILED | UPSTREAM_UNHEALTHY);

    atomic_fetch_or_explicit(&upstream->down, found, memory_order_relaxed);
}

static void add_upstream_number(struct upstream *upstream, unsigned tag,
                                uint64_t value)
{
    struct upstream_counters *counters = &upstream->counters[upstream->workers];
    unsigned kind = tag % LEDGER_KINDS;

    if (tag - kind == LEDGER_FAILED) {
        add_kind(counters->failed, FAILURES, kind, FAILURE_RESET, value);
        return;
    }
    switch (tag) {
    case LEDGER_BYTES_UP:
        counter_add(&counters->bytes[UP], value);
        break;
    case LEDGER_BYTES_DOWN:
        counter_add(&counters->bytes[DOWN], value);
        break;
    case LEDGER_ACCEPTED:
        counter_add(&counters->total, value);
        break;
    case LEDGER_DOWN:
        set_down(upstream, value);
        break;
    case LEDGER_CAUSE:
        atomic_store_explicit(&upstream->cause, (uint32_t)value,
                              memory_order_relaxed);
        break;
    case LEDGER_SINCE_NS:
        atomic_store_explicit(&upstream->since_ns, value, memory_order_relaxed);
        break;
    case LEDGER_FAILURE_NS:
        upstream_restore_failure(upstream, value);
        break;
    case LEDGER_RESET_NS:
        atomic_store_explicit(&upstream->reset_ns, value, memory_order_relaxed);
        break;
    case LEDGER_CHECK_NS:
        atomic_store_explicit(&upstream->check_ns, value, memory_order_relaxed);
        break;
    default:
        break;
    }
}

struct upstream_parts {
    const struct ledger_reader *reader;
    struct ledger_known_upstream *known;
    char text[UPSTREAM_TEXT_MAX]; /* before the service */
};

static bool read_upstream_part(const struct record *part, void *arg)
{
    struct upstream_parts *parts = arg;
    struct ledger_known_upstream *known = parts->known;
    uint64_t value;

    if (part->tag == LEDGER_NAME) {
        if (!record_text(part, parts->text, sizeof(parts->text))) {
            parts->text[0] = '\0';
        }
        return true;
    }
    if (part->tag == LEDGER_OF) {
        if (!record_number(part, NUMBERS_MAX, &value)) {
            return false;
        }
        known->upstream =
            value < parts->reader->service_count
                ? find_upstream(&parts->reader->services[value], parts->text)
                : NULL;
        return true;
    }
    if (known->upstream != NULL && record_number(part, UINT64_MAX, &value)) {
        add_upstream_number(known->upstream, part->tag, value);
        if (part->tag == LEDGER_STREAK) {
            known->streak = (uint32_t)value;
        }
    }
    return record_may_be_skipped(part);
}

static bool read_upstream(struct ledger_reader *reader,
                          const struct record *record)
{
    struct record_reader rest;
    struct upstream_parts parts = {
        .reader = reader,
        .known =
            enter_numbered(record, &rest, (void **)&reader->upstreams,
                           &reader->upstream_count, sizeof(*reader->upstreams)),
    };

    return parts.known != NULL && record_each(rest, read_upstream_part, &parts);
}

/* ---- sources ---- */

static bool read_source(const struct ledger_reader *reader,
                        const struct record *record)
{
    struct service *service = NULL;
    struct source_state debt;
    uint32_t number;

    if (!source_record_read(record, &number, &debt)) {
        return false;
    }
    if (number < reader->service_count) {
        service = reader->services[number].service;
    }
    if (service != NULL && service->state->sources != NULL) {
        limits_owe(service->state->sources, &debt, clock_now_ns());
    }
    return true;
}

/* ---- all ---- */

bool ledger_read(struct ledger_reader *reader, const struct record *record)
{
    switch (record->tag) {
    case LEDGER_PROCESS:
        return record_each(record_enter(record), read_process_part,
                           reader->removed);
    case LEDGER_SERVICE:
        return read_service(reader, record);
    case LEDGER_UPSTREAM:
        return read_upstream(reader, record);
    case LEDGER_SOURCE:
        return read_source(reader, record);
    default:
        return record_may_be_skipped(record);
    }
}

void ledger_restore_streaks(const struct ledger_reader *reader,
                            struct health *health)
{
    for (size_t i = 0; i < reader->upstream_count; i++) {
        const struct ledger_known_upstream *known = &reader->upstreams[i];

        if (known->upstream != NULL) {
            health_restore_streak(health, known->upstream, known->streak);
        }
    }
}

uint64_t ledger_reader_balance(struct ledger_reader *reader)
{
    uint64_t lost = 0;

    for (size_t i = 0; i < reader->service_count; i++) {
        struct ledger_known_service *known = &reader->services[i];
        uint64_t left = known->accepted - known->ended - known->taken;

        add_number(reader, known, LEDGER_ENDED + CAUSE_INTERNAL, left);
        lost += left;
    }
    return lost;
}
