#include "service/stats.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static const char *const cause_names[] = {
    [CAUSE_NONE] = "none",
    [CAUSE_CLIENT_FIN] = "client_fin",
    [CAUSE_UPSTREAM_FIN] = "upstream_fin",
    [CAUSE_CLIENT_RESET] = "client_reset",
    [CAUSE_UPSTREAM_RESET] = "upstream_reset",
    [CAUSE_CONNECT_REFUSED] = "connect_refused",
    [CAUSE_CONNECT_TIMEOUT] = "connect_timeout",
    [CAUSE_NO_UPSTREAM] = "no_upstream",
    [CAUSE_IDLE_TIMEOUT] = "idle_timeout",
    [CAUSE_READ_TIMEOUT] = "read_timeout",
    [CAUSE_WRITE_TIMEOUT] = "write_timeout",
    [CAUSE_HALF_CLOSE_TIMEOUT] = "half_close_timeout",
    [CAUSE_HEADER_TIMEOUT] = "header_timeout",
    [CAUSE_MAX_LIFETIME] = "max_lifetime",
    [CAUSE_DENIED] = "denied",
    [CAUSE_LIMIT_CONNECTIONS] = "limit_connections",
    [CAUSE_LIMIT_SOURCE] = "limit_source",
    [CAUSE_LIMIT_RATE] = "limit_rate",
    [CAUSE_BAD_HEADER] = "bad_header",
    [CAUSE_NO_ROUTE] = "no_route",
    [CAUSE_TLS_ERROR] = "tls_error",
    [CAUSE_DRAIN] = "drain",
    [CAUSE_LOCAL_RESOURCE] = "local_resource",
    [CAUSE_INTERNAL] = "internal",
    [CAUSE_LOOP] = "loop",
    [CAUSE_UPSTREAM_DOWN] = "upstream_down",
    [CAUSE_QUEUE_TIMEOUT] = "queue_timeout",
};

_Static_assert(ARRAY_LEN(cause_names) == CAUSES, "a cause without a name");

const char *cause_name(enum cause cause)
{
    assert((unsigned)cause < CAUSES);
    return cause_names[cause];
}

bool cause_is_bad(enum cause cause)
{
    switch (cause) {
    case CAUSE_NONE:
    case CAUSE_CLIENT_FIN:
    case CAUSE_UPSTREAM_FIN:
    case CAUSE_CLIENT_RESET:
    case CAUSE_IDLE_TIMEOUT:
    case CAUSE_MAX_LIFETIME:
    case CAUSE_DENIED:
    case CAUSE_DRAIN:
        return false;
    default:
        return true;
    }
}

static const enum cause failure_causes[] = {
    [FAILURE_REFUSED] = CAUSE_CONNECT_REFUSED,
    [FAILURE_TIMEOUT] = CAUSE_CONNECT_TIMEOUT,
    [FAILURE_RESET] = CAUSE_UPSTREAM_RESET,
    [FAILURE_TLS] = CAUSE_TLS_ERROR,
};

_Static_assert(ARRAY_LEN(failure_causes) == FAILURES, "one without a cause");

enum failure failure_of(enum cause cause)
{
    unsigned failure = FAILURE_REFUSED;

    while (failure < FAILURES - 1 && failure_causes[failure] != cause) {
        failure++;
    }
    assert(failure_causes[failure] == cause);
    return (enum failure)failure;
}

enum cause failure_cause(enum failure failure)
{
    assert((unsigned)failure < FAILURES);
    return failure_causes[failure];
}

static const char *const drop_names[] = {
    [DROP_RATE] = "rate",       [DROP_SEND] = "send",   [DROP_GONE] = "gone",
    [DROP_REFUSED] = "refused", [DROP_QUEUE] = "queue",
};

_Static_assert(ARRAY_LEN(drop_names) == DROPS, "one without a name");

const char *drop_name(enum drop drop)
{
    assert((unsigned)drop < DROPS);
    return drop_names[drop];
}

void service_counters_sum(const struct service_counters *blocks, unsigned count,
                          struct service_sums *sums)
{
    uint64_t ended = 0;

    *sums = (struct service_sums){0};
    for (unsigned i = 0; i < count; i++) {
        for (unsigned cause = 0; cause < CAUSES; cause++) {
            uint64_t n = counter_read(&blocks[i].ended[cause]);

            sums->ended[cause] += n;
            ended += n;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        sums->accepted += counter_read(&blocks[i].accepted);
        sums->bytes[UP] += counter_read(&blocks[i].bytes[UP]);
        sums->bytes[DOWN] += counter_read(&blocks[i].bytes[DOWN]);
        sums->multipath += counter_read(&blocks[i].multipath);
        sums->sources_refused += counter_read(&blocks[i].sources_refused);
        for (unsigned drop = 0; drop < DROPS; drop++) {
            sums->dropped[drop] += counter_read(&blocks[i].dropped[drop]);
        }
    }
    sums->active = sums->accepted - ended;
}

void upstream_counters_sum(const struct upstream_counters *blocks,
                           unsigned count, struct upstream_sums *sums)
{
    *sums = (struct upstream_sums){0};
    for (unsigned i = 0; i < count; i++) {
        sums->bytes[UP] += counter_read(&blocks[i].bytes[UP]);
        sums->bytes[DOWN] += counter_read(&blocks[i].bytes[DOWN]);
        sums->total += counter_read(&blocks[i].total);
        for (unsigned failure = 0; failure < FAILURES; failure++) {
            sums->failed[failure] += counter_read(&blocks[i].failed[failure]);
        }
    }
}

void service_counters_times(const struct service_counters *blocks,
                            unsigned count, struct service_times *times)
{
    *times = (struct service_times){0};
    for (unsigned i = 0; i < count; i++) {
        histogram_sum(&blocks[i].connect, &times->connect);
        histogram_sum(&blocks[i].durations, &times->durations);
    }
}

static uint64_t sum_of(const uint64_t *values, unsigned count)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        sum += values[i];
    }
    return sum;
}

uint64_t service_sums_dropped(const struct service_sums *sums)
{
    return sum_of(sums->dropped, DROPS);
}

uint64_t upstream_sums_failed(const struct upstream_sums *sums)
{
    return sum_of(sums->failed, FAILURES);
}

uint64_t service_sums_ended_bad(const struct service_sums *sums)
{
    uint64_t bad = 0;

    for (unsigned cause = 0; cause < CAUSES; cause++) {
        bad += cause_is_bad((enum cause)cause) ? sums->ended[cause] : 0;
    }
    return bad;
}

size_t stats_format_ended(const struct service_sums *sums, char *buffer,
                          size_t size)
{
    size_t length = 0;

    for (unsigned cause = CAUSE_NONE + 1; cause < CAUSES; cause++) {
        int n = snprintf(buffer + length, size - length, " ended_%s=%" PRIu64,
                         cause_names[cause], sums->ended[cause]);

        if (n < 0 || (size_t)n >= size - length) {
            break;
        }
        length += (size_t)n;
    }
    if (size > 0) {
        buffer[length] = '\0';
    }
    return length;
}
