#include "service/history.h"

#define GAP_NS (3 * HISTORY_INTERVAL_NS)

const char *const history_names[HISTORY_SERIES] = {
    [HISTORY_ACCEPTED] = "accepted",   [HISTORY_ACTIVE] = "active",
    [HISTORY_BYTES_UP] = "bytes_up",   [HISTORY_BYTES_DOWN] = "bytes_down",
    [HISTORY_ENDED_BAD] = "ended_bad",
};

/* A counter never falls; one that does is another's. */
static float rate(uint64_t before, uint64_t after, uint64_t elapsed_ns)
{
    double more = after > before ? (double)(after - before) : 0;

    return (float)(more * (double)NS_PER_S / (double)elapsed_ns);
}

void history_add(struct history *history, const struct history_point *point)
{
    const struct history_point *last = &history->last;
    uint64_t elapsed_ns = point->at_ns - last->at_ns;

    if (last->at_ns == 0 || elapsed_ns > GAP_NS) {
        *history = (struct history){.last = *point};
        return;
    }
    if (elapsed_ns == 0) {
        return;
    }
    for (unsigned i = 0; i < HISTORY_SERIES; i++) {
        history->values[i][history->next] =
            i == HISTORY_ACTIVE
                ? (float)point->values[i]
                : rate(last->values[i], point->values[i], elapsed_ns);
    }
    history->next = (history->next + 1) % HISTORY_MAX;
    if (history->count < HISTORY_MAX) {
        history->count++;
    }
    history->last = *point;
}

float history_get(const struct history *history, enum history_series series,
                  unsigned i)
{
    unsigned oldest = history->next + HISTORY_MAX - history->count;

    return history->values[series][(oldest + i) % HISTORY_MAX];
}
