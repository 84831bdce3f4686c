#include "fail.h"

#include "kernel.h"

static enum fail_kind armed;
static unsigned left; /* until one fails; 0: it has */
static bool lasts;
static uint32_t memory_odds;
static bool held;

void fail_arm(enum fail_kind kind, unsigned n, bool lasting)
{
    armed = kind;
    left = n;
    lasts = lasting;
}

bool fail_disarm(void)
{
    bool failed = armed != FAIL_NONE && left == 0;

    armed = FAIL_NONE;
    return failed;
}

void fail_hold(bool is_held)
{
    held = is_held;
}

void fail_memory_odds(uint32_t odds)
{
    memory_odds = odds;
}

bool fail_due(enum fail_kind kind)
{
    if (kind == FAIL_MEMORY && memory_odds != 0 && kernel_chance(memory_odds)) {
        kernel_record()->memory++;
        return true;
    }
    if (held && armed == kind) {
        return false;
    }
    if (armed != kind || left == 0) {
        return armed == kind && lasts;
    }
    return --left == 0;
}
