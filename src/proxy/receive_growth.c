#include "proxy/receive_growth.h"

#include <sys/param.h>

static void add(struct receive_growth *growth, int64_t units)
{
    int64_t balance = growth->balance + units;

    growth->balance = (int16_t)MAX(GROWTH_LEAST, MIN(balance, GROWTH_MOST));
}

/* Of so much of time or bytes. */
static int64_t units(const struct receive_growth *growth, uint64_t amount,
                     unsigned unit)
{
    return (int64_t)(amount / (growth->far ? unit * GROWTH_FAR : unit));
}

static bool is_held(const struct receive_growth *growth)
{
    return growth->state == GROWTH_HELD || growth->state == GROWTH_HELD_WIDE;
}

/* Changes the state if there is credit for an order. */
static bool enter(struct receive_growth *growth, enum growth_state state)
{
    if (growth->state == GROWTH_UNTOUCHED) {
        growth->credit = GROWTH_ORDERS * GROWTH_READS;
    }
    if (growth->credit < GROWTH_READS) {
        return false;
    }
    growth->credit = (uint8_t)(growth->credit - GROWTH_READS);
    growth->state = state & 0x7f;
    return true;
}

static enum growth_order hold(struct receive_growth *growth, bool tight)
{
    bool first = growth->state == GROWTH_UNTOUCHED;
    int16_t from = first ? GROWTH_HELD_FROM : GROWTH_HELD_AGAIN_FROM;

    if (is_held(growth) || (growth->balance > from && !tight) ||
        !enter(growth, GROWTH_HELD)) {
        return GROWTH_NOTHING;
    }
    return first ? GROWTH_SHRINK : GROWTH_HOLD;
}

void receive_growth_is_far(struct receive_growth *growth)
{
    growth->state = GROWTH_FREE;
    growth->far = true;
    growth->balance = GROWTH_MOST;
}

enum growth_order receive_growth_read(struct receive_growth *growth,
                                      size_t count, uint64_t total, bool full,
                                      uint64_t waited_ns, bool tight)
{
    if (waited_ns < (growth->far ? GROWTH_FAR_MOST_NS : GROWTH_NEAR_MOST_NS) &&
        total - count > GROWTH_FROM_BYTES) {
        add(growth, MIN(units(growth, waited_ns, GROWTH_UNIT_NS),
                        (int64_t)GROWTH_SOURCE_MOST));
    }
    add(growth, units(growth, count, GROWTH_UNIT_BYTES));
    if (full && growth->credit < GROWTH_ORDERS * GROWTH_READS) {
        growth->credit++;
    }
    if (!is_held(growth)) {
        return full ? hold(growth, false) : GROWTH_NOTHING;
    }
    if (growth->balance >= GROWTH_FREE_FROM && !tight &&
        enter(growth, GROWTH_FREE)) {
        return GROWTH_RELEASE;
    }
    if (growth->state == GROWTH_HELD_WIDE && !full &&
        enter(growth, GROWTH_HELD)) {
        return GROWTH_SHRINK;
    }
    return GROWTH_NOTHING;
}

enum growth_order receive_growth_sink_waits(struct receive_growth *growth,
                                            bool tight)
{
    return hold(growth, tight);
}

void receive_growth_sink_waited(struct receive_growth *growth,
                                uint64_t waited_ns)
{
    add(growth, -MIN(units(growth, waited_ns, GROWTH_UNIT_NS),
                     (int64_t)GROWTH_SINK_MOST));
}

uint32_t receive_growth_save(const struct receive_growth *growth)
{
    return (uint16_t)growth->balance | (uint32_t)growth->credit << 16 |
           (uint32_t)growth->state << 24 | (uint32_t)growth->far << 31;
}

bool receive_growth_restore(struct receive_growth *growth, uint32_t number)
{
    struct receive_growth saved = {
        .balance = (int16_t)(uint16_t)number,
        .credit = (uint8_t)(number >> 16),
        .state = (number >> 24) & 0x7f,
        .far = number >> 31,
    };

    if (saved.balance < GROWTH_LEAST || saved.balance > GROWTH_MOST ||
        saved.credit > GROWTH_ORDERS * GROWTH_READS ||
        saved.state > GROWTH_FREE) {
        return false;
    }
    *growth = saved;
    return true;
}
